"""contracts/lease: a lease names one or two 32-byte digests and how they are shown; nothing else is a lease."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts import lease
from agent.contracts.lease import Lease, OnAir
from agent.errors import MessageError
from agent.wire import cbor

DIGEST = bytes(range(32))
OTHER = bytes(32)


@pytest.mark.parametrize("on_air", list(OnAir))
def test_round_trip(on_air: OnAir) -> None:
    """Decoding gives the lease back, within the channel's size cap."""
    message = Lease(DIGEST, on_air, 2**63 - 1).encode()
    assert lease.decode(message) == Lease(DIGEST, on_air, 2**63 - 1)
    assert len(message) <= lease.MAX_MESSAGE_BYTES
    both = Lease(DIGEST, on_air, 2**63 - 1, OTHER)
    assert lease.decode(both.encode()) == both
    assert both.digests == (DIGEST, OTHER)
    assert len(both.encode()) <= lease.MAX_MESSAGE_BYTES


@pytest.mark.parametrize(
    "item",
    [
        {},
        {0: 1, 1: DIGEST, 2: 1},
        {0: 1, 1: DIGEST, 2: 1, 3: 5, 4: 1},
        {0: 2, 1: DIGEST, 2: 1, 3: 5},
        {0: 1, 1: DIGEST[:31], 2: 1, 3: 5},
        {0: 1, 1: DIGEST + b"x", 2: 1, 3: 5},
        {0: 1, 1: DIGEST.hex(), 2: 1, 3: 5},
        {0: 1, 1: DIGEST, 2: 0, 3: 5},
        {0: 1, 1: DIGEST, 2: 3, 3: 5},
        {0: 1, 1: DIGEST, 2: True, 3: 5},
        {0: True, 1: DIGEST, 2: 1, 3: 5},
        {0: 1, 1: DIGEST, 2: 1, 3: -1},
        {0: 1, 1: DIGEST, 2: 1, 3: 2**63},
        {0: 1, 1: DIGEST, 2: 1, 3: True},
        {0: 1, 1: DIGEST, 2: 1, 3: b"5"},
        {0: 1, 1: DIGEST, 2: 1, 3: 5, 4: None},
        {0: 1, 1: DIGEST, 2: 1, 3: 5, 4: OTHER[:31]},
        {0: 1, 1: DIGEST, 2: 1, 3: 5, 4: DIGEST},
        {0: 1, 1: DIGEST, 2: 1, 3: 5, 4: OTHER, 5: OTHER},
        [1, DIGEST, 1, 5],
    ],
)
def test_what_is_no_lease(item: object) -> None:
    """Another version, another length, another word, a key too many."""
    with pytest.raises(MessageError):
        lease.decode(cbor.encode(item))


def test_a_lease_outlives_several_renewals() -> None:
    """A lease is renewed at least four times before it lapses."""
    assert lease.RENEW_EVERY_S * 4 <= lease.LEASE_LIFETIME_S


@given(st.binary(max_size=300))
def test_only_the_documented_error_escapes(message: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(MessageError):
        lease.decode(message)
