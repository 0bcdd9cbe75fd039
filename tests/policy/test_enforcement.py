"""agent/policy/enforcement: a policy that this version cannot keep may be written and shown, and is refused before anything is counted."""

import pytest

from agent.disclosure.datachain import compile_disclosure
from agent.errors import PolicyError
from agent.policy.enforcement import ENFORCED, count_privacy, enforceable
from agent.policy.parse import parse_policy
from agent.policy.vocabulary import KIND_MODES
from tests.policy.test_parse import DEMO, GOOD
from tests.vectors.policy import generate as vectors


def test_what_is_enforced() -> None:
    """Counts with mode dp."""
    for text in (GOOD, DEMO):
        policy = parse_policy(text, "p")
        enforceable(policy)
        assert count_privacy(policy.streams[0]) is policy.streams[0].privacy


@pytest.mark.parametrize("stream", vectors.OTHERS)
def test_what_is_not(stream: str) -> None:
    """Each other kind and mode compiles and is disclosed, and is refused by the stream's name."""
    policy = parse_policy(GOOD.replace(*vectors.instead(stream, "other", "other")), "p")
    compile_disclosure(policy)
    with pytest.raises(
        PolicyError, match="stream other: expected a kind and mode that this version enforces: count with mode dp"
    ):
        enforceable(policy)
    with pytest.raises(PolicyError, match="stream other: expected kind count with mode dp"):
        count_privacy(policy.streams[0])


def test_one_stream_of_two() -> None:
    """One stream that cannot be enforced is enough."""
    policy = parse_policy(GOOD + "\n" + vectors.THRESHOLD_ONLY, "p")
    with pytest.raises(PolicyError, match=r"stream other: .*got count with mode threshold-only"):
        enforceable(policy)


def test_running_totals_are_not_enforced_yet() -> None:
    """A policy that promises them may be signed and shown; this version refuses to count under it."""
    policy = parse_policy(GOOD.replace('totals = "none"', 'totals = "period"'), "p")
    compile_disclosure(policy)
    with pytest.raises(PolicyError, match=r'stream crossings: expected totals = "none".*got totals = "period"'):
        enforceable(policy)


def test_every_kind_and_mode_is_decided() -> None:
    """Only pairs that the vocabulary knows are enforced."""
    assert set(ENFORCED) <= {(kind, mode) for kind, modes in KIND_MODES.items() for mode in modes}
