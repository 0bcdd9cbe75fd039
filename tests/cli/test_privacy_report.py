"""`dtpr-agent privacy report`, as a data steward runs it."""

import json
import re
import xml.etree.ElementTree as ET
from fractions import Fraction
from math import exp
from pathlib import Path

import numpy as np
import pytest

from agent.anonymizer.ledger import Ledger
from agent.cli import privacy_plot, privacy_report
from agent.cli.main import main
from agent.contracts.log import Gap
from agent.contracts.log_file import RELEASES
from agent.local.randomness import random_bytes
from agent.policy.epsilon import epsilon
from agent.policy.file import load_policy
from agent.policy.words import exact_words
from firmware_bridge.simulator import street
from tests.anonymizer.chi_square import exact_law
from tests.anonymizer.stage import make_policy, policy_text
from tests.privacy.disk_world import DiskWorld
from tests.privacy.published import Published

CONFIG = Path(__file__).parents[2] / "config"
POLICIES = [CONFIG / "policy.toml", *sorted((CONFIG / "examples").glob("*.toml"))]


def ran(capsys: pytest.CaptureFixture[str], *arguments: str | Path) -> tuple[int, str, str]:
    """Exit status, standard output, standard error of `privacy report` with these arguments."""
    code = main(["privacy", "report", *map(str, arguments)])
    out, err = capsys.readouterr()
    return code, out, err


def words(text: str) -> str:
    """Without the wrapping."""
    return re.sub(r"\s+", " ", text)


def test_the_shipped_policy_in_words(capsys: pytest.CaptureFixture[str]) -> None:
    """Noise, threshold, cost of a day and of 30 days, and what it means for somebody who guesses."""
    code, out, err = ran(capsys, "--policy", POLICIES[0])
    assert (code, err) == (0, "")
    said = words(out)
    for fact in (
        "standard deviation 4; at least 95 of 100 times the number of each class is within 8 of the true one",
        "from 13; under it the word `suppressed` stands instead",
        "at most 4 readings in 1 day, 1 in a window: rho 0.125, epsilon 2.42",
        "in 30 days rho 3.75, epsilon 17.158",
        "right at most 61 times in 100 for 1 day, 92 for 30 days; 50 is guessing",
    ):
        assert fact in said, fact
    assert max(map(len, out.splitlines())) <= 125


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_every_kind_has_its_noise_and_its_cost(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Streams in the policy's order; a mode without a guarantee says that it has none, and costs nothing."""
    code, out, _ = ran(capsys, "--policy", path)
    assert code == 0
    policy = load_policy(path)
    heads = [
        line.partition(":")[0]
        for line in out.splitlines()
        if re.match(r"[a-z0-9-]+: (count|duration|scalar|unique), ", line)
    ]
    assert heads == [stream.name for stream in policy.streams]
    assert out.count("one person ") == sum(stream.privacy.mode == "dp" for stream in policy.streams)
    assert out.count("none: as measured") == sum(stream.privacy.mode == "none" for stream in policy.streams)


def test_the_interval_is_the_smallest_that_holds_95_of_100() -> None:
    """Against the laws themselves: discrete Gaussian of counts, discrete Laplace of devices; and 1.96 deviations of a mean."""
    found = {path.stem: privacy_report.report(load_policy(path)) for path in POLICIES}
    law = exact_law(Fraction(16), 66)
    within = int(found["policy"].streams[0].noises[0].within)
    held = [float(law[66 - w : 67 + w].sum()) for w in (within - 1, within)]
    assert held[0] < 0.95 <= held[1]
    rate = 0.25 / 2
    within = int(found["visitors"].streams[0].noises[0].within)
    outside = [2 * exp(-rate * (w + 1)) / (1 + exp(-rate)) for w in (within - 1, within)]
    assert outside[1] <= 0.05 < outside[0]
    cells = found["air-quality-and-noise"].streams[3].noises[1]
    assert (cells.of, cells.deviation) == (
        "the number of samples in each cell behind the percentiles",
        Fraction("379.474"),
    )
    noise = found["air-quality-and-noise"].streams[2].noises[0]
    sigma = 60 * 70 / 3600 / (2 * 0.125) ** 0.5
    assert sigma <= noise.deviation <= sigma + 0.001
    assert 1.959963 * sigma <= noise.within <= 1.961 * sigma + 0.001


def test_running_totals_have_a_noise_of_their_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both deviations, and how much more a window's number is off for the sake of its totals: the steward chooses between them."""
    text = POLICIES[0].read_text().replace('totals = "none"', 'totals = "period"')
    (tmp_path / "totals.toml").write_text(text)
    policy = load_policy(tmp_path / "totals.toml")
    code, out, _ = ran(capsys, "--policy", tmp_path / "totals.toml")
    assert code == 0
    assert out.count("noise            standard deviation ") == 2
    assert "each running total is within" in words(out)
    assert "biased low; running totals hold it" in words(out)
    window, total = privacy_report.report(policy).streams[0].noises
    assert window.deviation < total.deviation < 96**0.5 * 4, "adding up 96 windows of independent noise would be worse"
    assert window.deviation > 4


def test_streams_without_protection_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever is said of the others does not hold for them."""
    text = policy_text()
    bare = (
        text[: text.index("[stream.privacy]")] + '[stream.privacy]\nmode = "threshold-only"\nk = 5\nmax_count = 5000\n'
    )
    (tmp_path / "bare.toml").write_text(bare)
    code, out, _ = ran(capsys, "--policy", tmp_path / "bare.toml")
    assert code == 0
    assert "nothing is promised about any person" in out
    assert "not protected    crossings: people cause them and they carry no noise" in out
    assert "threshold-only, not a privacy guarantee" in out


def test_json_has_the_same_figures_exactly(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = ran(capsys, "--policy", POLICIES[0], "--json")
    assert code == 0
    found = json.loads(out)
    assert (found["delta"], found["spent"]) == ("1/1000000", None)
    assert found["month"] == {"rho": "3.75", "epsilon": "17.158"}
    assert found["streams"][0]["shown_from"] == 13


@pytest.fixture(scope="module")
def logged(tmp_path_factory: pytest.TempPathFactory) -> DiskWorld:
    """A unit that lived, was gone for a while, and lived on."""
    world = DiskWorld(make_policy(window=5, notice="5 seconds"), tmp_path_factory.mktemp("unit"), Published())
    world.live(40)
    world.boot_ns += 33 * 10**9
    world.restart()
    world.live(150)
    world.end()
    return world


def test_the_lifetime_is_the_ledgers(logged: DiskWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """I4: the log's entries alone; a lost window is charged as if it had been released."""
    (tmp_path / "policy.toml").write_text(policy_text(window=5))
    code, out, _ = ran(capsys, "--policy", tmp_path / "policy.toml", "--log", logged.log_folder)
    ledger = Ledger(logged.entries)
    lifetime = ledger.budget.lifetime
    assert code == 0
    assert lifetime > 0
    said = words(out)
    lost = sum(entry.count for entry in logged.entries if isinstance(entry, Gap))
    assert lost > 5
    assert f"{ledger.releases} released and {lost} lost (charged as if released)" in said
    assert f"lifetime rho {exact_words(lifetime)}, epsilon {exact_words(epsilon(lifetime))}" in said
    assert f"newest 10 minutes rho {exact_words(ledger.budget.spent(ledger.last_logged_end))}," in said


@pytest.mark.parametrize("damage", ["absent", "first", "middle"])
def test_a_log_that_is_none_is_named(
    damage: str, logged: DiskWorld, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """I8: one line with where, what was expected and got; exit status 2."""
    folder = tmp_path / "log"
    if damage != "absent":
        folder.mkdir()
        data = bytearray((logged.log_folder / RELEASES).read_bytes())
        data[{"first": 50, "middle": len(bytes(data).rstrip(b"\0")) // 2}[damage]] ^= 1
        (folder / RELEASES).write_bytes(data)
    code, out, err = ran(capsys, "--policy", POLICIES[0], "--log", folder)
    assert (code, out) == (2, "")
    assert re.fullmatch(rf"error: {re.escape(str(folder))}.*: expected .*, got .*\n", err)


def test_another_units_log_is_not_taken_for_this_ones(logged: DiskWorld, capsys: pytest.CaptureFixture[str]) -> None:
    """What one unit spent says nothing of another, however alike their policies."""
    other = next(path for path in POLICIES if "visitors" in path.name)
    code, out, err = ran(capsys, "--policy", other, "--log", logged.log_folder)
    assert (code, out) == (2, "")
    assert "expected the log of springfield/old-harbour/harbour-02" in err


def test_a_log_of_no_entries_is_said_to_be_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = DiskWorld(make_policy(), tmp_path, Published())
    world.end()
    (tmp_path / "policy.toml").write_text(policy_text())
    code, out, _ = ran(capsys, "--policy", tmp_path / "policy.toml", "--log", world.log_folder)
    assert code == 0
    assert "none yet" in out


@pytest.mark.parametrize(
    ("plot", "expected"),
    [
        ("day.png", "a file that ends in .svg"),
        ("day", "a file that ends in .svg"),
        ("no/day.svg", "a folder to write in"),
    ],
)
def test_a_plot_that_cannot_be_written(
    plot: str, expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit status 2, and what to do."""
    code, _, err = ran(capsys, "--policy", POLICIES[0], "--plot", tmp_path / plot)
    assert code == 2
    assert f"expected {expected}" in err


def no_noise(count: int) -> bytes:
    """Random bytes that make every draw 0."""
    return (2**63).to_bytes(8, "little") * (count // 8)


def test_without_noise_what_is_published_is_what_is() -> None:
    """The plot's own control: true counts are the street's, and only cells under the threshold are hidden."""
    bikes, people = privacy_plot.panels(load_policy(POLICIES[0]), no_noise)
    profile = street._WORKING_DAY
    assert abs(sum(bikes.true) - sum(profile["bike"])) <= 1
    assert abs(sum(people.true) - sum(profile["person"])) <= 1
    for panel in (bikes, people):
        assert panel.published == tuple(count if count >= 13 else None for count in panel.true)


def test_published_points_scatter_as_claimed() -> None:
    """Of what is drawn, about 95 of 100 lie in the band: 20 plots, 3,840 windows; a flake is one in a million."""
    policy = load_policy(POLICIES[0])
    inside = []
    for _ in range(20):
        for panel in privacy_plot.panels(policy, random_bytes):
            inside += [
                abs(p - t) <= panel.within for t, p in zip(panel.true, panel.published, strict=True) if p and t > 30
            ]
    assert 0.92 < np.mean(inside) < 0.98


@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_the_picture_is_whole(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Well-formed SVG; every window is a dot or a stroke; nothing lies outside; no script, style or address but the namespace."""
    plot = tmp_path / "day.svg"
    assert ran(capsys, "--policy", path, "--plot", plot)[0] == 0
    text = plot.read_text()
    assert re.findall(r"https?://[^\" ]*", text) == ["http://www.w3.org/2000/svg"]
    root = ET.fromstring(text)  # noqa: S314  # our own output
    name = "{http://www.w3.org/2000/svg}"
    height, width = float(root.get("height", "0")), float(root.get("width", "0"))
    dots = [(float(c.get("cx", "")), float(c.get("cy", ""))) for c in root.iter(f"{name}circle")]
    strokes = [each for each in root.iter(f"{name}line") if each.get("stroke-dasharray") is None]
    windows = sum(len(panel.true) for panel in privacy_plot.panels(load_policy(path), no_noise))
    assert len(dots) + len(strokes) == windows
    points = [
        tuple(map(float, p.split(","))) for each in root if each.get("points") for p in each.get("points", "").split()
    ]
    assert all(0 <= x <= width and 0 <= y <= height for x, y in [*dots, *points])
    assert not list(root.iter(f"{name}script")) + list(root.iter(f"{name}style"))
