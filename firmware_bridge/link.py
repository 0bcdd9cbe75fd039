"""The state of the link to one board: hello handshake, refusal, silence. Pure: frames and the time in, verdicts out (FB-10 to FB-14).

                opened                    hello accepted
PORT_ABSENT ────────────▶ BOARD_SILENT ────────────────▶ UP
     ▲                      ▲      │ hello refused        │ nothing heard for SILENT_AFTER_S
     │ closed (from any)    │      ▼                      ▼
     └──────────────        └─ BOARD_REFUSED         BOARD_SILENT
"""

import enum
from dataclasses import dataclass

from agent.contracts import board
from agent.errors import BoardError
from firmware_bridge.frame import Frame, Type
from firmware_bridge.sequence import Order, Sequence

SILENT_AFTER_S = 5.0
"""Five heartbeats missed: the board is gone, whatever readings came meanwhile."""

ALIVE_WITHIN_S = 2.0
"""A heartbeat is due each second; one lost to noise does not end what is being measured."""

ASK_EVERY_S = 1.0
"""HELLO_REQUEST while there has been no hello."""

ASK_REFUSED_EVERY_S = 3.0
"""A refused board may be replaced or updated at any time."""


class Condition(enum.StrEnum):
    """What the link is now; also the status code."""

    PORT_ABSENT = "port_absent"
    BOARD_SILENT = "board_silent"
    BOARD_REFUSED = "board_refused"
    UP = "up"


class Verdict(enum.StrEnum):
    """What to do with a frame; the last five are reasons for which its readings are dropped."""

    FORWARD = "forward"
    HELLO = "hello"
    NOTHING = "nothing"
    NO_HELLO = "no_hello"
    REFUSED = "board_refused"
    DUPLICATE = "duplicate"
    BACKWARDS = "backwards"
    ECHO = "echo"


@dataclass(frozen=True, slots=True)
class Due:
    """What is due at a tick."""

    ask_hello: bool
    alive: bool


class Link:
    """One board's link. `hello` is the accepted hello's body while UP, `refusal` why the last one was refused."""

    def __init__(self, schema_hash: bytes, board_id: str | None) -> None:
        self._schema_hash = schema_hash
        self._board_id = board_id
        self.condition = Condition.PORT_ABSENT
        self.hello: bytes | None = None
        self.refusal: BoardError | None = None
        self.sequence = Sequence()
        self.board_ms = 0
        self._heard_s = 0.0
        self._asked_s = float("-inf")
        self._alive_s = float("-inf")

    def opened(self) -> None:
        """The tty is open; nothing is known of the board yet."""
        self._forget(Condition.BOARD_SILENT)
        self.refusal = None
        self._asked_s = float("-inf")

    def closed(self) -> None:
        """The tty is absent or went away."""
        self._forget(Condition.PORT_ABSENT)

    def hear(self, frame: Frame, now_s: float) -> Verdict:
        """Take one undamaged frame heard at monotonic second `now_s`. Raises nothing: a refusal is kept in `refusal`."""
        if frame.type is Type.HELLO_REQUEST:
            return Verdict.ECHO  # our own bytes: the line is looped back
        if frame.type in (Type.HELLO, Type.HEARTBEAT):
            self._heard_s = (
                now_s  # READINGS are no sign of life: what is published of coverage must not depend on them (I6)
            )
        if frame.type is Type.HELLO:
            self.sequence.restart(frame.sequence)
            self.board_ms = frame.board_ms
            return self._greet(bytes(frame.body))
        if self.condition is not Condition.UP:
            reason = Verdict.REFUSED if self.condition is Condition.BOARD_REFUSED else Verdict.NO_HELLO
            return reason if frame.reading_count else Verdict.NOTHING
        order = self.sequence.observe(frame.sequence)
        if order is Order.BACKWARDS:
            # The board restarted and its hello was lost: ask again; readings wait for the answer.
            self._forget(Condition.BOARD_SILENT)
            return Verdict.BACKWARDS
        if order is Order.DUPLICATE:
            return Verdict.DUPLICATE
        self.board_ms = frame.board_ms
        return Verdict.FORWARD if frame.type is Type.READINGS else Verdict.NOTHING

    def tick(self, now_s: float) -> Due:
        """What is due now; also where silence is noticed."""
        if self.condition is Condition.PORT_ABSENT:
            return Due(ask_hello=False, alive=False)
        silent_s = now_s - self._heard_s
        if self.condition is not Condition.BOARD_SILENT and silent_s >= SILENT_AFTER_S:
            self._forget(Condition.BOARD_SILENT)
        every_s = ASK_REFUSED_EVERY_S if self.condition is Condition.BOARD_REFUSED else ASK_EVERY_S
        ask = self.condition is not Condition.UP and now_s - self._asked_s >= every_s
        if ask:
            self._asked_s = now_s
        alive = self.condition is Condition.UP and silent_s <= ALIVE_WITHIN_S and now_s - self._alive_s >= 1
        if alive:
            self._alive_s = now_s
        return Due(ask_hello=ask, alive=alive)

    def _greet(self, body: bytes) -> Verdict:
        try:
            hello = board.decode(body)
            if hello.schema_hash != self._schema_hash:
                raise BoardError(
                    f"board {hello.board_id!r} schema hash",
                    expected=self._schema_hash.hex()[:16],
                    got=hello.schema_hash.hex()[:16],
                    remedy="flash firmware built for this schema (firmware_bridge/reading.cddl), or update this agent",
                )
            if self._board_id is not None and hello.board_id != self._board_id:
                raise BoardError(
                    "board id",
                    expected=repr(self._board_id),
                    got=repr(hello.board_id),
                    remedy="connect the right board, or change board_id in agent.toml",
                )
        except BoardError as refusal:
            self._forget(Condition.BOARD_REFUSED)
            self.refusal = refusal
            return Verdict.NOTHING
        self.condition = Condition.UP
        self.hello = body
        self.refusal = None
        return Verdict.HELLO

    def _forget(self, condition: Condition) -> None:
        self.condition = condition
        self.hello = None
        self._alive_s = float("-inf")
