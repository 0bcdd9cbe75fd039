"""The run: start everything, show it, and at the end let the board stop first, the windows close and the log drain."""

import argparse
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from agent.cli.demo import stage as stages
from agent.cli.demo.broker import broker_command, free_port
from agent.cli.demo.council import OFFERS
from agent.cli.demo.evidence import Evidence, build_report, releases_of
from agent.cli.demo.panes import Panes, PlainPanes, Screen
from agent.cli.demo.processes import Processes, Program
from agent.cli.demo.stage import Stage
from agent.errors import RadioUnavailable, SettingsError
from agent.local.clock import OPERATOR, Clock
from agent.policy.file import load_policy
from firmware_bridge.simulator.file import load_replay

TICK_S = 0.1
RADIO_WITHIN_S = 20.0
DRAIN_WITHIN_S = 20.0
OUTAGE_AFTER_S = 15.0
OFFER_AFTER_S = 20.0


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of `dtpr-agent demo`."""
    parser.add_argument(
        "--seconds", type=float, metavar="N", help="let the board run for N seconds, then end (default: until Ctrl-C)"
    )
    parser.add_argument(
        "--speed",
        type=float,
        default=300.0,
        metavar="X",
        help="how much faster than real the street lives (default 300)",
    )
    parser.add_argument(
        "--replay",
        type=Path,
        metavar="FILE",
        help="replay real hourly counts: a CSV of timestamp and one column a class",
    )
    parser.add_argument(
        "--replay-from",
        metavar="TIME",
        help="where in FILE to begin, ISO 8601 (default: the busiest hour of its first whole day)",
    )
    parser.add_argument(
        "--policy",
        type=Path,
        metavar="FILE",
        help="run this policy instead of the demo's own, minutes lived in seconds; the board measures what it names",
    )
    parser.add_argument(
        "--frames-per-second", type=int, default=20, metavar="N", help="how often the board sends (default 20)"
    )
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        help="write the numbers as JSON; exit 1 unless every one is as it must be",
    )
    parser.add_argument(
        "--outage", type=float, default=0.0, metavar="N", help="stop the broker for N seconds in the middle"
    )
    parser.add_argument(
        "--offer",
        choices=OFFERS,
        help="offer the running unit another policy, or a stop order, and see what becomes of it",
    )
    parser.add_argument(
        "--broker",
        choices=("mosquitto", "iotcore"),
        default="",
        help="which broker to use (default: what is installed)",
    )
    parser.add_argument(
        "--directory", type=Path, metavar="DIR", help="keep everything that the run writes in DIR (new or empty)"
    )
    parser.add_argument("--plain", action="store_true", help="print lines even on a terminal")


def run(args: argparse.Namespace) -> int:
    """Run the demo; returns the exit status. Raises DtprError for what keeps it from starting."""
    for option in ("offer", "replay"):
        if args.policy is not None and getattr(args, option) is not None:
            raise SettingsError(
                "demo",
                expected=f"--policy or --{option}",
                got="both",
                remedy=f"--{option} is about the demo's own street",
            )
    if args.report is not None and not os.access(args.report.absolute().parent, os.W_OK):
        raise SettingsError(f"--report {args.report}", expected="a file in a folder to write in", got="none")
    folder = _folder(args.directory)
    try:
        return _Run(args, folder).run()
    finally:
        if args.directory is None:
            shutil.rmtree(folder, ignore_errors=True)


class _Run:
    def __init__(self, args: argparse.Namespace, folder: Path) -> None:
        self._args = args
        self._folder = folder
        self._example = None if args.policy is None else load_policy(args.policy)
        self._stopping = False
        self._evidence = Evidence(stages.NOTICE_S)
        self._screen: Screen = PlainPanes() if args.plain or not sys.stdout.isatty() else Panes()

    def run(self) -> int:
        port = free_port()
        stage = stages.build(self._folder, port, self._classes(), Clock(OPERATOR).utc_ns() // 10**9, self._example)
        broker, broker_argv = broker_command(self._folder / "run", port, self._args.broker)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, self._stop)
        with Processes(self._folder, stage.output) as processes, self._screen:
            self._screen.note(f"starting: {broker}, a virtual radio, four daemons, a board, a phone and a subscriber")
            broker_program = Program("broker", broker_argv, stdin=True)
            processes.start(broker_program)
            self._start_radio(processes, stage)
            began = self._evidence.started = time.monotonic()
            for program in _programs(stage, self._args):
                processes.start(program)
            self._screen.note(f"running on {broker}; Ctrl-C ends it")
            self._watch(processes, stage, broker_program, began)
            drained = self._stopping or self._drain(processes)
            seconds = time.monotonic() - began
            processes.end("anonymizer")  # no further window closes; what is logged still goes out
            self._settle(processes, stage)
            restarts = dict(processes.restarts)
            processes.end("board", "phone", "firmware-bridge", "beacon", "publisher", "subscriber")
        return self._verdict(stage, broker, seconds, restarts, drained)

    def _classes(self) -> tuple[str, ...]:
        if self._args.replay is None:
            return stages.DEFAULT_CLASSES
        return load_replay(self._args.replay).classes

    def _start_radio(self, processes: Processes, stage: Stage) -> None:
        processes.start(Program("radio", _module("agent.beacon.virtual_radio", "--folder", str(stage.radio))))
        deadline = time.monotonic() + RADIO_WITHIN_S
        while not all((stage.radio / name).exists() for name in ("hci0", "hci1")):
            if time.monotonic() > deadline:
                raise RadioUnavailable(
                    "virtual radio",
                    why="it did not start",
                    remedy=f"see {stage.output / 'radio.err'}; is the demo extra installed?",
                )
            self._turn(processes)

    def _watch(self, processes: Processes, stage: Stage, broker: Program, began: float) -> None:
        outage = self._args.outage
        offer = self._args.offer
        stopped_at: float | None = None
        while not self._stopping and (self._args.seconds is None or time.monotonic() < began + self._args.seconds):
            self._turn(processes)
            now = time.monotonic()
            if offer is not None and now > began + OFFER_AFTER_S:
                self._screen.note(f"offered to the unit: {_OFFERED[offer]}")
                stages.offer(stage, offer, Clock(OPERATOR).utc_ns() // 10**9)
                offer = None
            if outage and stopped_at is None and now > began + OUTAGE_AFTER_S:
                self._screen.note(f"the broker is stopped for {outage:g} s")
                processes.end("broker")
                stopped_at = now
            elif stopped_at is not None and outage and now > stopped_at + outage:
                self._screen.note("the broker is back")
                processes.start(broker)
                outage = 0.0

    def _turn(self, processes: Processes) -> None:
        for line in processes.poll(TICK_S):
            self._evidence.take(line)
        self._screen.show(self._evidence)

    def _until(self, processes: Processes, holds: Callable[[], bool], within_s: float) -> bool:
        deadline = time.monotonic() + within_s
        while not holds():
            if time.monotonic() > deadline or self._stopping:
                return False
            self._turn(processes)
        return True

    def _drain(self, processes: Processes) -> bool:
        """The board stops, all it sent is bridged, and the window it was in closes."""
        self._screen.note("the board stops; windows close and the log drains")
        evidence = self._evidence
        processes.finish("board")
        if not self._until(processes, lambda: bool(evidence.latest.get("board", {}).get("final")), DRAIN_WITHIN_S):
            return False
        sent = evidence.counter("board", "readings_sent")
        self._until(processes, lambda: evidence.counter("firmware-bridge", "readings") >= sent, DRAIN_WITHIN_S)

        def accounted() -> bool:
            arrived = evidence.counter("anonymizer", "counted") + sum(evidence.discarded().values())
            return arrived >= sent and evidence.counter("anonymizer", "pending") == 0

        return self._until(processes, accounted, DRAIN_WITHIN_S)

    def _settle(self, processes: Processes, stage: Stage) -> None:
        """Every logged Release has arrived, and the phone has read the disclosure."""
        logged = len(releases_of(stage))
        self._until(processes, lambda: self._evidence.received >= logged, DRAIN_WITHIN_S)
        self._until(processes, lambda: bool(self._evidence.phone), DRAIN_WITHIN_S)

    def _stop(self, number: int, frame: FrameType | None) -> None:
        self._stopping = True

    def _verdict(self, stage: Stage, broker: str, seconds: float, restarts: dict[str, int], drained: bool) -> int:
        report = build_report(
            self._evidence,
            stage,
            seconds=seconds,
            broker=broker,
            restarts=restarts,
            offered=self._args.offer is not None,
        )
        self._screen.closing(report)
        if self._args.report is None:
            return 0
        text = json.dumps(report.as_json(), indent=2)
        self._args.report.write_text(text + "\n", encoding="utf-8")
        failures = report.failures()
        for words in failures:
            print(f"report: expected {words}", file=sys.stderr)
        return 1 if failures or not drained else 0


_OFFERED = {
    "laxer": "a policy with less noise, signed by two of three: it waits out its notice",
    "stricter": "a policy with more noise, signed by two of three: it may act at once",
    "ending": "the same policy, but over in half a minute: then the gate closes",
    "unsigned": "a policy with one signature of the two it needs: it is refused",
    "stop": "an order to stop, by the community alone",
}


def _folder(directory: Path | None) -> Path:
    if directory is None:
        return Path(tempfile.mkdtemp(prefix="dtpr-demo-"))
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise SettingsError(str(directory), expected="a new or empty folder", got="one with files in it")
    except OSError as bad:
        raise SettingsError(str(directory), expected="a folder to write in", got=bad.strerror or "an error") from None
    directory = directory.resolve()
    if len(str(directory)) > stages.MAX_FOLDER_LENGTH:
        raise SettingsError(
            str(directory),
            expected=f"a path of at most {stages.MAX_FOLDER_LENGTH} characters (Unix sockets lie below it)",
            got=str(len(str(directory))),
        )
    return directory


def _module(name: str, *arguments: str) -> list[str]:
    return [sys.executable, "-m", name, *arguments]


def _programs(stage: Stage, args: argparse.Namespace) -> list[Program]:
    """The order matters little: each waits for what it needs. The subscriber comes first, to miss nothing."""
    settings = ["--config", str(stage.settings)]
    key = stage.public_key.hex()
    board = [
        "--link",
        str(stage.board),
        "--speed",
        str(args.speed),
        "--frames-per-second",
        str(args.frames_per_second),
        "--canaries",
        "8",
        *(part for channel in stage.channels for part in ("--also", channel)),
    ]
    if args.replay is not None:
        board += ["--replay", str(args.replay)]
        if args.replay_from is not None:
            board += ["--replay-from", args.replay_from]
    subscribe = [
        "subscribe",
        "--host",
        "127.0.0.1",
        "--port",
        str(stage.port),
        "--root",
        stages.ROOT,
        "--key",
        key,
        "--json",
        "--raw",
    ]
    phone = ["--transport", f"unix:{stage.radio / 'hci1'}", "--key", key, "--every", "3"]
    return [
        Program("anonymizer", _module("agent.anonymizer", *settings), counters=True),
        Program("beacon", _module("agent.beacon", *settings), counters=True),
        Program("board", _module("firmware_bridge.simulator", *board), ndjson=True, stdin=True),
        Program("firmware-bridge", _module("firmware_bridge", "--board", "demo", *settings), counters=True),
        Program("publisher", _module("agent.publisher", *settings), counters=True),
        Program("subscriber", _module("agent.cli.main", *subscribe), ndjson=True),
        Program("phone", _module("agent.beacon.virtual_phone", *phone), ndjson=True),
    ]
