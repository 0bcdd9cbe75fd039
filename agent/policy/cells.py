"""The cells that a stream's packs have, by its policy: names and units, in their order (contracts/cells). Pure.

What the anonymizer makes has just these; a test holds the two together. The publisher and the audit do not load the anonymizer.
"""

from agent.contracts.cells import COUNT, DEVICES, QUANTILES, SINCE, TOTAL, percentile_name
from agent.policy.enforcement import LEVELS
from agent.policy.model import Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, ScalarPrivacy
from agent.policy.vocabulary import QUANTITIES


def cell_names(stream: Stream) -> tuple[str, ...]:
    """Of the stream's cells (AN-47, AN-424, AN-439)."""
    privacy = stream.privacy
    if stream.kind == "unique":
        return DEVICES
    if stream.kind == "scalar":
        average = privacy.aggregation if isinstance(privacy, CoarsePrivacy) else "mean"
        if isinstance(privacy, ScalarPrivacy):
            return (average, *map(percentile_name, privacy.percentiles))
        return ("leq" if average == "mean" and stream.quantity in LEVELS else average,)
    if stream.kind == "duration":
        bins = bin_names(stream)
        return tuple(f"{name}/{part}" for parts in (bins, QUANTILES) for name in stream.classes for part in parts)
    if isinstance(privacy, CountPrivacy) and privacy.totals:
        return (*stream.classes, *(f"{name}/{TOTAL}" for name in stream.classes), SINCE)
    return stream.classes


def cell_unit(stream: Stream, name: str) -> str:
    """The SenML unit of one of them: "" where it holds words."""
    if name == SINCE:
        return "s"
    if stream.kind == "scalar":
        return QUANTITIES[stream.quantity].unit
    words = name == DEVICES[2] if stream.kind == "unique" else name.partition("/")[2] in QUANTILES
    return "" if words else COUNT


def bin_names(stream: Stream) -> tuple[str, ...]:
    """Of a duration's bins, by their upper edges in seconds; the last is open."""
    return (*(f"to_{edge}s" for edge in stream.bins_s), *(f"over_{edge}s" for edge in stream.bins_s[-1:]))
