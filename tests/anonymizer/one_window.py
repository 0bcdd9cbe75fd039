"""One window from its counts to its Aggregate: what the anonymizer does for many at once (anonymizer/closing)."""

import numpy as np

from agent.anonymizer.govern import release
from agent.anonymizer.noise import RandomBytes
from agent.anonymizer.terms import Terms
from agent.anonymizer.window import Closed
from agent.contracts.aggregate import Aggregate, NotCollected
from agent.contracts.log import Charge
from agent.policy.model import Stream
from agent.policy.modes import CountPrivacy


def count_privacy(stream: Stream) -> CountPrivacy:
    """The privacy of a stream of counts under dp."""
    assert stream.kind == "count"
    assert isinstance(stream.privacy, CountPrivacy)
    return stream.privacy


def govern(
    closed: Closed,
    terms: Terms,
    charge: Charge | None,
    reason: NotCollected | None,
    log_index: int,
    random_bytes: RandomBytes,
) -> Aggregate:
    """Counts, noise, threshold."""
    contents = closed.counts[None] if isinstance(closed.counts, np.ndarray) else [closed.counts]
    numbers = terms.numbers(closed.start, contents, random_bytes)
    return release(numbers, 0, closed.start, closed.coverage_percent, terms, charge, reason, log_index)
