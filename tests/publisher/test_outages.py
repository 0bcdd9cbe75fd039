"""The outage matrix (issue 5): whatever fails, every Release that was logged reaches the city, and none with other bytes.

One row a fault, with a real mosquitto and a real publisher process. The anonymizer's side of the same faults (disk full and power cut under
the log, kill -9 at each system call, clock steps, a log put back) is in tests/anonymizer and tests/privacy. A pulled cable is a line that
swallows: to both ends that is what a cut network is.
"""

import base64
import contextlib
import datetime
import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from agent.contracts.log import RELEASES, iter_log, iter_records
from agent.errors import SignatureError
from agent.local.clock import OPERATOR, Clock
from agent.wire.cose import public_bytes, verify1
from agent.wire.tlog import TreeHead
from tests.brokers import MOSQUITTO_PASSWD, Mosquitto, free_port
from tests.publisher.certificates import Authority, Issued
from tests.publisher.lines import Line, Mode
from tests.publisher.listeners import Heard, Listener
from tests.publisher.unit_folders import KEY, ROOT, STREAM, WINDOW_S, PublisherProcess, UnitFolder, wait_until

DATA = f"agg/{STREAM}"
WITHIN_S = 60.0
KEEPALIVE_S = 5
CITY = ("city", "the city's")
PASSWORDS = ("the first", "the second")


@dataclass(slots=True)
class World:
    """One run: a unit, a publisher, a line, a broker, a city. `log` releases, `settle` waits until the city has all."""

    folder: Path
    unit: UnitFolder
    broker: Mosquitto
    line: Line
    city: Listener
    publisher: PublisherProcess
    within_s: float = WITHIN_S
    expected: list[bytes] = field(default_factory=list)
    number: int = 0

    def log(self, count: int) -> None:
        """Release so many windows."""
        self.expected += self.unit.release_windows(self.number, count)
        self.number += count

    def reached(self) -> set[bytes]:
        """The payloads that the city has."""
        return set(self.city.payloads(DATA))

    def signatures(self, message: Heard) -> list[bytes]:
        """Of its properties; after a broker hung up without an answer the publisher tries MQTT 3.1.1, where they follow (PB-6)."""
        if "sig" in message.user_properties:
            return [base64.b64decode(message.user_properties["sig"])]
        index = next(record["v"] for record in json.loads(message.payload) if record["n"] == "log_index")
        items = [json.loads(payload) for payload in self.city.payloads(f"{DATA}/sig")]
        return [base64.b64decode(item["sig"]) for item in items if item["log_index"] == index]

    def part(self, count: int) -> None:
        """Wait until the city has so many."""
        wait_until(lambda: len(self.reached()) >= count, f"{count} releases", self.within_s)

    def settle(self) -> None:
        """Wait until the city has all, with signatures."""
        wait_until(lambda: self.reached() >= set(self.expected), "every release", self.within_s)
        wait_until(lambda: all(map(self.signatures, self.city.heard(DATA))), "every signature", self.within_s)

    def status(self, code: str) -> None:
        """Wait until the status names it."""
        wait_until(lambda: f'"{code}"' in self.unit.status(), f"{code} in the status", WITHIN_S)

    def restart_broker(self, *, wipe: bool = False) -> None:
        """The line stays closed until the city is back: what a broker forgets while nobody listens is not the publisher's to keep."""
        before = self.city.subscriptions
        if wipe:
            self.broker.wipe()
        self.broker.start()
        wait_until(lambda: self.city.subscriptions > before, "the city", WITHIN_S)

    @contextlib.contextmanager
    def outage(self) -> Iterator[None]:
        """Some releases arrive before, some are logged meanwhile and after; the line is closed until the block ends."""
        self.log(3)
        self.settle()
        self.line.mode = Mode.REFUSE
        self.line.cut()
        self.log(3)
        yield
        self.log(9)
        self.line.mode = Mode.PASS
        self.settle()
        self.log(2)

    def configure(self, mqtt: str = "tls = false") -> None:
        """agent.toml for this line."""
        self.unit.configure(self.line.port, f"keepalive_s = {KEEPALIVE_S}\n{mqtt}")

    def replace_log(self, octets: bytes, note: bytes) -> None:
        """Put another log in the place of this one; what is appended then follows it."""
        (self.unit.log / RELEASES).write_bytes(octets)
        self.unit.shown.write_bytes(note)
        self.unit.head, self.unit.bytes = TreeHead(), len(octets)
        for _, entry in iter_records(octets):
            self.unit.head.append(entry)


@contextlib.contextmanager
def world(
    folder: Path, *, tls: Issued | None = None, authority: Path | None = None, login: bool = False, tree: Path = ROOT
) -> Iterator[World]:
    """Everything but the publisher runs; with `tls` the unit's listener speaks it and asks for a client's certificate by `authority`."""
    unit = UnitFolder(folder / "unit")
    unit.announce()
    port = free_port()
    extra: tuple[str, ...] = ()
    if tls is not None:
        extra = (f"listener {port} 127.0.0.1", f"cafile {authority}", f"certfile {tls.certificate}", f"keyfile {tls.key}",
                 "require_certificate true")  # fmt: skip
    with contextlib.ExitStack() as stack:
        broker = Mosquitto(folder, persistence=True, login=("unit", PASSWORDS[0]) if login else None, extra=extra)
        if login:
            set_password(broker, *CITY)
        stack.enter_context(broker)
        line = stack.enter_context(Line(broker.port if tls is None else port))
        city = stack.enter_context(Listener(broker.port, f"{unit.base}/#", login=CITY if login else None))
        made = World(folder, unit, broker, line, city, PublisherProcess(unit, tree=tree))
        made.configure()
        with made.publisher:
            yield made


def set_password(broker: Mosquitto, user: str, password: str) -> None:
    """In the broker's file; it reads it when it starts."""
    passwords = str(broker.folder / "passwords")
    subprocess.run([MOSQUITTO_PASSWD, "-b", passwords, user, password], check=True, capture_output=True)


def broker_stopped(run: World) -> None:
    with run.outage():
        run.broker.stop()
        run.restart_broker()


def broker_killed_and_wiped(run: World) -> None:
    with run.outage():
        run.broker.kill()
        run.restart_broker(wipe=True)


def connection_cut_again_and_again(run: World) -> None:
    run.log(60)
    for count in (5, 20, 40):
        run.part(count)
        run.line.cut()


def cable_pulled(run: World) -> None:
    """Half-open: nothing ends, nothing arrives; the keep-alive notices."""
    run.log(3)
    run.settle()
    run.line.mode = Mode.SILENT
    run.log(12)
    wait_until(lambda: run.line.swallowed > 4000, "messages to be lost", WITHIN_S)
    run.status("broker_lost")
    run.line.mode = Mode.PASS


def slow_reader(run: World) -> None:
    run.log(3)
    run.settle()
    run.line.mode = Mode.SLOW
    run.log(30)
    run.part(5)
    run.line.mode = Mode.PASS


def killed_at_any_step(run: World) -> None:
    """Before the first acknowledgement, and after some: between PUBLISH, PUBACK and the cursor's write."""
    run.log(80)
    for count in (0, 1, 23, 66):
        run.part(count)
        run.publisher.kill()
        run.publisher.start()
        run.log(1)


def killed_while_the_cable_is_out(run: World) -> None:
    """What was sent never arrived, and nobody is left who remembers that it was sent."""
    run.log(3)
    run.settle()
    wait_until(run.unit.cursor.exists, "the cursor")
    run.line.mode = Mode.SILENT
    run.log(12)
    wait_until(lambda: run.line.swallowed > 4000, "messages to be lost", WITHIN_S)
    time.sleep(1)  # long enough for a cursor that is written too soon
    run.publisher.kill()
    run.line.mode = Mode.PASS
    run.line.cut()
    run.publisher.start()


def disk_full_under_the_cursor(run: World) -> None:
    """Delivery goes on, the status says it, and after a kill what the cursor does not know comes again."""
    run.log(3)
    run.settle()
    run.publisher.kill()
    disk = run.folder / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["/usr/bin/mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(disk)], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip(f"a small disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    try:
        run.unit.cursor = disk / "cursor"
        run.configure()
        filling = disk / "filling"
        with contextlib.suppress(OSError):
            filling.write_bytes(bytes(64 * 1024))
        run.publisher.start()
        run.log(5)
        run.settle()
        run.status("cursor_unwritable")
        run.publisher.kill()
        run.publisher.start()
        run.log(5)
        run.settle()
        filling.unlink()
        wait_until(lambda: bool(read(run.unit.cursor)), "the cursor", WITHIN_S)
        assert run.publisher.stop() == 0
        run.publisher.start()
        run.log(2)
        run.settle()
        run.publisher.kill()
    finally:
        subprocess.run(["/usr/bin/umount", str(disk)], check=True)


def read(path: Path) -> bytes:
    return path.read_bytes() if path.exists() else b""


def cursor_lost(run: World) -> None:
    """Nothing says what was acknowledged: everything is sent again, late, with the same bytes."""
    run.log(10)
    wait_until(lambda: len(run.city.heard(DATA)) >= 10, "every release once", WITHIN_S)
    run.publisher.kill()
    run.unit.cursor.unlink(missing_ok=True)
    run.publisher.start()
    wait_until(lambda: len(run.city.heard(DATA)) >= 20, "every release twice", WITHIN_S)


def disk_full_under_the_log(run: World) -> None:
    """What a full disk leaves behind the checkpoint is not read; the record that is whole later is."""
    with run.outage():
        with (run.unit.log / RELEASES).open("ab") as file:
            file.write(b"\x40\x02\0\0half a record")
        run.line.mode = Mode.PASS
        run.settle()
        with (run.unit.log / RELEASES).open("ab") as file:
            file.truncate(run.unit.bytes)


def log_truncated_then_whole(run: World) -> None:
    with run.outage():
        whole = (run.unit.log / RELEASES).read_bytes()
        (run.unit.log / RELEASES).write_bytes(whole[: run.unit.bytes - 200])
        run.line.mode = Mode.PASS
        run.status("log_damaged")
        (run.unit.log / RELEASES).write_bytes(whole)


def log_bit_flipped_then_whole(run: World) -> None:
    with run.outage():
        whole = (run.unit.log / RELEASES).read_bytes()
        place = [each for each in iter_log(whole) if not each.is_checkpoint][-2].start + 100
        (run.unit.log / RELEASES).write_bytes(whole[:place] + bytes([whole[place] ^ 4]) + whole[place + 1 :])
        run.line.mode = Mode.PASS
        run.status("log_damaged")
        (run.unit.log / RELEASES).write_bytes(whole)


def log_rolled_back(run: World) -> None:
    """An old log in the place of the newer one grows on, with windows that were never released before (I5)."""
    run.log(4)
    old = read(run.unit.log / RELEASES), read(run.unit.shown)
    run.log(6)
    run.settle()
    wait_until(lambda: run.unit.passed() == 10, "the cursor")
    run.publisher.kill()
    run.replace_log(*old)
    run.log(5)
    run.publisher.start()
    run.settle()
    run.status("log_damaged")


def clock_an_hour_ahead(run: World) -> None:
    """The unit's windows are an hour old when they are logged, as far as the publisher can tell."""
    off_by(run, -3600)


def clock_an_hour_behind(run: World) -> None:
    off_by(run, 3600)


def off_by(run: World, seconds: int) -> None:
    now_s = Clock(OPERATOR).utc_ns() // 10**9 + seconds
    run.unit.announce(clock_trusted=True, collect_within_s=2 * 3600)
    run.publisher.kill()
    first = run.unit.release(0).window_start
    run.number = (now_s - first) // WINDOW_S - 5
    run.log(4)
    run.publisher.start()
    run.settle()
    run.log(2)


def credentials_revoked(run: World) -> None:
    """The broker's password changes, then the unit's file; the process is not restarted."""
    secret = run.folder / "password"
    secret.write_text(PASSWORDS[0])
    secret.chmod(0o600)
    run.publisher.kill()
    run.configure(f'tls = false\nusername = "unit"\npassword_file = "{secret}"')
    run.publisher.start()
    with run.outage():
        set_password(run.broker, "unit", PASSWORDS[1])
        run.broker.stop()
        run.restart_broker()
        run.line.mode = Mode.PASS
        run.status("broker_refused")
        secret.write_text(PASSWORDS[1])


def certificates_rotated(run: World) -> None:
    """First the broker's has expired, then ours is by an authority that it does not know; files are replaced, the unit is not restarted."""
    authority, stranger = Authority(run.folder / "ca"), Authority(run.folder / "stranger", "a stranger")
    mine = stranger.issue("unit")
    run.publisher.kill()
    run.configure(
        f'ca_file = "{authority.certificate}"\nclient_certificate = "{mine.certificate}"\nclient_key = "{mine.key}"'
    )
    run.log(3)
    run.publisher.start()
    run.status("broker_tls")
    run.broker.stop()
    authority.issue("localhost")
    run.restart_broker()
    wait_until(lambda: "OpenSSL Error" in run.broker.log or "SSL routines" in run.broker.log, "the refusal", WITHIN_S)
    assert not run.reached()
    fresh = authority.issue("unit")
    shutil.copy(fresh.key, mine.key)
    shutil.copy(fresh.certificate, mine.certificate)


ROWS: tuple[Callable[[World], None], ...] = (
    broker_stopped,
    broker_killed_and_wiped,
    connection_cut_again_and_again,
    cable_pulled,
    slow_reader,
    killed_at_any_step,
    killed_while_the_cable_is_out,
    cursor_lost,
    disk_full_under_the_cursor,
    disk_full_under_the_log,
    log_truncated_then_whole,
    log_bit_flipped_then_whole,
    log_rolled_back,
    clock_an_hour_ahead,
    clock_an_hour_behind,
    credentials_revoked,
    certificates_rotated,
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong after a run: by default nothing. Counts of windows; `stuck` is what was waited for in vain."""

    lost: int = 0
    changed: int = 0
    unlogged: int = 0
    forged: int = 0
    stuck: str = ""


def run_row(row: Callable[[World], None], folder: Path, *, tree: Path = ROOT, within_s: float = WITHIN_S) -> Verdict:
    """The outage, and then all that was logged must arrive."""
    tls = authority = None
    stuck = ""
    if row is certificates_rotated:
        maker = Authority(folder / "ca")
        tls = maker.issue("localhost", until=datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC))
        authority = maker.certificate
    with world(folder, tls=tls, authority=authority, login=row is credentials_revoked, tree=tree) as run:
        run.within_s = within_s
        try:
            row(run)
            run.settle()
        except AssertionError as bad:
            stuck = str(bad) or repr(bad)
    return judge(run, stuck)


def judge(run: World, stuck: str) -> Verdict:
    """Lost, changed (one unit, stream and window with several payloads), never logged, signed by another."""
    windows: dict[tuple[str, int], set[bytes]] = {}
    forged = 0
    for message in run.city.heard(DATA):
        first = json.loads(message.payload)[0]
        windows.setdefault((first["bn"], first["bt"]), set()).add(message.payload)
        forged += not any(true(signature, message.payload) for signature in run.signatures(message))
    reached, logged = run.reached(), set(run.expected)
    changed = sum(len(payloads) > 1 for payloads in windows.values())
    return Verdict(len(logged - reached), changed, len(reached - logged), forged, stuck)


def true(signature: bytes, payload: bytes) -> bool:
    try:
        verify1(signature, public_bytes(KEY), detached_payload=payload)
    except SignatureError:
        return False
    return True


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_nothing_is_lost_and_nothing_changes(tmp_path: Path, row: Callable[[World], None]) -> None:
    """PB-7, PB-9 to PB-12, PB-19, PB-20."""
    assert run_row(row, tmp_path) == Verdict()


@dataclass(frozen=True, slots=True)
class Control:
    """A build with one mistake, and the row that must notice."""

    file: str
    right: str
    wrong: str
    row: Callable[[World], None]
    finds: Callable[[Verdict], bool]


CONTROLS = {
    "cursor before PUBACK": Control(
        "agent/publisher/lane.py",
        "while self._flights and self._flights[0].owed == 0:",
        "while self._flights:",
        killed_while_the_cable_is_out,
        lambda verdict: verdict.lost > 0,
    ),
    "noise drawn anew on a retry": Control(
        "agent/publisher/message.py",
        "        release.payload,\n",
        '        release.payload.replace(b\'"v":31\', b\'"v":%d\' % (31 + __import__("os").urandom(1)[0] % 60)),\n',
        cursor_lost,
        lambda verdict: verdict.changed > 0 and verdict.forged > 0,
    ),
    "what is in flight left to the client library": Control(
        "agent/publisher/backlog.py",
        "        self._late = self._live = None\n\n",
        "        return\n\n",
        cable_pulled,
        lambda verdict: verdict.lost > 0,
    ),
}


@pytest.mark.parametrize("mistake", CONTROLS)
def test_the_matrix_catches(tmp_path: Path, mistake: str) -> None:
    """Positive controls: the same row, the same judge, and a publisher that is wrong in one place."""
    control = CONTROLS[mistake]
    tree = tmp_path / "tree"
    shutil.copytree(ROOT / "agent", tree / "agent", ignore=shutil.ignore_patterns("__pycache__"))
    path = tree / control.file
    text = path.read_text()
    assert text.count(control.right) == 1, f"{control.file} has changed: this control must change with it"
    path.write_text(text.replace(control.right, control.wrong))
    where = subprocess.run(
        [sys.executable, "-c", "import agent; print(agent.__file__)"],
        cwd=tree,
        env={"PYTHONPATH": str(tree)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert where.stdout.startswith(str(tree))
    verdict = run_row(control.row, tmp_path / "run", tree=tree, within_s=15.0)
    assert control.finds(verdict), verdict
