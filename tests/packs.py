"""Example windows, for every test that needs a pack."""

import dataclasses
from decimal import Decimal
from fractions import Fraction

from agent.contracts.aggregate import Aggregate, Cell, Field, PackTerms, Value
from agent.contracts.guarantee import ConcentratedGuarantee, NoGuarantee, PureGuarantee
from agent.contracts.log import Charge

CHARGE = Charge(Fraction(1, 32))
"""What one reading costs in COUNT."""

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


def _cells(*cells: tuple[str, str, int, Value]) -> dict[str, object]:
    return {
        "fields": tuple(Field(name, unit, width) for name, unit, width, _ in cells),
        "values": tuple(value for _, _, _, value in cells),
    }


TOTALS = changed(
    COUNT,
    noise_sd=Decimal("8.127"),
    total_noise_sd=Decimal("12.740"),
    threshold=22,
    **_cells(
        ("bike", "count", 5, 23),
        ("foot", "count", 5, Cell.SUPPRESSED),
        ("bike/total", "count", 7, 1204),
        ("foot/total", "count", 7, 87),
        ("total/since", "s", 10, 1_799_971_200),
    ),
)
"""The same with running totals."""

EVERY_NUMBER = changed(COUNT, threshold=0, values=(23, -3))
"""The same of a policy that hides no number."""

DURATION = changed(
    COUNT,
    stream="parking",
    **_cells(
        ("car/to_900s", "count", 4, 31),
        ("car/to_3600s", "count", 4, Cell.SUPPRESSED),
        ("car/over_3600s", "count", 4, 14),
        ("car/p25", "", 10, "to_900s"),
        ("car/median", "", 10, "to_900s"),
        ("car/p75", "", 10, "over_3600s"),
    ),
)
"""How long cars parked."""

THRESHOLD_ONLY = changed(DURATION, noise_sd=Decimal(0), threshold=5, guarantee=NoGuarantee("threshold-only"))
"""The same without noise."""

UNIQUE = changed(
    COUNT,
    stream="visitors",
    window_s=300,
    noise_sd=Decimal("3.704"),
    threshold=21,
    guarantee=PureGuarantee(Fraction(1, 2), 12, 1, 300, 86_400),
    **_cells(
        ("devices", "count", 6, 412), ("devices_sd", "count", 9, Decimal("3.790")), ("devices_is", "", 8, "estimate")
    ),
)
"""Devices seen in five minutes."""

SCALAR = changed(
    COUNT,
    stream="co2",
    noise_sd=Decimal("12.41"),
    noise_unit="ppm",
    threshold=0,
    **_cells(("mean", "ppm", 6, Decimal("612.5"))),
)
"""A value that few people cause, under mode dp."""

PERCENTILES = changed(
    SCALAR,
    **_cells(
        ("mean", "ppm", 6, Decimal("612.5")),
        ("p10", "ppm", 6, Decimal("540.0")),
        ("p50", "ppm", 6, Decimal("600.0")),
        ("p90", "ppm", 6, Decimal("720.0")),
    ),
)
"""The same with percentiles."""

COARSE = changed(
    SCALAR,
    stream="sound",
    noise_sd=Decimal(0),
    noise_unit="dB",
    guarantee=NoGuarantee("coarse"),
    **_cells(("leq", "dB", 3, 63)),
)
"""A sound level on a coarse grid."""

NONE = changed(
    COARSE, stream="air", noise_unit="Cel", guarantee=NoGuarantee("none"), **_cells(("mean", "Cel", 5, Decimal("-3.5")))
)
"""A value that no person causes, as measured."""

ALL = {
    "count": COUNT,
    "totals": TOTALS,
    "every number": EVERY_NUMBER,
    "duration": DURATION,
    "threshold-only": THRESHOLD_ONLY,
    "unique": UNIQUE,
    "scalar": SCALAR,
    "percentiles": PERCENTILES,
    "coarse": COARSE,
    "none": NONE,
}
