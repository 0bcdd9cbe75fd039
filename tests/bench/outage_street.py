"""One street for three programs: boards, a broker, a line or a cable, a supervisor, and a city that counts. bench_outages.py says what for."""

import contextlib
import itertools
import json
import os
import signal
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.cli.demo import stage as stages
from agent.cli.demo.processes import Processes
from agent.cli.demo.stage import Stage
from agent.contracts.log import Gap, decode_entry
from agent.contracts.log_file import RELEASES, iter_records
from agent.local.clock import OPERATOR, Clock
from tests.bench import rivals
from tests.bench.line_board import LineBoard
from tests.brokers import Mosquitto, free_port
from tests.namespaces import BROKER_ADDRESS, Cable
from tests.publisher.certificates import Authority
from tests.publisher.lines import Line, Mode
from tests.publisher.listeners import Listener
from tests.publisher.outage_world import set_password
from tests.publisher.unit_folders import wait_until
from tests.whole_unit import WINDOW_S, Way, whole_unit

OURS = ("firmware-bridge", "anonymizer", "beacon", "publisher")
TOPICS = {"ours": f"/agg/{stages.STREAM}", "bare paho": "bare/windows", "Node-RED 4": "nodered/windows"}
USERS = ("unit", "bare", "nodered")
PASSWORD = "the first"
START_S = 120.0
OUTAGE_S = 15.0


class City:
    """What reached the broker, window by window."""

    def __init__(self, listener: Listener) -> None:
        self.listener = listener

    def payloads(self, program: str) -> dict[int, list[bytes]]:
        """By the second when the window began, as often as it came."""
        found: dict[int, list[bytes]] = {}
        for payload in self.listener.payloads(TOPICS[program]):
            said = json.loads(payload)
            found.setdefault(int(said["window"] if isinstance(said, dict) else said[0]["bt"]), []).append(payload)
        return found


def not_collected(payload: bytes) -> bool:
    """A Release that has no number for its window, and says so."""
    said = json.loads(payload)
    return isinstance(said, list) and any(
        item["n"] == "state" and str(item["vs"]).startswith("not_collected") for item in said
    )


@dataclass(slots=True)
class Street:
    """One run: three programs at a broker, boards that go on, and a city."""

    broker: Mosquitto
    line: Line
    cable: Cable | None
    city: City
    stage: Stage
    processes: Processes
    boards: tuple[LineBoard, ...]
    authority: Authority | None

    def live(self, seconds: float = OUTAGE_S) -> None:
        """The street goes on."""
        time.sleep(seconds)

    def kill(self) -> None:
        """SIGKILL to every program that a unit, a script or a flow is; the supervisor starts them again."""
        known = json.loads((self.stage.folder / "processes.json").read_text())
        for name in (*OURS, "bare", "nodered"):
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(known[name]), signal.SIGKILL)

    def refuse(self) -> None:
        """Connections end, and new ones too."""
        self.line.mode = Mode.REFUSE
        self.line.cut()

    def restart_broker(self) -> None:
        """The line stays closed until the city is back: what a broker forgets while nobody listens is no program's to keep."""
        before = self.city.listener.subscriptions
        self.broker.start()
        wait_until(lambda: self.city.listener.subscriptions > before, "the city", START_S)

    def give_passwords(self, password: str) -> None:
        """The broker's of all three programs."""
        for user in USERS:
            set_password(self.broker, user, password)


@contextlib.contextmanager
def street_for(
    folder: Path, *, apart: bool = False, login: bool = False, tls: bool = False, publisher: Path | None = None
) -> Iterator[Street]:
    """All that runs, and has begun to arrive: three windows of each program are with the city.

    `apart`: broker and programs in network namespaces of their own; `login` and `tls`: only with a password, or over TLS.
    `publisher`: another tree to run ours from.
    """
    authority = Authority(folder / "ca") if tls else None
    with contextlib.ExitStack() as stack:
        # Unix sockets' paths have at most 108 bytes.
        short = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="dtpr-outages-")))
        cable = stack.enter_context(Cable()) if apart else None
        port = free_port()
        extra: tuple[str, ...] = ()
        if authority is not None:
            issued = authority.issue("localhost")
            extra = (f"listener {port} 127.0.0.1", f"certfile {issued.certificate}", f"keyfile {issued.key}")
        broker = Mosquitto(
            folder,
            persistence=True,
            login=("city", PASSWORD) if login else None,
            extra=extra,
            host="127.0.0.1" if cable is None else BROKER_ADDRESS,
            at=() if cable is None else cable.at_broker,
            unix=short / "broker" if apart else None,
        )
        for user in USERS if login else ():
            set_password(broker, user, PASSWORD)
        stack.enter_context(broker)
        line = stack.enter_context(Line(broker.port if authority is None else port))
        listener = stack.enter_context(
            Listener(broker.unix or broker.port, "#", login=("city", PASSWORD) if login else None)
        )
        if cable is None:
            ca = "" if authority is None else str(authority.certificate)
            way = Way("localhost", line.port, ca=ca, password=PASSWORD if login else "")
        else:
            way = Way(broker.host, broker.port, cable.at_unit)
        unit = short / "unit"
        unit.mkdir()
        stage, ours = whole_unit(unit, way, publisher)
        boards = tuple(stack.enter_context(LineBoard(short / name)) for name in ("tty-bare", "tty-nodered"))
        processes = stack.enter_context(Processes(unit, stage.output))
        radio, *daemons = ours
        processes.start(radio)
        wait_until(lambda: (stage.radio / "hci0").exists(), "the radio", START_S)
        node_red = rivals.node_red(short / "node-red", short / "tty-nodered", way)
        for program in (*daemons, rivals.bare_paho(short / "tty-bare", way), node_red):
            processes.start(program)
        made = Street(broker, line, cable, City(listener), stage, processes, boards, authority)
        end = threading.Event()
        for work in (supervise, tick):
            thread = threading.Thread(target=work, args=(made, end))
            thread.start()
            stack.callback(thread.join)
        stack.callback(end.set)
        for program_name in TOPICS:
            wait_until(
                lambda name=program_name: sum(not not_collected(p[0]) for p in made.city.payloads(name).values()) >= 3,  # type: ignore[misc]
                f"windows of {program_name}",
                START_S,
            )
        yield made


def supervise(street: Street, end: threading.Event) -> None:
    """Start again what has died, half a second later, whosever it is."""
    while not end.is_set():
        for _ in street.processes.poll(0.1):
            pass


def tick(street: Street, end: threading.Event) -> None:
    """When a window is over, the boards that print have a line for it."""
    for window in itertools.count(this_window()):
        while this_window() <= window:
            if end.wait(0.02):
                return
        line = json.dumps({"window": window * WINDOW_S, "bike": window % 7, "person": window % 11})
        for board in street.boards:
            board.say(line.encode())


def this_window() -> int:
    """The number of the one under way."""
    return Clock(OPERATOR).utc_ns() // (WINDOW_S * 10**9)


@dataclass(frozen=True, slots=True)
class Tally:
    """Of one program in one run, in windows."""

    lost: int
    said: int
    repeated: int
    contradicted: int

    def __str__(self) -> str:
        said = f" ({self.said} said)" if self.said else ""
        return f"{self.lost}{said} / {self.repeated} / {self.contradicted}"


def gaps(stage: Stage) -> set[int]:
    """Begins of windows that the unit's log says were lost to a restart."""
    octets = (stage.log / RELEASES).read_bytes()
    found: set[int] = set()
    for _, entry in iter_records(octets):
        item = decode_entry(entry)
        if isinstance(item, Gap):
            found |= {item.first_start + number * item.window_s for number in range(item.count)}
    return found


def judge(street: Street, program: str, windows: range) -> Tally:
    """Of these windows, by their begins."""
    came = {begin: payloads for begin, payloads in street.city.payloads(program).items() if begin in windows}
    silent = {begin for begin, payloads in came.items() if all(map(not_collected, payloads))}
    missing = set(windows) - set(came)
    owned = missing & gaps(street.stage) if program == "ours" else set()
    return Tally(
        lost=len(missing - owned),
        said=len(owned | silent),
        repeated=sum(len(payloads) > 1 for payloads in came.values()),
        contradicted=sum(len(set(payloads)) > 1 for payloads in came.values()),
    )
