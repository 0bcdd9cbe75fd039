"""The first period after a change of policy: which noise each stream draws (I7). Pure.

Invariant: for one period after a policy ended, no stream that has its name or its channel draws less noise than the stream of that policy did.
The cap of that time is the budget's part (agent.anonymizer.budget). Both depend on the log's entries alone.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from agent.policy.adopt import Taken
from agent.policy.enforcement import count_privacy
from agent.policy.model import Policy, Stream


def sigma_squared(taken: Sequence[Taken], stream: Stream, start: int) -> Fraction:
    """The noise's variance parameter for a window of `stream` that starts at `start` (Unix seconds).

    `taken` are all policies in order, of which the one in force at `start` has `stream`: its own noise, or that of a policy which ended
    less than a period before, whichever is the largest.
    """
    return max(
        [
            count_privacy(stream).sigma_squared,
            *(
                count_privacy(older).sigma_squared
                for policy, until in _ended(taken, start)
                if start < until
                for older in policy.streams
                if older.name == stream.name or older.channel == stream.channel
            ),
        ]
    )


def changes(taken: Sequence[Taken], low: int, high: int) -> list[int]:
    """Instants between `low` and `high` at which a transition of the policy in force at `low` ends."""
    return sorted({until for _, until in _ended(taken, low) if low < until < high})


def _ended(taken: Sequence[Taken], at: int) -> Iterator[tuple[Policy, int]]:
    """Every policy that ended by `at`, and until when it still counts: the longer of its period and the present one's."""
    begun = [one for one in taken if one.effective <= at]
    for older, newer in pairwise(begun):
        yield older.policy, newer.effective + max(older.policy.period_s, begun[-1].policy.period_s)
