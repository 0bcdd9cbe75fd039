"""From what a window held to an Aggregate: the one function through which every value leaves. Pure.

Invariants: a value leaves only with noise of at least the policy's variance and against the charge that this noise is worth; the noise
is drawn for every window, whether it will have numbers or not, and nothing here branches on a count except the threshold, which sees
noisy values only; a window leaves once.
"""

from typing import TYPE_CHECKING

from agent.anonymizer.terms import Numbers, Terms
from agent.anonymizer.window import Closed
from agent.contracts.aggregate import Aggregate, NotCollected
from agent.contracts.log import NOTHING, Charge
from agent.errors import InvariantBroken

if TYPE_CHECKING:  # numbers need no policy's text nor signatures: 2 MiB
    from agent.anonymizer.ledger import Ledger


def charge_for(closed: Closed, terms: Terms, ledger: "Ledger") -> tuple[Charge | None, NotCollected | None]:
    """What releasing this window costs, None in a mode without a guarantee, or why it has no numbers.

    Looks at coverage, clock, budget and how many samples came, never at what they were nor at a count.
    """
    ledger.require_unreleased(terms.stream.name, closed.start)
    charge = terms.charge
    nothing = None if charge is None else NOTHING
    if closed.reason is not None:
        return nothing, closed.reason
    if terms.too_few(closed.counts):
        return nothing, NotCollected.SAMPLES
    in_force = ledger.adoption.in_force(closed.start)
    if in_force is None or in_force.disclosure_digest != terms.disclosure_digest or closed.start < in_force.effective:
        raise InvariantBroken("a window was collected under a policy that is not in force")
    if terms.withheld or (
        charge is not None and not ledger.budget.affordable(terms.stream.name, closed.start, charge.rho)
    ):
        return nothing, NotCollected.BUDGET
    return charge, None


def release(
    numbers: Numbers,
    place: int,
    start: int,
    coverage_percent: int,
    terms: Terms,
    charge: Charge | None,
    reason: NotCollected | None,
    log_index: int,
) -> Aggregate:
    """Let the numbers of one window go; raise InvariantBroken when that would be without the charge that their noise is worth."""
    least = terms.charge
    cheap = charge is not least and (charge is None or least is None or charge.rho < least.rho)
    if reason is None and (terms.withheld or cheap):
        raise InvariantBroken("a window would leave for less than its charge")
    return Aggregate(terms.pack, start, coverage_percent, reason, log_index, numbers.values(place, reason is None))
