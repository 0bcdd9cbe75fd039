"""agent/policy/guarantee: what a stream measures and how it is protected, with every number, and "no guarantee" where there is none."""

import pytest
from hypothesis import given, settings

from agent.policy.guarantee import NO_GUARANTEE, aggregation, measured, protection
from agent.policy.parse import parse_policy
from tests.policy.policies import policies
from tests.policy.test_parse import GOOD
from tests.vectors.policy import generate as vectors


@pytest.mark.parametrize(
    ("stream", "what", "protected", "made"),
    [
        (
            vectors.DURATION,
            "other: how long bay (up to 5 minutes, 1 hour, longer)",
            "other: zCDP rho 0.125 a person and 1 day (at most 4 times, 1 a window), noise sd 4, published from 13",
            "other: counted by class in 1 hour",
        ),
        (
            vectors.THRESHOLD_ONLY,
            "other: car",
            "other: counted by class in 1 hour, hidden below 10 (not a privacy guarantee)",
            "other: counted by class in 1 hour, hidden below 10 (not a privacy guarantee)",
        ),
        (
            vectors.UNIQUE,
            "other: different devices",
            "other: epsilon 0.25 a person and window, zCDP rho 0.125 a person and 1 day "
            "(in at most 4 windows, 2 addresses each), noise sd at most 11.314, published from 28",
            "other: counted once in 5 minutes",
        ),
        (
            vectors.SOUND,
            "other: sound_level (dB)",
            "other: zCDP rho 0.125 a person and 1 day (in at most 60 samples, 60 a window), "
            "mean of 3600 samples from 30 to 100 in steps of 0.1, noise sd 2.334",
            "other: mean over 1 hour",
        ),
        (
            vectors.COARSE,
            "other: sound_level (dB)",
            "other: mean of at least 600 samples in 1 hour, rounded to 5 (not a privacy guarantee)",
            "other: mean of at least 600 samples in 1 hour, rounded to 5 (not a privacy guarantee)",
        ),
        (
            vectors.NONE,
            "other: pm2_5 (ug/m3)",
            "other: mean over 1 hour, unprotected",
            "other: mean over 1 hour, unprotected",
        ),
        (
            vectors.STREAM.replace('"crossings"', '"other"').replace('"none"', '"period"'),
            "other: bike, foot",
            "other: zCDP rho 0.125 a person and 1 day (at most 4 times, 1 a window), "
            "noise sd at most 12.545, of running totals at most 16.468, published from 31",
            "other: counted by class in 15 minutes, and added up from one to the next, anew every 1 day",
        ),
    ],
)
def test_words(stream: str, what: str, protected: str, made: str) -> None:
    """Every parameter of each kind and mode is in the words."""
    policy = parse_policy(GOOD.replace(*vectors.instead(stream, "other", "other")), "p")
    found = policy.streams[0]
    assert (measured(found), protection(policy, found), aggregation(policy, found)) == (what, protected, made)


@given(policies())
@settings(max_examples=50)
def test_a_mode_without_a_guarantee_says_so(text: str) -> None:
    """PRIVACY.md 4.1: threshold-only and coarse are labelled, none is called unprotected, dp is neither."""
    policy = parse_policy(text, "p")
    for stream in policy.streams:
        said = protection(policy, stream)
        assert (NO_GUARANTEE in said) == (stream.privacy.mode in ("threshold-only", "coarse"))
        assert ("unprotected" in said) == (stream.privacy.mode == "none")
        assert ("zCDP rho" in said) == (stream.privacy.mode == "dp")
