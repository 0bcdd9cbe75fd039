"""What the outage matrix runs on: a unit's folder, the real publisher, a line or a cable, a real mosquitto, a city; and the judge of a run."""

import base64
import contextlib
import json
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from agent.contracts.log_file import RELEASES, iter_records
from agent.errors import SignatureError
from agent.wire.cose import public_bytes, verify1
from agent.wire.tlog import TreeHead
from tests.brokers import MOSQUITTO_PASSWD, Mosquitto, free_port
from tests.namespaces import BROKER_ADDRESS, Cable
from tests.publisher.certificates import Issued
from tests.publisher.lines import Line, Mode
from tests.publisher.listeners import Heard, Listener
from tests.publisher.unit_folders import KEY, ROOT, STREAM, PublisherProcess, UnitFolder, wait_until

DATA = f"agg/{STREAM}"
WITHIN_S = 60.0
KEEPALIVE_S = 5
CITY = ("city", "the city's")
PASSWORDS = ("the first", "the second")


@dataclass(slots=True)
class World:
    """One run: a unit, a publisher, a line, a broker, a city. `log` releases, `settle` waits until the city has all.

    With a `cable` unit and broker are in network namespaces of their own, and the line leads nowhere.
    """

    folder: Path
    unit: UnitFolder
    broker: Mosquitto
    line: Line
    city: Listener
    publisher: PublisherProcess
    cable: Cable | None = None
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
        """agent.toml for this line, or for the far end of the cable."""
        lines = f"keepalive_s = {KEEPALIVE_S}\n{mqtt}"
        if self.cable is None:
            self.unit.configure(self.line.port, lines)
        else:
            lines += '\nplain_text_exception = "two network namespaces of one machine"'
            self.unit.configure(self.broker.port, lines, host=self.broker.host)

    def replace_log(self, octets: bytes, note: bytes) -> None:
        """Put another log in the place of this one; what is appended then follows it."""
        (self.unit.log / RELEASES).write_bytes(octets)
        self.unit.shown.write_bytes(note)
        self.unit.head, self.unit.bytes = TreeHead(), len(octets)
        for _, entry in iter_records(octets):
            self.unit.head.append(entry)


@contextlib.contextmanager
def world(
    folder: Path,
    *,
    tls: Issued | None = None,
    authority: Path | None = None,
    login: bool = False,
    apart: bool = False,
    tree: Path = ROOT,
) -> Iterator[World]:
    """Everything runs; with `tls` the unit's listener speaks it and asks for a client's certificate by `authority`.

    `apart`: the broker and the publisher in namespaces of their own. Raises CannotBeMade where there can be none.
    """
    unit = UnitFolder(folder / "unit")
    unit.announce()
    port = free_port()
    extra: tuple[str, ...] = ()
    if tls is not None:
        extra = (f"listener {port} 127.0.0.1", f"cafile {authority}", f"certfile {tls.certificate}", f"keyfile {tls.key}",
                 "require_certificate true")  # fmt: skip
    with contextlib.ExitStack() as stack:
        cable = stack.enter_context(Cable()) if apart else None
        unix = None
        if cable is not None:
            unix = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "broker"  # sun_path holds 108 bytes
        broker = Mosquitto(
            folder,
            persistence=True,
            login=("unit", PASSWORDS[0]) if login else None,
            extra=extra,
            host="127.0.0.1" if cable is None else BROKER_ADDRESS,
            at=() if cable is None else cable.at_broker,
            unix=unix,
        )
        if login:
            set_password(broker, *CITY)
        stack.enter_context(broker)
        line = stack.enter_context(Line(broker.port if tls is None else port))
        city = stack.enter_context(Listener(unix or broker.port, f"{unit.base}/#", login=CITY if login else None))
        publisher = PublisherProcess(unit, tree=tree, at=() if cable is None else cable.at_unit)
        made = World(folder, unit, broker, line, city, publisher, cable)
        made.configure()
        with made.publisher:
            yield made


def set_password(broker: Mosquitto, user: str, password: str) -> None:
    """In the broker's file; it reads it when it starts."""
    passwords = str(broker.folder / "passwords")
    subprocess.run([MOSQUITTO_PASSWD, "-b", passwords, user, password], check=True, capture_output=True)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What is wrong after a run: by default nothing. Counts of windows; `stuck` is what was waited for in vain."""

    lost: int = 0
    changed: int = 0
    unlogged: int = 0
    forged: int = 0
    stuck: str = ""


def judge(run: World, stuck: str = "") -> Verdict:
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
    """Is it the unit's signature over the payload?"""
    try:
        verify1(signature, public_bytes(KEY), detached_payload=payload)
    except SignatureError:
        return False
    return True


def read(path: Path) -> bytes:
    """What it holds; nothing when it is not there."""
    return path.read_bytes() if path.exists() else b""
