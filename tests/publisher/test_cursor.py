"""PB-9, PB-10: the cursor's two lines, and that no damage to them goes unnoticed."""

from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LogDamaged
from agent.publisher.cursor import START, Cursor, decode, encode

cursors = st.builds(
    Cursor, st.integers(0, 2**63), st.integers(0, 2**63), st.integers(0, 2**63), st.binary(min_size=32, max_size=32)
)


@given(cursors, cursors)
def test_round_trip_newest_first(cursor: Cursor, previous: Cursor) -> None:
    known, damage = decode(encode(cursor, previous), "cursor")
    assert known == (cursor, previous)
    assert damage is None


@given(cursors, cursors, st.data())
def test_any_changed_byte_or_lost_tail_is_damage_and_gives_no_invented_cursor(
    cursor: Cursor, previous: Cursor, data: st.DataObject
) -> None:
    whole = encode(cursor, previous)
    at = data.draw(st.integers(0, len(whole) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda octet: octet != whole[at]))
    for damaged in (whole[:at] + bytes([octet]) + whole[at + 1 :], whole[:at]):
        known, damage = decode(damaged, "cursor")
        assert isinstance(damage, LogDamaged)
        assert set(known) <= {cursor, previous}


@given(st.binary(max_size=600))
def test_arbitrary_bytes_are_damage(data: bytes) -> None:
    known, damage = decode(data, "cursor")
    assert known == ()
    assert damage is not None


def test_follows_chains_the_positions() -> None:
    first = START.follows(b"one", 11)
    second = first.follows(b"three", 24)
    assert (second.entries, second.offset, second.last_start) == (2, 24, 11)
    assert second.last_hash != first.last_hash
