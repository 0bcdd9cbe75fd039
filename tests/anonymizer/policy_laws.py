"""Every law of noise that a unit draws from under the policies that ship, found by asking the terms that such a unit would have."""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer.centred import FRACTION_BITS, CentredGaussian
from agent.anonymizer.counts import CountTerms, TotalsTerms
from agent.anonymizer.kinds import ScalarTerms, UniqueTerms, terms_for
from agent.anonymizer.noise import DiscreteGaussian, DiscreteLaplace, RandomBytes, WideGaussian
from agent.policy.model import Policy
from agent.policy.modes import Guaranteed
from agent.policy.parse import parse_policy
from tests.anonymizer.chi_square import exact_law

CONFIG = Path(__file__).parents[2] / "config"


class Law(Protocol):
    """A law on the integers that can be drawn from."""

    @property
    def bound(self) -> int: ...

    def draw(self, count: int, random_bytes: RandomBytes) -> NDArray[np.int64]: ...


@dataclass(frozen=True)
class Centred:
    """The noise of one window of running totals: a variance, and a centre `fraction` / 2^56 below zero."""

    variance: Fraction
    fraction: int

    @cached_property
    def _source(self) -> CentredGaussian:
        return CentredGaussian(self.variance)

    @property
    def bound(self) -> int:
        """No draw is larger than this in magnitude."""
        return self._source.bound

    def draw(self, count: int, random_bytes: RandomBytes) -> NDArray[np.int64]:
        """`count` independent draws."""
        return self._source.draw(np.full(count, self.fraction, dtype=np.int64), random_bytes)


def laws_of(policy: Policy) -> Iterator[tuple[str, str, Law]]:
    """(stream, scale, law) of all noise under a policy. Of running totals: a period's first window, whose noise is the widest and centred at
    zero, and its last, whose noise is the narrowest, around a centre between two integers."""
    for stream in policy.streams:
        match terms_for(policy, stream, bytes(32)):
            case TotalsTerms(counter=counter):
                for position, fraction in ((0, 0), (counter.steps - 1, 3 << FRACTION_BITS - 3)):
                    law = Centred(counter._variance(position), fraction)
                    name = f"totals, window {position + 1} of {counter.steps}, sigma^2={float(law.variance):.6g}"
                    yield stream.name, name, law
            case UniqueTerms(noise=laplace):
                yield stream.name, f"Laplace rate={laplace.rate}", laplace
            case ScalarTerms(noise=noise) as terms:
                yield stream.name, f"Gaussian sigma^2={noise.sigma_squared}", noise
                if terms.privacy.percentiles:
                    cells = terms.cell_noise
                    yield stream.name, f"Gaussian sigma^2={cells.sigma_squared}", cells
            case CountTerms(noise=noise):
                yield stream.name, f"Gaussian sigma^2={noise.sigma_squared}", noise
            case _:
                assert not isinstance(stream.privacy, Guaranteed), f"{stream.name} draws noise of an unknown law"


def policies() -> Iterator[tuple[str, Policy]]:
    """Every policy that ships, and each with the running totals that it offers in a comment."""
    for path in [CONFIG / "policy.toml", *sorted((CONFIG / "examples").glob("*.toml"))]:
        text = path.read_text()
        yield path.name, parse_policy(text, path.name)
        if (offered := text.replace('totals = "none"', 'totals = "period"')) != text:
            yield f"{path.name} with totals", parse_policy(offered, path.name)


def by_scale() -> tuple[dict[str, Law], dict[str, list[str]]]:
    """The laws by their scales, each once; and the streams that draw from them."""
    laws: dict[str, Law] = {}
    streams: dict[str, list[str]] = {}
    for file, policy in policies():
        for stream, scale, law in laws_of(policy):
            laws.setdefault(scale, law)
            streams.setdefault(scale, []).append(f"{file}: {stream}")
    return laws, streams


def masses(law: Law, bound: int) -> NDArray[np.float64]:
    """P[X = k] in double precision for k = -bound .. bound, by the definition of the law."""
    match law:
        case DiscreteLaplace():
            rate = float(law.rate)
            return np.array([math.tanh(rate / 2) * math.exp(-abs(k) * rate) for k in range(-bound, bound + 1)])
        case Centred():
            offset, width = law.fraction / (1 << FRACTION_BITS), 2 * float(law.variance)
            weights = np.exp(-((np.arange(-bound, bound + 1) + offset) ** 2) / width)
            return np.asarray(weights / weights.sum())
        case DiscreteGaussian() | WideGaussian():
            return exact_law(law.sigma_squared, bound)
        case _:
            raise AssertionError(law)


def shown_bound(law: Law) -> int:
    """Beyond this there is less than 1e-20 of the law: cells for the chi-square test."""
    match law:
        case DiscreteLaplace():
            return min(law.bound, int(50 / law.rate))
        case Centred():
            return min(law.bound, math.isqrt(int(100 * law.variance)) + 1)
        case DiscreteGaussian() | WideGaussian():
            return min(law.bound, math.isqrt(int(100 * law.sigma_squared)))
        case _:
            raise AssertionError(law)
