"""kill -9 of the publisher at each system call that anyone else notices: what it sends, what it takes, what it writes (issue 5)."""

import shutil
import time
from pathlib import Path

from tests.publisher.outage_world import DATA, WITHIN_S, Verdict, World, judge, world
from tests.publisher.unit_folders import PublisherProcess

STRACE = shutil.which("strace") or "/usr/bin/strace"
CALLS = {"connect": 1, "sendto": 12, "recvfrom": 8, "fsync": 1, "rename": 1, "pwrite64": 2, "fdatasync": 2}
"""So often each is tried, in one life after another: the CONNECT, each announcement, each Release, each acknowledgement, the first cursor as a
file renamed, the later ones in place."""


def one_life(run: World, call: str, number: int) -> bool:
    """The publisher lives until it is about to make this call for so many times, which is not made; False when it never comes to that."""
    traced = PublisherProcess(
        run.unit,
        at=(STRACE, "-qq", "-o", "/dev/null", "-e", f"trace={call}", "-e", f"inject={call}:signal=SIGKILL:when={number}"),
    )  # fmt: skip
    run.log(2)
    with traced:
        assert traced.process is not None
        until = time.monotonic() + WITHIN_S
        while traced.process.poll() is None:
            if run.reached() >= set(run.expected) and run.unit.passed() == run.unit.head.size:
                return False
            assert time.monotonic() < until, f"neither killed nor done at {call} {number}\n{traced.log[-500:]}"
            time.sleep(0.02)
        return traced.process.returncode == -9


def test_killed_at_each_call(tmp_path: Path) -> None:
    """PB-9, PB-10, PB-40: whatever was sent, taken or written by then, the next life loses nothing and changes nothing."""
    with world(tmp_path) as run:
        run.publisher.kill()
        killed: dict[str, int] = {}
        for call, times in CALLS.items():
            if call == "fsync":
                run.unit.cursor.unlink(missing_ok=True)  # the first cursor is a new file
            for number in range(1, times + 1):
                killed[call] = killed.get(call, 0) + one_life(run, call, number)
        run.publisher.start()
        run.log(2)
        run.settle()
        assert judge(run) == Verdict()
        again = len(run.city.heard(DATA)) - len(run.expected)
    assert all(killed.values()), killed
    assert sum(killed.values()) >= 20, killed
    assert again > 0, "some were killed between a Release and its cursor"
