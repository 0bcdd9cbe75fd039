"""A clean year is audited in a minute and little memory; a day of it on every run."""

import json
import os
import sys
import time
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import pytest

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Guarantee
from agent.contracts.log import Charge, NoticeServed, PolicyOffered, PolicyTaken, Release, pack_record
from agent.operations.log_copy import export
from agent.policy.compile import compile_policy
from agent.policy.parse import parse_policy
from agent.wire import cose, tlog
from agent.wire.tlog import Checkpoint, TreeHead
from tests.anonymizer.stage import KEY, ORIGIN, POLICY
from tests.operations.stories import PUBLIC
from tests.signing import signed_policy

START_S = 1_799_971_200
"""A midnight: 2027-01-14."""

DIGEST = bytes(range(32))
YEAR = 35_040
STREAMS = ("crossings", "east", "north", "west")


def year_policy() -> str:
    text = POLICY.format(version=1, notice="1 seconds", cap="0.125", window=900, rho="0.03125")
    text = text.replace('period = "10 minutes"', 'period = "24 hours"')
    head, _, stream = text.partition("[[stream]]")
    return head + "".join("[[stream]]" + stream.replace('"crossings"', f'"{name}"') for name in STREAMS)


def write_year(folder: Path, windows: int) -> Path:
    """A log folder of so many windows of four streams, without anything out of the ordinary; `lines` in it is what was received."""
    policy = parse_policy(year_policy(), "policy.toml")
    folder.mkdir()
    head, length = TreeHead(), 0
    with (folder / "releases").open("wb") as file, (folder / "lines").open("w") as lines:

        def append(entry: bytes) -> None:
            nonlocal length
            head.append(entry)
            length += file.write(pack_record(entry))

        append(PolicyOffered(signed_policy(policy), DIGEST, START_S - 1).encode())
        append(NoticeServed(DIGEST, 1, START_S).encode())
        append(PolicyTaken(compile_policy(policy), DIGEST, START_S, START_S).encode())
        for number in range(windows):
            for stream in STREAMS:
                said = Aggregate(
                    city="springfield",
                    site="bridge",
                    unit="bridge-01",
                    stream=stream,
                    window_start=START_S + 900 * number,
                    window_s=900,
                    coverage_percent=100,
                    reason=None,
                    noise_sd_thousandths=8000,
                    threshold=5 + 16,
                    guarantee=Guarantee(Fraction(1, 32), 86_400, 4, 1),
                    policy_version=1,
                    disclosure_digest=DIGEST,
                    log_index=head.size,
                    cells=(("bike", 21 + number % 500), ("foot", Cell.SUPPRESSED)),
                    value_digits=4,
                )
                lines.write(json.dumps(record(said)) + "\n")
                payload = aggregate.encode(said)
                signature = cose.sign1(payload, KEY, detached=True)
                append(
                    Release(
                        stream, said.window_start, 900, payload, signature, Charge(Fraction(1, 128)), DIGEST
                    ).encode()
                )
    checkpoint = Checkpoint(ORIGIN, head.size, head.root(), (f"bytes {length}",))
    (folder / "checkpoint").write_bytes(tlog.sign_checkpoint(checkpoint, ORIGIN, KEY))
    return folder


def record(said: Aggregate) -> dict[str, object]:
    """What of a line of `subscribe --json` is held against the log."""
    return {
        "type": "release",
        "city": said.city,
        "site": said.site,
        "unit": said.unit,
        "stream": said.stream,
        "window_start": said.window_start,
        "state": said.state,
        "coverage": float(said.coverage),
        "cells": dict(said.cells),
        "log_index": said.log_index,
        "verified": True,
    }


def measured(folder: Path) -> tuple[float, float, float]:
    """(seconds, CPU seconds, MiB at most) of one `dtpr-agent audit`, a process of its own; it must say clean."""
    began = time.monotonic()
    given = ["--log", str(folder / "copy"), "--received", str(folder / "log" / "lines"), "--key", PUBLIC.hex()]
    command = [sys.executable, "-m", "agent.cli.main", "audit", *given]
    pid = os.posix_spawn(sys.executable, command, os.environ)
    _, status, usage = os.wait4(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    return time.monotonic() - began, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def test_a_day_is_clean_and_needs_little_memory(tmp_path: Path) -> None:
    export(write_year(tmp_path / "log", 96), tmp_path / "copy")
    _, _, mib = measured(tmp_path)
    assert mib <= 150


@pytest.mark.soak
def test_a_year(tmp_path: Path, soak_record: Callable[[str, object], None]) -> None:
    """35,040 windows of four streams: at most 60 s and 150 MiB. Processor time counts: other work on the machine is not ours."""
    export(write_year(tmp_path / "log", YEAR), tmp_path / "copy")
    seconds, cpu_s, mib = measured(tmp_path)
    soak_record(
        "audit/year",
        {"entries": 4 * YEAR + 3, "seconds": round(seconds, 1), "cpu_s": round(cpu_s, 1), "mib": round(mib)},
    )
    assert cpu_s <= 60
    assert mib <= 150
