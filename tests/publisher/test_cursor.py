"""PB-9, PB-10: the cursor's two lines, and that no damage to them goes unnoticed."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from agent.errors import LogDamaged
from agent.publisher.cursor import BEGIN, MAX_CURSOR_BYTES, START, Cursor, Progress, at, decode, encode

numbers = st.integers(0, 2**63)
cursors = st.builds(Cursor, numbers, numbers, numbers, st.binary(min_size=32, max_size=32))


@st.composite
def progresses(draw: st.DrawFn) -> Progress:
    entries = sorted(draw(st.tuples(numbers, numbers, numbers)))
    backlog, live = (replace(draw(cursors), entries=at) for at in (entries[0], entries[2]))
    return Progress(backlog, entries[1], live)


@given(progresses(), progresses())
def test_round_trip_newest_first(progress: Progress, previous: Progress) -> None:
    known, damage = decode(encode(progress, previous), "cursor")
    assert known == (progress, previous)
    assert damage is None
    assert len(encode(progress, previous)) <= MAX_CURSOR_BYTES


@given(progresses())
def test_positions_out_of_order_are_damage(progress: Progress) -> None:
    """PB-10: the backlog ends where the live lane begins, not after it."""
    wrong = replace(progress, live_from=progress.live.entries + 1)
    assert decode(encode(wrong), "cursor")[0] == (BEGIN,)


def test_what_is_acknowledged_is_counted_on_both_sides_of_a_backlog() -> None:
    cursor = Cursor(7, 700, 600, bytes(32))
    assert at(cursor).acknowledged == 7
    assert Progress(cursor, 10, Cursor(14, 1400, 1300, bytes(32))).acknowledged == 11


@given(progresses(), progresses(), st.data())
def test_any_changed_byte_or_lost_tail_is_damage_and_gives_no_invented_cursor(
    progress: Progress, previous: Progress, data: st.DataObject
) -> None:
    whole = encode(progress, previous)
    place = data.draw(st.integers(0, len(whole) - 1))
    octet = data.draw(st.integers(0, 255).filter(lambda octet: octet != whole[place]))
    for damaged in (whole[:place] + bytes([octet]) + whole[place + 1 :], whole[:place]):
        known, damage = decode(damaged, "cursor")
        assert isinstance(damage, LogDamaged)
        assert set(known) <= {progress, previous}


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
