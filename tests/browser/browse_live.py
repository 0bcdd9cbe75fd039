"""The page and a unit by emulated Bluetooth: the whole signed disclosure, what is on notice, and a radio that lies or falls silent."""

import dataclasses
import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Playwright

from agent.beacon import gatt
from agent.beacon.advertisement import code
from agent.beacon.broadcast import compile_broadcast
from agent.contracts.public import Envelope, StopNotice, seal_envelope, seal_stop
from agent.disclosure.datachain import Disclosure, compile_disclosure
from agent.policy.file import load_policy
from tests.beacon.vectors.generate_compact import KEY, OTHER
from tests.browser.stage import RADIO, ROOT, Radio, browser, build, served

POLICY = load_policy(ROOT / "config" / "policy.toml")
NOW_S = 1_800_000_000


def broadcast(disclosure: Disclosure, **beside: Any) -> tuple[gatt.Attribute, ...]:
    return compile_broadcast(seal_envelope(Envelope(disclosure.cbor, NOW_S), KEY), 3, **beside).attributes


@pytest.fixture
def live(playwright: Playwright, tmp_path: Path) -> Iterator[tuple[Browser, Page]]:
    with browser(playwright, RADIO) as found, served(build(tmp_path)) as (address, _, _):
        page = found.new_page()
        page.clock.set_fixed_time(datetime.datetime.fromtimestamp(NOW_S, tz=datetime.UTC))
        page.goto(address)
        page.wait_for_selector("html[data-ready]")
        yield found, page


def press(page: Page) -> str:
    page.evaluate("document.getElementById('bluetooth').hidden = false")
    page.click("#bluetooth")
    page.wait_for_selector("html[data-done]", timeout=30_000)
    return page.get_attribute("#verdict", "class") or ""


NEXT = compile_disclosure(dataclasses.replace(POLICY, version=2))


def test_by_bluetooth_it_is_verified_live(live: tuple[Browser, Page]) -> None:
    """Header, every chunk, what is on notice, the stop notice."""
    chromium, page = live
    upcoming = seal_envelope(Envelope(NEXT.cbor, NOW_S, 1_802_000_000), KEY)
    stop = seal_stop(StopNotice("A pipe burst", ("steward/ana",), NOW_S), KEY)
    radio = Radio(chromium, page, broadcast(compile_disclosure(POLICY), upcoming=upcoming, stop=stop))
    assert press(page) == "live"
    text = page.inner_text("#shown")
    for fact in (
        "Bike and foot counter, River Bridge",
        "version 2 follows, not before 7 February 2027",
        "A pipe burst",
        code(compile_disclosure(POLICY).digest),
    ):
        assert fact in text
    assert radio.reads == 1 + 3 + 1 + 3 + 1
    radio.close()


def test_what_changes_while_it_is_read_is_read_again(live: tuple[Browser, Page]) -> None:
    """BE-9: the unit swaps its disclosure between two chunks."""
    chromium, page = live
    radio = Radio(chromium, page, broadcast(compile_disclosure(POLICY)))
    radio.swap = (2, broadcast(NEXT))
    assert press(page) == "live"
    assert "Policy version 2" in page.inner_text("#shown")
    radio.close()


def test_silence_ends_by_the_pages_own_clock(live: tuple[Browser, Page]) -> None:
    chromium, page = live
    radio = Radio(chromium, page, broadcast(compile_disclosure(POLICY)))
    radio.silent_after = 2
    assert press(page) == "cannot"
    assert "Because the unit did not answer." in page.inner_text("#verdict")
    radio.close()


def test_the_radio_of_a_stranger_is_not_believed(live: tuple[Browser, Page]) -> None:
    """Another key; nothing is shown."""
    chromium, page = live
    envelope = seal_envelope(Envelope(compile_disclosure(POLICY).cbor, NOW_S), OTHER)
    radio = Radio(chromium, page, compile_broadcast(envelope, 3).attributes)
    assert press(page) == "cannot"
    assert page.inner_text("#shown") == ""
    radio.close()
