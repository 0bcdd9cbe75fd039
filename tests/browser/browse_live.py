"""The page and a unit by emulated Bluetooth: the whole signed disclosure, what is on notice, and a radio that lies or falls silent."""

import dataclasses
import datetime
from collections.abc import Callable, Iterator
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from playwright.sync_api import Browser, Page, Playwright

from agent.beacon import gatt
from agent.beacon.advertisement import code
from agent.beacon.broadcast import compile_broadcast
from agent.contracts.latest import Figures, seal_latest
from agent.contracts.public import HEAD_TIME, Envelope, StopNotice, seal_envelope, seal_stop
from agent.disclosure.datachain import Disclosure, compile_disclosure
from agent.policy.file import load_policy
from agent.wire.tlog import Checkpoint, sign_checkpoint
from tests.beacon.vectors.generate_compact import KEY, OTHER
from tests.browser.stage import RADIO, ROOT, SHOTS, Radio, browser, build, served

POLICY = load_policy(ROOT / "config" / "policy.toml")
NOW_S = 1_800_000_000


PATH = POLICY.unit.path
CELLS = (("bike", "count", 42), ("foot", "count", "suppressed"))
FIGURES = (
    Figures("crossings", NOW_S - 900, 900, "complete", 1, CELLS),
    Figures("air", NOW_S - 3600, 3600, "not_collected:gate", 1, (("mean", "Cel", Decimal("-0.50")),)),
)


def head(signed_at: int = NOW_S - 30, path: str = PATH, key: Ed25519PrivateKey = KEY) -> bytes:
    return sign_checkpoint(Checkpoint(path, 12, bytes(32), (f"{HEAD_TIME}{signed_at}",)), path, key)


def broadcast(disclosure: Disclosure, **beside: Any) -> tuple[gatt.Attribute, ...]:
    beside = {"checkpoint": head(), **beside}
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
    latest = seal_latest(PATH, FIGURES, KEY)
    radio = Radio(chromium, page, broadcast(compile_disclosure(POLICY), upcoming=upcoming, stop=stop, latest=latest))
    assert press(page) == "live"
    text = page.inner_text("#shown")
    for fact in (
        "Bike and foot counter, River Bridge",
        "version 2 follows, not before 7 February 2027",
        "A pipe burst",
        code(compile_disclosure(POLICY).digest),
        "is right at most 61 times in 100",
        "crossings: 15 January 2027, 07:45 to 08:00 UTC",
        "too small to show",
        "This time was not measured in full.",
        "-0.50 Cel",
        "07:59 UTC, 12 entries",
    ):
        assert fact in text
    assert page.locator("#shown td").all_inner_texts() == ["42", "too small to show", "-0.50 Cel"]
    assert radio.reads == 1 + 3 + 1 + 3 + 1 + 2 + 1
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.emulate_media(color_scheme="dark")
    page.screenshot(path=SHOTS / "reader-live-dark.png", full_page=True)
    radio.close()


@pytest.mark.parametrize(
    ("note", "words", "shown"),
    [
        (None, "no stamp of the last minutes", True),
        (head(NOW_S - 301), "too old or too new", True),
        (head(NOW_S + 301), "too old or too new", True),
        (head(key=OTHER), "Because the signature does not match.", False),
        (head(path="springfield/river-bridge/bridge-02"), "Because the signature does not match.", False),
        (head()[:-3] + b"!\n", "Because it is damaged", False),
    ],
    ids=["none", "old", "ahead", "another key", "another unit", "damaged"],
)
def test_live_needs_a_fresh_tree_head(live: tuple[Browser, Page], note: bytes | None, words: str, shown: bool) -> None:
    """BE-38: a recording is told from the unit; what it says is shown only where every signature holds."""
    chromium, page = live
    radio = Radio(chromium, page, broadcast(compile_disclosure(POLICY), checkpoint=note))
    assert press(page) == "cannot"
    assert words in page.inner_text("#verdict")
    assert (page.inner_text("#shown") != "") is shown
    radio.close()


@pytest.mark.parametrize("latest", [seal_latest(PATH, FIGURES, OTHER), seal_latest("a/b/c", FIGURES, KEY)])
def test_figures_of_another_are_not_shown(live: tuple[Browser, Page], latest: bytes) -> None:
    """By another key, or of another unit."""
    chromium, page = live
    radio = Radio(chromium, page, broadcast(compile_disclosure(POLICY), latest=latest))
    assert press(page) == "cannot"
    assert page.inner_text("#shown") == ""
    radio.close()


READ = {
    "envelope": seal_envelope(Envelope(compile_disclosure(POLICY).cbor, NOW_S), KEY).hex(),
    "upcoming": None,
    "stop": seal_stop(StopNotice("A pipe burst", ("steward/ana",), NOW_S), KEY).hex(),
    "head": head().hex(),
    "latest": seal_latest(PATH, FIGURES, KEY).hex(),
}


def _mutated(page: Page, count: int) -> int:
    assert page.evaluate("async ([r, n]) => (await import('/vectors.js')).liveVerdict(r, n)", [READ, NOW_S]) == [
        "live",
        None,
    ]
    call = "async ([r, count, n]) => (await import('/vectors.js')).mutatedLive(r, count, n)"
    return int(page.evaluate(call, [READ, count, NOW_S]))


def test_no_mutation_of_what_is_read_is_verified(live: tuple[Browser, Page]) -> None:
    """Envelope, stop notice, tree head and figures, in turn."""
    assert _mutated(live[1], 300) == 0


@pytest.mark.soak
def test_no_mutation_of_ten_thousand_readings_is_verified(
    live: tuple[Browser, Page], soak_record: Callable[[str, object], None]
) -> None:
    """The same, 10,000 times."""
    verified = _mutated(live[1], 10_000)
    soak_record("reader by radio", {"mutations": 10_000, "verified_in_browser": verified})
    assert verified == 0


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
    radio = Radio(chromium, page, compile_broadcast(envelope, 3, checkpoint=head()).attributes)
    assert press(page) == "cannot"
    assert page.inner_text("#shown") == ""
    radio.close()
