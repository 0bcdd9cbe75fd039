"""`dtpr-agent policy check FILE`: is this policy well-formed, and what would it do? Touches no hardware."""

import argparse
from pathlib import Path

from agent.disclosure.datachain import compile_disclosure
from agent.policy.compile import compile_policy
from agent.policy.file import load_policy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`check FILE`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser("check", help="check a policy file and say what it would do")
    check.add_argument("file", type=Path, help="a policy.toml")
