"""Windows lost and repeated under one and the same fault, side by side: ours, ten lines of paho, and Node-RED 4 with its serial port.

All three run at once, each at a board of its own on a pty, under one supervisor that starts again what dies; at one broker, over one line,
for one city that counts. `make bench BENCH_ARGS="-k outages"` prints the table.

**The unit of loss** is a window of one second. Our boards send crossings and our unit counts and governs them, a Release a window. To the others
the board itself hands a finished count: one numbered line a window, which they need only pass on, at QoS 1. It waits while nobody holds its
port. So they have nothing under way that a kill could take, and what counts as theirs is only what they were given. A window is *lost* when nothing
of it ever reached the city, *contradicted* when two different counts did, *repeated* when the same one came again (a city drops those by
window, as `dtpr-agent subscribe` does by unit, stream and window). What our unit's signed log itself says it has no number for (a Gap, or
a Release that says `not_collected`), because all of its daemons were killed, is no silent loss and stands apart as *said*.

Rows of the matrix about a log or a cursor (tests/publisher/test_outages.py) have no like here: the others keep nothing on a disk.
"""

import datetime
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.bench.outage_street import (
    OUTAGE_S,
    PASSWORD,
    TOPICS,
    Street,
    Tally,
    judge,
    street_for,
    this_window,
)
from tests.bench.record import record
from tests.publisher.lines import Mode
from tests.publisher.test_outages import CONTROLS, build_with
from tests.whole_unit import WINDOW_S

AFTER_S = 20.0
"""Long enough for everyone to be back who comes back: Node-RED tries its broker again every 5 s, its port every 15 s."""
QUIET_S = 20.0
"""Without a new window for so long, no more will come."""


def broker_stopped(street: Street) -> None:
    street.refuse()
    street.broker.stop()
    street.live()
    street.restart_broker()
    street.line.mode = Mode.PASS


def broker_killed_and_wiped(street: Street) -> None:
    street.refuse()
    street.broker.kill()
    street.broker.wipe()
    street.live()
    street.restart_broker()
    street.line.mode = Mode.PASS


def connections_reset(street: Street) -> None:
    for _ in range(8):
        street.line.cut()
        street.live(OUTAGE_S / 8)


def half_open(street: Street) -> None:
    street.line.mode = Mode.SILENT
    street.live()
    street.line.mode = Mode.PASS


def network_cut(street: Street) -> None:
    assert street.cable is not None
    street.cable.cut()
    street.live()
    street.cable.mend()


def password_revoked(street: Street) -> None:
    """And given back: no program's settings change."""
    street.refuse()
    street.broker.stop()
    street.give_passwords("revoked")
    street.restart_broker()
    street.line.mode = Mode.PASS
    street.live()
    street.refuse()
    street.broker.stop()
    street.give_passwords(PASSWORD)
    street.restart_broker()
    street.line.mode = Mode.PASS


def certificate_expired(street: Street) -> None:
    """The broker's; then it has a new one, by the same authority."""
    assert street.authority is not None
    street.refuse()
    street.broker.stop()
    street.authority.issue("localhost", until=datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC))
    street.restart_broker()
    street.line.mode = Mode.PASS
    street.live()
    street.refuse()
    street.broker.stop()
    street.authority.issue("localhost")
    street.restart_broker()
    street.line.mode = Mode.PASS


def killed(street: Street) -> None:
    for _ in range(3):
        street.kill()
        street.live(OUTAGE_S)


def killed_while_half_open(street: Street) -> None:
    street.line.mode = Mode.SILENT
    street.live()
    street.kill()
    street.live(3)
    street.line.mode = Mode.PASS
    street.line.cut()


def killed_while_the_broker_is_down(street: Street) -> None:
    street.refuse()
    street.broker.stop()
    street.live()
    street.kill()
    street.live(3)
    street.restart_broker()
    street.line.mode = Mode.PASS


ROWS: dict[str, Callable[[Street], None]] = {
    "broker stopped": broker_stopped,
    "broker killed and wiped": broker_killed_and_wiped,
    "connections reset, 8 times": connections_reset,
    "half-open TCP": half_open,
    "network cut": network_cut,
    "password revoked": password_revoked,
    "certificate expired": certificate_expired,
    "kill -9, 3 times": killed,
    "kill -9 while half-open": killed_while_half_open,
    "kill -9 while the broker is down": killed_while_the_broker_is_down,
}


@dataclass(frozen=True, slots=True)
class Outcome:
    """Of one fault: how many windows the street had, and what became of them."""

    windows: int
    tallies: dict[str, Tally]


def run_row(row: Callable[[Street], None], folder: Path, publisher: Path | None = None) -> Outcome:
    """The fault, some windows more, and then as long as any still come. `publisher` is another tree to run ours from."""
    apart, login, tls = row is network_cut, row is password_revoked, row is certificate_expired
    with street_for(folder, apart=apart, login=login, tls=tls, publisher=publisher) as street:
        first = this_window() + 1
        row(street)
        street.live(AFTER_S)
        windows = range(first * WINDOW_S, this_window() * WINDOW_S, WINDOW_S)

        def arrived() -> int:
            return sum(len(street.city.payloads(program).keys() & set(windows)) for program in TOPICS)

        newest, since = -1, time.monotonic()
        while arrived() < len(windows) * len(TOPICS) and time.monotonic() - since < QUIET_S:
            if arrived() != newest:
                newest, since = arrived(), time.monotonic()
            time.sleep(0.2)
        assert all(board.idle for board in street.boards), "a board that nobody reads"
        return Outcome(len(windows), {program: judge(street, program, windows) for program in TOPICS})


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Outcome]:
    """Every row once, and the table."""
    outcomes = {name: run_row(row, tmp_path_factory.mktemp("row")) for name, row in ROWS.items()}
    print(f"\n{'windows lost / repeated / contradicted':<40}{'of':>4}" + "".join(f"{each:>20}" for each in TOPICS))
    for name, outcome in outcomes.items():
        print(f"{name:<40}{outcome.windows:>4}" + "".join(f"{outcome.tallies[each]!s:>20}" for each in TOPICS))
    return outcomes


def test_losses_side_by_side(found: dict[str, Outcome]) -> None:
    """Ours loses none and contradicts itself in none; only when all of its daemons are killed are there windows without a number, and it says which."""
    rows: dict[str, float] = {}
    for program in TOPICS:
        for name, outcome in found.items():
            rows[f"outage, {name}: lost by {program}"] = outcome.tallies[program].lost
        for what in ("lost", "said", "repeated", "contradicted"):
            total = sum(getattr(outcome.tallies[program], what) for outcome in found.values())
            rows[f"outages, all: {what} by {program}"] = total
    rows["outages, all: windows"] = sum(outcome.windows for outcome in found.values())
    record(rows)
    for name, outcome in found.items():
        ours = outcome.tallies["ours"]
        assert (ours.lost, ours.contradicted) == (0, 0), name
        assert ours.said == 0 or name.startswith("kill"), name


def test_the_harness_can_find_losses_and_finds_none_where_there_are_none(found: dict[str, Outcome]) -> None:
    """Controls: what is only in the script's memory is gone when it is killed; while it lives, it keeps everything for a broker that is away."""
    assert found["kill -9 while half-open"].tallies["bare paho"].lost > 0
    assert found["kill -9 while the broker is down"].tallies["bare paho"].lost > 0
    assert found["broker stopped"].tallies["bare paho"].lost == 0


def test_the_harness_can_find_losses_of_ours(tmp_path: Path) -> None:
    """Control: a publisher that moves its cursor before the broker has acknowledged, killed while what it sent went nowhere."""
    tree = build_with(CONTROLS["cursor before PUBACK"], tmp_path / "tree")
    assert run_row(killed_while_half_open, tmp_path / "run", tree).tallies["ours"].lost > 0
