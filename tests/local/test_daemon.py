"""local/daemon: one line and the right exit code for an error of ours; nothing of a reading in the words of a bug (I1)."""

import resource
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import SettingsError
from agent.local import daemon, settings

BUG = """
import resource, sys
from agent.local import daemon
def work():
    print(resource.getrlimit(resource.RLIMIT_CORE)[0])
    raise ValueError("a reading")
sys.exit(daemon.run(work, holds_readings={holds}))
"""


def test_an_error_of_ours_is_one_line_and_its_exit_code(capsys: pytest.CaptureFixture[str]) -> None:
    def work() -> None:
        raise SettingsError("agent.toml:3", expected="a path", got="nothing")

    assert daemon.run(work, holds_readings=False) == 2
    assert capsys.readouterr().err == "error: agent.toml:3: expected a path, got nothing\n"
    assert daemon.run(lambda: None, holds_readings=False) == 0


def test_the_options_of_a_daemon() -> None:
    assert daemon.options("m", "p", []) == daemon.Options(settings.DEFAULT_PATH, None, "")
    given = ["--board", "one", "--config=a=b.toml", "--exact-counters", "7"]
    assert daemon.options("m", "p", given, board=True) == daemon.Options(Path("a=b.toml"), 7, "one")


@pytest.mark.parametrize(
    ("arguments", "board"),
    [
        (["--config"], False),
        (["agent.toml"], False),
        (["--config", "a", "--config", "b"], False),
        (["--board", "one"], False),
        (["--config", "a"], True),
        (["--exact-counters", "x"], False),
        (["--exact-counters", "-1"], False),
        (["--exact-counters="], False),
        (["--bend-clock", "1"], False),
    ],
)
def test_other_options_are_exit_2(arguments: list[str], board: bool, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        daemon.options("m", "p", arguments, board=board)
    assert end.value.code == 2
    assert capsys.readouterr().err.startswith("usage: python -m m")


def test_help_is_exit_0(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        daemon.options("m", "the purpose", ["--help"])
    assert end.value.code == 0
    assert "the purpose" in capsys.readouterr().out


@pytest.mark.parametrize("holds", [True, False])
def test_the_words_of_a_bug_stay_where_readings_are_held(holds: bool) -> None:
    """The other process is the control: there the words are told, and core dumps are as they were."""
    ran = subprocess.run(
        [sys.executable, "-c", BUG.format(holds=holds)], capture_output=True, text=True, timeout=30, check=False
    )
    assert "in work" in ran.stderr
    assert ran.stderr.splitlines()[-1] == ("error: ValueError" if holds else "ValueError: a reading")
    assert ("a reading" in ran.stderr) is not holds
    assert ran.returncode == (70 if holds else 1)
    assert int(ran.stdout) == (0 if holds else resource.getrlimit(resource.RLIMIT_CORE)[0])
