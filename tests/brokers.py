"""A real mosquitto for tests, on a free loopback port of its own (never 1883), in a folder of its own.

with Mosquitto(tmp_path) as broker:
    ... broker.port ...
    broker.stop()
    broker.start()   # the same port
"""

import shutil
import socket
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
MOSQUITTO_PASSWD = shutil.which("mosquitto_passwd") or "/usr/bin/mosquitto_passwd"
START_TIMEOUT_S = 10.0
STOP_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class TlsFiles:
    """PEM files for a TLS listener; with `require_client` a client must show a certificate by `ca`."""

    ca: Path
    certificate: Path
    key: Path
    require_client: bool = False


def free_port() -> int:
    """A loopback TCP port that was free a moment ago, and is not MQTT's default."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = int(probe.getsockname()[1])
        if port not in (1883, 8883):
            return port


class Mosquitto:
    """One broker process. Without `persistence` a stop forgets everything, retained messages too.

    `login` (user, password) lets only that user in; `refuse_all` lets nobody in; `acl` is the text of an ACL file;
    `extra` are further lines of mosquitto.conf. With `at` the program starts behind these words, in a network namespace of its own
    (tests/namespaces.py), on `host` there and on the Unix socket `unix` everywhere.
    """

    def __init__(
        self,
        folder: Path,
        *,
        persistence: bool = False,
        login: tuple[str, str] | None = None,
        refuse_all: bool = False,
        acl: str | None = None,
        tls: TlsFiles | None = None,
        extra: tuple[str, ...] = (),
        host: str = "127.0.0.1",
        at: tuple[str, ...] = (),
        unix: Path | None = None,
    ) -> None:
        self.folder = folder / "mosquitto"
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = free_port()
        self.host = host
        self.unix = unix
        self._at = at
        self._process: subprocess.Popen[bytes] | None = None
        allowed = "false" if login or refuse_all else "true"
        self._lines = [
            *(() if any(line.startswith("log_type") for line in extra) else ("log_type all",)),
            f"allow_anonymous {allowed}",
            "user root",
            *extra,
        ]
        if persistence:
            self._lines += ["persistence true", f"persistence_location {self.folder}/", "autosave_interval 1"]
        if refuse_all:
            (self.folder / "passwords").write_text("")
        if login:
            subprocess.run(
                [MOSQUITTO_PASSWD, "-c", "-b", str(self.folder / "passwords"), *login],
                check=True,
                capture_output=True,
            )
        if login or refuse_all:
            self._lines.append(f"password_file {self.folder}/passwords")
        if acl is not None:
            (self.folder / "acl").write_text(acl)
            self._lines.append(f"acl_file {self.folder}/acl")
        self._tls = (
            []
            if tls is None
            else [
                f"cafile {tls.ca}",
                f"certfile {tls.certificate}",
                f"keyfile {tls.key}",
                f"require_certificate {'true' if tls.require_client else 'false'}",
            ]
        )

    @property
    def pid(self) -> int:
        """Of the running broker."""
        assert self._process is not None
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written so far."""
        return (self.folder / "log").read_text()

    def start(self) -> None:
        """Start on `port` and wait until it listens."""
        assert self._process is None
        deadline = time.monotonic() + START_TIMEOUT_S
        while True:
            self._launch()
            while time.monotonic() < deadline and self._process and self._process.poll() is None:
                try:
                    self._call()
                    return
                except OSError:
                    time.sleep(0.02)
            self.kill()
            if time.monotonic() > deadline:
                raise RuntimeError(f"mosquitto did not start: {self.log[-500:]}")
            time.sleep(0.1)  # the port is still being given back

    def _call(self) -> None:
        """Raises OSError while it does not listen."""
        if self.unix is None:
            socket.create_connection((self.host, self.port), 1).close()
            return
        with socket.socket(socket.AF_UNIX) as caller:
            caller.connect(str(self.unix))

    def stop(self) -> None:
        """End it in order (SIGTERM) and wait."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def kill(self) -> None:
        """End it at once (SIGKILL): connections break, nothing is saved."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(STOP_TIMEOUT_S)
            self._process = None

    def wipe(self) -> None:
        """Forget what persistence kept; only while stopped."""
        assert self._process is None
        (self.folder / "mosquitto.db").unlink(missing_ok=True)

    def _launch(self) -> None:
        unix = () if self.unix is None else (f"listener 0 {self.unix}",)
        lines = [f"listener {self.port} {self.host}", *self._tls, *unix, *self._lines]
        (self.folder / "mosquitto.conf").write_text("\n".join(lines) + "\n")
        with (self.folder / "log").open("ab") as log:
            command = [*self._at, MOSQUITTO, "-c", str(self.folder / "mosquitto.conf")]
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
