"""R8: make the unit say a window again, with other noise, and take the mean: by restarts, retransmission, clocks and backups."""

import dataclasses
import signal
import time
from fractions import Fraction
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from agent.anonymizer.checkpoint import Past
from agent.contracts import aggregate
from tests.anonymizer.stage import BIKE, Unit, make_policy, policy_text
from tests.brokers import Mosquitto
from tests.privacy.disk_world import DiskWorld
from tests.privacy.published import Published
from tests.privacy.table import Record
from tests.publisher.listeners import Listener
from tests.publisher.unit_folders import PublisherProcess, UnitFolder, wait_until

POLICY = make_policy(window=5, notice="5 seconds")
BACK_NS = 40 * 10**9
CROWD = 5000
"""Bikes in each whole window of a DiskWorld's life."""


def provoke(folder: Path, rounds: int) -> Published:
    """A unit on a real log, put back from a backup with its clock set back, again and again, and let live on in between."""
    published = Published()
    world = DiskWorld(POLICY, folder / "unit", published)
    world.live(30)
    boot_ns, offset_ns = world.boot_ns, world.offset_ns
    kept = world.backup("kept")
    world.restart()
    world.live(40)
    for _ in range(rounds):
        world.end()
        world.offset_ns = offset_ns
        for ways in ("clock", "backup", "both"):
            if ways != "clock":
                world.put_back(kept, copy_too=False)
            world.boot_ns = boot_ns + (0 if ways != "backup" else BACK_NS)
            if world.starts():
                world.live(30)
                world.end()
            world.put_back(kept, copy_too=False)
    return published


def spread(published: Published) -> float:
    """The root mean square error of the attacker's mean of all they have of a window, over the windows they have about most of."""
    values = published.values("bike")
    most = max(len(each) for each in values.values())
    errors = [
        np.mean(each) - CROWD for each in values.values() if 2 * len(each) >= most and abs(np.mean(each) - CROWD) < 40
    ]
    return float(np.sqrt(np.mean(np.square(errors))))


def test_backups_and_clocks_bring_no_second_draw(
    tmp_path: Path, record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    """I5, AN-4, AN-58: refused, or silent until the time has passed; a window has one payload for ever.
    False alarms: none; the control has 8 to 16 draws of each of 8 windows, an error of about 1.2, and is not under 3 with 1e-7."""
    published = provoke(tmp_path / "real", 2)
    assert published.most == 1
    alone = spread(published)
    monkeypatch.setattr(Past, "require_size", lambda self, head, decided: None)
    monkeypatch.setattr(Past, "require_root", lambda self: None)
    again = provoke(tmp_path / "broken", 16)
    assert again.most > 5
    assert spread(again) < 3.0
    record(
        "R8",
        "the mean of a window, backups and clocks",
        measured=f"{published.most} payload a window, error {alone:.1f}",
        claim="1, sigma = 4.0",
        caught=[f"a copy of the checkpoint that nobody compares ({again.most} payloads, error {spread(again):.1f})"],
    )


def test_restarts_and_retransmission_bring_the_same_bytes(tmp_path: Path, record: Record) -> None:
    """I5, PB-9: the real daemons killed and started, the cursor lost, and two consumers on the broker."""
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as one, Listener(broker.port) as two:
        unit = Unit(tmp_path, policy_text().replace('transport = "tls"', 'transport = "any"'))
        unit.settings.write_text(unit.settings.read_text().replace('"127.0.0.1"', f'"localhost"\nport = {broker.port}'))
        publisher = PublisherProcess(cast(UnitFolder, Folder(unit)))
        try:
            for _ in range(2):
                unit.start()
                beacon, bridge = unit.beacon(), unit.bridge()
                publisher.start()
                until = time.monotonic() + 3
                while time.monotonic() < until:
                    beacon.lease(unit.digest)
                    bridge.alive()
                    bridge.readings([BIKE] * 60)
                    time.sleep(0.2)
                unit.stop(signal.SIGKILL)
                publisher.kill()
                (unit.folder / "cursor").unlink(missing_ok=True)
            publisher.start()
            logged = {release.payload for release in unit.releases()}
            wait_until(lambda: all(set(payloads(each)) >= logged for each in (one, two)), "every release, at both")
        finally:
            unit.end()
            if publisher.process is not None:
                publisher.kill()
        heard = [payload for each in (one, two) for payload in payloads(each)]
    most = most_payloads(heard)
    assert most == 1
    assert len(heard) > 2 * len(logged)
    redrawn = dataclasses.replace(aggregate.decode(heard[0]), log_index=10**6)
    assert most_payloads([*heard, aggregate.encode(redrawn)]) == 2
    times = Fraction(len(heard), len(logged))
    record(
        "R8",
        "the mean of a window, restarts, QoS-1 duplicates, two consumers",
        measured=f"{most} payload a window, each heard {float(times):.1f} times",
        claim="1",
        caught=["one window made anew"],
    )


class Folder:
    """What a PublisherProcess asks of a unit's folder."""

    def __init__(self, unit: Unit) -> None:
        self.folder, self.config = unit.folder, unit.settings


def payloads(listener: Listener) -> list[bytes]:
    """What a consumer has of the stream."""
    return listener.payloads("agg/crossings")


def most_payloads(heard: list[bytes]) -> int:
    """The most different payloads that any window has."""
    windows: dict[int, set[bytes]] = {}
    for payload in heard:
        windows.setdefault(aggregate.decode(payload).window_start, set()).add(payload)
    return max(len(each) for each in windows.values())
