"""What a stream measures and how it is protected, in numbers, on one line each: the variables of a datachain. Pure."""

from typing import assert_never

from agent.policy.model import Policy, Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, NoPrivacy, ScalarPrivacy, ThresholdOnly, UniquePrivacy
from agent.policy.vocabulary import QUANTITIES
from agent.policy.words import exact_words, root_words, time_words

NO_GUARANTEE = "not a privacy guarantee"
"""How the modes coarse and threshold-only are labelled wherever they are shown (PRIVACY.md 4.1)."""


def measured(stream: Stream) -> str:
    """What the stream counts or measures."""
    match stream.kind:
        case "scalar":
            what = f"{stream.quantity} ({QUANTITIES[stream.quantity].unit})"
        case "unique":
            what = "different devices"
        case "duration":
            edges = ", ".join(time_words(edge) for edge in stream.bins_s)
            what = f"how long {', '.join(stream.classes)} (up to {edges}, longer)"
        case _:
            what = ", ".join(stream.classes)
    return f"{stream.name}: {what}"


def shown_from(privacy: CountPrivacy) -> str:
    """Which noisy numbers are published."""
    return f"published from {privacy.tau}" if privacy.threshold.hides else "every number published, also below zero"


def protection(policy: Policy, stream: Stream) -> str:
    """The whole of a stream's protection, with every parameter that a reader needs to judge it."""
    privacy = stream.privacy
    period = time_words(policy.period_s)
    match privacy:
        case CountPrivacy():
            said = (
                f"zCDP rho {exact_words(privacy.rho)} a person and {period} "
                f"(at most {privacy.m} times, {privacy.c} a window), noise sd {count_noise(privacy)}, {shown_from(privacy)}"
            )
        case UniquePrivacy():
            said = (
                f"epsilon {exact_words(privacy.epsilon)} a person and window, zCDP rho {exact_words(privacy.rho)} a person and {period} "
                f"(in at most {privacy.m} windows, {privacy.addresses} addresses each), noise sd at most "
                f"{root_words(privacy.sigma_squared)}, published from {privacy.tau}"
            )
        case ScalarPrivacy():
            said = (
                f"zCDP rho {exact_words(privacy.rho)} a person and {period} "
                f"(in at most {privacy.m} samples, {privacy.c} a window), mean of {privacy.samples} samples from "
                f"{exact_words(privacy.low)} to {exact_words(privacy.high)} in steps of {exact_words(privacy.step)}, "
                f"noise sd {root_words(privacy.mean_sigma_squared)}"
            )
            if privacy.percentiles:
                said += (
                    f", percentiles {_percentiles(privacy)} for {exact_words(privacy.percentiles_rho)} of that rho, "
                    f"noise sd {root_words(privacy.cell_sigma_squared)} samples in each cell of a histogram"
                )
        case CoarsePrivacy() | ThresholdOnly() | NoPrivacy():
            return aggregation(policy, stream)
        case _:
            assert_never(privacy)
    return f"{stream.name}: {said}"


def aggregation(policy: Policy, stream: Stream) -> str:
    """How a stream's readings become one number; a mode without a guarantee says that it has none."""
    privacy = stream.privacy
    window = time_words(stream.window_s)
    match privacy:
        case CountPrivacy():
            said = f"counted by class in {window}" + (_anew(policy) if privacy.totals else "")
        case UniquePrivacy():
            said = f"counted once in {window}"
        case ScalarPrivacy():
            also = f" and percentiles {_percentiles(privacy)}" if privacy.percentiles else ""
            said = f"mean{also} over {window}"
        case ThresholdOnly():
            said = f"counted by class in {window}, hidden below {privacy.k} ({NO_GUARANTEE})"
        case CoarsePrivacy():
            said = (
                f"{privacy.aggregation} of at least {privacy.min_samples} samples in {window}, "
                f"rounded to {exact_words(privacy.step)} ({NO_GUARANTEE})"
            )
        case NoPrivacy():
            said = f"mean over {window}, unprotected"
        case _:
            assert_never(privacy)
    return f"{stream.name}: {said}"


def _percentiles(privacy: ScalarPrivacy) -> str:
    return " ".join(map(str, privacy.percentiles))


def count_noise(privacy: CountPrivacy) -> str:
    """The standard deviation of the noise on each number and, where there are running totals, on each of them."""
    if not privacy.totals:
        return root_words(privacy.sigma_squared)
    return f"at most {root_words(privacy.sigma_squared)}, of running totals at most {root_words(privacy.total_sigma_squared)}"


def _anew(policy: Policy) -> str:
    return f", and added up from one to the next, anew every {time_words(policy.period_s)}"
