"""Policies by the thousand: texts that the parser accepts, of every kind and mode, for property tests of everything compiled from them."""

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from agent.policy import vocabulary
from agent.policy.modes import ceil_sqrt

_WINDOWS_S = [60, 300, 900, 3600, 86_400]
_TEXT = st.text(alphabet="abcdefgh ÄéЖ中'\"\\-,.", min_size=1, max_size=40).map(lambda text: f"x{text}y")
_BY_ITSELF = {
    name: [quantity for quantity, facts in vocabulary.QUANTITIES.items() if facts.person_derived == derived]
    for name, derived in (("none", False), ("coarse", False), ("dp", True))
}


def quoted(text: str) -> str:
    """A TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def ratio(value: Fraction) -> str:
    """A TOML string that says an exact number."""
    return f'"{value.numerator}/{value.denominator}"'


@st.composite
def policies(draw: Any, kinds: tuple[str, ...] = ("count", "scalar", "duration", "unique")) -> str:
    """The text of a valid policy with one to three streams of these kinds."""
    demo = draw(st.booleans())
    audiences = draw(st.lists(st.sampled_from(vocabulary.GIVEN), min_size=1, max_size=3))
    names = [f"a{number}" for number in range(len(audiences))]
    made, total = [], Fraction(0)
    for number in range(draw(st.integers(1, 3))):
        text, rho = draw(_streams(number, names, draw(st.sampled_from(kinds))))
        made.append(text)
        total += rho
    days = draw(st.integers(1, 1500))
    purposes = draw(st.lists(st.sampled_from(vocabulary.PURPOSES), min_size=1, max_size=3, unique=True))
    labels = draw(st.lists(st.sampled_from(vocabulary.COMMUNITY_LABELS), max_size=2, unique=True))
    vendors = draw(st.lists(_TEXT, min_size=1, max_size=2, unique=True))
    denied = [] if "available_to_download" in audiences else draw(st.sampled_from([[], ["not_available_to_me"]]))
    channels = draw(st.lists(st.sampled_from(sorted(_CHANNELS)), min_size=1, unique=True))
    feedback = channels[: draw(st.integers(1, len(channels)))]
    return f"""
schema = 1
version = {draw(st.integers(1, 1000))}
demo = {str(demo).lower()}
transport = "{draw(st.sampled_from(vocabulary.TRANSPORTS))}"
[unit]
city = "c{draw(st.integers(0, 99))}"
site = "site"
name = "unit-{draw(st.integers(0, 99))}"
title = {quoted(draw(_TEXT))}
[location]
text = {quoted(draw(_TEXT))}
precision = "{draw(st.sampled_from(vocabulary.PRECISIONS))}"
[accountable]
name = {quoted(draw(_TEXT))}
vendors = [{", ".join(quoted(vendor) for vendor in vendors)}]
[contact]
{"".join(f"{channel} = {quoted(_CHANNELS[channel])}{chr(10)}" for channel in channels)}feedback = {feedback}
[purpose]
elements = {purposes}
{"".join(map(_audience, names, audiences, (draw(st.sampled_from(vocabulary.STORAGE)) for _ in names), (draw(st.integers(1, 4000)) for _ in names)))}
[access]
denied = {denied}
[data]
licence = "{draw(st.sampled_from([*vocabulary.LICENCES, "LicenseRef-ours"]))}"
community_labels = {labels}
collect_within = "{draw(st.integers(1, 600_000))} seconds"
[dates]
issued = 2026-09-01
effective = 2026-09-{draw(st.integers(1, 30)):02d}
expires = {2027 + days % 3}-01-{days % 28 + 1:02d}
notice = "{draw(st.integers(0, 100)) if demo else draw(st.integers(86_400, 2_000_000))} seconds"
[budget]
period = "24 hours"
cap_rho = {ratio(total + draw(st.integers(0, 3)))}
{"".join(made)}"""


_CHANNELS = {
    "address": "1 Main Street, Springfield",
    "phone": "+1 555 0100",
    "email": "data@springfield.example",
    "url": "https://springfield.example/sensors",
}


def _audience(name: str, access: str, storage: str, kept: int) -> str:
    return f"""
[[audience]]
name = "{name}"
access = "{access}"
storage = ["{storage}"]
kept = "{kept} days"
"""


@st.composite
def _streams(draw: Any, number: int, audiences: list[str], kind: str) -> tuple[str, Fraction]:
    """A stream and what it costs one person in a period."""
    window_s = draw(st.sampled_from(_WINDOWS_S))
    mode = draw(st.sampled_from(vocabulary.KIND_MODES[kind]))
    lines = [
        "[[stream]]",
        f'name = "s{number}"',
        f'channel = "channel_{number}"',
        f'kind = "{kind}"',
        f'window = "{window_s} seconds"',
        f'grace = "{draw(st.integers(0, 59_999)) / 1000:.3f} seconds"',
        f"receivers = {audiences}",
    ]
    technologies = vocabulary.KIND_TECHNOLOGIES[kind]
    if kind == "scalar":
        lines.append(f'quantity = "{draw(st.sampled_from(_BY_ITSELF[mode]))}"')
        # A sensor of values that nobody causes may not also serve others: see rules.
        technologies = ("weather_station", "air_quality") if mode == "none" else ("microphone", "sound_level_meter")
    elif kind != "unique":
        lines.append(f"classes = {[f'c{i}' for i in range(draw(st.integers(1, 5)))]}")
    if kind == "duration":
        edges = sorted(draw(st.sets(st.integers(1, 100_000), min_size=1, max_size=4)))
        lines.append(f"bins = {[f'{edge} seconds' for edge in edges]}")
    lines.append(f'technology = "{draw(st.sampled_from(technologies))}"')
    privacy, rho = draw(_privacy(kind, mode, window_s))
    lines += ["[stream.privacy]", f'mode = "{mode}"', *(f"{key} = {value}" for key, value in privacy.items())]
    return "\n".join(lines) + "\n", rho


@st.composite
def _privacy(draw: Any, kind: str, mode: str, window_s: int) -> tuple[dict[str, Any], Fraction]:
    """The numbers of a mode, and what they cost one person in a period."""
    if kind == "scalar":
        step = Fraction(1, draw(st.sampled_from([1, 2, 10])))
        low = step * draw(st.integers(-50, 50))
        values: dict[str, Any] = {
            "low": ratio(low),
            "high": ratio(low + step * draw(st.integers(1, 1000))),
            "step": ratio(step),
        }
        if mode == "none":
            return values, Fraction(0)
        samples = draw(st.integers(2, 60))
        if mode == "coarse":
            aggregation = draw(st.sampled_from(["mean", "median"]))
            return {"aggregation": f'"{aggregation}"', "min_samples": samples, **values}, Fraction(0)
    if mode == "threshold-only":
        return {"k": draw(st.integers(1, 20)), "max_count": draw(st.integers(20, 2_000_000))}, Fraction(0)
    threshold = {"k": draw(st.integers(1, 20)), "z": f'"{draw(st.integers(0, 30))}/10"'}
    if kind == "unique":
        epsilon = Fraction(draw(st.integers(1, 10)), 20)
        m = draw(st.integers(1, min(12, 86_400 // window_s)))
        addresses = draw(st.integers(2, 4))
        return {"epsilon": ratio(epsilon), "m": m, "addresses": addresses, **threshold}, m * epsilon**2 / 2
    c = draw(st.integers(1, 3 if kind != "scalar" else min(3, samples)))
    m = draw(st.integers(c, min(12, c * (86_400 // window_s))))
    whole, rest = divmod(m, c)
    rho = Fraction(draw(st.integers(1, 40)), draw(st.sampled_from([80, 72, 1000])))
    rho = min(rho, Fraction(whole * c**2 + rest**2, 2))
    if kind == "scalar":
        told: dict[str, Any] = {}
        if draw(st.booleans()):  # as many samples as make the noise in a cell small enough
            part = rho * Fraction(draw(st.integers(1, 3)), 4)
            least = ceil_sqrt((whole * c**2 + rest**2) / part * 1600)
            if least <= window_s and part.denominator <= 1_000_000:
                samples = least
                told["percentiles"] = sorted(draw(st.sets(st.integers(1, 99), min_size=1, max_size=5)))
                told["percentiles_rho"] = ratio(part)
        return {"rho": ratio(rho), "m": m, "c": c, **values, "samples": samples, **told}, rho
    counted = {"rho": ratio(rho), "m": m, "c": c, **threshold, "max_count": draw(st.integers(100_000, 2_000_000))}
    if kind == "count":
        possible = ["none", "period"] if 2 <= 86_400 // window_s <= 1440 else ["none"]
        counted["totals"] = f'"{draw(st.sampled_from(possible))}"'
        if draw(st.booleans()) and draw(st.booleans()):
            counted |= {"k": 0, "z": "0"}
    return counted, rho
