"""agent/disclosure/lint: each weak spot is found at its line, with a remedy, and a sound policy has none."""

import dataclasses
from fractions import Fraction
from pathlib import Path

import pytest

from agent.disclosure import wording
from agent.disclosure.lint import CHECKS, FINEST_WINDOW_S, Finding, Severity, lint
from agent.disclosure.purposes import SERVES
from agent.errors import PolicyError
from agent.policy import vocabulary
from agent.policy.model import Policy
from agent.policy.modes import NoPrivacy
from agent.policy.parse import policy_of
from agent.wire import toml

PROJECT = Path(__file__).parents[2]
SOUND = (PROJECT / "config" / "policy.toml").read_text()
UNIQUE = """kind = "unique"
technology = "identifiable_wifi_sensor"
window = "{window}"
grace = "10 seconds"
receivers = ["city", "public"]

[stream.privacy]
mode = "dp"
epsilon = 0.1
m = 4
addresses = {addresses}
k = 5
z = 2
"""
SCALAR = """kind = "scalar"
technology = "sound_level_meter"
quantity = "sound_level"
window = "15 minutes"
grace = "0 seconds"
receivers = ["city", "public"]

[stream.privacy]
mode = "coarse"
aggregation = "mean"
min_samples = 60
low = 30
high = 100
step = 1
"""


def _stream(body: str) -> str:
    """The sound policy with its stream's body replaced from `kind` on."""
    return SOUND[: SOUND.index("kind = ")] + body


def _lint(text: str) -> tuple[Finding, ...]:
    top = toml.parse(text, "p.toml", PolicyError)
    return lint(policy_of(top), top)


def _line(text: str, part: str) -> int:
    return text[: text.index(part)].count("\n") + 1


TOTALS = SOUND.replace('totals = "none"', 'totals = "period"')
EXAMPLES = [PROJECT / "config" / "policy.toml", *sorted((PROJECT / "config" / "examples").glob("*.toml"))]
CASES = [
    ("nothing that this unit publishes serves the purpose enforcement", SOUND.replace('"mobility"', '"enforcement"'), "elements = "),
    ("serves none of the purposes", SOUND.replace('["mobility", "planning_decision_making"]', '["water_efficiency"]'), 'name = "crossings"'),
    ("tells the place more exactly", SOUND.replace('precision = "street"', 'precision = "city"'), "window = "),
    ("CNIL's bound", _stream(UNIQUE.format(window="10 minutes", addresses=2)), "window = "),
    ("for one address a person", _stream(UNIQUE.format(window="5 minutes", addresses=1)), "addresses = "),
    ("epsilon of 5.222 for a day", SOUND.replace("rho = 0.125 ", "rho = 0.5 "), "cap_rho = "),
    ("epsilon of 42.368 for 30 days", SOUND.replace("rho = 0.125 ", "rho = 0.5 "), "cap_rho = "),
    ("city keeps numbers for 3650 days", SOUND.replace("730 days", "3650 days", 1), "kept = "),
    ("not a privacy guarantee", _stream(SCALAR), "mode = "),
    ("a threshold alone", SOUND.replace('mode = "dp"', 'mode = "threshold-only"').replace("rho = 0.125                  #", "#")
     .replace("m = 4", "#").replace("c = 1", "#").replace("z = 2", "#").replace("totals = ", "# "), "mode = "),
    ("hides no number", SOUND.replace("k = 5 ", "k = 0 ").replace("z = 2", "z = 0"), "k = 0"),
    ("noise alone shows many cells", SOUND.replace("z = 2", "z = 0.5"), "z = 0.5"),
    ("costs running totals more than they save", TOTALS.replace("m = 4 ", "m = 25 "), "totals = "),
    ("show the numbers below 31 too", TOTALS, "totals = "),
    ("the way to the broker", SOUND.replace('transport = "tls"', 'transport = "any"'), "transport = "),
]  # fmt: skip


@pytest.mark.parametrize(("words", "text", "key"), CASES, ids=[case[0] for case in CASES])
def test_a_weak_spot(words: str, text: str, key: str) -> None:
    """Found once, where its key stands, with a remedy; the sound policy does not have it."""
    found = [finding for finding in _lint(text) if words in finding.words]
    assert len(found) == 1, _lint(text)
    assert found[0].where == f"p.toml:{_line(text, key)}"
    assert found[0].remedy
    assert str(found[0]).startswith(f"{found[0].severity}: p.toml:")
    assert not [finding for finding in _lint(SOUND) if words in finding.words]


def test_the_shipped_policy_has_no_weak_spot() -> None:
    assert _lint(SOUND) == ()


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_has_no_error(path: Path) -> None:
    """Also those for other sensors."""
    assert not [one for one in _lint(path.read_text()) if one.severity is Severity.ERROR]


def test_a_demonstration_is_told_less_sternly() -> None:
    """Its short period makes a day's epsilon large, knowingly."""
    loud = SOUND.replace("rho = 0.125 ", "rho = 0.5 ")
    demo = loud.replace("# demo = true", "demo = true")
    assert {one.severity for one in _lint(loud)} == {Severity.WARNING}
    assert {one.severity for one in _lint(demo)} == {Severity.NOTE}


def _directly(**changes: object) -> tuple[Finding, ...]:
    top = toml.parse(SOUND, "p.toml", PolicyError)
    policy = policy_of(top)
    stream = dataclasses.replace(policy.streams[0], kind="scalar", quantity="sound_level", privacy=_AS_MEASURED)
    policy = dataclasses.replace(policy, streams=(stream,)) if "streams" in changes else policy
    return lint(_without_feedback(policy) if "feedback" in changes else policy, top)


_AS_MEASURED = NoPrivacy(Fraction(0), Fraction(100), Fraction(1))


def _without_feedback(policy: Policy) -> Policy:
    return dataclasses.replace(policy, contact=dataclasses.replace(policy.contact, feedback=()))


def test_what_the_parser_refuses_is_an_error_here_too() -> None:
    """Policies made by other means than the parser are held to the same: people's values as measured, no channel for feedback."""
    for change, words in (("streams", "as measured"), ("feedback", "no channel for feedback")):
        found = [one for one in _directly(**{change: True}) if one.severity is Severity.ERROR]
        assert len(found) == 1
        assert words in found[0].words


def test_a_missing_translation(monkeypatch: pytest.MonkeyPatch) -> None:
    """A locale without a sentence that this policy needs is named with its file."""
    french = wording.LOCALES["fr"]
    texts = {key: text for key, text in french.texts.items() if key != "mobility"}
    monkeypatch.setattr(wording, "LOCALES", {**wording.LOCALES, "fr": dataclasses.replace(french, texts=texts)})
    (found,) = _lint(SOUND)
    assert found.where == "agent/disclosure/sentences/fr.py"
    assert "mobility" in found.words


def test_running_totals_for_few_readings_are_no_weak_spot() -> None:
    """24 readings in 96 windows are not warned of; 25 are (PRIVACY.md section 0)."""
    found = _lint(TOTALS.replace("m = 4 ", "m = 24 ").replace("max_count = 5000", "max_count = 50000"))
    assert [one.severity for one in found] == [Severity.NOTE]


def test_the_heaviest_come_first() -> None:
    text = SOUND.replace('transport = "tls"', 'transport = "any"')
    weights = [[*Severity].index(one.severity) for one in (*_lint(text), *_directly(streams=True))]
    assert weights
    assert [*Severity] == [Severity.ERROR, Severity.WARNING, Severity.NOTE]


def test_the_tables_are_complete() -> None:
    """Every purpose and precision of the vocabulary has its row, and every stream has some purpose that it could serve."""
    assert set(SERVES) == set(vocabulary.PURPOSES)
    assert set(FINEST_WINDOW_S) == set(vocabulary.PRECISIONS)
    served = {what for serves in SERVES.values() for what in serves}
    assert served == {*vocabulary.QUANTITIES, *vocabulary.KIND_MODES} - {"scalar"}
    assert len(CHECKS) == 11
