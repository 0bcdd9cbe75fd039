"""README.md says what is true: the output of every `$ dtpr-agent …` in it is the real one, and every status code in it exists.

A fenced block that begins with `$ ` is run from a folder in which `config` is the repository's; a line `…` at its end stands for the rest of
the output. `python -m tests.test_readme` writes the blocks anew.
"""

import ast
import contextlib
import io
import os
import re
import shlex
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.anonymizer import announcement
from agent.beacon import daemon as beacon
from agent.beacon.radio import Cause
from agent.cli.main import COMMANDS, main
from agent.contracts.public import Reason
from agent.publisher import daemon as publisher
from agent.publisher.faults import Code
from firmware_bridge import daemon as bridge
from firmware_bridge.link import Condition

PROJECT = Path(__file__).parents[1]
README = PROJECT / "README.md"
BLOCK = re.compile(r"^```[a-z]*\n(\$ .*?)^```$", re.MULTILINE | re.DOTALL)
REST = "…"
TEXT_TOOLS = ("sed",)
"""What a block may run besides dtpr-agent."""


def _blocks(text: str) -> list[str]:
    return [found[1] for found in BLOCK.finditer(text)]


def _run(line: str, folder: Path) -> str:
    """What one command line prints on its standard output."""
    words = shlex.split(line)
    if words[0] == "dtpr-agent":
        printed = io.StringIO()
        with contextlib.chdir(folder), contextlib.redirect_stdout(printed):
            assert main(words[1:]) == 0, line
        return printed.getvalue()
    assert words[0] in TEXT_TOOLS, line
    environment = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"}
    command = ["sh", "-c", line]  # the line's own redirection
    ran = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=30, check=True)
    return ran.stdout


def _true(block: str, folder: Path) -> str:
    """The block as it should be: its commands with their real output, cut where it says `…`."""
    lines: list[str] = []
    parts = re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]
    for part in parts:
        command, *shown = part.rstrip("\n").split("\n")
        real = _run(command, folder).rstrip("\n").split("\n")
        lines.append(f"$ {command}")
        if shown and shown[-1].strip() == REST:
            assert len(real) >= len(shown), f"{command}: nothing is left out any more"
            lines += [*real[: len(shown) - 1], shown[-1]]
        elif real != [""]:
            lines += real
    return "\n".join(lines) + "\n"


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    with tempfile.TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        (Path(name) / "config").symlink_to(PROJECT / "config")
        patch.setenv("XDG_DATA_HOME", name)  # whoever runs this may have imported official texts
        yield Path(name)


@pytest.mark.parametrize("number", range(len(_blocks(README.read_text()))))
def test_shown_output_is_real(number: int) -> None:
    """Line for line; to write it anew: `python -m tests.test_readme`."""
    block = _blocks(README.read_text())[number]
    with _folder() as folder:
        assert block == _true(block, folder)


def test_what_a_steward_meets_is_shown() -> None:
    """`policy check`, `policy explain`, `policy diff` and `disclosure show --locale fr`, each with its output."""
    commands = [line for block in _blocks(README.read_text()) for line in block.splitlines() if line.startswith("$ ")]
    for action in ("policy check", "policy explain", "policy diff", "disclosure show"):
        assert any(line.startswith(f"$ dtpr-agent {action} ") for line in commands), action
    assert any("--locale fr" in line for line in commands)


def test_a_false_line_would_be_seen() -> None:
    """A block that shows other output than the real one differs from what it should be."""
    false = "$ dtpr-agent policy explain\nSomebody writes it.\n…\n"
    with _folder() as folder:
        assert _true(false, folder) != false
        assert _true(_true(false, folder), folder) == _true(false, folder)


def test_every_command_named_exists() -> None:
    """Each `dtpr-agent …` in the text names a command that there is."""
    named = set(re.findall(r"dtpr-agent ([a-z]+)", README.read_text()))
    assert named
    assert named <= set(COMMANDS), named - set(COMMANDS)


def _literals(module: object) -> set[str]:
    """The words in a daemon's own source: some codes are no member of an enumeration."""
    source = Path(str(getattr(module, "__file__", ""))).read_text()
    return {
        node.value
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }


CODES = {
    "firmware-bridge": {*Condition} | _literals(bridge),
    "anonymizer": {*Reason} | _literals(announcement),
    "beacon": {*Cause} | _literals(beacon),
    "publisher": {*Code} | _literals(publisher),
}
"""Daemon -> the codes that its status can show."""


ALL = {
    "firmware-bridge": {*Condition, bridge.INBOX_ABSENT},
    "anonymizer": {*Reason, "ok"},
    "beacon": {*Cause, "on_air", "no_envelope", "bad_envelope", "no_inbox", "stopped"},
    "publisher": {*Code},
}
"""Daemon -> every code that its status can show; the anonymizer says `ok` for `open`."""


@pytest.mark.parametrize("daemon", CODES)
def test_every_status_code_for_technicians_exists(daemon: str) -> None:
    """The table of daemons, codes and what they mean names no code that no daemon shows."""
    (row,) = re.findall(rf"^\| {daemon} \|(.*)\|$", README.read_text(), re.MULTILINE)
    codes = re.findall(r"`([a-z_]+)`", row)
    assert len(codes) > 4
    assert set(codes) <= {str(code) for code in CODES[daemon]}
    assert {str(code) for code in ALL[daemon]} - {"open"} <= set(codes), "one that a technician may meet is not there"


def rewrite() -> None:
    """Write every block of README.md anew."""
    with _folder() as folder:
        README.write_text(
            BLOCK.sub(lambda found: found[0].replace(found[1], _true(found[1], folder)), README.read_text())
        )


if __name__ == "__main__":
    rewrite()
