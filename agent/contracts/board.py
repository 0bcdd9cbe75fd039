"""What a sensor board says of itself on connecting: its hello. Carried by the serial line and, unchanged, by reading.sock."""

import enum
import re
from dataclasses import dataclass
from typing import Any

from agent.errors import BoardError, EncodingError
from agent.wire import cbor

MAX_HELLO_BYTES = 4096
MAX_CHANNELS = 16
MAX_CLASSES = 64
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
KINDS = ("count", "scalar", "duration", "unique")


class Hello(enum.IntEnum):
    """Keys of the hello map."""

    PROTOCOL = 0
    BOARD_ID = 1
    FIRMWARE = 2
    FIRMWARE_HASH = 3
    SCHEMA_HASH = 4
    CHANNELS = 5


class ChannelKey(enum.IntEnum):
    """Keys of one channel map."""

    NAME = 0
    KIND = 1
    CLASSES = 2


@dataclass(frozen=True, slots=True)
class Channel:
    """One stream of readings that the board can send; its number is its place in the hello."""

    name: str
    kind: str
    classes: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Board:
    """A decoded hello."""

    board_id: str
    firmware: str
    firmware_hash: bytes
    schema_hash: bytes
    channels: tuple[Channel, ...]

    def encode(self) -> bytes:
        """The hello body, deterministic CBOR."""
        channels = [
            {ChannelKey.NAME.value: c.name, ChannelKey.KIND.value: c.kind, ChannelKey.CLASSES.value: list(c.classes)}
            for c in self.channels
        ]
        return cbor.encode(
            {
                Hello.PROTOCOL.value: 1,
                Hello.BOARD_ID.value: self.board_id,
                Hello.FIRMWARE.value: self.firmware,
                Hello.FIRMWARE_HASH.value: self.firmware_hash,
                Hello.SCHEMA_HASH.value: self.schema_hash,
                Hello.CHANNELS.value: channels,
            }
        )


def decode(body: bytes) -> Board:
    """Decode a hello body; raise BoardError naming the field."""
    try:
        item = cbor.decode(body, max_bytes=MAX_HELLO_BYTES, max_depth=4)
    except EncodingError as bad:
        raise BoardError("board hello", expected="deterministic CBOR", got=str(bad)) from None
    if not isinstance(item, dict) or set(item) != set(Hello):
        raise BoardError(
            "board hello",
            expected="a map with the keys 0 to 5",
            got="a map with others" if isinstance(item, dict) else type(item).__name__,
        )
    if item[Hello.PROTOCOL] != 1:
        raise BoardError(
            "board hello protocol",
            expected="1",
            got=repr(item[Hello.PROTOCOL])[:20],
            remedy="update the board's firmware or this agent",
        )
    channels = item[Hello.CHANNELS]
    if not isinstance(channels, list) or not 1 <= len(channels) <= MAX_CHANNELS:
        raise BoardError("board hello channels", expected=f"1 to {MAX_CHANNELS}", got=_size(channels))
    board = Board(
        board_id=_text(item[Hello.BOARD_ID], "board id"),
        firmware=_text(item[Hello.FIRMWARE], "firmware"),
        firmware_hash=_hash(item[Hello.FIRMWARE_HASH], "firmware hash"),
        schema_hash=_hash(item[Hello.SCHEMA_HASH], "schema hash"),
        channels=tuple(_channel(channel, i) for i, channel in enumerate(channels)),
    )
    if len({channel.name for channel in board.channels}) != len(board.channels):
        raise BoardError("board hello channels", expected="distinct names", got="one twice")
    if board.encode() != body:  # True == 1
        raise BoardError("board hello", expected="the one encoding of its values", got="another one")
    return board


def _channel(item: Any, number: int) -> Channel:
    where = f"board hello channel {number}"
    if not isinstance(item, dict) or set(item) != set(ChannelKey):
        raise BoardError(where, expected="a map with the keys 0 to 2", got=type(item).__name__)
    name, kind, classes = item[ChannelKey.NAME], item[ChannelKey.KIND], item[ChannelKey.CLASSES]
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise BoardError(f"{where} name", expected="a lower-case name", got=repr(name)[:40])
    if kind not in KINDS:
        raise BoardError(f"{where} kind", expected="one of " + ", ".join(KINDS), got=repr(kind)[:40])
    if (
        not isinstance(classes, list)
        or len(classes) > MAX_CLASSES
        or not all(isinstance(c, str) and NAME.fullmatch(c) for c in classes)
    ):
        raise BoardError(f"{where} classes", expected=f"at most {MAX_CLASSES} lower-case names", got=_size(classes))
    return Channel(name, kind, tuple(classes))


def _text(value: Any, name: str) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= 64 or not value.isprintable():
        raise BoardError(f"board hello {name}", expected="1 to 64 printable characters", got=type(value).__name__)
    return value


def _hash(value: Any, name: str) -> bytes:
    if not isinstance(value, bytes) or len(value) != 32:
        raise BoardError(f"board hello {name}", expected="32 bytes", got=_size(value))
    return value


def _size(value: Any) -> str:
    return str(len(value)) if isinstance(value, list | bytes | str) else type(value).__name__
