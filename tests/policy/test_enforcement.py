"""agent/policy/enforcement: a policy that this version cannot keep may be written and shown, and is refused before anything is counted."""

import dataclasses
from fractions import Fraction

import pytest

from agent.anonymizer.kinds import terms_for
from agent.contracts.aggregate import MAX_PACK_BYTES, pack_bytes
from agent.disclosure.datachain import compile_disclosure
from agent.errors import PolicyError
from agent.policy.enforcement import ENFORCED, enforceable
from agent.policy.model import Policy
from agent.policy.modes import CoarsePrivacy, CountPrivacy
from agent.policy.parse import parse_policy
from agent.policy.vocabulary import KIND_MODES
from tests.policy.test_parse import DEMO, GOOD
from tests.vectors.policy import generate as vectors


def test_what_is_enforced() -> None:
    """Counts with mode dp."""
    for text in (GOOD, DEMO):
        enforceable(parse_policy(text, "p"))


@pytest.mark.parametrize("stream", vectors.OTHERS)
def test_every_other_kind_and_mode(stream: str) -> None:
    """Each compiles, is disclosed and can be enforced."""
    policy = parse_policy(GOOD.replace(*vectors.instead(stream, "other", "other")), "p")
    compile_disclosure(policy)
    enforceable(policy)


def test_one_stream_of_two_that_cannot(monkeypatch: pytest.MonkeyPatch) -> None:
    """One stream that cannot be enforced is enough; the refusal names it and what can."""
    policy = parse_policy(GOOD + "\n" + vectors.THRESHOLD_ONLY, "p")
    enforceable(policy)
    monkeypatch.setattr("agent.policy.enforcement.ENFORCED", {("count", "dp"): CountPrivacy})
    with pytest.raises(
        PolicyError, match=r"stream other: expected .*count with mode dp.*got count with mode threshold-only"
    ):
        enforceable(policy)


def test_running_totals() -> None:
    """They can be enforced."""
    enforceable(parse_policy(GOOD.replace('totals = "none"', 'totals = "period"'), "p"))


def test_a_pack_that_no_entry_holds() -> None:
    """64 classes of 32 bins do not fit into an entry of the log; half of them do."""
    policy = parse_policy(GOOD.replace(*vectors.instead(vectors.DURATION, "other", "other")), "p")
    bins = tuple(60 * number for number in range(1, 32))

    def with_classes(count: int) -> Policy:
        names = tuple(f"class_{number}" for number in range(count))
        return dataclasses.replace(
            policy, streams=(dataclasses.replace(policy.streams[0], classes=names, bins_s=bins),)
        )

    enforceable(with_classes(12))
    with pytest.raises(PolicyError, match="stream other: expected classes and bins that take at most 40960 characters"):
        enforceable(with_classes(64))
    longest = max(n for n in range(1, 64) if _fits(with_classes(n)))
    terms = terms_for(with_classes(longest), with_classes(longest).streams[0], bytes(32))
    assert pack_bytes(terms.pack) <= MAX_PACK_BYTES


def _fits(policy: Policy) -> bool:
    try:
        enforceable(policy)
    except PolicyError:
        return False
    return True


def test_a_range_of_levels_that_energies_cannot_hold() -> None:
    """AN-439."""
    policy = parse_policy(GOOD.replace(*vectors.instead(vectors.COARSE, "other", "other")), "p")
    privacy = policy.streams[0].privacy
    assert isinstance(privacy, CoarsePrivacy)
    wide = dataclasses.replace(privacy, low=Fraction(-200))
    with pytest.raises(PolicyError, match="at most 200 dB"):
        enforceable(dataclasses.replace(policy, streams=(dataclasses.replace(policy.streams[0], privacy=wide),)))


def test_every_kind_and_mode_is_decided() -> None:
    """Only pairs that the vocabulary knows are enforced."""
    assert set(ENFORCED) <= {(kind, mode) for kind, modes in KIND_MODES.items() for mode in modes}
