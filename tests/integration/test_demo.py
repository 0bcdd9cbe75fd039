"""The main job, end to end, as a newcomer runs it: real processes, a real pty, broker, sockets and radio link.

Each test is one run of `dtpr-agent demo`. They read what the run reports and what lies in its folder, never its insides.
"""

from pathlib import Path

import pytest

from tests.conftest import MISSING_SHARED
from tests.integration.runs import PATIENCE, ROOT, Demo, broken_build

FREMONT = ROOT.parent / "shared" / "data" / "fremont_hourly.csv"

needs_fremont = pytest.mark.skipif(not FREMONT.exists(), reason=f"{MISSING_SHARED}: the Fremont Bridge counts")


@needs_fremont
def test_a_minute_of_the_fremont_bridge_passes_every_condition(folder: Path) -> None:
    """Must show 1: everything sent is accounted for, released, received, verified, disclosed twice alike and nowhere leaked."""
    demo = Demo(folder, "--seconds", "60", "--replay", str(FREMONT))
    status, report = demo.wait(60 + 60 * PATIENCE)
    assert report["failures"] == []
    assert status == 0
    assert report["restarts"] == {}
    assert 0 < report["seconds_to_first_aggregate"] <= 20
    assert set(report["max_pss_mib"]) == {"firmware-bridge", "anonymizer", "publisher", "beacon"}
    said = demo.audited()
    assert 40 <= said["gate"]["open_s"] <= said["gate"]["told_s"]
    assert [each["firmware"] for each in said["boards"]["newest"]] == ["dtpr-street-simulator 1"]


def test_without_the_gates_check_the_report_fails(folder: Path) -> None:
    """Must show 1, negative control: gate open, no notice; the report says so by what was counted too early."""
    demo = Demo(folder, "--seconds", "20", tree=broken_build(folder / "tree", "anonymizer/gate.py", "policy/adopt.py"))
    status, report = demo.wait(20 + 60 * PATIENCE)
    assert status == 1
    assert any("before the notice was served" in words for words in report["failures"])


def test_with_only_the_gate_broken_nothing_is_released(folder: Path) -> None:
    """A gate that is open under a policy not yet in force ends the daemon before a value can leave (AN-42)."""
    demo = Demo(folder, "--seconds", "12", tree=broken_build(folder / "tree", "anonymizer/gate.py"))
    status, report = demo.wait(20 + 60 * PATIENCE)
    assert status == 1
    assert report["restarts"]["anonymizer"] >= 1
    assert sum(report["windows_published"].values()) == 0
