"""`dtpr-agent policy check FILE`: is this policy well-formed, and what would it do? Touches no hardware."""

import argparse
from pathlib import Path

from agent.disclosure.datachain import compile_disclosure
from agent.disclosure.plain_language import sentences
from agent.policy.check import summary
from agent.policy.file import load_policy


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`check FILE`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser("check", help="check a policy file and say what it would do")
    check.add_argument("file", type=Path, help="a policy.toml")


def run(args: argparse.Namespace) -> int:
    """Print what the policy does and what residents will read; raises PolicyError naming file and line."""
    policy = load_policy(args.file)
    disclosure = compile_disclosure(policy)
    print(summary(policy, str(args.file)), end="")
    print(f"    disclosure     {disclosure.digest.hex()}, colour {disclosure.colour}; residents read:")
    for sentence in sentences(disclosure):
        print(f"      {sentence}")
    return 0
