"""Example windows, for every test that needs a pack."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

from agent.contracts.aggregate import Aggregate, Cell, Field, PackTerms
from agent.contracts.guarantee import ConcentratedGuarantee

_OF_TERMS = frozenset(field.name for field in dataclasses.fields(PackTerms))

COUNT = Aggregate(
    terms=PackTerms(
        city="springfield",
        site="river-bridge",
        unit="bridge-01",
        stream="crossings",
        window_s=900,
        noise_sd=Decimal("4.000"),
        noise_unit="count",
        threshold=13,
        guarantee=ConcentratedGuarantee(Fraction(1, 8), 86_400, 4, 1),
        policy_version=1,
        disclosure_digest=bytes(range(32)),
        fields=(Field("bike", "count", 4), Field("foot", "count", 4)),
    ),
    window_start=1_800_000_000,
    coverage_percent=95,
    reason=None,
    log_index=17,
    values=(23, Cell.SUPPRESSED),
)
"""A quarter of an hour of a counter under mode dp."""


def changed(window: Aggregate, **changes: object) -> Aggregate:
    """The window with some fields, of itself or of its terms, replaced."""
    of_terms = {name: value for name, value in changes.items() if name in _OF_TERMS}
    terms = dataclasses.replace(window.terms, **of_terms)  # type: ignore[arg-type]  # the tests name real fields
    rest = {name: value for name, value in changes.items() if name not in _OF_TERMS}
    return dataclasses.replace(window, terms=terms, **rest)  # type: ignore[arg-type]  # as above
