"""The real release function, wide: `govern` on a stream of very many classes, each cell of which is one independent run."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.counts import CountTerms
from agent.anonymizer.kinds import terms_for
from agent.anonymizer.noise import RandomBytes, thresholds
from agent.anonymizer.window import Closed
from agent.contracts.aggregate import Cell
from agent.contracts.log import Charge
from agent.local.randomness import random_bytes
from agent.policy.model import Policy
from agent.policy.modes import CountPrivacy
from tests.anonymizer.one_window import count_privacy, govern
from tests.anonymizer.stage import make_policy

CONFIG = Path(__file__).parents[2] / "config"
POLICIES = [CONFIG / "policy.toml", *sorted((CONFIG / "examples").glob("*.toml"))]

HIDDEN = -(10**9)
"""How a cell without a number stands in an array."""

WIDTH = 1 << 17
START = 1_800_000_000

Ints = NDArray[np.int64]


def policy_of(rho: str, m: int = 4) -> Policy:
    """A policy with one counting stream at `rho` a person-period for a person who is counted `m` times."""
    policy = make_policy(window=5, rho=rho, cap=rho)
    privacy = policy.streams[0].privacy
    assert isinstance(privacy, CountPrivacy)
    return dataclasses.replace(
        policy, streams=(dataclasses.replace(policy.streams[0], privacy=dataclasses.replace(privacy, m=m)),)
    )


def wide_terms(policy: Policy, cells: int = WIDTH) -> CountTerms:
    """The terms of the policy's first stream as if it had `cells` classes."""
    stream = dataclasses.replace(policy.streams[0], classes=tuple(f"c{number}" for number in range(cells)))
    terms = terms_for(policy, stream, bytes(32))
    assert isinstance(terms, CountTerms)
    return terms


def release(terms: CountTerms, counts: Ints, random: RandomBytes = random_bytes) -> Ints:
    """What is published of these true counts; HIDDEN where a cell is suppressed."""
    charge = Charge(count_privacy(terms.stream).charge)
    aggregate = govern(Closed(START, counts, 100, None), terms, charge, None, 0, random)
    return np.array([HIDDEN if isinstance(value, Cell) else value for _, value in aggregate.cells], dtype=np.int64)


def runs(terms: CountTerms, count: int, times: int) -> Ints:
    """`times` independent releases of one true count."""
    width = len(terms.stream.classes)
    parts = [release(terms, np.full(width, count, dtype=np.int64)) for _ in range(-(-times // width))]
    return np.concatenate(parts)[:times]


class Table:
    """A broken variant's noise: inversion of a table for any variance, under the name of another; claims what govern checks."""

    def __init__(self, claimed: Fraction, actual: Fraction) -> None:
        self.sigma_squared = claimed
        cumulated = thresholds(actual)
        self.bound = len(cumulated) // 2
        self._cumulated = np.array([t >> 129 for t in cumulated], dtype=np.int64)

    def draw(self, count: int, random_bytes: RandomBytes) -> Ints:
        """Draws to 63 bits, enough to be told from another variance."""
        uniform = (np.frombuffer(random_bytes(8 * count), dtype="<u8") >> np.uint64(1)).astype(np.int64)
        return np.searchsorted(self._cumulated, uniform, side="right") - self.bound


def broken(terms: CountTerms, factor: Fraction) -> CountTerms:
    """The same terms with noise of `factor` times the variance."""
    lie = dataclasses.replace(terms)
    lie.__dict__["noise"] = Table(terms.strength, terms.strength * factor)
    return lie
