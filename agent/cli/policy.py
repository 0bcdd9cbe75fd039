"""`dtpr-agent policy …`: check, explain, compare and compile a policy, see where it stands; sign and verify (agent/cli/governance).

Nothing here touches hardware or a network. A policy file is TOML; where a policy is only read (`diff`, `compile`), its compiled or signed form
will do as well.
"""

import argparse
import json
import math
from dataclasses import replace
from pathlib import Path

from agent.anonymizer.growth import log_bytes_a_day
from agent.anonymizer.kinds import encodable
from agent.cli import governance
from agent.contracts.public import MAX_STATE_BYTES, STATE, State, decode_state
from agent.disclosure.datachain import compile_disclosure, to_datachain
from agent.disclosure.explanation import fired_text, table_text
from agent.disclosure.lint import Severity, lint
from agent.disclosure.plain_language import sentences
from agent.disclosure.validation import validate
from agent.errors import BadInput, PolicyError, SettingsError, Unavailable
from agent.local import settings
from agent.local.files import read_capped, write_atomic
from agent.policy.check import summary
from agent.policy.compile import compile_policy, decompile_policy, policy_digest
from agent.policy.difference import difference
from agent.policy.file import read_policy
from agent.policy.model import Policy
from agent.policy.parse import policy_of
from agent.policy.signed import Kind, read_signed
from agent.policy.words import day_words, time_words
from agent.wire import toml

_COSE_SIGN = b"\xd8\x62"
"""Tag 98; no UTF-8 text begins so."""

_CBOR_MAP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Every action, each with its own `run`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True)
    check = actions.add_parser("check", help="is this policy well-formed, what would it do, and where is it weak?")
    check.add_argument("file", type=Path, metavar="FILE", help="a policy.toml")
    check.set_defaults(run=run_check)

    compile_ = actions.add_parser("compile", help="write the compiled policy and its DTPR datachain")
    compile_.add_argument("file", type=Path, metavar="FILE", help="a policy.toml, or its compiled or signed form")
    compile_.add_argument("--out", type=Path, metavar="FOLDER", help="where to write (default: beside FILE)")
    compile_.set_defaults(run=run_compile)

    explain = actions.add_parser("explain", help="how a disclosure follows from a policy, and from which lines")
    explain.add_argument("file", type=Path, metavar="FILE", nargs="?", help="a policy.toml (default: the rules alone)")
    explain.set_defaults(run=run_explain)

    diff = actions.add_parser("diff", help="what changes from one policy to another, in plain words")
    diff.add_argument("old", type=Path, metavar="A", help="the policy of today: TOML, compiled or signed")
    diff.add_argument("new", type=Path, metavar="B", help="the policy proposed: TOML, compiled or signed")
    diff.set_defaults(run=run_diff)

    status = actions.add_parser("status", help="where each policy of this unit stands, and until when")
    status.add_argument(
        "--config", type=Path, default=settings.DEFAULT_PATH, metavar="F", help="agent.toml (default: %(default)s)"
    )
    status.add_argument(
        "--public", type=Path, metavar="FOLDER", help="the unit's public folder, instead of agent.toml's"
    )
    status.set_defaults(run=run_status)

    governance.add_actions(actions)


def run(args: argparse.Namespace) -> int:
    """Never reached: every action brings its own."""
    raise AssertionError(args)


def run_check(args: argparse.Namespace) -> int:
    """Print what the policy does, what residents will read and every weak spot; raises PolicyError naming file and line."""
    name = str(args.file)
    top = toml.parse(read_policy(args.file), name, PolicyError)
    policy = policy_of(top)
    _require_encodable(policy, top)
    disclosure = compile_disclosure(policy)
    findings = lint(policy, top)
    refused = any(finding.severity is Severity.ERROR for finding in findings)
    if not refused:
        print(summary(policy, name), end="")
        megabytes = math.ceil(log_bytes_a_day(policy) * 365 / 10**6)
        print(f"    release log    {megabytes} MB a year on the card")
        print(f"    disclosure     {disclosure.digest.hex()}, colour {disclosure.colour}; residents read:")
        for sentence in sentences(disclosure):
            print(f"      {sentence}")
    for finding in findings:
        print(finding)
    return PolicyError.exit_code if refused else 0


def _require_encodable(policy: Policy, top: toml.Table) -> None:
    """Refuse, at its privacy table, a stream of which no window could be written: what the unit would say when the policy is offered to it."""
    for stream, table in zip(policy.streams, top.tables("stream"), strict=True):
        try:
            encodable(replace(policy, streams=(stream,)))
        except PolicyError as bad:
            table.refuse("privacy", expected=bad.expected, got=bad.got, remedy=bad.remedy)


def run_compile(args: argparse.Namespace) -> int:
    """Write FILE's name with .cbor and .datachain.json; print both digests. Raises PolicyError, StorageUnavailable."""
    policy = load(args.file)
    disclosure = compile_disclosure(policy)
    document = to_datachain(disclosure)
    validate(document)
    folder: Path = args.out or args.file.parent
    if not folder.is_dir():
        raise SettingsError(str(folder), expected="a folder to write in", got="none")
    for suffix, data, digest in (
        (".cbor", compile_policy(policy), policy_digest(policy)),
        (".datachain.json", json.dumps(document, ensure_ascii=False, indent=1).encode() + b"\n", disclosure.digest),
    ):
        path = folder / f"{args.file.stem}{suffix}"
        if path == args.file:
            raise SettingsError(str(path), expected="another place to write than FILE", got="FILE", remedy="use --out")
        write_atomic(path, data)
        print(f"{path}  {'policy' if suffix == '.cbor' else 'disclosure'} digest {digest.hex()}")
    return 0


def run_explain(args: argparse.Namespace) -> int:
    """Print the derivation table, or what it gives for FILE; raises PolicyError."""
    if args.file is None:
        print(table_text(), end="")
        return 0
    top = toml.parse(read_policy(args.file), str(args.file), PolicyError)
    print(fired_text(policy_of(top), top, str(args.file)), end="")
    return 0


def run_diff(args: argparse.Namespace) -> int:
    """Print what changes and when it may act; raises PolicyError."""
    print(difference(load(args.old), load(args.new)), end="")
    return 0


def run_status(args: argparse.Namespace) -> int:
    """Print where each policy stands; raises Unavailable when no anonymizer has said so yet."""
    folder: Path = args.public or settings.load(args.config).paths.public
    try:
        data = read_capped(folder / STATE, MAX_STATE_BYTES)
    except OSError as bad:
        raise SettingsError(str(folder / STATE), expected="a readable state", got=bad.strerror or "an error") from None
    if data is None:
        raise Unavailable(
            str(folder / STATE),
            why="not written yet",
            remedy="is dtpr-anonymizer running? `systemctl status dtpr-anonymizer`",
        )
    print(standing(decode_state(data)), end="")
    return 0


def load(path: Path) -> Policy:
    """A policy from its text, its compiled bytes or its signed form, whose signatures are not looked at; raises PolicyError."""
    data = read_policy(path)
    try:
        if data.startswith(_COSE_SIGN):
            kind, data = read_signed(data)
            if kind is not Kind.POLICY:
                raise PolicyError("signed file", expected="a policy", got=f"a {kind}")
        if data[:1] and data[0] >> 5 == _CBOR_MAP:
            return decompile_policy(data)
    except BadInput as bad:
        raise PolicyError(f"{path}: {bad.where}", expected=bad.expected, got=bad.got, remedy=bad.remedy) from None
    return policy_of(toml.parse(data, str(path), PolicyError))


def standing(state: State) -> str:
    """Where each policy of the unit stands, in lines; the times are the unit's."""
    lines = [f"{state.city}/{state.site}/{state.unit}"]
    until = f"until {day_words(state.expires)}"
    if state.notice_remaining_s:
        until = f"on notice: {time_words(state.notice_remaining_s)} still to be on air; then {until}"
    if state.policy_version:
        lines += _policy_lines(
            state.policy_version, ("a demonstration, " if state.demo else "") + until, state.disclosure
        )
    else:
        lines.append("    no policy")
    if state.upcoming_version:
        remaining = state.upcoming_remaining_s
        left = (
            f"on notice: {time_words(remaining)} still to be on air" if remaining else "takes over at the next window"
        )
        lines += _policy_lines(state.upcoming_version, left, state.upcoming_disclosure)
    lines.append(f"    gate           {state.gate} ({state.reason}) since {day_words(state.since)}")
    if state.offer_refused:
        lines.append(f"    last offer     refused: {state.offer_refused}")
    if state.stop_reason:
        lines.append(f"    stopped        by {state.stop_by or 'an order'}: {state.stop_reason}")
        lines.append("                   only a new policy lifts this")
    return "\n".join(lines) + "\n"


def _policy_lines(version: int, stands: str, disclosure: str) -> list[str]:
    return [f"    version {version:<6} {stands}", f"                   disclosure {disclosure}"]
