"""What an audit says of gate and boards: lines for people, and JSON (OP-53 of SPEC.md). Pure."""

from collections.abc import Callable, Sequence
from typing import Any

from agent.contracts.board_seen import BoardSeen
from agent.contracts.public import Reason
from agent.operations.openings import GateFacts

SHOWN = 10
"""Of the newest changes, for people; JSON has all that are kept."""

Instant = Callable[[int], str]


def gate_lines(facts: GateFacts | None, instant: Instant) -> list[str]:
    """How long the gate was open, why it closed how often, and its newest changes."""
    if facts is None:
        return ["gate       nothing tells what it did"]
    reasons = ", ".join(f"{count} {reason}" for reason, count in facts.closings.items())
    closed = f"closed for {reasons}" if reasons else "never closed again"
    lines = [f"gate       open {_length(facts.open_s)} of {_length(facts.told_s)}, {closed}"]
    if facts.changes > SHOWN:
        lines.append(f"           the newest of {facts.changes} changes:")
    return lines + [f"{instant(each.at)} gate {_state(each.reason)}" for each in facts.newest[-SHOWN:]]


def board_lines(boards: Sequence[BoardSeen], changes: int, instant: Instant) -> list[str]:
    """The boards that said something new, newest last."""
    lines = [f"boards     the newest of {changes} changes:"] if changes > SHOWN else []
    return lines + [
        f"{instant(each.at)} board {each.board.hex()} has firmware {each.firmware} ({each.firmware_hash.hex()[:16]}…)"
        + (", others before it were not logged" if each.unsaid else "")
        for each in boards[-SHOWN:]
    ]


def gate_json(facts: GateFacts | None) -> dict[str, Any] | None:
    """The same as JSON values; None where nothing tells."""
    if facts is None:
        return None
    return {
        "told_s": facts.told_s,
        "open_s": facts.open_s,
        "changes": facts.changes,
        "closings": facts.closings,
        "newest": [{"at": each.at, "reason": each.reason.value} for each in facts.newest],
    }


def boards_json(boards: Sequence[BoardSeen], changes: int) -> dict[str, Any]:
    """The same as JSON values."""
    return {
        "changes": changes,
        "newest": [
            {
                "at": each.at,
                "board": each.board.hex(),
                "firmware": each.firmware,
                "firmware_hash": each.firmware_hash.hex(),
                "schema_hash": each.schema_hash.hex(),
                "others_not_logged": each.unsaid,
            }
            for each in boards
        ],
    }


def _state(reason: Reason) -> str:
    return "open" if reason is Reason.OPEN else f"closed: {reason.value}"


def _length(seconds: int) -> str:
    days, rest = divmod(seconds, 86_400)
    clock = f"{rest // 3600}:{rest // 60 % 60:02}:{rest % 60:02}"
    return f"{days} d {clock}" if days else clock
