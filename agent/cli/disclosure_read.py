"""`dtpr-agent disclosure read`: what a resident's phone reads by radio, for a technician's laptop or a second unit, and whether it holds."""

import argparse
import asyncio
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.beacon.advertisement import code
from agent.beacon.reading import Reading
from agent.beacon.verdict import Judged, Trust, Verdict, judge
from agent.cli.reader import load_units
from agent.contracts.latest import Figures
from agent.disclosure.plain_language import sentences
from agent.disclosure.wording import LOCALES, locale_of
from agent.errors import BadInput, SettingsError
from agent.local.clock import OPERATOR, Clock
from agent.policy.file import load_governance
from agent.policy.words import day_words

if TYPE_CHECKING:  # bleak is loaded by `read` alone, when it runs
    from agent.cli.central import Heard, Times

SECONDS = 20.0


def add_arguments(read: argparse.ArgumentParser) -> None:
    """The options of `read`."""
    read.add_argument(
        "--unit", default="", metavar="NAME", help="the unit's printed name (default: the first that is heard)"
    )
    read.add_argument(
        "--adapter", default="", metavar="hciN", help="the Bluetooth adapter to listen with (default: the system's)"
    )
    read.add_argument(
        "--seconds", type=float, default=SECONDS, metavar="S", help="how long to listen (default: %(default)g)"
    )
    read.add_argument(
        "--governance",
        type=Path,
        metavar="F",
        help="the city's trust root, governance.toml or governance.cose; with --units",
    )
    read.add_argument("--units", type=Path, metavar="F", help="units.cose: the keys for which enough of them vouch")
    read.add_argument("--key", type=_key, metavar="HEX", help="or else the unit's public key, 64 hex digits")
    read.add_argument("--locale", default="en", metavar="LL", help=f"the language: {', '.join(LOCALES)} (default: en)")
    read.add_argument("--json", action="store_true", help="everything read, and the verdict, as one JSON object")


def run(args: argparse.Namespace) -> int:
    """Read and print; exit 0 unless it was to be verified and could not be (2). Raises RadioUnavailable, DisclosureError, PolicyError, SignatureError."""
    from agent.cli.central import read_nearby

    locale_of(args.locale)
    clock = Clock(OPERATOR)
    trust, root_version = _trust(args)

    def again(words: str) -> None:
        print(f"note: read again: {words}", file=sys.stderr)

    heard, reading, times = asyncio.run(read_nearby(args.unit, args.adapter, args.seconds, again))
    now_s = clock.utc_ns() // 1_000_000_000
    judged = judge(reading, trust, now_s)
    if args.json:
        print(json.dumps(_tree(heard, reading, times, judged, root_version, now_s), ensure_ascii=False, indent=1))
    else:
        print("\n".join(_lines(heard, times, judged, root_version, args.locale, now_s)))
    return BadInput.exit_code if judged.verdict is Verdict.CANNOT else 0


def _trust(args: argparse.Namespace) -> tuple[Trust, int | None]:
    if (args.governance is None) != (args.units is None):
        raise SettingsError(
            "--governance, --units", expected="both or neither", got="one", remedy="or give the unit's key with --key"
        )
    if args.governance is None:
        return Trust(key=args.key), None
    root = load_governance(args.governance)
    return Trust(key=args.key, units=load_units(args.units, root)), root.version


def _key(text: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise argparse.ArgumentTypeError("expected 64 hex digits")
    return key


def _lines(
    heard: "Heard", times: "Times", judged: Judged, root_version: int | None, locale: str, now_s: int
) -> list[str]:
    shown = judged.disclosure
    lines = [
        f"heard       {heard.name or 'a unit without a name'} ({heard.address}, {heard.rssi_dbm} dBm) after {times.heard_s:.1f} s",
        f"read        {times.reads} values in {times.read_s:.1f} s, {times.attempts} attempt{'s' * (times.attempts > 1)}",
        f"verdict     {judged.verdict}{': ' * bool(judged.reasons)}{judged.words}",
    ]
    if shown is None:
        return [*lines, f"            {judged.detail}"] if judged.detail else lines
    if judged.key is not None:
        by = f"vouched for under governance version {root_version}" if judged.vouched else "the key given"
        lines.append(f"signed by   {judged.key.hex()} ({by})")
    if judged.head is not None:
        tree = judged.head.checkpoint
        lines.append(f"tree head   {tree.size} entries, signed {now_s - judged.head.signed_at} s ago")
    lines += [
        f"policy      {shown.policy.unit.path}, version {shown.policy_version}, until {day_words(shown.policy.expires)}",
        f"digest      {shown.digest.hex()} ({code(shown.digest)})",
    ]
    if judged.stop is not None:
        lines.append(
            f"STOPPED     since {day_words(judged.stop.since)}: {judged.stop.reason} ({', '.join(judged.stop.by)})"
        )
    if judged.upcoming is not None:
        begins = day_words(judged.not_before)
        lines.append(
            f"on notice   version {judged.upcoming.policy_version}, not before {begins} ({code(judged.upcoming.digest)})"
        )
    for figures in judged.latest.figures if judged.latest is not None else ():
        lines.append(f"published   {_figures(figures)}")
    return [*lines, "", shown.title, *(f"  {sentence}" for sentence in sentences(shown, locale))]


def _figures(one: Figures) -> str:
    cells = ", ".join(
        f"{name} {value}{f' {unit}' if unit not in ('', 'count') else ''}" for name, unit, value in one.cells
    )
    state = "" if one.state == "complete" else f" ({one.state})"
    return f"{one.stream}, {one.length_s} s from {one.start}{state}: {cells}"


def _tree(
    heard: "Heard", reading: Reading, times: "Times", judged: Judged, root_version: int | None, now_s: int
) -> dict[str, Any]:
    """Nothing that did not verify is in it, but the bytes themselves and what is marked as not signed."""
    shown, head = judged.disclosure, judged.head
    return {
        "unit": shown.unit if shown else None,
        "verdict": judged.verdict.value,
        "reasons": [reason.value for reason in judged.reasons],
        "detail": judged.detail or None,
        "path": shown.policy.unit.path if shown else None,
        "digest": shown.digest.hex() if shown else None,
        "code": code(shown.digest) if shown else None,
        "policy_version": shown.policy_version if shown else None,
        "expires": shown.policy.expires if shown else None,
        "issued_at": judged.issued_at if shown else None,
        "key": judged.key.hex() if judged.key else None,
        "vouched": judged.vouched,
        "governance_version": root_version,
        "tree_head": {
            "size": head.checkpoint.size,
            "root": head.checkpoint.root.hex(),
            "signed_at": head.signed_at,
            "age_s": now_s - head.signed_at,
        }
        if head
        else None,
        "upcoming": {
            "policy_version": judged.upcoming.policy_version,
            "not_before": judged.not_before,
            "digest": judged.upcoming.digest.hex(),
        }
        if judged.upcoming
        else None,
        "stop": {"reason": judged.stop.reason, "by": list(judged.stop.by), "since": judged.stop.since}
        if judged.stop
        else None,
        "latest": [_latest(one) for one in judged.latest.figures] if judged.latest else None,
        "not_signed": {"name": heard.name, "address": heard.address, "rssi_dbm": heard.rssi_dbm, "text": reading.text},
        "seconds": {
            "heard": round(times.heard_s, 3),
            "connected": round(times.connected_s, 3),
            "read": round(times.read_s, 3),
        },
        "reads": times.reads,
        "attempts": times.attempts,
        "tries": reading.tries,
        "envelope": reading.envelope.hex(),
    }


def _latest(one: Figures) -> dict[str, Any]:
    return {
        "stream": one.stream,
        "start": one.start,
        "length_s": one.length_s,
        "state": one.state,
        "policy_version": one.policy_version,
        "cells": {name: value if isinstance(value, int | str) else float(value) for name, _unit, value in one.cells},
    }
