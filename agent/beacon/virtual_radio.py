"""A radio in software for tests and the demo: one process that hosts N virtual controllers on one air.

    python -m agent.beacon.virtual_radio --folder DIR [--controllers 2] [--extended]

Controller N is an HCI (H4) endpoint on the Unix socket DIR/hciN, for any Bumble host (`unix:DIR/hciN`). `ready` on stdout means
that all listen. A host that ends, or is killed, resets its controller; another may come, and the newest is the one that counts.
"""

import argparse
import asyncio
import contextlib
import logging
import signal
from collections.abc import Container
from functools import partial
from pathlib import Path

from bumble.core import InvalidPacketError
from bumble.transport.common import PacketParser

from agent.beacon.virtual_controller import Air, VirtualController
from agent.beacon.virtual_extended import ExtendedController

MAX_CONTROLLERS = 16


class _HostLink(asyncio.Protocol):
    """The H4 stream between one host and its controller."""

    def __init__(self, controller: VirtualController, holders: "dict[VirtualController, _HostLink]") -> None:
        self._controller = controller
        self._holders = holders
        self._parser = PacketParser(controller)
        self._transport: asyncio.WriteTransport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.WriteTransport)
        self._transport = transport
        earlier = self._holders.get(self._controller)
        self._holders[self._controller] = self
        if earlier is not None:
            earlier.drop()
        self._controller.attach(transport.write, transport.get_write_buffer_size)

    def data_received(self, data: bytes) -> None:
        if self._holders.get(self._controller) is not self:
            return
        try:
            self._parser.feed_data(data)
        except InvalidPacketError:
            self.drop()  # not HCI: nothing after it can be understood

    def connection_lost(self, exc: Exception | None) -> None:
        if self._holders.get(self._controller) is self:
            del self._holders[self._controller]
            self._controller.detach()

    def drop(self) -> None:
        """End this stream."""
        if self._transport is not None:
            self._transport.abort()


async def serve(folder: Path, controllers: int, extended: Container[int] = ()) -> list[asyncio.Server]:
    """Listen on `folder`/hci0 … in this process and return the servers; those numbered in `extended` are of Bluetooth 5."""
    air = Air()
    holders: dict[VirtualController, _HostLink] = {}
    loop = asyncio.get_running_loop()
    servers = []
    for number in range(controllers):
        make = ExtendedController if number in extended else VirtualController
        controller = make(f"hci{number}", air, f"00:AA:01:00:00:{number:02X}")
        path = folder / f"hci{number}"
        path.unlink(missing_ok=True)
        servers.append(await loop.create_unix_server(partial(_HostLink, controller, holders), str(path)))
        path.chmod(0o660)
    return servers


async def _run(folder: Path, controllers: int, *, extended: bool) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, ended.set)
    servers = await serve(folder, controllers, range(controllers) if extended else ())
    print("ready", flush=True)
    await ended.wait()
    for server in servers:
        server.close()
    for number in range(controllers):
        with contextlib.suppress(OSError):
            (folder / f"hci{number}").unlink(missing_ok=True)


def main() -> int:
    """The command."""
    parser = argparse.ArgumentParser(prog="python -m agent.beacon.virtual_radio", description=__doc__.split("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where the sockets hci0, hci1 … are made")
    parser.add_argument("--controllers", type=int, default=2, choices=range(1, MAX_CONTROLLERS + 1), metavar="N")
    parser.add_argument("--extended", action="store_true", help="controllers of Bluetooth 5, with advertising sets")
    options = parser.parse_args()
    logging.getLogger("bumble").setLevel(logging.CRITICAL + 1)
    asyncio.run(_run(options.folder, options.controllers, extended=options.extended))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
