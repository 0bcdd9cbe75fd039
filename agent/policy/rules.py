"""The rules between the fields of a policy, each with its own message. Pure.

A value can be well-formed and still impossible beside another: these rules are checked for every policy, read from text or from
CBOR, so that a `Policy` that exists keeps all of them.
"""

from collections.abc import Sequence

from agent.policy.model import Policy, Stream
from agent.policy.words import exact_words, time_words
from agent.wire import toml

DAY_S = 86_400

MAX_LIFE_S = 1_827 * DAY_S
"""Five years, two leap days included: every policy has a sunset that people live to see."""

MIN_NOTICE_S = DAY_S
"""A real unit is announced for a day at least; only a demonstration may be quicker."""

MIN_SIGMA_SQUARED = 1
MAX_SIGMA_SQUARED = 2**20
"""The sampler's range: below it the noise is too coarse for the claimed bound to be tight, above it counts drown."""

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


def check(policy: Policy, top: toml.Table, streams: Sequence[toml.Table]) -> None:
    """Refuse, at the key to change, a policy whose fields do not fit together. Raises the tables' error class."""
    _dates(policy, top.table("dates"))
    _period(policy, top.table("budget"))
    _promises(policy.access, top.table("access"))
    _promises(policy.storage, top.table("storage"))
    names: set[str] = set()
    for stream, table in zip(policy.streams, streams, strict=True):
        if stream.name in names:
            table.refuse("name", expected="a name that no other stream has", got=repr(stream.name))
        names.add(stream.name)
        _windows(policy, stream, table)
        _privacy(policy, stream, table.table("privacy"))
    total = sum((stream.privacy.rho for stream in policy.streams), start=policy.cap_rho * 0)
    if total > policy.cap_rho:
        top.table("budget").refuse(
            "cap_rho",
            expected=f"at least the sum of rho over all streams, {exact_words(total)}",
            got=exact_words(policy.cap_rho),
            remedy="lower a stream's rho (more noise) or raise the cap",
        )


def _dates(policy: Policy, table: toml.Table) -> None:
    if policy.effective < policy.issued:
        table.refuse("effective", expected="issued or later", got="an earlier time")
    if policy.expires <= policy.effective:
        table.refuse("expires", expected="later than effective", got="the same or an earlier time")
    if policy.expires - policy.issued > MAX_LIFE_S:
        table.refuse(
            "expires",
            expected="at most 5 years after issued",
            got=f"{(policy.expires - policy.issued) // DAY_S} days after it",
            remedy="a policy ends within five years; issue a new version then",
        )
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


def _promises(chosen: Sequence[str], table: toml.Table) -> None:
    for one, other in _CONTRADICTIONS:
        if one in chosen and other in chosen:
            table.refuse("elements", expected=f"{one} or {other}", got="both")


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
    if privacy.c > privacy.m:
        table.refuse(
            "c",
            expected=f"at most m = {privacy.m}",
            got=str(privacy.c),
            remedy="c counts one window, m the whole period",
        )
    needed = -(-privacy.m // privacy.c)
    windows = policy.period_s // stream.window_s
    if needed > windows:
        table.refuse(
            "m",
            expected=f"at most {windows * privacy.c}: {windows} windows in a period, {privacy.c} a window",
            got=str(privacy.m),
        )
    if not MIN_SIGMA_SQUARED <= privacy.sigma_squared <= MAX_SIGMA_SQUARED:
        table.refuse(
            "rho",
            expected=f"a rho for which the noise variance is from {MIN_SIGMA_SQUARED} to {MAX_SIGMA_SQUARED:,}",
            got=f"a variance of {float(privacy.sigma_squared):.6g}",
            remedy="raise rho for less noise, lower it for more",
        )
    if privacy.tau > privacy.max_count:
        table.refuse(
            "max_count",
            expected=f"at least the threshold on noisy counts, {privacy.tau}",
            got=str(privacy.max_count),
            remedy="with this pair no cell would ever be published",
        )
