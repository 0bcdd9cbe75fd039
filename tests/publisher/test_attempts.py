"""PB-6, PB-13: which version of MQTT is tried next, and when."""

import pytest

from agent.publisher.attempts import Attempts, backoff_s
from agent.publisher.faults import BrokerFault, Code, VersionRefused

REFUSED = VersionRefused("broker:8883")
ABSENT = BrokerFault(Code.BROKER_ABSENT, "broker:8883", why="refused", remedy="start it")
HUNG_UP = BrokerFault(Code.BROKER_LOST, "broker:8883", why="hung up", remedy="see its log", before_answer=True)


def test_a_refused_version_is_followed_by_the_other_at_once_and_by_a_rest_when_both_are() -> None:
    attempts = Attempts()
    attempts.not_connected(REFUSED, 100, 255)
    assert not attempts.mqtt5
    assert attempts.wait_s(100) <= 0
    assert attempts.fault is None
    attempts.not_connected(REFUSED, 100, 255)
    assert attempts.mqtt5
    assert attempts.fault is REFUSED
    assert attempts.wait_s(100) == pytest.approx(backoff_s(1, 255))


def test_who_hangs_up_is_tried_in_turn_and_a_guess_ends_with_the_connection() -> None:
    attempts = Attempts()
    tried = []
    for _ in range(4):
        tried.append(attempts.mqtt5)
        attempts.not_connected(HUNG_UP, 100, 255)
    assert tried == [True, False, True, False]
    attempts.not_connected(HUNG_UP, 100, 255)
    assert not attempts.mqtt5
    attempts.ended(lasted=False)
    assert attempts.mqtt5


def test_a_version_that_was_refused_in_words_is_no_guess() -> None:
    attempts = Attempts()
    attempts.not_connected(REFUSED, 100, 255)
    attempts.ended(lasted=True)
    assert not attempts.mqtt5


def test_rests_grow_until_a_connection_lasted() -> None:
    attempts = Attempts()
    waits = []
    for _ in range(4):
        attempts.failed(ABSENT, 100, 255)
        waits.append(attempts.wait_s(100))
    assert waits == sorted(waits)
    assert waits[0] < waits[-1]
    attempts.ended(lasted=False)
    attempts.failed(ABSENT, 100, 255)
    assert attempts.wait_s(100) > waits[-1]
    attempts.ended(lasted=True)
    attempts.failed(ABSENT, 100, 255)
    assert attempts.wait_s(100) == pytest.approx(waits[0])
    assert attempts.wait_s(200) < 0


def test_back_off_begins_fast_and_stays_under_five_seconds() -> None:
    """PB-13."""
    assert backoff_s(1, 255) <= 0.25
    assert backoff_s(1, 0) > 0.1
    longest = [backoff_s(failures, 255) for failures in range(1, 1000)]
    assert longest == sorted(longest)
    assert longest[-1] == 5.0
    assert backoff_s(50, 0) == 2.5
