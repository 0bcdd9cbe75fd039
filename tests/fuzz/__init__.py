"""Every parser of outside bytes against hostile ones.

`targets` has one plain function a parser, `target_<parser>(data: bytes)`, which lets nothing escape but what is a bug; they are what a
coverage-guided fuzzer wants, too (`python -m tests.fuzz` lists them, writes the seed corpus, and runs Atheris where it is installed).
"""
