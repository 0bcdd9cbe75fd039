"""The threshold on the noisy value: what of it may be shown. Pure; post-processing, so free of charge (PROOF.md Lemma 9)."""

from collections.abc import Sequence

from agent.contracts.aggregate import MIN_VALUE_DIGITS, Cell


def shown(noisy: Sequence[int], tau: int) -> tuple[int | Cell, ...]:
    """Each noisy value if it is >= tau, else `suppressed`; a true zero looks like any small noisy value."""
    return tuple(value if value >= tau else Cell.SUPPRESSED for value in noisy)


def value_digits(max_count: int, noise_bound: int) -> int:
    """Digits of the largest value that could be shown, and at least as many as leave room for the words (contracts/aggregate)."""
    return max(MIN_VALUE_DIGITS, len(str(max_count + noise_bound)))
