"""One run of `dtpr-agent demo`, its folder and its report; and a build of this project in which a check is missing."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from agent.contracts.log import Entry, decode_entry
from agent.contracts.log_file import RELEASES, iter_records
from agent.contracts.public import State, decode_state

ROOT = Path(__file__).parents[2]
PATIENCE = 5.0
"""How much slower than an idle machine this one may be."""


class Demo:
    """A running demo, its folder and, once it has ended, its report."""

    def __init__(self, folder: Path, *options: str, tree: Path = ROOT) -> None:
        self.folder = folder / "d"
        self.report_file = folder / "report.json"
        self.output = folder / "output.txt"
        argv = [
            sys.executable,
            "-m",
            "agent.cli.main",
            "demo",
            "--directory",
            str(self.folder),
            "--report",
            str(self.report_file),
        ]
        with self.output.open("wb") as output:
            self.process = subprocess.Popen(
                [*argv, *options], cwd=tree, stdout=output, stderr=subprocess.STDOUT, env=_environment(tree)
            )

    def wait(self, seconds: float) -> tuple[int, dict[str, Any]]:
        """(exit status, report) once the run has ended."""
        status = self.process.wait(seconds)
        assert self.report_file.exists(), self.output.read_text()
        return status, json.loads(self.report_file.read_text())

    def pid(self, name: str) -> int:
        """The process id of one program now."""
        return int(json.loads((self.folder / "processes.json").read_text())[name])

    def kill(self, name: str) -> None:
        """kill -9 one program; the demo starts it again."""
        os.kill(self.pid(name), signal.SIGKILL)

    def state(self) -> State | None:
        """What the unit says in public."""
        path = self.folder / "public" / "state"
        return decode_state(path.read_bytes()) if path.exists() else None

    def until(self, holds: Callable[[], bool], seconds: float, what: str) -> float:
        """Wait for something; returns how long it took."""
        began = time.monotonic()
        while not holds():
            assert time.monotonic() < began + seconds, f"not within {seconds} s: {what}\n{self.output.read_text()}"
            assert self.process.poll() is None, self.output.read_text()
            time.sleep(0.05)
        return time.monotonic() - began

    def until_state(self, holds: Callable[[State], bool], seconds: float, what: str) -> State:
        """Wait for a state of which this holds; that one, whatever the unit says by now."""
        found: list[State] = []

        def holds_now() -> bool:
            found[:] = [state] if (state := self.state()) is not None and holds(state) else []
            return bool(found)

        self.until(holds_now, seconds, what)
        return found[0]

    def gate(self) -> str:
        """ "open", or the reason why it is closed."""
        state = self.state()
        return state.reason.value if state is not None else ""

    def audited(self) -> dict[str, Any]:
        """What `dtpr-agent audit` says of the run's log, which it must find clean."""
        copy, log, state = self.folder / "copy", self.folder / "log", self.state()
        assert state is not None
        command = [sys.executable, "-m", "agent.cli.main"]
        for arguments in (
            ("log", "export", str(copy), "--log", str(log)),
            ("audit", "--log", str(copy), "--key", state.public_key, "--json"),
        ):
            done = subprocess.run([*command, *arguments], capture_output=True, text=True, cwd=ROOT, timeout=120)
            assert done.returncode == 0, done.stdout + done.stderr
        said: dict[str, Any] = json.loads(done.stdout)
        assert said["verdict"] == "clean", said["findings"]
        return said

    def end(self) -> None:
        """Ctrl-C, and nothing may be left."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()
                raise


def _environment(tree: Path) -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}


def broken_build(tree: Path, *files: str) -> Path:
    """A copy of this project in which the check that stands in each of `files` is missing; nothing else differs."""
    for package in ("agent", "firmware_bridge"):
        shutil.copytree(ROOT / package, tree / package, ignore=shutil.ignore_patterns("__pycache__"))
    for file in files:
        check, without = _CHECKS[file]
        path = tree / "agent" / file
        text = path.read_text()
        assert text.count(check) == 1, f"{file} has changed: this control must change with it"
        path.write_text(text.replace(check, without))
    return tree


_CHECKS = {
    "anonymizer/gate.py": ("    if conditions.stopped:\n", "    return Reason.OPEN\n    if conditions.stopped:\n"),
    "policy/adopt.py": ("or served_s < upcoming.required_s or", "or"),
}
"""The gate is always open; the notice is over at once."""


def entries(demo: Demo) -> list[Entry]:
    """The log so far."""
    return [decode_entry(entry) for _, entry in iter_records((demo.folder / "log" / RELEASES).read_bytes())]
