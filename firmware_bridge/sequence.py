"""Sequence numbers: what is missing is counted, what comes twice or backwards is named; nothing is ever interpolated (FB-9)."""

import enum
from dataclasses import dataclass

_MODULUS = 1 << 32


class Order(enum.Enum):
    """How a sequence number follows the last."""

    FORWARD = enum.auto()
    DUPLICATE = enum.auto()
    BACKWARDS = enum.auto()


@dataclass(slots=True)
class Sequence:
    """The last number seen on this connection, and how many frames were missing in all."""

    last: int | None = None
    missing: int = 0

    def restart(self, number: int) -> None:
        """A hello: the board numbers from here."""
        self.last = number

    def observe(self, number: int) -> Order:
        """Take the next frame's number (unsigned 32-bit, wraps). Half a circle ahead is the future, the rest the past."""
        if self.last is None:
            self.last = number
            return Order.FORWARD
        step = (number - self.last) % _MODULUS
        if step == 0:
            return Order.DUPLICATE
        if step >= _MODULUS // 2:
            return Order.BACKWARDS
        self.missing += step - 1
        self.last = number
        return Order.FORWARD
