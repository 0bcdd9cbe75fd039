"""A day of the demo's street (privacy_day) as it is and as a policy would publish it, drawn as SVG: parameters can be chosen by looking. Pure
but for its noise.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from html import escape
from itertools import islice
from math import log10

from agent.anonymizer.noise import DiscreteLaplace, RandomBytes, gaussian
from agent.cli.privacy_day import counted, street_day
from agent.policy.model import Policy, Stream
from agent.policy.modes import CoarsePrivacy, CountPrivacy, NoPrivacy, ScalarPrivacy, ThresholdOnly, UniquePrivacy
from agent.policy.vocabulary import QUANTITIES
from agent.policy.words import exact_words, time_words

MAX_PANELS = 12

_WIDTH, _HEIGHT, _LEFT, _TOP, _PLOT_WIDTH, _PLOT_HEIGHT = 960, 250, 70, 46, 860, 150
_HEAD = 'font-family="sans-serif" font-size="14" font-weight="bold" fill="#222"'
_SMALL = 'font-family="sans-serif" font-size="12" fill="#555"'
_BAND = 'fill="#1b6ca8" fill-opacity="0.15"'
_TRUE = 'fill="none" stroke="#1b6ca8" stroke-width="2"'
_PUBLISHED = 'fill="#c1440e"'
_SUPPRESSED = 'stroke="#c1440e" stroke-width="2"'
_AXIS = 'stroke="#888" stroke-width="1" stroke-dasharray="2 4"'
"""Attributes, not a style sheet: office programs and printers read them too."""


@dataclass(frozen=True, slots=True)
class Panel:
    """One number over a day: true and published (None where suppressed) by window, and the half width of the 95 % interval."""

    title: str
    window_s: int
    true: tuple[float, ...]
    published: tuple[float | None, ...]
    within: float

    @property
    def caption(self) -> str:
        """What the picture shows, in words."""
        shown = [(t, p) for t, p in zip(self.true, self.published, strict=True) if p is not None]
        hidden = len(self.true) - len(shown)
        words = [f"{hidden} of {len(self.true)} windows suppressed"] if hidden else []
        if shown:
            errors = sorted(abs(p - t) for t, p in shown)
            words.append(f"typical error {errors[len(errors) // 2]:.3g}")
            busiest = max(self.true)
            if busiest > 0:
                words.append(f"95 of 100 within {100 * self.within / busiest:.2g} % of the busiest window")
        return "; ".join(words)


def panels(policy: Policy, random_bytes: RandomBytes) -> list[Panel]:
    """At most MAX_PANELS, in the policy's order; one draw of noise each."""
    return list(islice((panel for stream in policy.streams for panel in _panels(stream, random_bytes)), MAX_PANELS))


def _panels(stream: Stream, random_bytes: RandomBytes) -> Iterator[Panel]:
    privacy = stream.privacy
    every = f"every {time_words(stream.window_s)}"
    if isinstance(privacy, CountPrivacy | ThresholdOnly):
        stays = ", stays of one length" if stream.kind == "duration" else ""
        for name, true in zip(stream.classes, counted(stream), strict=True):
            yield _count(f"{stream.name}: {name}{stays}, {every}", stream.window_s, true, privacy, random_bytes)
    elif isinstance(privacy, UniquePrivacy):
        (devices,) = counted(stream)
        laplace = DiscreteLaplace(privacy.address_epsilon)
        noisy = [n + x for n, x in zip(devices, laplace.draw(len(devices), random_bytes).tolist(), strict=True)]
        yield Panel(
            f"{stream.name}: different devices, {every}",
            stream.window_s,
            tuple(map(float, devices)),
            tuple(float(n) if n >= privacy.tau else None for n in noisy),
            float(laplace.half_width(Fraction(1, 20))),
        )
    else:
        yield _scalar(stream, privacy, street_day(stream.window_s), every, random_bytes)


def _count(
    title: str, window_s: int, true: list[int], privacy: CountPrivacy | ThresholdOnly, random_bytes: RandomBytes
) -> Panel:
    """Noise, then the threshold on the noisy number; without noise the threshold alone."""
    if isinstance(privacy, ThresholdOnly):
        noisy, least, within = list(true), privacy.k, 0.0
        title += ", without noise"
    else:
        law = gaussian(privacy.sigma_squared)
        noisy = [count + x for count, x in zip(true, law.draw(len(true), random_bytes).tolist(), strict=True)]
        least, within = privacy.tau, 1.96 * float(privacy.sigma_squared) ** 0.5
    published = tuple(float(number) if number >= least else None for number in noisy)
    return Panel(title, window_s, tuple(map(float, true)), published, within)


def _scalar(
    stream: Stream,
    privacy: ScalarPrivacy | CoarsePrivacy | NoPrivacy,
    day: list[tuple[int, int, int]],
    every: str,
    random_bytes: RandomBytes,
) -> Panel:
    low, high = float(privacy.low), float(privacy.high)
    busiest = log10(1 + max(vehicles for _, _, vehicles in day))
    true = [low + (high - low) * log10(1 + vehicles) / max(busiest, 1e-9) for _, _, vehicles in day]
    title = f"{stream.name}: {stream.quantity} ({QUANTITIES[stream.quantity].unit}), {every}"
    if isinstance(privacy, ScalarPrivacy):
        unit = float(privacy.step) / privacy.samples
        draws = gaussian(privacy.sigma_squared).draw(len(true), random_bytes).tolist()
        published = [value + x * unit for value, x in zip(true, draws, strict=True)]
        within = 1.96 * float(privacy.mean_sigma_squared) ** 0.5
    else:
        step = float(privacy.step)
        published, within = [round(value / step) * step for value in true], step / 2
        title += f", in steps of {exact_words(privacy.step)}, without noise"
    return Panel(title, stream.window_s, tuple(true), tuple(published), within)


def svg(policy: Policy, random_bytes: RandomBytes) -> str:
    """The panels below one another, with a legend; needs no font, script or network."""
    drawn = panels(policy, random_bytes)
    height = 60 + _HEIGHT * len(drawn)
    unit = policy.unit
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" width="{_WIDTH}" height="{height}">',
        f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
        f'<text {_HEAD} x="{_LEFT}" y="24">{escape(f"{unit.city}/{unit.site}/{unit.name}, version {policy.version}: a working day of the demo")}'
        "&#8217;s street</text>",
        f'<text {_SMALL} x="{_LEFT}" y="44">blue: as it is, and where 95 of 100 published numbers lie; orange dots: published (one draw); '
        "orange strokes: suppressed</text>",
    ]
    for number, panel in enumerate(drawn):
        parts += _drawn(panel, 60 + _HEIGHT * number)
    return "\n".join([*parts, "</svg>", ""])


def _drawn(panel: Panel, top: int) -> Iterator[str]:
    values = [*panel.true, *(value for value in panel.published if value is not None)]
    low = min(0.0, *values) if min(values) < max(values) * 0.5 else min(values) - panel.within
    high = max([value + panel.within for value in panel.true] + values)
    scale = _PLOT_HEIGHT / (high - low or 1)
    floor = top + _TOP + _PLOT_HEIGHT
    across = _PLOT_WIDTH / len(panel.true)

    def at(number: int, value: float) -> str:
        return f"{_LEFT + across * (number + 0.5):.1f},{floor - (max(value, low) - low) * scale:.1f}"

    yield f'<text {_HEAD} x="{_LEFT}" y="{top + 18}">{escape(panel.title)}</text>'
    yield f'<text {_SMALL} x="{_LEFT}" y="{top + 36}">{escape(panel.caption)}</text>'
    for part in range(3):
        value = low + (high - low) * part / 2
        y = floor - _PLOT_HEIGHT * part / 2
        yield f'<line {_AXIS} x1="{_LEFT}" x2="{_LEFT + _PLOT_WIDTH}" y1="{y:.1f}" y2="{y:.1f}"/>'
        yield f'<text {_SMALL} x="{_LEFT - 8}" y="{y + 4:.1f}" text-anchor="end">{value:.4g}</text>'
    for hour in range(0, 25, 3):
        x = _LEFT + _PLOT_WIDTH * hour / 24
        yield f'<text {_SMALL} x="{x:.1f}" y="{floor + 20}" text-anchor="middle">{hour}:00</text>'
    upper = [at(n, value + panel.within) for n, value in enumerate(panel.true)]
    lower = [at(n, value - panel.within) for n, value in reversed(list(enumerate(panel.true)))]
    yield f'<polygon {_BAND} points="{" ".join([*upper, *lower])}"/>'
    yield f'<polyline {_TRUE} points="{" ".join(at(n, value) for n, value in enumerate(panel.true))}"/>'
    for number, published in enumerate(panel.published):
        x = _LEFT + across * (number + 0.5)
        if published is None:
            yield f'<line {_SUPPRESSED} x1="{x:.1f}" x2="{x:.1f}" y1="{floor + 1}" y2="{floor + 6}"/>'
        else:
            yield f'<circle {_PUBLISHED} cx="{x:.1f}" cy="{at(number, published).partition(",")[2]}" r="2"/>'
