"""The rules between the fields of a policy, each with its own message. Pure.

A value can be well-formed and still impossible beside another: these rules are checked for every policy, read from text or from
CBOR, so that a `Policy` that exists keeps all of them.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import assert_never

from agent.policy.factorisation import MAX_STEPS, few_enough
from agent.policy.model import Policy, Stream
from agent.policy.modes import (
    BITMAP_CELLS,
    UNSTEADY,
    CoarsePrivacy,
    CountPrivacy,
    Guaranteed,
    NoPrivacy,
    ScalarPrivacy,
    ThresholdOnly,
    UniquePrivacy,
)
from agent.policy.values import DAY_S, check_life
from agent.policy.vocabulary import QUANTITIES
from agent.policy.words import exact_words, root_words, time_words
from agent.wire import toml

MIN_NOTICE_S = DAY_S
"""A real unit is announced for a day at least; only a demonstration may be quicker."""

MIN_SIGMA_SQUARED = 1
MAX_SIGMA_SQUARED = 2**20
"""The sampler's range: below it the noise is too coarse for the claimed bound to be tight, above it counts drown."""

MAX_SCALAR_SIGMA_SQUARED = 2**40
"""A sum of thousands of samples carries larger noise; beyond this the mean says nothing."""

MAX_SPAN = 100_000
"""Grid steps between the bounds of a scalar: enough for 0.001 of a hundred; more makes every message longer for nothing."""

_CONTRADICTIONS = (
    ("available_to_the_accountable_organization", "not_available_to_the_accountable_organization"),
    ("available_to_vendor", "not_available_to_vendor"),
    ("available_to_download", "not_available_to_me"),
    ("available_to_download", "not_available_to_the_accountable_organization"),
    ("available_to_download", "not_available_to_vendor"),
    ("stored_primarily_locally", "stored_primarily_internationally"),
    ("stored_locally", "stored_primarily_internationally"),
)
"""Pairs of promises that cannot both be kept."""


def check(policy: Policy, top: toml.Table, audiences: Sequence[toml.Table], streams: Sequence[toml.Table]) -> None:
    """Refuse, at the key to change, a policy whose fields do not fit together. Raises the tables' error class."""
    _dates(policy, top.table("dates"))
    _period(policy, top.table("budget"))
    _distinct([audience.name for audience in policy.audiences], audiences, "audience")
    _distinct([stream.name for stream in policy.streams], streams, "stream")
    for stream, table in zip(policy.streams, streams, strict=True):
        _receivers(policy, stream, table)
    _audiences(policy, top, audiences)
    for stream, table in zip(policy.streams, streams, strict=True):
        _windows(policy, stream, table)
        _privacy(policy, stream, table.table("privacy"))
    if policy.spent_rho > policy.cap_rho:
        top.table("budget").refuse(
            "cap_rho",
            expected=f"at least the sum of rho over all streams, {exact_words(policy.spent_rho)}",
            got=exact_words(policy.cap_rho),
            remedy="lower a stream's rho (more noise) or raise the cap",
        )


def _distinct(names: Sequence[str], tables: Sequence[toml.Table], what: str) -> None:
    for place, (name, table) in enumerate(zip(names, tables, strict=True)):
        if name in names[:place]:
            table.refuse("name", expected=f"a name that no other {what} has", got=repr(name))


def _dates(policy: Policy, table: toml.Table) -> None:
    if policy.effective < policy.issued:
        table.refuse("effective", expected="issued or later", got="an earlier time")
    if policy.expires <= policy.effective:
        table.refuse("expires", expected="later than effective", got="the same or an earlier time")
    check_life(table, policy.issued, policy.expires, "a policy ends within five years; issue a new version then")
    if not policy.demo and policy.notice_s < MIN_NOTICE_S:
        table.refuse(
            "notice",
            expected="at least 1 day",
            got=time_words(policy.notice_s),
            remedy="only a demonstration (demo = true) may give shorter notice",
        )


def _period(policy: Policy, table: toml.Table) -> None:
    if not policy.demo and policy.period_s != DAY_S:
        table.refuse(
            "period",
            expected="24 hours",
            got=time_words(policy.period_s),
            remedy="only a demonstration (demo = true) may have a shorter period",
        )


def _audiences(policy: Policy, top: toml.Table, tables: Sequence[toml.Table]) -> None:
    seen: list[str] = []
    for audience, table in zip(policy.audiences, tables, strict=True):
        if not any(audience.name in stream.receivers for stream in policy.streams):
            table.refuse(
                "name",
                expected="an audience that receives a stream",
                got=repr(audience.name),
                remedy="no stream names it",
            )
        if audience.access == "available_to_vendor" and not policy.vendors:
            table.refuse(
                "access",
                expected="at least one vendor in [accountable]",
                got="none",
                remedy='say who it is: vendors = ["…"]',
            )
        _promises([*seen, audience.access], table, "access")
        _promises(audience.storage, table, "storage")
        seen.append(audience.access)
    _promises(policy.access, top.table("access"), "denied")


def _promises(chosen: Sequence[str], table: toml.Table, key: str) -> None:
    for one, other in _CONTRADICTIONS:
        if one in chosen and other in chosen:
            table.refuse(key, expected=f"{one} or {other}", got="both")


def _receivers(policy: Policy, stream: Stream, table: toml.Table) -> None:
    known = [audience.name for audience in policy.audiences]
    for i, receiver in enumerate(stream.receivers):
        if receiver not in known:
            table.refuse(
                "receivers",
                item=i,
                expected="the name of an [[audience]]",
                got=repr(receiver),
                remedy=toml.nearest(receiver, known) or "known: " + ", ".join(known),
            )


def _windows(policy: Policy, stream: Stream, table: toml.Table) -> None:
    if DAY_S % stream.window_s:
        table.refuse(
            "window",
            expected="a window that divides a day without rest, such as 5, 10, 15, 20, 30 or 60 minutes",
            got=time_words(stream.window_s),
        )
    if policy.period_s % stream.window_s:
        table.refuse(
            "window",
            expected=f"a window that divides the period of {time_words(policy.period_s)} without rest",
            got=time_words(stream.window_s),
        )
    if stream.grace_s >= stream.window_s:
        table.refuse(
            "grace",
            expected=f"less than the window of {time_words(stream.window_s)}",
            got=time_words(stream.grace_s),
        )


def _privacy(policy: Policy, stream: Stream, table: toml.Table) -> None:
    privacy = stream.privacy
    windows = policy.period_s // stream.window_s
    match privacy:
        case CountPrivacy():
            _presence(privacy, windows, table)
            if privacy.totals:
                _totals(privacy, windows, table)
                _noise(privacy.scale_squared, MAX_SIGMA_SQUARED, "rho", table)
            _noise(privacy.sigma_squared, MAX_SIGMA_SQUARED, "rho", table)
            _shown(privacy.tau, privacy.max_count, table)
        case ThresholdOnly():
            _shown(privacy.k, privacy.max_count, table)
        case UniquePrivacy():
            if privacy.m > windows:
                table.refuse("m", expected=f"at most {windows}, the windows in a period", got=str(privacy.m))
            _noise(privacy.sigma_squared, MAX_SIGMA_SQUARED, "epsilon", table)
            if privacy.tau > BITMAP_CELLS:
                table.refuse("k", expected=f"a threshold of at most {BITMAP_CELLS:,}", got=str(privacy.tau))
        case ScalarPrivacy():
            _range(privacy.low, privacy.high, privacy.step, table)
            _presence(privacy, windows, table)
            if privacy.c > privacy.samples:
                table.refuse("c", expected=f"at most samples = {privacy.samples}", got=str(privacy.c))
            _samples("samples", privacy.samples, stream, table)
            if privacy.percentiles:
                _percentiles(privacy, table)
            _noise(privacy.sigma_squared, MAX_SCALAR_SIGMA_SQUARED, "rho", table)
        case CoarsePrivacy():
            _range(privacy.low, privacy.high, privacy.step, table)
            _samples("min_samples", privacy.min_samples, stream, table)
            if QUANTITIES[stream.quantity].private:
                _refuse_mode(stream, table, "it tells of the few people in a room")
        case NoPrivacy():
            _range(privacy.low, privacy.high, privacy.step, table)
            if QUANTITIES[stream.quantity].person_derived:
                _refuse_mode(stream, table, "people cause it")
            for other in policy.streams:
                if _of_people(other) and (other.channel == stream.channel or other.technology == stream.technology):
                    _refuse_mode(stream, table, f"its sensor also serves {other.name}, which people cause")
        case _:
            assert_never(privacy)
    _beside(policy, stream, table)


def _beside(policy: Policy, stream: Stream, table: toml.Table) -> None:
    """No noise hides what another stream tells of the same readings."""
    if isinstance(stream.privacy, Guaranteed):
        return
    for other in policy.streams:
        if other.channel == stream.channel and isinstance(other.privacy, Guaranteed):
            table.refuse(
                "mode",
                expected=f"dp, as {other.name} promises a guarantee for channel {stream.channel}",
                got=repr(stream.privacy.mode),
                remedy=f"give it noise too, or leave out one of {other.name} and {stream.name}",
            )


def _presence(privacy: CountPrivacy | ScalarPrivacy, windows: int, table: toml.Table) -> None:
    if privacy.c > privacy.m:
        table.refuse(
            "c",
            expected=f"at most m = {privacy.m}",
            got=str(privacy.c),
            remedy="c counts one window, m the whole period",
        )
    if -(-privacy.m // privacy.c) > windows:
        table.refuse(
            "m",
            expected=f"at most {windows * privacy.c}: {windows} windows in a period, {privacy.c} a window",
            got=str(privacy.m),
        )


def _totals(privacy: CountPrivacy, windows: int, table: toml.Table) -> None:
    if not 2 <= windows <= MAX_STEPS:
        table.refuse(
            "totals",
            expected=f"none, or 2 to {MAX_STEPS:,} windows in a period",
            got=f"{windows:,} windows" if windows > 1 else "1 window",
            remedy="use longer windows, or no running totals" if windows > 1 else "its number is the total",
        )
    if not few_enough(windows, privacy.m, privacy.c):
        table.refuse(
            "m",
            expected=f"at most {windows // 2 * privacy.c} with running totals: half of the {windows} windows, {privacy.c} a window",
            got=str(privacy.m),
            remedy='for people who are there so often totals = "none" is better',
        )


def _percentiles(privacy: ScalarPrivacy, table: toml.Table) -> None:
    if privacy.percentiles_rho >= privacy.rho:
        table.refuse(
            "percentiles_rho",
            expected=f"less than rho = {exact_words(privacy.rho)}, of which the mean needs a part too",
            got=exact_words(privacy.percentiles_rho),
        )
    _noise(privacy.cell_sigma_squared, MAX_SCALAR_SIGMA_SQUARED, "percentiles_rho", table)
    if not privacy.steady:
        table.refuse(
            "percentiles_rho",
            expected=f"noise in each cell with a standard deviation of at most {exact_words(Fraction(privacy.samples, UNSTEADY))},"
            f" 1 in {UNSTEADY} of the samples",
            got=root_words(privacy.cell_sigma_squared),
            remedy="raise percentiles_rho, use longer windows, or leave the percentiles out",
        )


def _noise(sigma_squared: Fraction, highest: int, key: str, table: toml.Table) -> None:
    if not MIN_SIGMA_SQUARED <= sigma_squared <= highest:
        table.refuse(
            key,
            expected=f"a {key} for which the noise variance is from {MIN_SIGMA_SQUARED} to {highest:,}",
            got=f"a variance of {float(sigma_squared):.6g}",
            remedy=f"raise {key} for less noise, lower it for more",
        )


def _shown(tau: int, max_count: int, table: toml.Table) -> None:
    if tau > max_count:
        table.refuse(
            "max_count",
            expected=f"at least the threshold on {'noisy ' if table.has('rho') else ''}counts, {tau}",
            got=str(max_count),
            remedy="with this pair no cell would ever be published",
        )


def _range(low: Fraction, high: Fraction, step: Fraction, table: toml.Table) -> None:
    if high <= low:
        table.refuse("high", expected=f"more than low = {exact_words(low)}", got=exact_words(high))
    spans = (high - low) / step
    if spans.denominator != 1 or low % step:
        table.refuse(
            "step",
            expected="a step of which both low and high are multiples",
            got=exact_words(step),
        )
    if spans > MAX_SPAN:
        table.refuse("step", expected=f"at most {MAX_SPAN:,} steps from low to high", got=f"{int(spans):,}")


def _samples(key: str, samples: int, stream: Stream, table: toml.Table) -> None:
    if samples > stream.window_s:
        table.refuse(key, expected=f"at most one a second, {stream.window_s} in a window", got=str(samples))


def _refuse_mode(stream: Stream, table: toml.Table, why: str) -> None:
    mode = stream.privacy.mode
    table.refuse(
        "mode",
        expected=f"a protected mode for {stream.quantity}",
        got=repr(mode),
        remedy=f"{why}: use dp" + ("" if mode == "coarse" or QUANTITIES[stream.quantity].private else " or coarse"),
    )


def _of_people(stream: Stream) -> bool:
    """Is what the stream measures caused by persons?"""
    return stream.kind != "scalar" or QUANTITIES[stream.quantity].person_derived
