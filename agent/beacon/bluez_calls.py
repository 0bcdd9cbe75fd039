"""One question to the bus at a time, with its refusals and its time-out, and what the kernel says of an adapter's switches."""

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dbus_fast import Message, MessageType, Variant
from dbus_fast.aio import MessageBus

from agent.beacon.radio import STEP_TIMEOUT_S

RFKILL = Path("/sys/class/bluetooth")


class Refusal(Exception):
    """An error reply."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        super().__init__(f"{name}: {text}"[:120])


async def call(
    bus: MessageBus, destination: str, path: str, interface: str, member: str, signature: str = "", *body: Any
) -> list[Any]:
    """One method call; raise Refusal for an error reply and TimeoutError."""
    message = Message(
        destination=destination, path=path, interface=interface, member=member, signature=signature, body=list(body)
    )
    async with asyncio.timeout(STEP_TIMEOUT_S):
        reply = await bus.call(message)
    if reply is None:
        raise EOFError("no reply")
    if reply.message_type is MessageType.ERROR:
        raise Refusal(reply.error_name or "error", str(reply.body[0]) if reply.body else "")
    return list(reply.body)


def switches(adapter: str) -> tuple[bool, bool]:
    """The kernel's soft and hard switches of an adapter such as hci0; off where the kernel tells nothing."""
    found = []
    for name in ("soft", "hard"):
        files = (RFKILL / adapter).glob(f"rfkill*/{name}")
        try:
            found.append(any(file.read_text(encoding="ascii").strip() == "1" for file in files))
        except (OSError, ValueError):
            found.append(False)
    return found[0], found[1]


def is_powered(properties: Mapping[str, Variant]) -> bool:
    powered = properties.get("Powered")
    return powered is not None and powered.value is True
