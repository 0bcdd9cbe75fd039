"""An end that was asked for ends the loop, whichever of its awaits swallowed the request (Python 3.11's wait_for does)."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from agent.beacon import radio, virtual_phone
from agent.beacon.radio import Cause, RadioDown, RetryingRadio
from tests.beacon.stage import broadcast


async def swallow() -> None:
    """An await that loses the cancellation, as wait_for does when the answer comes with it."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        return


async def end(task: asyncio.Task[None]) -> None:
    """Ask once, as a signal handler does; the task must have ended soon."""
    await asyncio.sleep(0.05)
    task.cancel()
    _, left = await asyncio.wait([task], timeout=5)
    for one in left:
        one.cancel()
    assert not left
    assert task.cancelled()


@pytest.mark.parametrize("place", ["look", "open"])
def test_phone_ends(place: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-26: SIGTERM ends the phone although a command's answer came together with it."""

    async def look(_device: object, _key: bytes | None) -> bool:
        if place == "look":
            await swallow()
        return False

    @asynccontextmanager
    async def phone(_transport: str) -> AsyncIterator[None]:
        if place == "open":
            await swallow()
            raise OSError("gone")
        yield

    monkeypatch.setattr(virtual_phone, "look", look)
    monkeypatch.setattr(virtual_phone, "phone", phone)

    async def run() -> None:
        await end(asyncio.create_task(virtual_phone.run("unix:nowhere", None, 0, None)))

    asyncio.run(run())


def test_radio_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """BE-13: the backend's loop ends although its session lost the request and called itself down."""

    class Losing(RetryingRadio):
        name = "losing"

        async def _session(self) -> None:
            await swallow()
            raise RadioDown(Cause.NO_ANSWER, "losing", why="test")

    monkeypatch.setattr(radio, "FIRST_RETRY_S", 0.01)

    async def run() -> None:
        losing = Losing()
        losing.replace(broadcast())
        await end(asyncio.create_task(losing.run()))

    asyncio.run(run())
