"""A dbus-daemon of our own in the system bus's place, and our bluetoothd on it."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.beacon.stage import PATIENCE_S, ROOT, running

BUS_CONFIG = """<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN" "busconfig.dtd">
<busconfig><type>system</type><listen>unix:path={path}</listen><auth>EXTERNAL</auth>
<policy context="default"><allow send_destination="*" eavesdrop="true"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>"""


@contextmanager
def private_bus(folder: Path) -> Iterator[str]:
    """Its address, while it runs."""
    config = folder / "bus.conf"
    config.write_text(BUS_CONFIG.format(path=folder / "bus"))
    daemon = subprocess.Popen(
        ["/usr/bin/dbus-daemon", f"--config-file={config}", "--nofork", "--print-address=1"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    with running(daemon):
        assert daemon.stdout is not None
        yield daemon.stdout.readline().strip()


class Bluetoothd:
    """Our fake, as a process."""

    def __init__(self) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.beacon.fake_bluez"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT, env=dict(os.environ),
        )  # fmt: skip
        self.on_air: list[dict[str, str]] = []
        assert self._line() == {"ready": True}

    def _line(self) -> dict[str, Any]:
        assert self.process.stdout is not None
        return dict(json.loads(self.process.stdout.readline()))

    def tell(self, do: str, **more: Any) -> dict[str, Any]:
        """Give a command; its answer. The packets on air are kept up to date on the way."""
        assert self.process.stdin is not None
        print(json.dumps({"do": do, **more}), file=self.process.stdin, flush=True)
        while "answer" not in (line := self._line()):
            self.on_air = line["on_air"]
        return dict(line["answer"])

    def kill(self) -> None:
        """SIGKILL."""
        self.process.kill()
        self.process.communicate(timeout=PATIENCE_S)
