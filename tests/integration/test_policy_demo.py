"""`dtpr-agent demo --policy`: the example policies, and one with every kind of stream, through real processes."""

from fractions import Fraction
from pathlib import Path

import pytest

from agent.cli.demo.example import channels, shortened
from agent.cli.main import main
from agent.contracts.log import Release, decode_entry
from agent.contracts.log_file import RELEASES, iter_records
from agent.contracts.release import governed
from agent.errors import PolicyError
from agent.policy.file import load_policy
from agent.policy.model import Policy, Unit
from agent.policy.modes import ScalarPrivacy
from agent.policy.parse import parse_policy
from tests.integration.runs import PATIENCE, ROOT, Demo

CONFIG = ROOT / "config"
EXAMPLES = [CONFIG / "policy.toml", *sorted((CONFIG / "examples").glob("*.toml"))]
NOW = 1_800_000_000
KINDS = {"bin-level": "scalar", "stays": "duration", "visitors": "unique", "noise": "scalar", "crossings": "count"}


def stream_of(example: str, name: str) -> str:
    """The text of one [[stream]] of an example."""
    blocks = (CONFIG / example).read_text().split("[[stream]]")
    return "[[stream]]" + next(block for block in blocks[1:] if f'name = "{name}"' in block)


def every_kind() -> str:
    """The parking example with streams of the other examples beside its own, all of five minutes, with running totals."""
    text = (CONFIG / "examples" / "parking-and-bins.toml").read_text()
    for example, name in (
        ("examples/visitors.toml", "visitors"),
        ("examples/air-quality-and-noise.toml", "noise"),
        ("policy.toml", "crossings"),
    ):
        text += stream_of(example, name)
    for old, new in (
        ('["city", "nation"]', '["city"]'),
        ('"1 hour" ', '"5 minutes" '),
        ('"1 hour"\n', '"5 minutes"\n'),
        ('"15 minutes" ', '"5 minutes" '),
        ("samples = 3600", "samples = 240"),  # four of the five that come in five seconds
        ("cap_rho = 0.125", "cap_rho = 0.5"),
        ('totals = "none"', 'totals = "period"'),
    ):
        assert old in text, old
        text = text.replace(old, new)
    return text


def small(policy: Policy) -> Policy:
    """As the demo runs it."""
    return shortened(
        policy, Unit("demo", "bench", "demo-01"), issued=NOW // 86400 * 86400, expires=NOW + 86400, notice_s=5
    )


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_what_is_shortened_and_what_is_not(path: Path) -> None:
    """Windows and periods by one number, to five seconds; what is measured, what a person may cost and each count's noise stay."""
    policy = load_policy(path)
    demo = small(policy)
    assert demo.demo
    assert min(stream.window_s for stream in demo.streams) == 5
    by = Fraction(policy.period_s, demo.period_s)
    for one, other in zip(policy.streams, demo.streams, strict=True):
        assert one.window_s == by * other.window_s
        assert (one.name, one.channel, one.kind, one.classes, one.bins_s) == (
            (other.name, other.channel, other.kind, other.classes, other.bins_s)
        )
        if isinstance(one.privacy, ScalarPrivacy):
            assert isinstance(other.privacy, ScalarPrivacy)
            assert other.privacy.rho == one.privacy.rho
            assert other.privacy.percentiles in ((), one.privacy.percentiles)
            assert other.privacy.samples == one.privacy.samples / by == other.window_s
        elif one.privacy.mode != "coarse":
            assert other.privacy == one.privacy
    assert len(channels(demo)) == len({stream.channel for stream in policy.streams})


def test_what_cannot_be_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that says why, before anything is started."""
    taken = parse_policy(
        (CONFIG / "policy.toml").read_text().replace('channel = "crossings"', 'channel = "street"'), "p"
    )
    with pytest.raises(PolicyError, match="expected any name but street"):
        small(taken)
    assert main(["demo", "--policy", str(tmp_path / "missing.toml")]) == 2
    assert "expected a readable policy" in capsys.readouterr().err
    assert main(["demo", "--policy", str(EXAMPLES[0]), "--offer", "stop"]) == 2
    assert "expected --policy or --offer, got both" in capsys.readouterr().err


def test_every_kind_of_stream_in_one_run(folder: Path) -> None:
    """All kinds are collected, governed, signed, received and verified; only the number of windows is less than a whole run's."""
    policy = folder / "policy.toml"
    policy.write_text(every_kind())
    demo = Demo(folder, "--seconds", "18", "--policy", str(policy))
    _, report = demo.wait(20 + 60 * PATIENCE)
    short = ("windows closed", "canaries planted")
    assert [words for words in report["failures"] if not any(each in words for each in short)] == []
    assert report["restarts"] == {}
    assert set(report["windows_published"]) == set(KINDS)
    assert all(report["windows_published"].values()), report["windows_published"]
    entries = [decode_entry(entry) for _, entry in iter_records((demo.folder / "log" / RELEASES).read_bytes())]
    packs = [governed(entry).terms for entry in entries if isinstance(entry, Release)]
    assert {terms.stream: terms.kind for terms in packs} == KINDS
    assert any(terms.total_noise_sd is not None for terms in packs)
