"""dtpr-publisher as a process: settings, credentials, signals, status, counters around one Session (PB-13, PB-14)."""

import argparse
import logging
import os
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from ssl import SSLContext
from types import FrameType

from agent.contracts.status import STATUS, WRITE_EVERY_S, Status, bucket
from agent.errors import DtprError, SettingsError, StorageUnavailable
from agent.local import settings as agent_settings
from agent.local.counters import ExactCounters
from agent.local.credentials import load_credential
from agent.local.files import write_atomic
from agent.local.notify import notify
from agent.local.settings import Mqtt, Settings
from agent.publisher.connection import Login, tls_context
from agent.publisher.faults import Code
from agent.publisher.session import Session

DAEMON = "publisher"
COUNT_EVERY_S = 0.5
WATCHDOG_EVERY_S = 2.0
PASSWORD = "mqtt-password"  # noqa: S105  # the credential's name
CLIENT_KEY = "mqtt-client-key"

_log = logging.getLogger(DAEMON)


class Daemon:
    """Steps the session until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, exact_counters_fd: int | None) -> None:
        mqtt = settings.mqtt
        self._session = Session(settings, _context(mqtt) if mqtt.tls else None, _login(mqtt))
        self._exact = exact_counters_fd is not None
        self._counters = ExactCounters(exact_counters_fd, DAEMON)
        self._status = settings.paths.status / DAEMON / STATUS
        self._counters_allowed = False
        self._shown: tuple[Code, str] | None = None
        self._status_at = self._counted_at = self._fed_at = float("-inf")

    def run(self) -> None:
        """Until told to stop; raise DemoOnly when exact counters were asked for under another policy."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)
        notify("READY=1")
        try:
            while not self._session.stopping:
                self._session.step()
                self._tell()
        except _StoppedWhileConnecting:
            pass
        notify("STOPPING=1")
        self._session.stop()
        self._tell()

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self._session.stopping = True
        if self._session.connecting:
            raise _StoppedWhileConnecting

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._fed_at >= WATCHDOG_EVERY_S:
            notify("WATCHDOG=1")
            self._fed_at = now
        condition = self._session.condition()
        changed = self._shown is None or condition[0] is not self._shown[0]
        if changed and condition[0] is not Code.OK:
            _log.warning("%s: %s", condition[0], condition[1] or "first attempt")
        elif changed and self._shown is not None:
            _log.info("ok")
        if changed or now - self._status_at >= WRITE_EVERY_S:
            self._write_status(*condition)
            self._status_at = now
        self._shown = condition
        if now - self._counted_at >= COUNT_EVERY_S:
            self._count()
            self._counted_at = now

    def _write_status(self, code: Code, words: str) -> None:
        counters = {
            "connected": "yes" if self._session.connected else "no",
            "backlog": bucket(self._session.backlog.length),
        }
        status = Status(DAEMON, code is Code.OK, code.value, words[:1000], counters)
        try:
            self._status.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(self._status, status.encode())
        except (OSError, StorageUnavailable) as bad:
            if self._shown is None:
                _log.warning("no status can be written: %s", bad)

    def _count(self) -> None:
        state = self._session.unit.state
        if not self._exact or state is None:
            return  # whose policy it is, is not known yet
        if not self._counters_allowed:
            self._counters.allow(demo=state.demo)
            self._counters_allowed = True
        backlog = self._session.backlog
        self._counters.write(
            {
                "connected": self._session.connected,
                "published": backlog.published,
                "acknowledged": backlog.acknowledged,
                "cursor": backlog.cursor.entries,
                "backlog": backlog.length,
                "pss_kib": _pss_kib(),
            }
        )


class _StoppedWhileConnecting(BaseException):
    """Ends a connection attempt, which otherwise blocks for some seconds."""


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="dtpr-publisher", description=__doc__)
    parser.add_argument("--config", type=Path, default=agent_settings.DEFAULT_PATH, help="agent.toml")
    parser.add_argument("--exact-counters", type=int, metavar="FD", help="the demo's descriptor for exact counters")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s", stream=sys.stderr)
    os.environ.setdefault("RES_OPTIONS", "timeout:1 attempts:2")  # a dead name server must not hold up a stop
    try:
        Daemon(agent_settings.load(options.config), options.exact_counters).run()
    except DtprError as bad:
        sys.stderr.write(f"error: {bad}\n")
        return bad.exit_code
    return 0


def _login(mqtt: Mqtt) -> Login:
    if mqtt.password_file is None:
        return Login(mqtt.username, None)
    secret = load_credential(PASSWORD, mqtt.password_file)
    try:
        return Login(mqtt.username, secret.decode().rstrip("\r\n"))
    except UnicodeDecodeError:
        raise SettingsError(str(mqtt.password_file), expected="a password in UTF-8", got="other bytes") from None


def _context(mqtt: Mqtt) -> SSLContext:
    if mqtt.client_key is not None:
        load_credential(CLIENT_KEY, mqtt.client_key)  # others must not be able to read it
    try:
        return tls_context(mqtt)
    except OSError as bad:  # ssl.SSLError is one too
        raise SettingsError(
            "agent.toml [mqtt]",
            expected="ca_file, client_certificate and client_key that can be loaded",
            got=bad.strerror or str(bad),
            remedy="check the three paths, and that key and certificate belong together",
        ) from None


def _pss_kib() -> int:
    with open("/proc/self/smaps_rollup", encoding="ascii") as rollup:
        return next((int(line.split()[1]) for line in rollup if line.startswith("Pss:")), 0)
