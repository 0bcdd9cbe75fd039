"""agent/disclosure/presence: which streams a bound is about, and what it is for all of them together."""

from fractions import Fraction

import pytest
from hypothesis import given, settings

from agent.disclosure import bound
from agent.disclosure.presence import presence
from agent.policy.modes import CountPrivacy, UniquePrivacy
from agent.policy.parse import parse_policy
from tests.policy.policies import policies
from tests.policy.test_parse import DEMO, GOOD, changed


def test_the_shipped_policy() -> None:
    """rho 1/8 a day: 61 in 100 for a day, 92 for 30; the zCDP bound alone would say 63 and 99."""
    found = presence(parse_policy(GOOD, "p"))
    assert (found.period, found.month, found.covered, found.open, found.apart) == (61, 92, ("crossings",), (), ())
    assert bound.right_in_100(bound.zcdp_total_variation(Fraction(1, 8))) == 63
    assert bound.right_in_100(bound.zcdp_total_variation(Fraction(30, 8))) == 99


def test_streams_add_up() -> None:
    """A second stream that the same person passes makes it easier to tell."""
    second = GOOD[GOOD.index("[[stream]]") :].replace('name = "crossings"', 'name = "turnings"')
    policy = parse_policy(changed("cap_rho = 0.125", "cap_rho = 0.25") + second, "p")
    found = presence(policy)
    assert found.covered == ("crossings", "turnings")
    privacy = policy.streams[0].privacy
    assert isinstance(privacy, CountPrivacy)
    both = [bound.Noise(privacy.rho, privacy.sigma_squared, privacy.m)] * 2
    assert found.period == bound.right_in_100(bound.total_variation(both)) > 61


def test_running_totals_have_the_bound_of_any_zcdp_mechanism() -> None:
    """Theorem B is for independent noise: with totals the weaker bound of Theorem A stands, over every draw that a reading tells on."""
    found = presence(parse_policy(changed('totals = "none"', 'totals = "period"'), "p"))
    draws = 2 * 96 * 2  # two counters that a period may touch, two classes
    assert found.period == bound.right_in_100(bound.zcdp_total_variation(Fraction(1, 8), 2 * draws * bound.DRAW)) == 63
    assert found.covered == ("crossings",)


def test_a_short_period_is_counted_as_often_as_a_month_has_it() -> None:
    """The demonstration's period is ten minutes: 30 days are 4,320 of them, and nothing can be promised."""
    policy = parse_policy(DEMO, "d")
    assert policy.period_s == 600
    assert presence(policy).month == 100
    assert presence(policy).period < 100


@given(policies())
@settings(max_examples=60)
def test_every_stream_is_covered_open_or_apart(text: str) -> None:
    """Each once; covered exactly where there is noise; a month is never better protected than a day; nothing covered is a coin."""
    policy = parse_policy(text, "p")
    found = presence(policy)
    names = [stream.name for stream in policy.streams]
    assert sorted((*found.covered, *found.open, *found.apart)) == sorted(names)
    assert found.covered == tuple(stream.name for stream in policy.streams if stream.privacy.mode == "dp")
    assert 50 <= found.period <= found.month <= 100
    if not found.covered:
        assert (found.period, found.month) == (50, 50)
    rho = policy.spent_rho
    assert found.period <= bound.right_in_100(bound.zcdp_total_variation(rho)) + 1


@given(policies(kinds=("unique",)))
@settings(max_examples=30)
def test_devices_have_the_bound_for_any_noise(text: str) -> None:
    """Laplace noise is not Gaussian: only the theorem for every zCDP mechanism applies."""
    policy = parse_policy(text, "p")
    parts = []
    for stream in policy.streams:
        assert isinstance(stream.privacy, UniquePrivacy)
        parts.append(bound.Noise(stream.privacy.rho, None, stream.privacy.m))
    assert presence(policy).period == bound.right_in_100(bound.total_variation(parts))


def test_noise_without_cells_is_refused() -> None:
    """A stream that nobody can touch is a mistake elsewhere."""
    with pytest.raises(ValueError, match="positive"):
        bound.total_variation([bound.Noise(Fraction(1, 8), Fraction(4), 0)])
