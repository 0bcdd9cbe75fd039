"""`python -m tests.fuzz corpus FOLDER | replay TARGET FILE… | guided TARGET [arguments of Atheris]`.

`guided` needs Atheris (coverage-guided, libFuzzer), which is not in the lock file: it has no wheels for every Python that we support.
"""

import argparse
import importlib
import sys
from pathlib import Path

from tests.fuzz import seeds
from tests.fuzz.targets import TARGETS


def main() -> int:
    """Run one action; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz")
    actions = parser.add_subparsers(dest="action", required=True)
    corpus = actions.add_parser("corpus", help="write the seeds, one folder a target")
    corpus.add_argument("folder", type=Path)
    replay = actions.add_parser("replay", help="run a target on files, such as crashes")
    replay.add_argument("target", choices=sorted(TARGETS))
    replay.add_argument("files", type=Path, nargs="+")
    guided = actions.add_parser("guided", help="let Atheris search")
    guided.add_argument("target", choices=sorted(TARGETS))
    guided.add_argument("arguments", nargs=argparse.REMAINDER)
    args = parser.parse_args()
    if args.action == "corpus":
        print(f"{seeds.write(args.folder)} seeds in {args.folder}")
        return 0
    target = TARGETS[args.target]
    if args.action == "replay":
        for path in args.files:
            target(path.read_bytes())
        print(f"{len(args.files)} input{'s' if len(args.files) > 1 else ''}: nothing escaped")
        return 0
    try:
        atheris = importlib.import_module("atheris")
    except ImportError:
        print("error: Atheris is not installed: pip install atheris", file=sys.stderr)
        return 3
    atheris.instrument_all()
    atheris.Setup([sys.argv[0], *args.arguments], target)
    atheris.Fuzz()
    return 0


if __name__ == "__main__":
    sys.exit(main())
