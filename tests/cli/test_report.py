"""The demo's verdict: every condition of the report fails a run by itself, and names itself."""

from dataclasses import replace
from typing import Any

import pytest

from agent.cli.demo.report import Report

GOOD = Report(
    seconds=60.0,
    broker="mosquitto",
    readings_sent=1200,
    readings_bridged=1200,
    readings_counted=1000,
    readings_discarded={"gate": 190, "late": 10},
    windows_closed={"crossings": 12},
    windows_published={"crossings": 8},
    windows_suppressed={"crossings": 5},
    windows_not_collected={"crossings": 1},
    releases_logged=12,
    releases_received=12,
    releases_verified=12,
    releases_in_log_order=True,
    conflicts=0,
    disclosure_digest_ble="ab" * 32,
    disclosure_digest_mqtt="ab" * 32,
    gate_closed_seconds=8.0,
    counted_before_notice=0,
    sent_before_notice=150,
    canaries_planted=8,
    canary_hits=0,
    canary_search_works=True,
    seconds_to_first_aggregate=14.0,
    max_pss_mib={"anonymizer": 30.0},
    restarts={},
)


def test_a_good_run_passes() -> None:
    assert GOOD.failures() == []
    assert GOOD.as_json()["passed"] is True


def test_only_the_street_is_known_to_have_small_cells() -> None:
    """A demo of another policy passes without any; nothing else is asked less of it."""
    assert replace(GOOD, windows_suppressed={"crossings": 0}, street=False).failures() == []
    assert len(replace(GOOD, windows_published={}, street=False).failures()) == 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"readings_sent": 999, "readings_bridged": 999, "readings_counted": 799}, "at least 1000 readings"),
        ({"readings_bridged": 1199}, "bridged"),
        ({"readings_counted": 999}, "counted + discarded"),
        ({"windows_closed": {}}, "at least one stream"),
        ({"windows_closed": {"crossings": 7}}, "at least 8 windows"),
        ({"windows_published": {"crossings": 0}}, "published"),
        ({"windows_suppressed": {}}, "suppressed"),
        ({"releases_received": 11, "releases_verified": 11}, "every logged release received"),
        ({"releases_verified": 11}, "verified"),
        ({"releases_in_log_order": False}, "log order"),
        ({"conflicts": 1}, "two payloads"),
        ({"disclosure_digest_ble": "", "disclosure_digest_mqtt": ""}, "read by radio"),
        ({"disclosure_digest_mqtt": "cd" * 32}, "one disclosure"),
        ({"gate_closed_seconds": 25.1}, "gate closed"),
        ({"counted_before_notice": 1}, "before the notice"),
        ({"sent_before_notice": 201}, "before the notice"),
        ({"canaries_planted": 4}, "canaries planted"),
        ({"canary_hits": 1}, "canary found"),
        ({"canary_search_works": False}, "search"),
    ],
)
def test_each_condition_fails_a_run_by_itself(change: dict[str, Any], words: str) -> None:
    failures = replace(GOOD, **change).failures()
    assert len(failures) == 1
    assert words in failures[0]
