"""The gate's decision table: every reason, their order, and the life of a lease."""

import dataclasses
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.anonymizer.gate import LEASE_LIFETIME_NS, Conditions, Leases, reason
from agent.contracts.lease import Lease, OnAir
from agent.contracts.public import Reason
from agent.errors import MessageError

DIGEST, OTHER = bytes(32), bytes([1]) * 32
GOOD = Conditions(
    stopped=False,
    has_policy=True,
    clock_trusted=True,
    utc_s=1000,
    not_before=995,
    effective=900,
    expires=2000,
    storage_ready=True,
    memory_safe=True,
    notice_served=True,
    just_begun=False,
)
NOW = 50 * 10**9

BREAKS: list[tuple[Reason, dict[str, object]]] = [
    (Reason.STOPPED, {"stopped": True}),
    (Reason.CLOCK_UNTRUSTED, {"clock_trusted": False}),
    (Reason.CLOCK_BACKWARDS, {"not_before": 1001}),
    (Reason.NO_POLICY, {"has_policy": False}),
    (Reason.MEMORY_UNLOCKED, {"memory_safe": False}),
    (Reason.NOT_EFFECTIVE, {"effective": 1001}),
    (Reason.EXPIRED, {"expires": 1000}),
    (Reason.STORAGE, {"storage_ready": False}),
    (Reason.ON_NOTICE, {"notice_served": False}),
]


def lease(digest: bytes, sent: int = NOW, upcoming: bytes | None = None) -> Lease:
    return Lease(digest, OnAir.ADVERTISING, sent, upcoming)


def leases(digest: bytes = DIGEST, received: int = NOW) -> Leases:
    held = Leases()
    held.receive(1, lease(digest, received), received)
    return held


def test_open_when_everything_holds() -> None:
    """AN-20."""
    assert reason(GOOD, leases(), DIGEST, NOW) is Reason.OPEN


@pytest.mark.parametrize(("expected", "change"), BREAKS)
def test_each_condition_alone_closes_it(expected: Reason, change: dict[str, object]) -> None:
    """AN-20: one broken condition, its reason."""
    conditions = dataclasses.replace(GOOD, **change)  # type: ignore[arg-type]  # one field a time
    assert reason(conditions, leases(), DIGEST, NOW) is expected


@pytest.mark.parametrize(("first", "second"), list(pairwise(BREAKS)))
def test_the_first_in_the_order_of_the_contract_is_shown(
    first: tuple[Reason, dict[str, object]], second: tuple[Reason, dict[str, object]]
) -> None:
    """AN-20: of two, the one that stands first in contracts.public.Reason; a lease's faults stand between STORAGE and ON_NOTICE."""
    both = dataclasses.replace(GOOD, **(first[1] | second[1]))  # type: ignore[arg-type]  # one field a time
    assert reason(both, leases(), DIGEST, NOW) is first[0]
    assert list(Reason).index(first[0]) < list(Reason).index(second[0])
    if second[0] is Reason.ON_NOTICE:
        no_notice = dataclasses.replace(GOOD, notice_served=False)
        assert reason(no_notice, Leases(), DIGEST, NOW) is Reason.NO_LEASE


def test_a_lease_lapses_ten_seconds_after_it_was_received() -> None:
    """AN-21: by boot time, not a nanosecond later."""
    held = leases()
    assert reason(GOOD, held, DIGEST, NOW + LEASE_LIFETIME_NS - 1) is Reason.OPEN
    assert reason(GOOD, held, DIGEST, NOW + LEASE_LIFETIME_NS) is Reason.LEASE_LAPSED
    assert LEASE_LIFETIME_NS == 10 * 10**9


def test_a_lease_that_waited_is_as_old_as_it_is() -> None:
    """AN-21: ten seconds from its sending when that was earlier; one that has lapsed on its way is refused and replaces nothing."""
    held = Leases()
    held.receive(1, lease(DIGEST, NOW - 9 * 10**9), NOW)
    assert reason(GOOD, held, DIGEST, NOW + 10**9 - 1) is Reason.OPEN
    assert reason(GOOD, held, DIGEST, NOW + 10**9) is Reason.LEASE_LAPSED
    held.receive(1, lease(DIGEST), NOW)
    with pytest.raises(MessageError, match="older"):
        held.receive(1, lease(OTHER, NOW - LEASE_LIFETIME_NS), NOW)
    assert reason(GOOD, held, DIGEST, NOW) is Reason.OPEN


def test_a_lease_from_the_future_is_refused() -> None:
    """AN-21: up to a second after the receiver's look at the clock it counts from that look; beyond that it is none."""
    held = Leases()
    held.receive(1, lease(DIGEST, NOW + 10**9), NOW)
    assert reason(GOOD, held, DIGEST, NOW + LEASE_LIFETIME_NS) is Reason.LEASE_LAPSED
    held = Leases()
    with pytest.raises(MessageError, match="future"):
        held.receive(1, lease(DIGEST, NOW + 10**9 + 1), NOW)
    assert reason(GOOD, held, DIGEST, NOW) is Reason.NO_LEASE


def test_the_end_of_the_connection_ends_the_lease() -> None:
    """AN-21: at once; and only its own."""
    held = leases()
    held.receive(2, lease(DIGEST), NOW)
    held.end(2)
    assert reason(GOOD, held, DIGEST, NOW) is Reason.OPEN
    held.end(1)
    assert reason(GOOD, held, DIGEST, NOW) is Reason.LEASE_CLOSED
    held.end(7)
    assert reason(GOOD, Leases(), DIGEST, NOW) is Reason.NO_LEASE


def test_a_lease_for_another_disclosure_opens_nothing() -> None:
    """AN-21: exactly the digest in force; a new lease replaces the old one of its connection."""
    held = leases(OTHER)
    assert reason(GOOD, held, DIGEST, NOW) is Reason.LEASE_MISMATCH
    held = leases()
    held.receive(1, lease(OTHER), NOW)
    assert reason(GOOD, held, DIGEST, NOW) is Reason.LEASE_MISMATCH
    assert reason(GOOD, held, DIGEST, NOW + LEASE_LIFETIME_NS) is Reason.LEASE_LAPSED


def test_an_upcoming_disclosure_on_air_counts_for_its_notice_and_not_for_the_gate() -> None:
    """AN-21: the gate wants the disclosure in force in the first place; a policy that has just begun may still be in the second."""
    held = Leases()
    held.receive(1, lease(DIGEST, upcoming=OTHER), NOW)
    assert reason(GOOD, held, DIGEST, NOW) is Reason.OPEN
    assert held.valid_until_ns(OTHER, beside=True) == NOW + LEASE_LIFETIME_NS
    assert held.valid_until_ns(OTHER, beside=False) == 0
    assert reason(GOOD, held, OTHER, NOW) is Reason.LEASE_MISMATCH
    assert reason(dataclasses.replace(GOOD, just_begun=True), held, OTHER, NOW) is Reason.OPEN
    held.receive(1, lease(DIGEST), NOW)
    assert held.valid_until_ns(OTHER, beside=True) == 0


@given(
    st.lists(
        st.tuples(st.sampled_from(["lease", "other", "end", "wait"]), st.integers(1, 3), st.integers(0, 12)),
        max_size=30,
    )
)
def test_open_exactly_while_some_connection_holds_a_fresh_lease(events: list[tuple[str, int, int]]) -> None:
    """AN-21 against a model that remembers every event."""
    held = Leases()
    model: dict[int, tuple[bytes, int]] = {}
    now = NOW
    for event, connection, seconds in events:
        match event:
            case "lease" | "other":
                digest = DIGEST if event == "lease" else OTHER
                held.receive(connection, lease(digest, now), now)
                model[connection] = (digest, now)
            case "end":
                held.end(connection)
                model.pop(connection, None)
            case _:
                now += seconds * 10**9
        expected = any(digest == DIGEST and now - at < 10 * 10**9 for digest, at in model.values())
        assert (reason(GOOD, held, DIGEST, now) is Reason.OPEN) == expected
