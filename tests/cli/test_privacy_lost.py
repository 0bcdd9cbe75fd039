"""`dtpr-agent privacy report`: how much of each hour's traffic a threshold takes, on the demo's street or by a steward's own counts."""

import json
import re
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from agent.cli import privacy_day, privacy_lost, privacy_plot, privacy_report
from agent.cli.main import main
from agent.local.randomness import random_bytes
from agent.policy.file import load_policy
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from firmware_bridge.simulator.replay import parse
from tests.anonymizer.chi_square import exact_law

CONFIG = Path(__file__).parents[2] / "config"
POLICY = CONFIG / "policy.toml"
HIDING = [POLICY, CONFIG / "examples" / "parking-and-bins.toml", CONFIG / "examples" / "visitors.toml"]

COUNTS = """Date,foot,bike
2013-03-10T01:00,100,0
2013-03-10T03:00,,60
2013-03-10T03:00,999,999
2013-03-10T04:00,0,50
"""
"""Bikes second, an hour without foot, and one that stands twice."""


def report(*arguments: str | Path) -> int:
    """Exit status of `privacy report` with these arguments."""
    return main(["privacy", "report", *map(str, arguments)])


def policy(window: str = "15 minutes") -> Policy:
    """The shipped one with another window."""
    text = POLICY.read_text().replace('window = "15 minutes"', f'window = "{window}"')
    return parse_policy(text, "policy.toml")


@pytest.mark.parametrize("path", HIDING, ids=lambda path: path.stem)
def test_the_shares_are_those_of_many_draws(path: Path) -> None:
    """Against the plot's own draws: 150 days; a false alarm, beyond five standard errors of any hour, is one in 20,000."""
    rules = load_policy(path)
    (stream,) = [stream for stream in rules.streams if stream.kind != "scalar"]
    hidden, held = np.zeros(24), np.zeros(24)
    for _ in range(150):
        for panel in privacy_plot.panels(rules, random_bytes):
            if panel.title.startswith(stream.name):
                for at, value in enumerate(panel.published):
                    hidden[at * panel.window_s // 3600] += value is None
                    held[at * panel.window_s // 3600] += 1
    lost = privacy_lost.by_hour(stream, privacy_day.on_the_street(stream))
    assert [one.hour for one in lost] == [*range(24), None]
    for one, share, many in zip(lost, hidden / held, held, strict=False):
        expected = float(one.numbers)
        assert abs(share - expected) <= 5 * (expected * (1 - expected) / many) ** 0.5 + 5 / many + 0.0005, one


def test_the_shares_of_a_file_by_hand() -> None:
    """Columns by their names, an hour spread over its windows, missing data and a repeated hour left out; the exact law's probabilities."""
    stream = policy().streams[0]
    counts = parse(COUNTS.encode(), "counts.csv")
    assert privacy_day.by_file(stream, counts) == {(1, 25): 4, (1, 0): 4, (3, 15): 4, (4, 0): 4, (4, 12): 2, (4, 13): 2}
    lost = {one.hour: one for one in privacy_lost.by_hour(stream, privacy_day.by_file(stream, counts))}
    law = exact_law(Fraction(16), 66)
    hidden = {true: float(law[: 66 + 13 - true].sum()) for true in (0, 12, 13, 15, 25)}
    assert lost.keys() == {1, 3, 4, None}
    assert abs(float(lost[1].numbers) - (hidden[25] + hidden[0]) / 2) < 0.001
    assert abs(float(lost[1].counted or 0) - hidden[25]) < 0.001
    assert abs(float(lost[3].numbers) - hidden[15]) < 0.001
    assert abs(float(lost[4].counted or 0) - (24 * hidden[12] + 26 * hidden[13]) / 50) < 0.001
    everything = 100 * hidden[25] + 60 * hidden[15] + 24 * hidden[12] + 26 * hidden[13]
    assert abs(float(lost[None].counted or 0) - everything / 210) < 0.001


def test_windows_longer_than_a_row_are_whole_or_left_out() -> None:
    """Two hours at 0:00 and 2:00 are incomplete, and say nothing."""
    stream = policy("2 hours").streams[0]
    rows = "".join(f"2013-03-11T{hour:02}:00,{hour},1\n" for hour in range(1, 7))
    assert privacy_day.by_file(stream, parse(f"Date,foot,bike\n{rows}".encode(), "x")) == {
        (2, 5): 1,
        (4, 9): 1,
        (2, 2): 1,
        (4, 2): 1,
    }


def test_a_steward_with_counts_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In words, which column is which class, and a hint where most is lost; in JSON, to the thousandth."""
    (tmp_path / "counts.csv").write_text(COUNTS.replace("foot,bike", "North,South"))
    assert report("--policy", POLICY, "--counts", tmp_path / "counts.csv") == 0
    said = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "counts.csv (bike is north, foot is south), by hour of the day" in said
    assert re.search(r" 1:00 +5[0-9]\.[0-9]% +0\.[0-9]% .* 4:00 +[0-9.]+% +[0-9.]+%", said)
    assert "all day" in said
    assert "biased low; longer windows lose less" in said
    assert report("--policy", POLICY, "--counts", tmp_path / "counts.csv", "--json") == 0
    lost = json.loads(capsys.readouterr().out)["streams"][0]["lost"]
    assert [one["hour"] for one in lost] == [1, 3, 4, None]
    assert all(re.fullmatch(r"0(\.[0-9]{1,3})?|1", one["numbers"]) for one in lost)


def test_what_hides_nothing_loses_nothing() -> None:
    """No section for k = 0 and for measured values; one for counts without noise."""
    text = POLICY.read_text()
    open_ = parse_policy(text.replace("k = 5 ", "k = 0 ").replace("z = 2", "z = 0"), "policy.toml")
    assert privacy_report.report(open_).streams[0].lost == ()
    measured = load_policy(CONFIG / "examples" / "air-quality-and-noise.toml")
    assert all(stream.lost == () for stream in privacy_report.report(measured).streams)
    bare = (
        text[: text.index("[stream.privacy]")] + '[stream.privacy]\nmode = "threshold-only"\nk = 5\nmax_count = 5000\n'
    )
    found = privacy_report.report(parse_policy(bare, "policy.toml")).streams[0]
    assert found.shown_from == 5
    assert {float(one.numbers) for one in found.lost[:24]} <= {0.0, 0.25, 0.5, 0.75, 1.0}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Date,a\n2013-01-01,5\n2013-01-02,6\n", "rows of at most an hour"),
        ("Date,a\n2013-01-01T00:00,5\n2013-01-01T00:40,6\n", "rows of at most an hour"),
        ("Date,a\n2013-01-01T00:00,many\n", "a whole number"),
        ("", "a header line"),
        ("Date,a\n2013-01-01T00:00,5\n2013-01-01T00:01,6\n", "every row of at least one window of 900 s"),
    ],
)
def test_a_file_that_cannot_be_used(
    text: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """I8: exit status 2, one line with what was expected; nothing half printed."""
    (tmp_path / "counts.csv").write_text(text)
    assert report("--policy", POLICY, "--counts", tmp_path / "counts.csv") == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"expected {expected}" in err
    (tmp_path / "counts.csv").write_text(COUNTS)
    assert report("--policy", HIDING[2], "--counts", tmp_path / "counts.csv") == 2
    assert "a policy that counts by class and hides small numbers" in capsys.readouterr().err
    assert report("--policy", POLICY, "--counts", tmp_path / "none.csv") == 2
    assert "a readable file" in capsys.readouterr().err
