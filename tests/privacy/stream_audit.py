"""Whole-stream audits of running totals: all published numbers of a period, whitened, and the best linear test of whether somebody was there.

An attacker who knows the true counts but for one person's subtracts them, undoes the correlation of the noise (its coefficients are public)
and projects on what that person's readings shift. For Gaussian noise no test is better; mu is how many standard deviations apart the two
cases are, and rho-zCDP allows sqrt(2 rho).
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.counter import Counter
from agent.local.randomness import random_bytes
from agent.policy import factorisation
from tests.privacy.statistics import confirmed

Floats = NDArray[np.float64]
Presence = Mapping[int, int]
"""Window of the period -> a person's readings in it."""

STREET = 40
"""Everybody else's count in each window; the attacker knows it."""

ERRORS = 4
"""Standard errors that an honest measurement may lie above its claim: twice in a row (`confirmed`) it is beyond them once in 10^9 times."""


class Bound(NamedTuple):
    """What was measured, its standard error, and what is claimed; `detected` when it is above the claim by more than chance."""

    measured: float
    error: float
    claimed: float

    @property
    def detected(self) -> bool:
        return self.measured > self.claimed + ERRORS * self.error


@dataclass(frozen=True, slots=True)
class Plan:
    """How a period is counted: a counter of `steps` windows and, from window `restart` on (steps: never), what goes on after a restart.

    `rederived` is the mistake of a fresh counter for the windows that remain, with a sigma of its own.
    """

    steps: int
    scale_squared: Fraction
    restart: int
    rederived: Fraction | None = None


def whitening(plan: Plan) -> Floats:
    """U of the mechanism as it ran: the rows after a restart know nothing of the columns before it."""
    given = factorisation.coefficients(plan.steps)
    c, r, s = (np.array(part, dtype=np.float64) for part in (given.c, given.r, given.s))
    u = np.zeros((plan.steps, plan.steps))
    for t in range(plan.steps):
        first = plan.restart if t >= plan.restart else 0
        u[t, first:t] = c[t - first : 0 : -1] * r[first:t] / 2.0**40
        u[t, t] = 2.0**16 / s[t]
    return u


def published(plan: Plan, presence: Presence, runs: int) -> Floats:
    """Published counts of `runs` independent periods in which the person was there as said: one row a window."""
    counter = Counter(plan.steps, plan.scale_squared, runs)
    rows = []
    for t in range(plan.steps):
        if t == plan.restart:
            scale, steps = plan.scale_squared, plan.steps
            if plan.rederived is not None:
                scale, steps = plan.rederived, plan.steps - plan.restart
            counter = Counter(steps, scale, runs)
        window = t - plan.restart if plan.rederived is not None and t >= plan.restart else t
        counts = np.full(runs, STREET + presence.get(t, 0), dtype=np.int64)
        rows.append(counter.step(window, counts, random_bytes).increments)
    return np.array(rows, dtype=np.float64)


def audit(plan: Plan, presence: Presence, rho: Fraction, runs: int) -> Bound:
    """mu of the best linear test, from `runs` periods with the person and as many without."""
    return confirmed(lambda: _audit(plan, presence, rho, runs), lambda found: found.detected)


def spread_audit(plan: Plan, presence: Presence, rho: Fraction, runs: int) -> Bound:
    """The same mu from the size of the noise alone: |U v| over the root mean square of all whitened numbers. Far more exact, blind to shifts."""
    return confirmed(lambda: _spread_audit(plan, presence, rho, runs), lambda found: found.detected)


def _audit(plan: Plan, presence: Presence, rho: Fraction, runs: int) -> Bound:
    u = whitening(plan)
    shift = u @ np.array([presence.get(t, 0) for t in range(plan.steps)])
    weights = shift.copy()
    if plan.rederived is not None:  # the attacker weighs by the noise that there was
        weights[plan.restart :] *= float(plan.scale_squared / plan.rederived)
    absent, there = ((weights @ u) @ (published(plan, who, runs) - STREET) for who in ({}, presence))
    spread = math.sqrt((absent.var(ddof=1) + there.var(ddof=1)) / 2)
    mu = float(there.mean() - absent.mean()) / spread
    return Bound(mu, math.sqrt(2 / runs + mu**2 / (4 * runs)), math.sqrt(2 * rho))


def _spread_audit(plan: Plan, presence: Presence, rho: Fraction, runs: int) -> Bound:
    u = whitening(plan)
    white = u @ (published(plan, {}, runs) - STREET)
    shift = np.linalg.norm(u @ np.array([presence.get(t, 0) for t in range(plan.steps)]))
    mu = float(shift / math.sqrt(float((white**2).mean())))
    return Bound(mu, mu / math.sqrt(2 * white.size), math.sqrt(2 * rho))
