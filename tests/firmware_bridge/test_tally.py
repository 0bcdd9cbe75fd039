"""FB-18: what leaves the process is of the last day only."""

from firmware_bridge.tally import Tally

HOUR_S = 3600.0


def test_a_day_later_the_bucket_is_empty_and_the_total_is_not() -> None:
    tally = Tally()
    tally.add("crc", 7, 10.0)
    tally.add("crc", 3, 10.0 + HOUR_S)
    assert tally.last_day(22 * HOUR_S) == {"crc": 10}
    assert tally.last_day(24 * HOUR_S + 11) == {"crc": 3}
    assert tally.last_day(25 * HOUR_S + 11) == {"crc": 0}
    assert tally.total("crc") == 10


def test_a_long_pause_forgets_everything_at_once() -> None:
    tally = Tally()
    tally.add("crc", 7, 5 * HOUR_S)
    assert tally.last_day(5000 * HOUR_S) == {"crc": 0}
    tally.add("crc", 1, 5000 * HOUR_S)
    assert tally.last_day(5000 * HOUR_S) == {"crc": 1}
