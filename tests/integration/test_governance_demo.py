"""Governance, live: policies and a stop order offered to a running unit, as a steward and a community would (issue's must-shows 4 and 5)."""

import time
from pathlib import Path

from agent.cli.demo.stage import ENDING_S
from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, NotCollected
from agent.contracts.log import PolicyTaken, Release, StopTaken
from agent.contracts.public import Reason, State
from tests.integration.runs import PATIENCE, Demo, entries

NOISE_OF_VERSION_1 = 4.0
NOISE_OF_VERSION_2 = 2.0


def windows(demo: Demo) -> list[Aggregate]:
    """Every Release in the log, in order."""
    return [aggregate.decode(entry.payload) for entry in entries(demo) if isinstance(entry, Release)]


def policies_taken(demo: Demo) -> int:
    """How many policies have come into force."""
    return sum(isinstance(entry, PolicyTaken) for entry in entries(demo))


def state(demo: Demo) -> State:
    """What the unit says now."""
    found = demo.state()
    assert found is not None
    return found


def test_a_laxer_policy_waits_out_its_notice_and_begins_with_a_window(folder: Path) -> None:
    """Data flow under the old policy meanwhile; the new digest from exactly the next window on, with the larger noise for a period."""
    demo = Demo(folder, "--offer", "laxer")
    try:
        demo.until(lambda: demo.gate() == "open", 20 * PATIENCE, "gate open")
        first = state(demo).disclosure
        beside = demo.until_state(lambda state: state.upcoming_version == 2, 30 + 5 * PATIENCE, "version 2 on notice")
        assert beside.policy_version == 1
        assert beside.upcoming_disclosure not in ("", first)
        upcoming = beside.upcoming_disclosure
        demo.until(lambda: state(demo).policy_version == 2, 12 * PATIENCE, "version 2 in force")
        assert state(demo).disclosure == upcoming
        demo.until(lambda: demo.gate() == "open", 10 * PATIENCE, "gate open under version 2")
        demo.until(
            lambda: any(w.terms.policy_version == 2 and w.reason is None for w in windows(demo)),
            8 * PATIENCE,
            "a window under it",
        )
    finally:
        demo.end()
    released = windows(demo)
    digests = [window.terms.disclosure_digest.hex() for window in released]
    change = digests.index(upcoming)
    assert set(digests[:change]) == {first}
    assert set(digests[change:]) == {upcoming}
    starts = [window.window_start for window in released]
    assert starts == list(range(starts[0], starts[0] + 5 * len(starts), 5)), (
        "one window follows another, also over the change"
    )
    assert any(window.reason is None for window in released[:change])
    in_first_period = [float(window.terms.noise_sd) for window in released[change:]]
    assert set(in_first_period) == {max(NOISE_OF_VERSION_1, NOISE_OF_VERSION_2)}
    _, report = demo.wait(30)
    assert report["conflicts"] == 0


def test_one_signature_missing_is_refused_with_its_reason(folder: Path) -> None:
    """The policy in force is untouched, and `state` says who has not signed."""
    demo = Demo(folder, "--offer", "unsigned")
    try:
        demo.until(
            lambda: demo.state() is not None and state(demo).offer_refused != "", 40 + 10 * PATIENCE, "a refusal"
        )
        refused = state(demo)
        assert "community" in refused.offer_refused
        assert (refused.policy_version, refused.upcoming_version) == (1, 0)
        demo.until(lambda: demo.gate() == "open", 10 * PATIENCE, "gate open as before")
        assert policies_taken(demo) == 1
    finally:
        demo.end()


def test_an_expired_policy_closes_the_gate(folder: Path) -> None:
    """I3: at its sunset, by itself; windows go on, without numbers."""
    demo = Demo(folder, "--offer", "ending")
    try:
        demo.until(lambda: demo.gate() == "open", 20 * PATIENCE, "gate open")
        demo.until(lambda: state(demo).policy_version == 2, 30 + 10 * PATIENCE, "the policy that ends soon")
        ends = state(demo).expires
        expired = demo.until_state(
            lambda state: state.reason is Reason.EXPIRED, ENDING_S + 5 * PATIENCE, "gate closed by the calendar"
        )
        assert 0 <= expired.since - ends < 5
        demo.until(lambda: windows(demo)[-1].window_start > ends, 10 * PATIENCE, "a window after it")
    finally:
        demo.end()
    after = [window for window in windows(demo) if window.window_start >= ends]
    assert after
    assert {window.reason for window in after} == {NotCollected.GATE}


def test_a_stop_order_closes_the_gate_and_says_who_and_why(folder: Path) -> None:
    """AN-25: within 15 s, by one side alone; no window that is logged after it has numbers."""
    demo = Demo(folder, "--offer", "stop")
    try:
        demo.until(lambda: demo.gate() == "open", 20 * PATIENCE, "gate open")
        offered = demo.folder / "offer" / "stop.cose"
        demo.until(lambda: offered.exists() or demo.gate() == Reason.STOPPED, 30 + 5 * PATIENCE, "the order")
        took = demo.until(lambda: demo.gate() == Reason.STOPPED, 15, "gate closed by the order")
        assert took <= 15
        assert state(demo).stop_by == "community/neighbours"
        assert state(demo).stop_reason
        time.sleep(11)
        assert demo.gate() == Reason.STOPPED
    finally:
        demo.end()
    logged = entries(demo)
    (stop,) = (place for place, entry in enumerate(logged) if isinstance(entry, StopTaken))
    after = [aggregate.decode(entry.payload) for entry in logged[stop:] if isinstance(entry, Release)]
    assert after
    assert all(window.reason is not None for window in after)  # one that ended while the order was read is before it


def test_a_stop_order_outlives_a_restart(folder: Path) -> None:
    """It is in the log: killing the daemon lifts nothing."""
    demo = Demo(folder, "--offer", "stop")
    try:
        demo.until(lambda: demo.gate() == Reason.STOPPED, 60 + 10 * PATIENCE, "gate closed by the order")
        before = demo.pid("anonymizer")
        demo.kill("anonymizer")
        demo.until(lambda: demo.pid("anonymizer") != before, 5 * PATIENCE, "the anonymizer is back")
        time.sleep(8)
        assert demo.gate() == Reason.STOPPED
    finally:
        demo.end()
