"""A clean year is audited in a minute and little memory; a day of it on every run."""

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import TextIO

import pytest

from agent.anonymizer.kinds import terms_for
from agent.anonymizer.ledger import Ledger
from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Value
from agent.contracts.gate_log import Change, GateChanges
from agent.contracts.log import Entry, NoticeServed, PolicyOffered, PolicyTaken, Release, carrying
from agent.contracts.public import Reason
from agent.operations.log_copy import export
from agent.operations.received import TERMS, promised
from agent.policy.compile import compile_policy
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.wire import cose
from agent.wire.tlog import decode_checkpoint
from tests.anonymizer.stage import KEY, ORIGIN, policy_text
from tests.log_files import write_log
from tests.operations.stories import PUBLIC
from tests.signing import signed_policy

START_S = 1_799_971_200
"""A midnight: 2027-01-14."""

DIGEST = bytes(range(32))
YEAR = 35_040
STREAM = """
[[stream]]
name = "{name}"
channel = "{name}"
kind = "{kind}"
technology = "{technology}"
{more}
window = "15 minutes"
grace = "0.2 seconds"
receivers = ["city"]
[stream.privacy]
mode = "{mode}"
{privacy}
"""
STREAMS = {
    "crossings": ("count", "radar", 'classes = ["bike", "foot"]', "dp", "rho = 0.03125\nm = 4\nc = 1\nk = 5\nz = 2\nmax_count = 5000\ntotals = \"none\""),
    "passing": ("count", "radar", 'classes = ["bike", "foot"]', "dp", "rho = 0.03125\nm = 4\nc = 1\nk = 5\nz = 2\nmax_count = 5000\ntotals = \"period\""),
    "noise": ("scalar", "sound_level_meter", 'quantity = "sound_level"', "dp", "rho = 0.03125\nm = 60\nc = 60\nlow = 30\nhigh = 100\nstep = 0.1\nsamples = 900"),
    "air": ("scalar", "air_quality", 'quantity = "air_temperature"', "none", "low = -40\nhigh = 60\nstep = 0.5"),
}  # fmt: skip
"""A count, one with running totals, a noisy mean and one as measured."""


def year_policy() -> Policy:
    head = policy_text(cap="0.125").replace('period = "10 minutes"', 'period = "24 hours"').partition("[[stream]]")[0]
    for name, (kind, technology, more, mode, privacy) in STREAMS.items():
        head += STREAM.format(name=name, kind=kind, technology=technology, more=more, mode=mode, privacy=privacy)
    return parse_policy(head, "policy.toml")


def values(name: str, number: int) -> tuple[Value, ...]:
    """Of a stream's window; totals are those of its day."""
    one = 99 + number % 400
    day = sum(99 + n % 400 for n in range(number // 96 * 96, number + 1))
    since = START_S + number // 96 * 86_400
    return {
        "crossings": (one, Cell.SUPPRESSED),
        "passing": (one, Cell.SUPPRESSED, day, Cell.SUPPRESSED, since),
        "noise": (Decimal(5000 + number % 2000).scaleb(-2),),
        "air": (Decimal(5 * (number % 50)).scaleb(-1),),
    }[name]


def write_year(folder: Path, windows: int) -> Path:
    """A log folder of so many windows of four streams, without anything out of the ordinary; `lines` in it is what was received."""
    policy = year_policy()
    folder.mkdir()
    with (folder / "lines").open("w") as lines:
        write_log(folder, (entry.encode() for entry in _entries(policy, windows, lines)), KEY, ORIGIN)
    return folder


def _entries(policy: Policy, windows: int, lines: TextIO) -> Iterator[Entry]:
    ledger = Ledger()

    def logged(entry: Entry) -> Entry:
        ledger.fold(entry)
        return entry

    yield logged(PolicyOffered(signed_policy(policy), DIGEST, START_S - 1))
    yield logged(NoticeServed(DIGEST, 1, START_S))
    yield logged(PolicyTaken(compile_policy(policy), DIGEST, START_S, START_S))
    stands = GateChanges(START_S, (Change(START_S, Reason.OPEN),))
    yield logged(stands)
    terms = [terms_for(policy, stream, DIGEST) for stream in policy.streams]
    for number in range(windows):
        for each in terms:
            name, start = each.stream.name, START_S + 900 * number
            if ledger.carries:
                yield logged(carrying(ledger.state))
                yield logged(stands)
            said = Aggregate(each.pack, start, 100, None, ledger.size, values(name, number))
            lines.write(json.dumps(record(said)) + "\n")
            payload = aggregate.encode(said)
            yield logged(
                Release(name, start, 900, payload, cose.sign1(payload, KEY, detached=True), each.charge, DIGEST)
            )


def record(said: Aggregate) -> dict[str, object]:
    """What of a line of `subscribe --json` is held against the log."""
    return {
        "type": "release",
        "city": said.terms.city,
        "site": said.terms.site,
        "unit": said.terms.unit,
        "stream": said.terms.stream,
        "window_start": said.window_start,
        **dict(zip(TERMS, promised(said.terms), strict=True)),
        "state": said.state,
        "coverage": float(said.coverage),
        "cells": {name: float(v) if isinstance(v, Decimal) else v for name, v in said.cells},
        "log_index": said.log_index,
        "verified": True,
    }


_MEASURE = """
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
"""
"""Linux counts what a process held before exec in its peak, so between this large one and the audit stands a small one."""


def measured(folder: Path) -> tuple[float, float, float]:
    """(seconds, CPU seconds, MiB at most) of one `dtpr-agent audit`, a process of its own; it must say clean."""
    began = time.monotonic()
    given = ["--log", str(folder / "copy"), "--received", str(folder / "log" / "lines"), "--key", PUBLIC.hex()]
    command = [sys.executable, "-c", _MEASURE, sys.executable, "-m", "agent.cli.main", "audit", *given]
    cpu_s, mib = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()
    return time.monotonic() - began, float(cpu_s), float(mib)


def test_a_day_is_clean_and_needs_little_memory(tmp_path: Path) -> None:
    export(write_year(tmp_path / "log", 96), tmp_path / "copy")
    _, _, mib = measured(tmp_path)
    assert mib <= 150


@pytest.mark.soak
def test_a_year(tmp_path: Path, soak_record: Callable[[str, object], None]) -> None:
    """35,040 windows of four streams: at most 60 s and 150 MiB. Processor time counts: other work on the machine is not ours."""
    export(write_year(tmp_path / "log", YEAR), tmp_path / "copy")
    entries = decode_checkpoint((tmp_path / "copy" / "checkpoint").read_bytes()).size
    seconds, cpu_s, mib = measured(tmp_path)
    soak_record(
        "audit/year",
        {"entries": entries, "seconds": round(seconds, 1), "cpu_s": round(cpu_s, 1), "mib": round(mib)},
    )
    assert cpu_s <= 60
    assert mib <= 150
