"""`dtpr-agent fleet`: a city's units together."""

import argparse

from agent.operations import simulation_command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`simulate`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    simulate = actions.add_parser("simulate", help="real signed traffic from simulated units at a real broker")
    simulation_command.add_arguments(simulate)
    simulate.set_defaults(act=simulation_command.run)


def run(args: argparse.Namespace) -> int:
    """Do what was asked; returns the exit status."""
    return int(args.act(args))
