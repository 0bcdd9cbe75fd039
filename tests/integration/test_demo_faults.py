"""Programs killed, stopped and cut off while the demo runs: nothing released is lost or repeated, and nothing is left behind."""

import json
import os
import signal
import time
from pathlib import Path

from agent.contracts.gate_log import GateChanges
from agent.contracts.public import Reason
from agent.local.clock import OPERATOR, Clock
from tests.integration.runs import PATIENCE, Demo, entries


def utc_s() -> float:
    """Unix seconds, as the `since` of a state."""
    return Clock(OPERATOR).utc_ns() / 1e9


def test_killing_any_program_loses_and_repeats_nothing_released(folder: Path) -> None:
    """Must show 3: each daemon killed in turn is back, the gate closes with its reason, no window has two payloads."""
    demo = Demo(folder)
    try:
        demo.until(lambda: demo.gate() == "open", 20 * PATIENCE, "gate open")
        for name in ("firmware-bridge", "publisher", "anonymizer", "beacon"):
            before, killed_s = demo.pid(name), utc_s()
            os.kill(before, signal.SIGKILL)
            demo.until(lambda name=name, before=before: demo.pid(name) != before, 5 * PATIENCE, f"{name} restarted")  # type: ignore[misc]
            demo.until(lambda: demo.gate() == "open", 20 * PATIENCE, f"gate open after {name} was killed")
            time.sleep(6)  # one more window with everything running
        stopped_s = utc_s()
        os.kill(demo.pid("beacon"), signal.SIGSTOP)
        lapsed = demo.until_state(
            lambda state: state.reason is Reason.LEASE_LAPSED, 15 + PATIENCE, "gate closed when the beacon is stopped"
        )
        assert lapsed.since - stopped_s <= 15
        os.kill(demo.pid("beacon"), signal.SIGCONT)
        demo.until(lambda: demo.gate() == "open", 20 * PATIENCE, "gate open after the beacon went on")
        time.sleep(6)
    finally:
        demo.end()
    _, report = demo.wait(30)
    changes = [change for entry in entries(demo) if isinstance(entry, GateChanges) for change in entry.changes]
    closed = [change.at for change in changes if change.reason is Reason.LEASE_CLOSED]
    assert any(0 <= at - int(killed_s) <= 2 for at in closed), (
        "the gate closes at once with its beacon, the last one killed"
    )
    closings = demo.audited()["gate"]["closings"]
    assert closings.keys() >= {"lease_closed", "lease_lapsed", "restart"}
    assert report["restarts"] == {"firmware-bridge": 1, "publisher": 1, "anonymizer": 1, "beacon": 1}
    assert report["releases_received"] == report["releases_logged"] > 5
    assert report["releases_verified"] == report["releases_received"]
    assert report["conflicts"] == 0
    assert report["canary_hits"] == 0


def test_a_broker_outage_of_twenty_seconds_loses_nothing_and_keeps_the_order(folder: Path) -> None:
    """Must show 4: the broker away for 20 s at 20 frames a second; everything arrives after it is back, in log order."""
    demo = Demo(folder, "--seconds", "50", "--outage", "20", "--frames-per-second", "20")
    _, report = demo.wait(50 + 60 * PATIENCE)
    assert report["releases_logged"] >= 8
    assert report["releases_received"] == report["releases_logged"]
    assert report["releases_verified"] == report["releases_received"]
    assert report["conflicts"] == 0
    assert report["releases_in_log_order"] is True


def test_ctrl_c_ends_everything(folder: Path) -> None:
    """No process, no socket and, without --directory, no file is left."""
    demo = Demo(folder)
    demo.until(lambda: (demo.folder / "public" / "state").exists(), 20 * PATIENCE, "the daemons are up")
    pids = list(json.loads((demo.folder / "processes.json").read_text()).values())
    assert len(pids) == 9
    demo.end()
    assert [pid for pid in pids if Path(f"/proc/{pid}").exists()] == []
    assert "Traceback" not in demo.output.read_text()
