"""dtpr-publisher as a process: credentials, signals, status, counters around one Session (PB-13, PB-14)."""

import logging
import signal
import time
from ssl import SSLContext
from types import FrameType

from agent.contracts.public import MAX_STATE_BYTES, STATE, says_demo
from agent.contracts.status import STATUS, WRITE_EVERY_S, Status
from agent.errors import SettingsError
from agent.local.counters import ExactCounters
from agent.local.credentials import load_credential
from agent.local.files import ReplacedFile
from agent.local.notify import Watchdog, notify
from agent.local.settings import Mqtt, Settings
from agent.publisher.connection import Login
from agent.publisher.faults import Code
from agent.publisher.session import Session
from agent.publisher.tls import tls_context

DAEMON = "publisher"
PASSWORD = "mqtt-password"  # noqa: S105  # the credential's name
CLIENT_KEY = "mqtt-client-key"

_log = logging.getLogger(DAEMON)


class Daemon:
    """Steps the session until SIGTERM or SIGINT."""

    def __init__(self, settings: Settings, exact_counters_fd: int | None) -> None:
        mqtt = settings.mqtt
        _credentials(mqtt)  # what cannot work from the beginning is said at once
        self._session = Session(settings, lambda: _credentials(mqtt))
        self._counters = ExactCounters(exact_counters_fd, DAEMON)
        self._state_path = settings.paths.public / STATE
        self._status_file = ReplacedFile(settings.paths.status / DAEMON / STATUS)
        self._watchdog = Watchdog()
        self._shown: tuple[Code, str] | None = None
        self._status_at = float("-inf")

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
        self._watchdog.feed()
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
        if self._counters.due:
            self._count()

    def _write_status(self, code: Code, words: str) -> None:
        counters = {"connected": "yes" if self._session.connected else "no", **self._session.counters()}
        status = Status(DAEMON, code is Code.OK, code.value, words, counters)
        self._status_file.replace(status.encode())

    def _count(self) -> None:
        if not self._counters.ask(self._state_path, MAX_STATE_BYTES, says_demo):
            return
        backlog = self._session.backlog
        self._counters.write(
            {
                "connected": self._session.connected,
                "published": backlog.published,
                "acknowledged": backlog.acknowledged,
                "cursor": backlog.progress.acknowledged,
                "backlog": backlog.length,
            }
        )


class _StoppedWhileConnecting(BaseException):
    """Ends a connection attempt, which otherwise blocks for some seconds."""


def _credentials(mqtt: Mqtt) -> tuple[SSLContext | None, Login]:
    """As the files are now; raise SettingsError."""
    return _context(mqtt) if mqtt.tls else None, _login(mqtt)


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
