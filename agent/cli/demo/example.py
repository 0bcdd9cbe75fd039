"""A policy of somebody else's, made small enough for the demo: the same streams with the same noise, but minutes lived in seconds. Pure.

What is changed: unit, dates, notice and transport are the demo's, and every length of time by which readings are gathered (window, period,
the samples of a measured value) is divided by one number, so that the longest that all windows are multiples of becomes five seconds.
"""

from dataclasses import replace
from fractions import Fraction
from math import gcd

from agent.errors import PolicyError
from agent.policy.compile import compile_policy, decompile_policy
from agent.policy.model import Policy, Stream, Unit
from agent.policy.modes import CoarsePrivacy, Privacy, ScalarPrivacy

WINDOW_S = 5
GRACE_S = Fraction(1, 2)
STREET = "street"
"""The board's own channel (firmware_bridge.simulator), which it has whatever the policy wants."""


def shortened(policy: Policy, unit: Unit, *, issued: int, expires: int, notice_s: int) -> Policy:
    """`policy` as the demo's `unit` runs it, in force from `issued` to `expires` (Unix seconds) after `notice_s` on air.

    Raises PolicyError for one that cannot be made so small.
    """
    if any(stream.channel == STREET for stream in policy.streams):
        raise PolicyError("channel", expected=f"any name but {STREET}, which the demo's board has already", got=STREET)
    common_s = gcd(*(stream.window_s for stream in policy.streams))
    by = max(Fraction(1), Fraction(common_s, WINDOW_S))
    period_s = policy.period_s / by
    if period_s.denominator != 1:
        raise PolicyError(
            "windows", expected=f"windows of which {WINDOW_S} s can be made", got=f"multiples of {common_s} s"
        )
    small = replace(
        policy,
        unit=unit,
        transport="any",
        issued=issued,
        effective=issued,
        expires=expires,
        notice_s=notice_s,
        period_s=int(period_s),
        demo=True,
        streams=tuple(_stream(stream, by) for stream in policy.streams),
    )
    return decompile_policy(compile_policy(small))  # which holds it to all rules of a policy


def channels(policy: Policy) -> tuple[str, ...]:
    """What the board must measure, as `firmware_bridge.simulator --also` takes it."""
    found: dict[tuple[str, str], dict[str, None]] = {}
    for stream in policy.streams:
        found.setdefault((stream.channel, stream.kind), {}).update(dict.fromkeys(stream.classes))
    return tuple(":".join((*channel, *([",".join(classes)] if classes else []))) for channel, classes in found.items())


def _stream(stream: Stream, by: Fraction) -> Stream:
    return replace(
        stream,
        window_s=int(stream.window_s / by),
        grace_s=min(stream.grace_s, GRACE_S),
        privacy=_privacy(stream.privacy, by),
    )


def _privacy(privacy: Privacy, by: Fraction) -> Privacy:
    """Samples come once a second, in the demo too: fewer of them, of a person as well. A person costs what the policy says, all of it the mean's
    where percentiles are left out."""
    match privacy:
        case ScalarPrivacy():
            samples, m, c = (_part(count, by) for count in (privacy.samples, privacy.m, privacy.c))
            short = replace(privacy, samples=samples, m=m, c=c)
            if privacy.percentiles and not short.steady:  # the few samples of a demo's window cannot tell them
                short = replace(short, percentiles=(), percentiles_rho=Fraction(0))
            return short
        case CoarsePrivacy():
            return replace(privacy, min_samples=max(2, _part(privacy.min_samples, by)))
        case _:
            return privacy


def _part(count: int, by: Fraction) -> int:
    return max(1, -int(-count // by))
