"""contracts/status: counters leave a process as buckets no finer than a resident may know (I1)."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.contracts.status import MAX_STATUS_BYTES, Status, bucket


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0"), (1, "1+"), (9, "1+"), (10, "10+"), (99, "10+"), (100, "100+"), (10**9, "100+")]
)
def test_bucket(count: int, words: str) -> None:
    """0, 1+, 10+, 100+ and nothing between."""
    assert bucket(count) == words


@given(st.integers(0, 10**12))
def test_there_are_four_buckets(count: int) -> None:
    """Whatever the count."""
    assert bucket(count) in {"0", "1+", "10+", "100+"}


def test_status_is_one_line_of_json() -> None:
    """Fixed shape, within its cap."""
    text = Status("beacon", False, "no_radio", "the adapter is gone", {"leases": "100+"}).encode()
    assert text.endswith(b"\n")
    assert len(text) <= MAX_STATUS_BYTES
    assert json.loads(text) == {
        "v": 1,
        "daemon": "beacon",
        "ok": False,
        "code": "no_radio",
        "words": "the adapter is gone",
        "counters": {"leases": "100+"},
    }


@given(st.text(max_size=6000))
def test_words_that_are_too_long_are_cut(words: str) -> None:
    """A path or a broker's answer may be of any length; the file is within its cap, and short words stay whole."""
    text = Status("publisher", False, "broker_tls", words, {"connected": "no"}).encode()
    assert len(text) <= MAX_STATUS_BYTES
    told = json.loads(text)["words"]
    assert told == words or (told.endswith("…") and words.startswith(told[:-1]))
    assert told == words or len(words) > 300
