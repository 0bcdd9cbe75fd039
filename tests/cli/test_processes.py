"""The demo's programs: lines arrive, the dead are started again, and none is left running."""

import os
import signal
import sys
import time
from pathlib import Path

import pytest

from agent.cli.demo.processes import Line, Processes, Program

TALKER = (
    "import json,time\nwhile True: print(json.dumps({'pid': __import__('os').getpid()}), flush=True); time.sleep(0.05)"
)
COUNTER = (
    "import sys,os,time\nfd=int(sys.argv[sys.argv.index('--exact-counters')+1])\n"
    "while True: os.write(fd, b'{\"n\": 1}\\n'); time.sleep(0.05)"
)
DEAF = f"import signal\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n{TALKER}"


def lines_of(processes: Processes, name: str, seconds: float = 10.0) -> Line:
    """The next line of one program."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        for line in processes.poll(0.1):
            if line.program == name:
                return line
    pytest.fail(f"no line from {name} within {seconds} s")


def gone(pid: int) -> bool:
    """Has the process ended and been reaped?"""
    return not Path(f"/proc/{pid}").exists()


def test_a_killed_program_is_started_again_and_says_so(tmp_path: Path) -> None:
    with Processes(tmp_path, tmp_path) as processes:
        processes.start(Program("talker", [sys.executable, "-c", TALKER], ndjson=True))
        first = lines_of(processes, "talker").value["pid"]
        os.kill(first, signal.SIGKILL)
        deadline = time.monotonic() + 10
        while (second := lines_of(processes, "talker").value["pid"]) == first:
            assert time.monotonic() < deadline
        assert processes.restarts == {"talker": 1}
        assert f'"talker": {second}' in (tmp_path / "processes.json").read_text()
    assert gone(first)
    assert gone(second)


def test_exact_counters_arrive_on_their_own_descriptor(tmp_path: Path) -> None:
    with Processes(tmp_path, tmp_path) as processes:
        processes.start(Program("counter", [sys.executable, "-c", COUNTER], counters=True))
        assert lines_of(processes, "counter").value == {"n": 1}


def test_a_program_that_ignores_sigterm_is_killed_and_a_stopped_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("agent.cli.demo.processes.END_WITHIN_S", 0.5)
    with Processes(tmp_path, tmp_path) as processes:
        processes.start(Program("deaf", [sys.executable, "-c", DEAF], ndjson=True))
        processes.start(Program("stopped", [sys.executable, "-c", TALKER], ndjson=True))
        deaf = lines_of(processes, "deaf").value["pid"]
        pid = lines_of(processes, "stopped").value["pid"]
        os.kill(pid, signal.SIGSTOP)
        processes.end("deaf", "stopped")
        assert gone(deaf)
        assert gone(pid)


def test_an_exception_of_ours_leaves_no_program_behind(tmp_path: Path) -> None:
    pids = []

    def run_into_an_error() -> None:
        with Processes(tmp_path, tmp_path) as processes:
            processes.start(Program("talker", [sys.executable, "-c", TALKER], ndjson=True))
            pids.append(lines_of(processes, "talker").value["pid"])
            raise RuntimeError

    with pytest.raises(RuntimeError):
        run_into_an_error()
    assert gone(pids[0])
