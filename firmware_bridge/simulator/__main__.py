"""python -m firmware_bridge.simulator --link PATH [--speed N] [--replay FILE [--replay-from ISO]] [--frames-per-second N] [--canaries N]
    [--also NAME:KIND[:CLASSES]]

A sensor board in software on a pty; PATH becomes a symbolic link to its tty. On stdout, as NDJSON twice a second and at the end:
what was sent and which canaries were planted. SIGTERM or SIGINT ends the street: what was taken is sent, a line with
`"final": true` is written, and the line stays open, with heartbeats, until stdin closes or 30 s have passed.

    python -m firmware_bridge.simulator --replay FILE --classes      the file's classes as a JSON list, then exit
"""

import argparse
import json
import math
import os
import select
import signal
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from agent.contracts.board import Channel
from agent.errors import DtprError
from agent.local.clock import OPERATOR, Clock
from agent.local.randomness import random_bytes
from firmware_bridge.frame import MAX_READINGS
from firmware_bridge.schema import SCHEMA_HASH
from firmware_bridge.simulator import batch, replay, sources, street
from firmware_bridge.simulator.board import Board
from firmware_bridge.simulator.file import load_replay
from firmware_bridge.simulator.timeline import Crossing, Timeline

CHANNEL = "street"
PROGRESS_EVERY_S = 0.5
LINGER_S = 30.0
"""How long the line stays open after the end, so that the bridge can read what the pty still holds."""

DRAIN_S = 5.0
"""How long the end waits for a host that is away or does not read."""

MAX_STEP_S = 1.0
"""A step after this process was stopped, or the line was full, walks the calendar no further than this."""


class Simulator:
    """Moves crossings from the timeline to the board, and says so."""

    def __init__(
        self,
        board: Board,
        timeline: Timeline,
        classes: Sequence[str],
        *,
        speed: float,
        frames_per_second: float,
        canaries: int,
        also: Sequence[sources.Source] = (),
    ) -> None:
        self._board = board
        self._timeline = timeline
        self._classes = list(classes)
        self._speed = speed
        self._period_s = 1 / frames_per_second
        self._canaries = batch.Canaries(canaries, random_bytes)
        self._also = also
        self._planted: list[batch.Canary] = []
        self._first_boot_ns: int | None = None
        self._clock = Clock(OPERATOR)  # only boot time is read
        self._stopped = False
        self._report_at_s = 0.0

    def stop(self, *_: object) -> None:
        """End of the street (a signal handler)."""
        self._stopped = True

    def run(self) -> None:
        """Until `stop`; then drain, report and linger."""
        tick_s = time.monotonic()
        began_s: float | None = None
        walked_s = tick_s
        while not self._stopped:
            now_s = time.monotonic()
            tick_s = max(tick_s + self._period_s, now_s - MAX_STEP_S)
            if tick_s > now_s:
                self._board.serve(tick_s - now_s)
            now_s = time.monotonic()
            if self._board.ready:
                began_s = now_s if began_s is None else began_s
                step_s = min(now_s - walked_s, MAX_STEP_S)
                self._send(self._timeline.advance(round(step_s * self._speed * 1000)), now_s - began_s)
                self._send_also(now_s - began_s)
            else:
                self._board.serve(0)  # nobody there, or not reading: the street waits
            walked_s = now_s
            self._report(now_s)
        self._drain()
        self._report(time.monotonic(), final=True)
        self._linger()

    def _send(self, crossings: list[Crossing], running_s: float) -> None:
        for at in range(0, len(crossings), MAX_READINGS):
            frame = batch.pack(
                crossings[at : at + MAX_READINGS], self._speed, self._canaries.take(running_s), random_bytes
            )
            if self._first_boot_ns is None:
                self._first_boot_ns = self._clock.boot_ns()
            self._board.send(frame.reading_count, frame.body, frame.identifiers)
            if frame.canary is not None:
                self._planted.append(frame.canary)

    def _send_also(self, running_s: float) -> None:
        for source in self._also:
            frame = source.take(running_s)
            if frame is not None:
                self._board.send(frame.reading_count, frame.body, frame.identifiers)

    def _drain(self) -> None:
        """Everything that was taken from the timeline goes to the line, unless the host stays away."""
        ends_s = time.monotonic() + DRAIN_S
        while not self._board.idle and time.monotonic() < ends_s:
            self._board.serve(self._period_s)

    def _linger(self) -> None:
        ends_s = time.monotonic() + LINGER_S
        stdin = select.poll()
        stdin.register(0, select.POLLIN)
        while time.monotonic() < ends_s:
            try:
                if stdin.poll(0) and not os.read(0, 4096):
                    return
            except OSError:
                return  # no stdin at all counts as closed
            self._board.serve(self._period_s)

    def _report(self, now_s: float, *, final: bool = False) -> None:
        if not final and now_s < self._report_at_s:
            return
        self._report_at_s = now_s + PROGRESS_EVERY_S
        line: dict[str, Any] = {
            "type": "progress",
            "readings_sent": self._board.readings_sent,
            "frames_sent": self._board.frames_sent,
            "calendar": self._timeline.now.isoformat(timespec="seconds"),
            "classes": self._classes,
            "canaries": [{"identifier": c.identifier.hex(), "value": c.value} for c in self._planted],
            "first_reading_boot_ns": self._first_boot_ns,
            "final": final,
        }
        try:
            print(json.dumps(line), flush=True)
        except BrokenPipeError:
            self._stopped = True  # whoever started us is gone
            sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115  # for the rest of this process


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the simulator; the exit code."""
    options = _options(arguments)
    try:
        classes, timeline = _source(options)
        if options.classes:
            print(json.dumps(list(classes)))
            return 0
        also = tuple(sources.wanted(text) for text in options.also)
        board = Board(
            options.link,
            board_id=options.board_id,
            channels=(Channel(CHANNEL, "count", classes), *also),
            schema_hash=SCHEMA_HASH,
        )
        try:
            simulator = Simulator(
                board,
                timeline,
                classes,
                speed=options.speed,
                frames_per_second=options.frames_per_second,
                canaries=options.canaries,
                also=[sources.Source(number, channel, random_bytes) for number, channel in enumerate(also, 1)],
            )
            signal.signal(signal.SIGTERM, simulator.stop)
            signal.signal(signal.SIGINT, simulator.stop)
            simulator.run()
        finally:
            board.close()
    except DtprError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _source(options: argparse.Namespace) -> tuple[tuple[str, ...], Timeline]:
    if options.replay is None:
        return street.CLASSES, Timeline(street.slots())
    counts = load_replay(options.replay)
    if counts.missing_cells or counts.repeated_rows:
        print(
            f"{options.replay}: {counts.missing_cells} blank cells are missing data, "
            f"{counts.repeated_rows} repeated rows (clock change) left out",
            file=sys.stderr,
        )
    starts_at: datetime = replay.start_in(counts, options.replay_from)
    return counts.classes, Timeline(counts.slots(starts_at))


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m firmware_bridge.simulator", description="a sensor board in software"
    )
    parser.add_argument("--link", type=Path, metavar="PATH", help="symbolic link to make to the board's tty")
    parser.add_argument("--speed", type=_positive(100_000), default=300.0, help="street seconds a second (300)")
    parser.add_argument("--replay", type=Path, metavar="FILE.csv", help="real counts: a time column, then classes")
    parser.add_argument(
        "--replay-from", metavar="ISO", help="where to start; default: the busiest hour of the first whole day"
    )
    parser.add_argument("--frames-per-second", type=_positive(200), default=20.0, help="(20)")
    parser.add_argument(
        "--canaries", type=int, choices=range(65), metavar="N", default=0, help="planted readings, 0 to 64"
    )
    parser.add_argument(
        "--also",
        action="append",
        default=[],
        metavar="NAME:KIND[:CLASSES]",
        help="a further channel: stays:duration:bay,kerb, noise:scalar, visitors:unique (in real seconds)",
    )
    parser.add_argument("--board-id", default="street-simulator")
    parser.add_argument("--classes", action="store_true", help="print the classes as JSON and exit")
    options = parser.parse_args(arguments)
    if options.link is None and not options.classes:
        parser.error("--link PATH is needed to run")
    return options


def _positive(most: float) -> Any:
    def number(text: str) -> float:
        value = float(text)
        if not (math.isfinite(value) and 0 < value <= most):
            raise argparse.ArgumentTypeError(f"a number above 0 and at most {most:g}")
        return value

    return number


if __name__ == "__main__":
    sys.exit(main())
