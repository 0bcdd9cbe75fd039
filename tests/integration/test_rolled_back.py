"""A unit whose log was put back from a backup, end to end: four daemons, a broker, a city that subscribes, an export, and `audit`."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from agent.cli.demo.processes import Processes, Program
from agent.cli.demo.stage import Stage
from agent.contracts.log import Entry, Gap, LogLost, Release, decode_entry
from agent.contracts.log_file import RELEASES, iter_records
from tests.brokers import Mosquitto
from tests.operations.test_subscribe import Subscriber
from tests.publisher.unit_folders import wait_until
from tests.whole_unit import WINDOW_S, Way, whole_unit

PATIENCE_S = 120.0
UNIT = ("firmware-bridge", "board", "beacon", "anonymizer", "publisher")


class Running:
    """The unit, and what its city received so far."""

    def __init__(self, stage: Stage, programs: list[Program], processes: Processes, city: Subscriber) -> None:
        self.stage = stage
        self._city = city
        self._programs = {program.name: program for program in programs}
        self._processes = processes

    def start(self) -> None:
        """Everything but the radio."""
        for name in UNIT:
            self._processes.start(self._programs[name])

    def stop(self) -> None:
        """In order: the publisher once the city has every Release of the log."""
        *others, publisher = UNIT
        self._processes.end(*others)
        self.until(lambda: starts(self.entries()) <= {line["window_start"] for line in self.received()}, "all releases")
        self._processes.end(publisher)

    def received(self) -> list[dict[str, Any]]:
        """What `subscribe --json` printed about Releases."""
        return self._city.records("release")

    def entries(self) -> list[Entry]:
        """Of the log as it is."""
        path = self.stage.log / RELEASES
        return [decode_entry(entry) for _, entry in iter_records(path.read_bytes())] if path.exists() else []

    def until(self, holds: Callable[[], bool], what: str) -> None:
        """Wait for it; failing with what the daemons said."""
        try:
            wait_until(holds, what, PATIENCE_S)
        except AssertionError as bad:
            said = "".join((self.stage.output / f"{name}.err").read_text()[-500:] for name in UNIT)
            raise AssertionError(f"{bad}\n{said}") from None


def starts(entries: list[Entry]) -> set[int]:
    """Of their Releases."""
    return {entry.window_start for entry in entries if isinstance(entry, Release)}


@contextmanager
def running(folder: Path) -> Iterator[Running]:
    """A broker, a radio, a city; the unit is ready to start."""
    with Mosquitto(folder) as broker:
        unit = folder / "u"
        unit.mkdir()
        stage, (radio, *programs) = whole_unit(unit, Way("127.0.0.1", broker.port))
        city = Subscriber(folder, broker.port, "--key", stage.public_key.hex(), "--json", "--raw")
        with Processes(unit, stage.output) as processes, city:
            city.listens(broker)
            processes.start(radio)
            wait_until(lambda: (stage.radio / "hci0").exists(), "the radio", PATIENCE_S)
            yield Running(stage, programs, processes, city)


def audited(stage: Stage, log: Path, received: Path, copy: Path) -> tuple[int, dict[str, Any]]:
    """`dtpr-agent log export`, then `dtpr-agent audit`: exit code and verdict."""
    program = [sys.executable, "-m", "agent.cli.main"]
    subprocess.run([*program, "log", "export", str(copy), "--log", str(log)], check=True, capture_output=True)
    judged = subprocess.run(
        [*program, "audit", "--log", str(copy), "--received", str(received), "--key", stage.public_key.hex(),
         "--governance", str(stage.folder / "governance.cbor"), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert judged.stdout, judged.stderr
    return judged.returncode, json.loads(judged.stdout)


def test_last_weeks_log_put_back_is_a_loss_and_no_fraud(folder: Path) -> None:
    """AN-58, AN-64, OP-32, PB-11, I4, I5: a new origin that names the loss, the gap charged, nothing twice, `audit` says a loss; the backup alone is a fraud."""
    backup = folder / "backup"
    with running(folder) as unit:
        unit.start()
        unit.until(lambda: len(unit.received()) >= 5, "five releases")
        unit.stop()
        shutil.copytree(unit.stage.log, backup)
        left = unit.entries()
        unit.start()
        unit.until(lambda: len(starts(unit.entries()) - starts(left)) >= 5, "five more")
        unit.stop()
        whole = unit.entries()
        shutil.rmtree(unit.stage.log)
        shutil.copytree(backup, unit.stage.log)
        unit.start()
        unit.until(lambda: len(starts(unit.entries()) - starts(whole)) >= 5, "five of the new log")
        unit.stop()
        after = unit.entries()
        lost = after[0]
        assert isinstance(lost, LogLost)
        assert f"\n{len(whole)}\n".encode() in lost.checkpoint
        assert lost.kept == len(left)
        gaps = [entry for entry in after if isinstance(entry, Gap)]
        gone = starts(whole) - starts(left)
        charged: set[int] = set()
        for gap in gaps:
            if gap.charge is not None and gap.charge.rho > 0:
                charged |= {gap.first_start + number * WINDOW_S for number in range(gap.count)}
        assert gone <= charged, "what was lost is charged as if released"
        assert not starts(after) & (starts(whole) | charged), "and never released again"
        got = [(line["stream"], line["window_start"], line["payload_base64"]) for line in unit.received()]
        assert len({each[:2] for each in got}) == len(set(got)), "one window, one payload"
        assert {start for _, start, _ in got} == starts(whole) | starts(after), "none is missing"
        code, verdict = audited(unit.stage, unit.stage.log, folder / "out", folder / "copy")
        assert (code, verdict["verdict"], verdict["findings"]) == (0, "loss", []), verdict
        assert f"{len(whole) - len(left)} of {len(whole)} entries" in verdict["losses"][0]
        code, verdict = audited(unit.stage, backup, folder / "out", folder / "cheat")
        assert code == 1
        assert "not-in-log" in verdict["counts"]
