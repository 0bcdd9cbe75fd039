"""A compiled file with one of its values replaced."""

from typing import Any

from agent.wire import cbor


def replaced(item: Any, *path: int, to: Any) -> bytes:
    """`item` as CBOR, with `to` at `path`."""
    inner = item
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return cbor.encode(item)
