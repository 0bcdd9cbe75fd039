"""The first period after a change of policy: which noise each stream draws (I7). Pure.

Invariant: for one period after a policy ended, no stream that has its name or its channel draws less noise of the same kind than the stream of
that policy did; where a stream with a guarantee is followed by one without, the latter has no numbers until then.
The cap of that time is the budget's part (agent.anonymizer.budget). Both depend on the log's entries alone.
"""

from collections.abc import Iterator, Sequence
from fractions import Fraction
from itertools import pairwise

from agent.anonymizer.strength import owed, own
from agent.policy.adopt import Taken
from agent.policy.model import Policy, Stream


def strength(taken: Sequence[Taken], stream: Stream, start: int) -> Fraction | None:
    """How strong the noise of a window of `stream` that starts at `start` (Unix seconds) must be (agent.anonymizer.strength); None when
    the window must not have numbers.

    `taken` are all policies in order, of which the one in force at `start` has `stream`: its own noise, or what is owed for a policy that ended
    less than a period before, whichever is the strongest.
    """
    needed = own(stream)
    for policy, until in _ended(taken, start):
        for older in policy.streams if start < until else ():
            if older.name == stream.name or older.channel == stream.channel:
                least = owed(stream, older)
                if least is None:
                    return None
                needed = max(needed, least)
    return needed


def changes(taken: Sequence[Taken], low: int, high: int) -> list[int]:
    """Instants between `low` and `high` at which a transition of the policy in force at `low` ends."""
    return sorted({until for _, until in _ended(taken, low) if low < until < high})


def _ended(taken: Sequence[Taken], at: int) -> Iterator[tuple[Policy, int]]:
    """Every policy that ended by `at`, and until when it still counts: the longer of its period and the present one's."""
    begun = [one for one in taken if one.effective <= at]
    for older, newer in pairwise(begun):
        yield older.policy, newer.effective + max(older.policy.period_s, begun[-1].policy.period_s)
