"""Fields that several signed files have: names that are one topic level, public keys, compiled instants. Pure."""

import datetime
from typing import Any

from agent.contracts.public import TOPIC_NAME
from agent.wire import toml
from agent.wire.ed25519 import is_public_key


def level(table: toml.Table, key: str) -> str:
    """A name that can be one level of an MQTT topic."""
    words = "lower-case letters, digits and inner dashes, at most 32"
    return table.text(key, pattern=TOPIC_NAME.pattern, max_length=32, expected=words)


def moment(item: Any) -> Any:
    """A decoded Unix second as what `values.instant` reads; anything else, and what no calendar has, as it is."""
    if type(item) is int and 0 <= item < 2**33:
        return datetime.datetime.fromtimestamp(item, tz=datetime.UTC)
    return item


def public_key(table: toml.Table, key: str) -> bytes:
    """64 hex digits that are an Ed25519 public key. What was found is not repeated: it might be a private key."""
    expected = "an Ed25519 public key, 64 lower-case hex digits"
    remedy = "`dtpr-agent key show FILE` prints it"
    text = table.text(key, expected=expected)
    if len(text) != 64 or not set(text) <= set("0123456789abcdef"):
        table.refuse(key, expected=expected, got=f"{len(text)} characters, or others", remedy=remedy)
    found = bytes.fromhex(text)
    if not is_public_key(found):
        table.refuse(
            key, expected=expected, got="digits that are no such key: a slip, or a private key?", remedy=remedy
        )
    return found
