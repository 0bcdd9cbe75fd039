"""R4 and R5: every published number of a period together, one reading or m of them there or not, in running totals."""

from dataclasses import replace
from fractions import Fraction

import pytest

from agent.policy.factorisation import COLUMN_BITS, SCALE_BITS, Coefficients, coefficients, scale_squared
from agent.policy.factorisation import rho as cost
from tests.privacy.stream_audit import Plan, audit, spread_audit
from tests.privacy.table import Record

FIVE_PER_CENT_LOW = Fraction(95, 100) ** 2


def plan_of(steps: int, rho: Fraction, m: int, c: int = 1) -> Plan:
    return Plan(steps, scale_squared(rho, steps, m, c), restart=steps)


def test_one_reading_in_a_whole_period(record: Record) -> None:
    """AN-304, R4: a day of 96 windows, one reading at window 40, rho 0.3; by the shift of all numbers, and by the size of the noise.
    False alarms: 2e-9; the control is 25 standard errors above its claim, where 4 would do."""
    rho = Fraction(3, 10)
    plan = plan_of(96, rho, 1)
    shift, size = audit(plan, {40: 1}, rho, 3000), spread_audit(plan, {40: 1}, rho, 1500)
    assert not shift.detected
    assert not size.detected
    assert shift.measured > shift.claimed / 2, "the attack is the best there is"
    low = replace(plan, scale_squared=plan.scale_squared * FIVE_PER_CENT_LOW)
    control = spread_audit(low, {40: 1}, rho, 1500)
    assert control.detected
    forgotten = {j: rounding_forgotten(96, j) for j in (0, 40, 94)}
    assert all(exact > 1 for exact in forgotten.values())
    assert all(coefficients(96).cost({j: 1}) <= 1 for j in range(96))
    record(
        "R4",
        "whole stream, one reading, totals over 96 windows",
        measured=f"mu = {shift.measured:.3f} (s.e. {shift.error:.3f}), by size {size.measured:.4f} (s.e. {size.error:.4f})",
        claim=f"<= {shift.claimed:.3f}",
        caught=[f"sigma 5 % low ({control.measured:.4f})", "c, r, s rounded to the other side (exact cost > 1)"],
    )


def rounding_forgotten(steps: int, j: int) -> Fraction:
    """|U e_j|^2 of a counter whose c and r are rounded up and s down, for which the claim forgot to look."""
    given = coefficients(steps)
    up = Coefficients(
        c=(1 << COLUMN_BITS, *(c + 1 for c in given.c[1:])),
        r=tuple(min(r + 1, 1 << COLUMN_BITS) for r in given.r),
        s=tuple(max(s - 1, 1 << SCALE_BITS) for s in given.s),
    )
    return up.cost({j: 1})


@pytest.mark.parametrize(
    ("m", "c", "presence", "name"),
    [
        (4, 1, dict.fromkeys(range(4), 1), "4 readings in a row"),
        (4, 1, dict.fromkeys((0, 30, 60, 90), 1), "4 readings spread"),
        (6, 3, {0: 3, 1: 3}, "6 readings, 3 a window"),
        (7, 3, {0: 3, 1: 3, 2: 1}, "7 readings, 3 a window"),
    ],
)
def test_several_readings(m: int, c: int, presence: dict[int, int], name: str, record: Record) -> None:
    """AN-305, R5: the worst presence and a spread one; the control claims for independent noise what only this counter costs.
    False alarms: 2e-9; by the size of the noise the control is hundreds of standard errors above its claim."""
    rho = Fraction(2)
    plan = plan_of(96, rho, m, c)
    found, size = audit(plan, presence, rho, 1500), spread_audit(plan, presence, rho, 1000)
    assert not found.detected
    assert not size.detected
    independent = replace(plan, scale_squared=max(Fraction(1), Fraction(m * c) / (2 * rho)))
    control = spread_audit(independent, dict.fromkeys(range(m // c), c), rho, 1000)
    assert control.detected
    record(
        "R5",
        f"whole stream, {name}, totals over 96 windows",
        measured=f"mu = {found.measured:.3f} (s.e. {found.error:.3f}), by size {size.measured:.4f} (s.e. {size.error:.4f})",
        claim=f"<= {found.claimed:.3f}",
        caught=[f"sigma of independent noise ({control.measured:.2f})"],
    )


def test_readings_on_both_sides_of_a_restart(record: Record) -> None:
    """AN-306, R5: 12 readings in 24 windows, six before a restart and six after it. Control: a sigma worked out for the six windows left.
    False alarms: 1e-9; the control is 13 standard errors above its claim, where 7 would do (1.15 times the budget)."""
    rho, steps, restart = Fraction(4), 24, 18
    plan = replace(plan_of(steps, rho, 12), restart=restart)
    presence = dict.fromkeys((*range(6), *range(restart, steps)), 1)
    found = audit(plan, presence, rho, 2000)
    assert not found.detected
    rederived = scale_squared(rho, steps - restart, steps - restart, 1)
    control = audit(replace(plan, rederived=rederived), presence, rho, 6000)
    assert control.detected
    spent = (control.measured / control.claimed) ** 2
    assert spent > 1.15
    assert cost(rederived, steps - restart, steps - restart, 1) <= rho, "each part alone keeps its claim"
    record(
        "R5",
        "whole stream, 12 readings around a restart, totals over 24 windows",
        measured=f"mu = {found.measured:.3f} (s.e. {found.error:.3f})",
        claim=f"<= {found.claimed:.3f}",
        caught=[f"sigma worked out anew after a restart ({spent:.2f} times the budget)"],
    )
