"""FB-20: a file of counts becomes exactly its crossings; every fault is a ReplayError that names its line."""

from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts.board import NAME
from agent.errors import ReplayError
from firmware_bridge.simulator import replay

FREMONT = Path(__file__).parents[4] / "shared" / "data" / "fremont_hourly.csv"


def day(date: str, counts: dict[int, int] | None = None) -> str:
    """24 rows; column b is always 1."""
    return "".join(f"{date}T{hour:02d}:00,{(counts or {}).get(hour, 3)},1\n" for hour in range(24))


def parse(text: str) -> replay.Replay:
    return replay.parse(text.encode(), "counts.csv")


def counted(read: replay.Replay) -> dict[datetime, Counter[str]]:
    return {
        slot.starts_at: Counter(read.classes[i] for _, i in slot.crossings)
        for slot in read.slots(read.rows[0].starts_at)
    }


def test_small_file_exactly() -> None:
    read = parse("when,Bikes,On foot\n2024-05-01T07:00,3,0\n2024-05-01 08:00:00,12,7\n05/01/2024 11:00:00 AM,,2\n")
    assert read.classes == ("bikes", "on_foot")
    assert [(at.hour, dict(counts)) for at, counts in counted(read).items()] == [
        (7, {"bikes": 3}),
        (8, {"bikes": 12, "on_foot": 7}),
        (11, {"on_foot": 2}),
    ]
    assert (read.missing_cells, read.repeated_rows, read.row_length) == (1, 0, timedelta(hours=1))


def test_the_repeated_hour_of_a_clock_change_counts_once() -> None:
    """FB-20: the first of two rows of one time is kept, a step back of an hour is left out."""
    read = parse("t,a\n2024-11-03T00:00,1\n2024-11-03T01:00,2\n2024-11-03T01:00,50\n2024-11-03T02:00,4\n")
    assert read.repeated_rows == 1
    assert [row.counts for row in read.rows] == [(1,), (2,), (4,)]
    read = parse(
        "t,a\n2024-11-03T01:00,2\n2024-11-03T01:30,3\n2024-11-03T01:00,50\n2024-11-03T01:30,60\n2024-11-03T02:00,4\n"
    )
    assert read.repeated_rows == 2
    assert [row.counts for row in read.rows] == [(2,), (3,), (4,)]


def test_names_become_class_names() -> None:
    read = parse('t,Straße,"A  (north)",a-NORTH,2 wheels,' + "x" * 60 + "\n2024-01-01T00:00,1,1,1,1,1\n")
    assert read.classes == ("stra_e", "a_north", "a_north_2", "c_2_wheels", "x" * 32)


def test_default_start_is_the_busiest_hour_of_the_first_complete_day() -> None:
    half = "".join(f"2024-04-30T{hour:02d}:00,99,1\n" for hour in range(12, 24))
    hole = day("2024-05-01").replace("T09:00,3", "T09:00,")
    read = parse("t,a,b\n" + half + hole + day("2024-05-02", {8: 20, 17: 19}) + day("2024-05-03", {5: 90}))
    assert read.busiest_start().isoformat() == "2024-05-02T08:00:00"
    assert parse("t,a,b\n" + half).busiest_start().isoformat() == "2024-04-30T12:00:00"


def test_hours_before_the_counter_ran_do_not_make_a_complete_day() -> None:
    zeros = "".join(f"2024-04-30T{hour:02d}:00,{0 if hour < 13 else 50},0\n" for hour in range(24))
    assert parse("t,a,b\n" + zeros + day("2024-05-01", {7: 9})).busiest_start().isoformat() == "2024-05-01T07:00:00"


def test_start_can_be_chosen_within_the_file() -> None:
    read = parse("t,a,b\n" + day("2024-05-01") + day("2024-05-02"))
    starts_at = replay.start_in(read, "2024-05-02T03:00")
    assert next(read.slots(starts_at)).starts_at.isoformat() == "2024-05-02T03:00:00"
    for text in ("2024-05-03T03:00", "2023-01-01", "tomorrow"):
        with pytest.raises(ReplayError, match="--replay-from"):
            replay.start_in(read, text)


@pytest.mark.parametrize(
    ("text", "where", "expected"),
    [
        ("", "counts.csv:1", "a header line"),
        ("t\n", "counts.csv:1", "a time column and at least one class"),
        ("t,\n", "counts.csv:1", "a name for column 2"),
        ("t," + ",".join(f"c{i}" for i in range(65)) + "\n", "counts.csv:1", "at most 64"),
        ("t,a\n", "counts.csv", "at least one row with a count"),
        ("t,a\n2024-01-01T00:00,0\n", "counts.csv", "at least one row with a count"),
        ("t,a\n2024-01-01T00:00,1,2\n", "counts.csv:2", "2 columns"),
        ("t,a\n2024-01-01T00:00,1\n2024-13-01T00:00,1\n", "counts.csv:3", "a time such as"),
        ("t,a\n2024-01-01T00:00,-1\n", "counts.csv:2: column 2", "a whole number"),
        ("t,a\n2024-01-01T00:00,1.5\n", "counts.csv:2: column 2", "a whole number"),
        ("t,a\n2024-01-01T00:00,٣\n", "counts.csv:2: column 2", "a whole number"),
        ("t,a\n2024-01-01T00:00,100001\n", "counts.csv:2: column 2", "a whole number"),
        ("t,a\n2024-01-02T00:00,1\n2024-01-01T00:00,1\n", "counts.csv:3", "a time after"),
        ("t,a\n2024-01-01T00:00,1\n2024-01-01T00:07,1\n", "counts.csv", "a step that divides a day"),
        ("t,a\n2024-01-01T00:00,1\n2024-02-01T00:00,1\n", "counts.csv", "a minute to a day apart"),
        ('t,a\n2024-01-01T00:00,"1\n', "counts.csv:2", "CSV"),
    ],
)
def test_faults_name_their_line(text: str, where: str, expected: str) -> None:
    with pytest.raises(ReplayError) as fault:
        parse(text)
    assert fault.value.where == where
    assert expected in fault.value.expected


def test_not_utf_8_and_too_long_are_named() -> None:
    with pytest.raises(ReplayError, match=r"counts.csv:2: expected UTF-8"):
        replay.parse(b"t,a\n\xff", "counts.csv")
    with pytest.raises(ReplayError, match="at most"):
        replay.parse(b" " * (replay.MAX_FILE_BYTES + 1), "counts.csv")


@given(st.text() | st.lists(st.text(alphabet='0123456789-T:,"\n ab/PM', max_size=40)).map("\n".join))
def test_only_replay_error_escapes(text: str) -> None:
    try:
        read = replay.parse(("t,a\n" + text).encode("utf-8", "surrogatepass"), "f")
    except ReplayError:
        return
    assert all(NAME.fullmatch(name) for name in read.classes)
    read.busiest_start()


@pytest.mark.skipif(not FREMONT.exists(), reason="missing ../shared (the Fremont Bridge counts)")
def test_fremont_is_replayed_exactly() -> None:
    """Every hour of the file, every class; the demo starts in an evening rush."""
    read = replay.parse(FREMONT.read_bytes(), "fremont")
    assert read.classes == ("fremont_bridge_nb", "fremont_bridge_sb")
    assert read.busiest_start().isoformat() == "2012-10-03T17:00:00"
    assert (read.missing_cells, read.repeated_rows) == (44, 2)
    expected: dict[datetime, tuple[int, int]] = {}
    for line in FREMONT.read_text().splitlines()[1:]:
        time, *cells = line.split(",")
        at = datetime.strptime(time, "%m/%d/%Y %I:%M:%S %p")  # noqa: DTZ007  # wall time
        expected.setdefault(at, (int(cells[0] or 0), int(cells[1] or 0)))
    got = {at: (counts[read.classes[0]], counts[read.classes[1]]) for at, counts in counted(read).items()}
    assert got == expected
