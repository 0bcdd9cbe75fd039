"""A policy's privacy figures in words that a data steward can read. Pure."""

import textwrap
from collections.abc import Iterator
from fractions import Fraction

from agent.cli.privacy_lost import Lost
from agent.cli.privacy_report import Cost, Noise, Report, Spent, StreamFigures
from agent.policy.epsilon import DELTA
from agent.policy.guarantee import NO_GUARANTEE
from agent.policy.words import day_words, exact_words, time_words

_HALF = Fraction(1, 2)
"""Of a stream's numbers: when more are suppressed the report says what helps."""


def text(found: Report, name: str, log: str = "") -> str:
    """The report in words; `name` is what the policy's file is called, `log` the log's folder."""
    return "\n".join(_lines(found, name, log)) + "\n"


def _lines(found: Report, name: str, log: str) -> Iterator[str]:
    period = time_words(found.period_s)
    month = time_words(found.period_s * found.periods)
    yield f"{name}: {found.unit}, version {found.version}"
    yield ""
    yield "One person, over all streams with noise together"
    if found.period.rho:
        yield from _row(f"in {period}", f"{_cost(found.period)}; the policy's cap is rho {exact_words(found.cap.rho)}")
        yield from _row(f"in {month}", f"{_cost(found.month)}, for one who is there every time")
        yield from _row(
            "which means",
            f"whoever guesses from their numbers whether a person was there is right at most {found.right_in_100} times in 100 "
            f"for {period}, {found.right_in_100_month} for {month}; 50 is guessing",
        )
    else:
        yield from _row(f"in {period}", "no stream has noise: nothing is promised about any person")
    if found.unprotected:
        yield from _row("not protected", f"{', '.join(found.unprotected)}: people cause them and they carry no noise")
    for stream in found.streams:
        yield ""
        yield f"{stream.name}: {stream.kind}, {stream.says}; every {time_words(stream.window_s)}"
        for noise in stream.noises:
            yield from _row("noise", _noise(noise))
        if not stream.noises:
            yield from _row("noise", f"none: {_bare(stream)}")
        if stream.shown_from:
            yield from _row("shown", f"from {stream.shown_from}; under it the word `suppressed` stands instead")
        yield from _suppressed(stream)
        if stream.period is not None and stream.month is not None:
            yield from _row("one person", f"{stream.presence}: {_cost(stream.period)}")
            yield from _row(f"in {month}", _cost(stream.month))
    yield ""
    if found.spent is not None:
        yield from _spent(found.spent, period, log)
        yield ""
    yield from textwrap.wrap(
        f"epsilon is what the same protection is called in (epsilon, delta) differential privacy at delta = 1/{DELTA.denominator:,}, rounded up; "
        "rho (zCDP) is what the unit counts in. Smaller is safer. Twice the rho is 0.7 times the deviation.",
        width=100,
    )


def _suppressed(stream: StreamFigures) -> Iterator[str]:
    """By hour, in three columns of eight."""
    if not stream.lost:
        return
    *hours, day = stream.lost
    yield from _row(
        "suppressed",
        f"{stream.lost_on}, by hour of the day: the share of the numbers to expect, and of what they would have counted",
    )
    height = -(-len(hours) // 3)
    for place in range(height):
        yield from _row("", "      ".join(_share_words(one) for one in hours[place::height]))
    hint = "; running totals hold it" if len(stream.noises) > 1 else ""
    hint += "; longer windows lose less" if day.numbers > _HALF else ""
    yield from _row("", f"{_share_words(day)}; sums of what is left are biased low{hint}")


def _share_words(lost: Lost) -> str:
    when = "all day" if lost.hour is None else f"{lost.hour:>2}:00"
    counted = "-" if lost.counted is None else f"{float(lost.counted):.1%}"
    return f"{when} {float(lost.numbers):>6.1%} {counted:>6}"


def _row(head: str, words: str) -> Iterator[str]:
    """One fact, its words wrapped beside its head."""
    first, *more = textwrap.wrap(words, width=96)
    yield f"    {head:<16} {first}"
    yield from (f"    {'':<16} {line}" for line in more)


def _noise(noise: Noise) -> str:
    unit = f" {noise.unit}" if noise.unit else ""
    return (
        f"standard deviation {exact_words(noise.deviation)}{unit}; at least 95 of 100 times {noise.of} is within "
        f"{exact_words(noise.within)}{unit} of the true one"
    )


def _bare(stream: StreamFigures) -> str:
    if stream.mode == "none":
        return "as measured, for what no person causes"
    return f"{stream.mode}, {NO_GUARANTEE}"


def _cost(cost: Cost) -> str:
    return f"rho {exact_words(cost.rho)}, epsilon {exact_words(cost.epsilon)}"


def _spent(spent: Spent, period: str, log: str) -> Iterator[str]:
    yield f"So far, by the log {log}"
    if not spent.ends_at:
        yield from _row("windows", "none yet")
        return
    yield from _row(
        "windows",
        f"{spent.released} released and {spent.lost} lost (charged as if released), from {day_words(spent.begins_at)} to {day_words(spent.ends_at)}",
    )
    yield from _row(f"newest {period}", _cost(spent.newest_period))
    yield from _row("lifetime", f"{_cost(spent.lifetime)}, for one who was there in every {period} so far")
