"""PB-22: health is sampled at fixed times whatever the status files say, and is on the broker with an expiry."""

import json
from pathlib import Path

import pytest

from agent.contracts.health import Condition, Report
from agent.contracts.status import STATUS, Status
from agent.local.files import write_atomic
from agent.publisher.health import EVERY_S, SECOND_S, Wellbeing
from agent.publisher.message import HEALTH_EXPIRY_S
from tests.brokers import Mosquitto
from tests.publisher.listeners import Listener
from tests.publisher.unit_folders import PublisherProcess, UnitFolder, wait_until

OWN = Report(True, True, {"backlog": "1+"})
START_S = 1000.0


class Clockwork:
    """A monotonic clock in the test's hand."""

    def __init__(self) -> None:
        self.now_s = START_S

    def __call__(self) -> float:
        return self.now_s


def write(folder: Path, daemon: str, *, ok: bool = True, **counters: str) -> None:
    path = folder / daemon / STATUS
    path.parent.mkdir(parents=True, exist_ok=True)
    status = Status(daemon, ok, "ok" if ok else "x", "", {"memory": "locked", **counters})
    write_atomic(path, status.encode())


@pytest.fixture(name="clock")
def _clock() -> Clockwork:
    return Clockwork()


def test_samples_follow_the_clock_alone(tmp_path: Path, clock: Clockwork) -> None:
    """I6: not one more sample for all that changes in between."""
    wellbeing = Wellbeing(tmp_path, ["street"], lambda: int(clock.now_s), clock)
    samples: list[int] = []
    while clock.now_s < START_S + 4000:
        write(tmp_path, "anonymizer", discarded_gate="10+" if clock.now_s % 7 < 3 else "0")
        wellbeing.look(OWN)
        assert wellbeing.latest is not None
        if not samples or samples[-1] != wellbeing.latest.at:
            samples.append(wellbeing.latest.at)
        clock.now_s += 10
    first = int(START_S + SECOND_S)
    assert samples == [int(START_S), *range(first, int(START_S + 4000), int(EVERY_S))]


def test_what_does_not_write_is_absent(tmp_path: Path, clock: Clockwork) -> None:
    """An old status file is no sign of life; a damaged one neither."""
    wellbeing = Wellbeing(tmp_path, ["street", "yard"], lambda: 0, clock)
    for daemon in ("anonymizer", "beacon", "firmware-bridge/street", "firmware-bridge/yard"):
        write(tmp_path, daemon, damaged_crc="10+")
    wellbeing.look(OWN)
    assert wellbeing.latest is not None
    assert set(wellbeing.latest.daemons.values()) == {Condition.OK}
    assert wellbeing.latest.counters["damaged"] == "10+"
    assert wellbeing.latest.memory_locked
    clock.now_s += SECOND_S
    write(tmp_path, "beacon", ok=False)
    write(tmp_path, "firmware-bridge/street")
    (tmp_path / "anonymizer" / STATUS).write_text("{")
    wellbeing.look(OWN)
    assert wellbeing.latest.daemons == {
        "firmware_bridge": Condition.ABSENT,
        "anonymizer": Condition.ABSENT,
        "beacon": Condition.FAULT,
        "publisher": Condition.OK,
    }
    assert not wellbeing.latest.memory_locked


def test_a_suspended_unit_does_not_catch_up(tmp_path: Path, clock: Clockwork) -> None:
    wellbeing = Wellbeing(tmp_path, [], lambda: int(clock.now_s), clock)
    wellbeing.look(OWN)
    clock.now_s += 20 * EVERY_S
    wellbeing.look(OWN)
    sampled = wellbeing.latest
    clock.now_s += EVERY_S - 1
    wellbeing.look(OWN)
    assert wellbeing.latest is sampled
    clock.now_s += 1
    wellbeing.look(OWN)
    assert wellbeing.latest is not sampled


def test_on_the_wire(tmp_path: Path) -> None:
    """Retained with its expiry; a new connection repeats the sample, byte for byte."""
    unit = UnitFolder(tmp_path / "unit")
    unit.announce()
    write(unit.folder / "status", "anonymizer")
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: bool(city.heard("/health")), "health")
            with Listener(broker.port) as late:
                wait_until(lambda: bool(late.heard("/health")), "what is retained")
            broker.stop()
            broker.start()
            wait_until(lambda: len(city.heard("/health")) >= 2, "health again")
    assert len(set(city.payloads("/health"))) == 1
    assert city.heard("/health")[0].expiry_s == HEALTH_EXPIRY_S
    item = json.loads(city.payloads("/health")[0])
    assert (item["anonymizer"], item["beacon"], item["firmware_bridge"]) == ("ok", "absent", "absent")
