"""How strong a stream's noise is, comparably between policies, and what a window costs at that strength. Pure.

The strength is: for counts and durations sigma^2, with running totals that of the counter; for unique visitors 1 / rate; for a scalar sigma^2 of the
sum in its quantity's unit squared (that of its percentiles' noise is a fixed share of it); for a mode without noise 0. More noise is a larger number.
"""

from fractions import Fraction

from agent.anonymizer.centred import MAX_VARIANCE
from agent.anonymizer.noise import MAX_SIGMA_SQUARED, MAX_WIDE_SIGMA_SQUARED
from agent.anonymizer.scalar import noise_sd, widened
from agent.contracts.governed import END_NOISE_SD
from agent.contracts.log import Charge
from agent.policy import factorisation
from agent.policy.model import Stream
from agent.policy.modes import CountPrivacy, Guaranteed, ScalarPrivacy, UniquePrivacy, worst_presence


def own(stream: Stream) -> Fraction:
    """What the stream's policy says."""
    match stream.privacy:
        case CountPrivacy(totals=0) as privacy:
            return privacy.sigma_squared
        case CountPrivacy() as privacy:
            return privacy.scale_squared
        case UniquePrivacy() as privacy:
            return 1 / privacy.address_epsilon
        case ScalarPrivacy() as privacy:
            return privacy.sigma_squared * privacy.step**2
        case _:
            return Fraction(0)


def owed(stream: Stream, older: Stream) -> Fraction | None:
    """The least strength with which `stream` draws no less noise than `older` did; None when no noise that it draws can stand for it.

    Noise of another kind hides another thing and asks for nothing: what both cost is added up (agent.anonymizer.budget).
    """
    if not isinstance(older.privacy, Guaranteed):
        return Fraction(0)
    match stream.privacy, older.privacy:
        case CountPrivacy(totals=steps), CountPrivacy(totals=before) as privacy if steps and steps == before:
            return privacy.scale_squared  # the same at every step of a period
        case CountPrivacy(), CountPrivacy() as privacy:
            return (
                privacy.sigma_squared
            )  # of totals an upper bound over all steps; a counter's every draw has at least its scale
        case UniquePrivacy(), UniquePrivacy():
            return own(older)
        case ScalarPrivacy() as privacy, ScalarPrivacy() as before if stream.quantity == older.quantity:
            least = own(older)
            if privacy.percentiles and before.percentiles:  # neither mean nor histogram with less noise
                least = max(least, own(stream) * before.cell_sigma_squared / privacy.cell_sigma_squared)
            return least
        case CountPrivacy() | UniquePrivacy() | ScalarPrivacy(), _:
            return Fraction(0)
        case _:
            return None


def charge(stream: Stream, strength: Fraction, m: int, c: int) -> Charge | None:
    """What a window of `stream` at that strength costs for a person within (m, c): zCDP rho of one reading, address or sample.

    None for a mode without a guarantee, and when noise of that strength cannot be drawn, no pack can say how wide it is, or no such charge would
    bound what it costs.
    """
    match stream.privacy:
        case CountPrivacy(totals=0):
            return _loggable(1 / (2 * strength)) if strength <= MAX_SIGMA_SQUARED else None
        case CountPrivacy(totals=steps):
            largest = Fraction(factorisation.coefficients(steps).s[0], 1 << factorisation.SCALE_BITS) ** 2 * strength
            if largest > MAX_VARIANCE or not factorisation.few_enough(steps, m, c):
                return None
            return _loggable(factorisation.rho(strength, steps, m, c) / worst_presence(m, c))
        case UniquePrivacy():
            return _loggable(1 / (2 * strength**2)) if 2 * strength**2 <= MAX_SIGMA_SQUARED else None
        case ScalarPrivacy() as privacy:
            drawn = widened(privacy, strength)
            cells = drawn.cell_sigma_squared if privacy.percentiles else Fraction(0)
            if max(drawn.sigma_squared, cells) > MAX_WIDE_SIGMA_SQUARED or noise_sd(drawn) >= END_NOISE_SD:
                return None
            return _loggable(drawn.charge)
        case _:
            return None


def _loggable(rho: Fraction) -> Charge:
    """`rho`, or the next multiple of 2^-56 above it: integers of an entry have 64 bits (agent.wire.cbor), and bounds on a counter's noise have more."""
    if max(rho.numerator, rho.denominator) >> 64:
        rho = Fraction(-(-(rho.numerator << 56) // rho.denominator), 1 << 56)
    return Charge(rho)
