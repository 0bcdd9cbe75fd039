"""Policies by the thousand: texts that the parser accepts, for property tests of everything compiled from them."""

from fractions import Fraction
from typing import Any

from hypothesis import strategies as st

from agent.policy import vocabulary

_WINDOWS_S = [60, 300, 900, 3600, 86_400]
_TEXT = st.text(alphabet="abcdefgh ÄéЖ中'\"\\-,.", min_size=1, max_size=40).map(lambda text: f"x{text}y")


def quoted(text: str) -> str:
    """A TOML basic string."""
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


@st.composite
def policies(draw: Any) -> str:
    """The text of a valid policy with one to three streams."""
    demo = draw(st.booleans())
    streams, total = [], Fraction(0)
    for number in range(draw(st.integers(1, 3))):
        window_s = draw(st.sampled_from(_WINDOWS_S))
        c = draw(st.integers(1, 3))
        m = draw(st.integers(c, min(12, c * (86_400 // window_s))))
        whole, rest = divmod(m, c)
        rho = Fraction(draw(st.integers(1, 40)), draw(st.sampled_from([80, 72, 1000])))
        rho = min(rho, Fraction(whole * c**2 + rest**2, 2))
        total += rho
        streams.append(
            f"""
[[stream]]
name = "s{number}"
channel = "channel_{number}"
kind = "count"
technology = "{draw(st.sampled_from(sorted(vocabulary.TECHNOLOGIES)))}"
classes = {[f"c{i}" for i in range(draw(st.integers(1, 5)))]}
window = "{window_s} seconds"
grace = "{draw(st.integers(0, 59_999)) / 1000:.3f} seconds"
[stream.privacy]
mode = "dp"
rho = "{rho.numerator}/{rho.denominator}"
m = {m}
c = {c}
k = {draw(st.integers(1, 20))}
z = "{draw(st.integers(0, 30))}/10"
max_count = {draw(st.integers(100_000, 2_000_000))}
"""
        )
    days = draw(st.integers(1, 1500))
    purposes = draw(st.lists(st.sampled_from(vocabulary.PURPOSES), min_size=1, max_size=3, unique=True))
    return f"""
schema = 1
version = {draw(st.integers(1, 1000))}
demo = {str(demo).lower()}
[unit]
city = "c{draw(st.integers(0, 99))}"
site = "site"
name = "unit-{draw(st.integers(0, 99))}"
title = {quoted(draw(_TEXT))}
[accountable]
name = {quoted(draw(_TEXT))}
contact = {quoted(draw(_TEXT))}
feedback = {quoted(draw(_TEXT))}
url = "https://x.example/{draw(st.integers(0, 9))}"
[purpose]
elements = {purposes}
[access]
elements = ["{draw(st.sampled_from(vocabulary.ACCESS))}"]
[storage]
elements = ["{draw(st.sampled_from(vocabulary.STORAGE))}"]
[retention]
kept = "{draw(st.integers(1, 4000))} days"
collect_within = "{draw(st.integers(1, 600_000))} seconds"
[dates]
issued = 2026-09-01
effective = 2026-09-{draw(st.integers(1, 30)):02d}
expires = {2027 + days % 3}-01-{days % 28 + 1:02d}
notice = "{draw(st.integers(0, 100)) if demo else draw(st.integers(86_400, 2_000_000))} seconds"
[budget]
period = "24 hours"
cap_rho = "{total.numerator}/{total.denominator}"
{"".join(streams)}"""
