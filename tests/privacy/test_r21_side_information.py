"""R21: a quantity that people cause, published under mode `none`: the policy is refused, and this is why."""

import pytest

from agent.errors import PolicyError
from agent.local.randomness import random_bytes
from agent.policy.parse import parse_policy
from agent.policy.vocabulary import QUANTITIES, Quantity
from tests.privacy.mechanism import CONFIG
from tests.privacy.statistics import lower
from tests.privacy.table import Record

EXAMPLE = (CONFIG / "examples" / "air-quality-and-noise.toml").read_text()
OUTDOOR, AIR = 420.0, 40.0
"""ppm outside, and m^3 of air in a room."""

WINDOWS = 2000


def policy(quantity: str, mode: str) -> str:
    """The example's first stream, unprotected, as another quantity in another mode, its sensor serving nothing else."""
    head, stream, _ = EXAMPLE.partition("[[stream]]")
    stream += EXAMPLE.partition("[[stream]]")[2].partition("[[stream]]")[0]
    more = 'aggregation = "mean"\nmin_samples = 60\n' if mode == "coarse" else ""
    stream = stream.replace('quantity = "pm2_5"', f'quantity = "{quantity}"')
    return head + stream.replace('mode = "none"', f'mode = "{mode}"\n{more}')


def refused(quantity: str, mode: str) -> bool:
    """Is a policy with this quantity in this mode refused for its mode?"""
    try:
        parse_policy(policy(quantity, mode), "policy.toml")
    except PolicyError as bad:
        return "a protected mode" in bad.expected
    return False


def carbon_dioxide(people: list[int]) -> list[float]:
    """What a sensor in an office shows, a mean every quarter of an hour: 18 l/h a person, half the air changed in an hour, 1 ppm of noise."""
    level, shown = OUTDOOR, []
    for present in people:
        level += present * 18_000 / AIR / 4 - (level - OUTDOOR) * 0.125
        shown.append(level + random_bytes(1)[0] / 128 - 1)
    return shown


def presence_told(published: list[float], people: list[int]) -> int:
    """How often an attacker who sees the numbers alone says rightly whether anybody was there in a window."""
    right = 0
    for before, after, present in zip(published[:-1], published[1:], people[1:], strict=True):
        caused = after - before + (before - OUTDOOR) * 0.125
        right += (caused > 18_000 / AIR / 8) == (present > 0)
    return right


def test_what_people_cause_is_never_published_bare(record: Record, monkeypatch: pytest.MonkeyPatch) -> None:
    """PRIVACY.md 1.6: `none` for what persons cause, and `coarse` for what few persons in a room cause, are refused; others are not.
    False alarms: none, the attacker is right every time."""
    caused = [name for name, quantity in QUANTITIES.items() if quantity.person_derived]
    private = [name for name, quantity in QUANTITIES.items() if quantity.private]
    assert all(refused(name, "none") for name in caused)
    assert all(refused(name, "coarse") for name in private)
    assert not any(refused(name, "none") for name in QUANTITIES if name not in caused)

    people = [byte % 4 for byte in random_bytes(WINDOWS)]
    right = presence_told(carbon_dioxide(people), people)
    least = lower(right, WINDOWS - 1)
    assert least > 0.9, "an attacker who could tell nothing would show nothing"
    monkeypatch.setitem(QUANTITIES, "co2_indoor", Quantity("ppm"))
    assert not refused("co2_indoor", "none")
    record(
        "R21",
        "presence in a room from bare CO2",
        measured=f"{len(caused)} of {len(caused)} quantities refused bare, {len(private)} of {len(private)} coarse",
        claim="all",
        caught=[f"indoor CO2 called weather (presence told in {100 * least:.0f} % of windows)"],
    )
