"""The outage matrix (issue 5): whatever fails, every Release that was logged reaches the city, and none with other bytes.

One row a fault, with a real mosquitto and a real publisher process. Which test shows what of the anonymizer's side of the same faults (disk full
and power cut under the log, kill -9 at each system call, clock steps, a log put back) says the table of PB-40 in agent/publisher/SPEC.md.
A pulled cable is a line that swallows: a half-open connection to both ends.
"""

import contextlib
import datetime
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from agent.contracts.log_file import RELEASES, iter_log
from agent.local.clock import OPERATOR, Clock
from tests.namespaces import CannotBeMade
from tests.publisher.certificates import Authority
from tests.publisher.lines import Mode
from tests.publisher.outage_world import DATA, PASSWORDS, WITHIN_S, Verdict, World, judge, read, set_password, world
from tests.publisher.unit_folders import ROOT, WINDOW_S, wait_until


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


def network_cut(run: World) -> None:
    """No carrier, as both kernels see it, until both sides have given the connection up: the broker says the will, the unit `broker_lost`."""
    assert run.cable is not None
    run.log(3)
    run.settle()
    run.cable.cut()
    run.log(12)
    run.status("broker_lost")
    wait_until(lambda: b'"offline"' in run.city.payloads("/state")[-1], "the will", WITHIN_S)
    run.log(3)
    run.cable.mend()
    run.settle()
    run.log(2)


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


def cursor_lost(run: World) -> None:
    """Nothing says what was acknowledged: everything is sent again, late, with the same bytes."""
    run.log(10)
    wait_until(lambda: len(run.city.heard(DATA)) >= 10, "every release once", WITHIN_S)
    run.publisher.kill()
    run.unit.cursor.unlink(missing_ok=True)
    run.publisher.start()
    wait_until(lambda: len(run.city.heard(DATA)) >= 20, "every release twice", WITHIN_S)


def power_cut(run: World) -> None:
    """The cursor's newest writes were not synced and are gone; so is /run, until the anonymizer is up again."""
    run.log(10)
    wait_until(lambda: run.unit.passed() == 10, "the cursor", WITHIN_S)
    synced = read(run.unit.cursor)
    run.log(10)
    run.settle()
    wait_until(lambda: run.unit.passed() == 20, "the cursor", WITHIN_S)
    run.publisher.kill()
    run.unit.cursor.write_bytes(synced)
    for path in run.unit.public.iterdir():
        path.unlink()
    run.publisher.start()
    run.status("waiting_for_unit")
    run.unit.announce()
    run.unit.checkpoint()
    wait_until(lambda: len(run.city.heard(DATA)) >= 30, "ten releases twice", WITHIN_S)
    run.log(3)


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
    network_cut,
    slow_reader,
    killed_at_any_step,
    killed_while_the_cable_is_out,
    cursor_lost,
    power_cut,
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


def run_row(row: Callable[[World], None], folder: Path, *, tree: Path = ROOT, within_s: float = WITHIN_S) -> Verdict:
    """The outage, and then all that was logged must arrive."""
    tls = authority = None
    stuck = ""
    if row is certificates_rotated:
        maker = Authority(folder / "ca")
        tls = maker.issue("localhost", until=datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC))
        authority = maker.certificate
    login, apart = row is credentials_revoked, row is network_cut
    with world(folder, tls=tls, authority=authority, login=login, apart=apart, tree=tree) as run:
        run.within_s = within_s
        try:
            row(run)
            run.settle()
        except AssertionError as bad:
            stuck = str(bad) or repr(bad)
    return judge(run, stuck)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.__name__)
def test_nothing_is_lost_and_nothing_changes(tmp_path: Path, row: Callable[[World], None]) -> None:
    """PB-7, PB-9 to PB-12, PB-19, PB-20, PB-40."""
    try:
        assert run_row(row, tmp_path) == Verdict()
    except CannotBeMade as bad:
        pytest.skip(f"two network namespaces cannot be made here: {bad}")


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


def build_with(control: Control, tree: Path) -> Path:
    """A copy of the agent in which nothing but this mistake is different."""
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
    return tree


@pytest.mark.parametrize("mistake", CONTROLS)
def test_the_matrix_catches(tmp_path: Path, mistake: str) -> None:
    """Positive controls: the same row, the same judge, and a publisher that is wrong in one place."""
    control = CONTROLS[mistake]
    tree = build_with(control, tmp_path / "tree")
    verdict = run_row(control.row, tmp_path / "run", tree=tree, within_s=15.0)
    assert control.finds(verdict), verdict
