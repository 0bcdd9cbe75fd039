"""What the anonymizer writes for the air beside the disclosure (AN-75)."""

from pathlib import Path

import pytest

from agent.anonymizer.announcement import Announcement
from agent.anonymizer.newest import Newest
from agent.contracts.latest import open_latest
from agent.contracts.log import Release
from agent.contracts.public import CHECKPOINT, COMPACT, HEAD_EVERY_S, LATEST
from agent.disclosure.compact import open_compact
from agent.local import settings
from agent.local.clock import OPERATOR, Clock
from agent.wire import tlog
from agent.wire.cose import public_bytes
from tests.anonymizer.stage import KEY, ORIGIN, Unit, make_policy
from tests.anonymizer.worlds import World

PUBLIC_KEY = public_bytes(KEY)


class WorldsClock(Clock):
    """A clock that the test moves with its world."""

    def __init__(self, world: World) -> None:
        super().__init__(OPERATOR)
        self._world = world

    def utc_ns(self) -> int:
        """The world's."""
        return self._world.utc_s * 1_000_000_000


class Scene:
    """A world, and what is written of it."""

    def __init__(self, folder: Path) -> None:
        self.world = World(make_policy())
        paths = settings.load(Unit(folder).settings).paths
        self.public = paths.public
        self.newest = Newest()
        self.announcement = Announcement(paths, KEY, WorldsClock(self.world), city="springfield", memory="locked")

    def tell(self) -> None:
        """Time has come to write."""
        head = tlog.TreeHead()
        for entry in self.world.entries:
            head.append(entry.encode())
            self.newest.see(entry)
        checkpoint = tlog.Checkpoint(ORIGIN, head.size, head.root())
        self.announcement.tell(self.world.collection, checkpoint, self.newest, refused="", bad_messages=0)

    def read(self, name: str) -> bytes | None:
        """A file of the public folder."""
        path = self.public / name
        return path.read_bytes() if path.exists() else None


@pytest.fixture
def scene(tmp_path: Path) -> Scene:
    """With one policy, offered."""
    return Scene(tmp_path)


def signed_at(scene: Scene) -> int:
    note = scene.read(CHECKPOINT)
    assert note is not None
    checkpoint = tlog.open_checkpoint(note, ORIGIN, PUBLIC_KEY)
    assert checkpoint.origin == ORIGIN
    (line,) = checkpoint.extensions
    return int(line.removeprefix("time "))


def test_the_tree_head_is_signed_anew_every_minute(scene: Scene) -> None:
    """At once when the log has grown, otherwise no oftener; absent while the time is not known."""
    scene.world.tick(1)
    scene.tell()
    first = signed_at(scene)
    assert first == scene.world.utc_s
    times = []
    for _ in range(3 * HEAD_EVERY_S):
        scene.world.on_air = False  # nothing is logged without a lease
        scene.world.boot_ns += 1_000_000_000
        scene.world.look()
        scene.tell()
        times.append(signed_at(scene))
        assert scene.world.utc_s - times[-1] < HEAD_EVERY_S
    assert len(set(times)) <= 4
    scene.world.clock_trusted = False
    scene.world.look()
    scene.tell()
    assert scene.read(CHECKPOINT) is None


def test_figures_are_those_of_the_newest_release(scene: Scene) -> None:
    """None before there is one; then the newest window's, signed, with the path of the unit; and the compact disclosure of what is shown."""
    scene.tell()
    assert scene.read(LATEST) is None
    compact = scene.read(COMPACT)
    assert compact is not None
    assert open_compact(compact, PUBLIC_KEY).digest == scene.world.digest[:16]
    for _ in range(8):
        scene.world.tick(1)
    scene.tell()
    message = scene.read(LATEST)
    assert message is not None
    latest = open_latest(message, PUBLIC_KEY)
    newest = [entry for entry in scene.world.entries if isinstance(entry, Release)][-1]
    assert latest.path == ORIGIN
    assert [(one.stream, one.start) for one in latest.figures] == [(newest.stream, newest.window_start)]
