"""`dtpr-agent audit`: the command around agent/operations/audit.

Exit status 0: nothing was found, in the whole log or, as the verdict then says, from an entry on. 1: findings. 2: an input is refused, with its file and
reason. 3: something cannot be read now.
"""

import argparse
import json
from pathlib import Path

from agent.cli import audit_mirror
from agent.cli.audit_beginning import beginning_lines, instant, last_line, same_log
from agent.contracts.log_file import unit_path
from agent.errors import EncodingError, LogDamaged, SettingsError
from agent.operations.audit import audit
from agent.operations.audit_inputs import Inputs
from agent.operations.findings import WORDS
from agent.operations.gate_words import board_lines, boards_json, gate_json, gate_lines
from agent.operations.log_copy import read_regular
from agent.operations.policies import NEVER
from agent.operations.subscribe import given_keys
from agent.operations.table import printable
from agent.operations.verdict import Verdict
from agent.policy.file import load_governance, load_policy_file
from agent.wire.cosignature import parse_witness
from agent.wire.tiles import CHECKPOINT
from agent.wire.tlog import MAX_NOTE_BYTES, decode_checkpoint

MAX_LINES = 5
"""Places shown of each finding; `--json` has more."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The files, the key, the form of the answer."""
    parser.add_argument("--log", type=Path, metavar="DIR", help="a copy made by `dtpr-agent log export`")
    parser.add_argument("--received", type=Path, action="append", default=[], metavar="F", help="lines of `dtpr-agent subscribe --json` (--raw: to the byte)")  # fmt: skip
    parser.add_argument("--checkpoint", type=Path, action="append", default=[], metavar="F", help="a checkpoint known from before the copy was made")  # fmt: skip
    parser.add_argument("--earlier", type=Path, action="append", default=[], metavar="DIR", help="an older copy, which may have entries that the copy no longer has; or one of the log before a loss")  # fmt: skip
    parser.add_argument("--policy", type=Path, action="append", default=[], metavar="F", help="a policy, signed or not, that the unit was under before the copy begins")  # fmt: skip
    parser.add_argument("--air", type=Path, action="append", default=[], metavar="F", help="an envelope as read over Bluetooth")  # fmt: skip
    whose = parser.add_mutually_exclusive_group()
    whose.add_argument("--key", metavar="KEY", help="the unit's public key: 64 hex digits, or a file of them or in PEM")
    whose.add_argument("--keys", type=Path, metavar="F", help="a key directory, made by `dtpr-agent fleet keys`")
    parser.add_argument("--unit", metavar="CITY/SITE/UNIT", help="whose log it is (default: as the copy's checkpoint says)")  # fmt: skip
    parser.add_argument("--governance", type=Path, metavar="ROOT", help="the trust root that the unit was commissioned with, .toml, compiled or .cose")  # fmt: skip
    parser.add_argument("--witness", action="append", default=[], metavar="VKEY", help="a witness's key (C2SP tlog-cosignature)")  # fmt: skip
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    actions = parser.add_subparsers(metavar="ACTION")
    audit_mirror.add_arguments(actions.add_parser("mirror", help="keep a copy of a unit's log from what it publishes"))


def run(args: argparse.Namespace) -> int:
    """Print the verdict; 0 when nothing was found, 1 otherwise. Raises BadInput, StorageUnavailable."""
    if "mirror" in args:
        return audit_mirror.run(args)
    inputs = _inputs(args)
    verdict = audit(inputs)
    print(_as_json(verdict) if args.json else _in_words(verdict))
    return 1 if verdict.findings.counts else 0


def _inputs(args: argparse.Namespace) -> Inputs:
    if args.key is None and args.keys is None:
        raise SettingsError("audit", expected="--key KEY or --keys F, which say whose signatures count", got="neither")
    if args.log is None and not args.received:
        raise SettingsError("audit", expected="--log or --received, or both", got="neither")
    if args.unit is None and args.log is None:
        raise SettingsError("audit", expected="--unit CITY/SITE/UNIT where there is no log copy", got="none")
    origin = args.unit
    if origin is None:
        try:
            origin = unit_path(decode_checkpoint(read_regular(args.log / CHECKPOINT, MAX_NOTE_BYTES)).origin)
        except EncodingError as bad:
            raise LogDamaged(str(args.log / "checkpoint"), expected="a checkpoint", got=bad.got) from None
    if origin.count("/") != 2:
        raise SettingsError("--unit", expected="CITY/SITE/UNIT", got=ascii(origin)[:80])
    for each in args.earlier:
        if not (each / CHECKPOINT).exists() and not (each / "tile").is_dir():
            remedy = "it is a folder that `dtpr-agent log export` or `dtpr-agent audit mirror` made"
            raise LogDamaged(
                str(each), expected="an older copy", got="neither checkpoint nor tile in it", remedy=remedy
            )
    keys = given_keys(args.key, args.keys, origin)
    return Inputs(
        origin=origin,
        public_key=keys[0],
        previous=keys[1:],
        log=args.log,
        received=tuple(args.received),
        seen=tuple(args.checkpoint),
        earlier=tuple(args.earlier),
        air=tuple(args.air),
        policies=tuple(map(load_policy_file, args.policy)),
        root=load_governance(args.governance) if args.governance is not None else None,
        witnesses=tuple(parse_witness(text) for text in args.witness),
    )


def _as_json(verdict: Verdict) -> str:
    return json.dumps(
        {
            "verdict": _in_a_word(verdict),
            "unit": verdict.origin,
            **verdict.facts,
            "windows": verdict.windows,
            "findings": [
                {"kind": each.kind, "where": each.where, "words": each.words} for each in verdict.findings.shown
            ],
            "counts": {kind.value: count for kind, count in verdict.findings.counts.items()},
            "history": [{"at": at, "what": words} for at, words in verdict.events],
            "gate": gate_json(verdict.gate),
            "boards": boards_json(verdict.boards, verdict.board_changes),
            "losses": verdict.losses,
            "proven": _extent(verdict),
            "not_judged": verdict.open,
        }
    )


def _in_words(verdict: Verdict) -> str:
    facts = ", ".join(f"{count} {what}" for what, count in verdict.facts.items())
    windows = ", ".join(f"{count} {what}" for what, count in sorted(verdict.windows.items()))
    lines = [f"{verdict.origin}: {facts}", f"    windows    {windows}"] if windows else [f"{verdict.origin}: {facts}"]
    lines += [f"    {instant(at)} {words}" for at, words in verdict.events]
    lines += [f"    {line}" for line in gate_lines(verdict.gate, instant)]
    lines += [f"    {line}" for line in board_lines(verdict.boards, verdict.board_changes, instant)]
    lines += [f"    lost       {each}" for each in verdict.losses]
    lines += beginning_lines(verdict)
    lines += [f"    not judged {each}" for each in verdict.open]
    for kind, count in verdict.findings.counts.items():
        lines.append(f"{kind}: {WORDS[kind]} ({count})")
        shown = [f"    {each.where}: {each.words}" for each in verdict.findings.shown if each.kind is kind]
        lines += shown[:MAX_LINES]
        if count > MAX_LINES:
            lines.append(f"    … and {count - MAX_LINES} more")
    if verdict.findings.counts:
        lines.append(f"NOT CLEAN: {sum(verdict.findings.counts.values())} findings")
    elif verdict.losses:
        lines.append("A LOSS, no fraud: the unit owns up to it, and nothing else was found in what could be judged")
    elif verdict.beginning is not None:
        lines.append(last_line(verdict))
    else:
        lines.append("CLEAN: nothing was found in what could be judged")
    return "\n".join(printable(line) for line in lines)


def _in_a_word(verdict: Verdict) -> str:
    if verdict.findings.counts:
        return "findings"
    if verdict.losses:
        return "loss"
    return "clean" if verdict.beginning is None else "clean-later"


def _extent(verdict: Verdict) -> dict[str, object]:
    """From where on it is proven: an entry and the instants (Unix seconds, None: never) from which windows, and windows by their policy, are judged."""
    begin = verdict.beginning
    settled = verdict.settled if verdict.settled < NEVER else None
    since = verdict.since if settled is None else max(settled, verdict.since or 0)
    return {
        "from_entry": 0 if begin is None else begin.entry,
        "from": verdict.since,
        "by_policy_from": None if settled is None else since,
        "decisions_absent": [] if begin is None else list(begin.absent),
        "before": None
        if begin is None
        else {
            "entries": begin.entry,
            "same_log": same_log(verdict),
            "hash_tiles": "all" if begin.tiles_whole else "some",
            "checkpoints_agree": begin.agreeing,
            "releases_included": begin.included,
            "releases_not_proven": len(begin.unproven),
        },
    }
