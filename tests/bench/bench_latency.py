"""How long after a checkpoint is in place its release is acknowledged by a broker on loopback, and how many bytes that takes.

Two publishers in one run: ours as it is, and ours without the wake-up, which looks every 0.2 s.
"""

import statistics
import threading
import time
from pathlib import Path

from agent.local import settings
from agent.publisher.connection import Login
from agent.publisher.session import Session
from tests.bench.record import record
from tests.brokers import Mosquitto
from tests.publisher.unit_folders import UnitFolder, wait_until

WINDOWS = 60


def latencies_ms(folder: Path, *, wake: bool) -> tuple[list[float], float]:
    """From the checkpoint's replacement to PUBACK, for each of WINDOWS live releases; and a release's bytes on the wire."""
    unit = UnitFolder(folder / "unit")
    unit.announce()
    unit.release_windows(0, 1)
    acknowledged: dict[int, float] = {}
    with Mosquitto(folder) as broker:
        unit.configure(broker.port)
        session = Session(settings.load(unit.config), lambda: (None, Login(None, None)))
        if not wake:
            session._watch.close()
        taken = session.backlog.acknowledge

        def acknowledge(mid: int) -> None:
            taken(mid)
            acknowledged.setdefault(session.backlog.progress.acknowledged, time.monotonic())

        session.backlog.acknowledge = acknowledge  # type: ignore[method-assign]  # the bench looks over its shoulder

        def run() -> None:
            while not session.stopping:
                session.step()

        thread = threading.Thread(target=run)
        thread.start()
        try:
            wait_until(lambda: 1 in acknowledged, "the first release")
            found = []
            for number in range(1, WINDOWS + 1):
                time.sleep(0.05 + 0.2 * (number * 7 % 13) / 13)  # at any phase of the other's looking
                began = time.monotonic()
                unit.release_windows(number, 1)
                wait_until(lambda at=number + 1: at in acknowledged, "PUBACK")  # type: ignore[misc]  # mypy cannot type a lambda's default
                found.append((acknowledged[number + 1] - began) * 1000)
        finally:
            session.stopping = True
            thread.join()
            session.stop()
    sent = [line for line in broker.log.splitlines() if "Received PUBLISH" in line and "agg/" in line]
    sizes = [int(line.rpartition("(")[2].split()[0]) for line in sent]
    return found, statistics.fmean(sizes)


def test_latency(tmp_path: Path) -> None:
    ours, size = latencies_ms(tmp_path / "woken", wake=True)
    looking, _ = latencies_ms(tmp_path / "looking", wake=False)
    middle, before = statistics.median(ours), statistics.median(looking)
    record(
        {
            "checkpoint to PUBACK, ms, median": middle,
            "checkpoint to PUBACK, ms, 95 %": statistics.quantiles(ours, n=20)[-1],
            "checkpoint to PUBACK when looking every 0.2 s, ms, median": before,
            "ratio_woken_to_looking_latency": middle / before,
            "payload of a release with two classes, bytes": size,
        }
    )
