"""From what a window held to an Aggregate: the one function through which every value leaves. Pure.

Invariants: a value leaves only with noise of at least the policy's variance and against the charge that this noise is worth; the noise
is drawn for every window, whether it will have numbers or not, and nothing here branches on a count except the threshold, which sees
noisy values only; a window leaves once.
"""

from fractions import Fraction

from agent.anonymizer.kinds import Numbers, Terms
from agent.anonymizer.ledger import Ledger
from agent.anonymizer.noise import RandomBytes
from agent.anonymizer.window import Block, Closed
from agent.contracts.aggregate import Aggregate, NotCollected
from agent.contracts.log import Charge
from agent.errors import InvariantBroken

NOTHING = Charge(Fraction(0))
"""The charge of a window from which no value leaves."""


def charge_for(closed: Closed, terms: Terms, ledger: Ledger) -> tuple[Charge, NotCollected | None]:
    """What releasing this window costs, or why it has no numbers. Looks at coverage, clock and budget, never at a count."""
    ledger.require_unreleased(terms.stream.name, closed.start)
    if closed.reason is not None:
        return NOTHING, closed.reason
    charge = terms.charge
    in_force = ledger.adoption.in_force(closed.start)
    if in_force is None or in_force.disclosure_digest != terms.disclosure_digest or closed.start < in_force.effective:
        raise InvariantBroken("a window was collected under a policy that is not in force")
    if not ledger.budget.affordable(terms.stream.name, closed.start, charge.rho):
        return NOTHING, NotCollected.BUDGET
    return charge, None


def govern(
    closed: Closed,
    terms: Terms,
    charge: Charge,
    reason: NotCollected | None,
    log_index: int,
    random_bytes: RandomBytes,
) -> Aggregate:
    """Counts, noise, threshold. Raises InvariantBroken when numbers would leave without the charge that their noise is worth."""
    numbers = terms.numbers(closed.start, closed.counts[None], random_bytes)
    return release(numbers, 0, closed.start, closed.coverage_percent, terms, charge, reason, log_index)


def govern_block(
    block: Block, terms: Terms, charge: Charge, log_index: int, random_bytes: RandomBytes
) -> list[Aggregate]:
    """The same for windows in a row, all of them collected, one log entry each: one draw for all."""
    _require(charge, terms)
    numbers = terms.numbers(block.start, block.contents, random_bytes)
    pack, start, window_s, covered = terms.pack, block.start, block.window_s, block.coverage_percent
    return [
        Aggregate(pack, start + place * window_s, covered[place], None, log_index + place, numbers.values(place, True))
        for place in range(len(block))
    ]


def release(
    numbers: Numbers,
    place: int,
    start: int,
    coverage_percent: int,
    terms: Terms,
    charge: Charge,
    reason: NotCollected | None,
    log_index: int,
) -> Aggregate:
    """Let the numbers of one window go; raise InvariantBroken when that would be without the charge that their noise is worth."""
    if reason is None:
        _require(charge, terms)
    return Aggregate(terms.pack, start, coverage_percent, reason, log_index, numbers.values(place, reason is None))


def _require(charge: Charge, terms: Terms) -> None:
    if charge is not terms.charge and charge.rho < terms.charge.rho:
        raise InvariantBroken("a window would leave for less than its charge")
