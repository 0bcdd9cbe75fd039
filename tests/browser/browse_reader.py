"""The resident's page in Chromium: what it verifies, what it refuses, what it shows, in six languages, offline."""

import base64
import contextlib
import dataclasses
import datetime
import json
from collections.abc import Callable, Iterator
from importlib.resources import files
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from agent.beacon.advertisement import code
from agent.disclosure.compact import compact_of, open_compact, seal_compact
from agent.disclosure.datachain import compile_disclosure
from agent.disclosure.wording import LOCALES, Wording
from agent.errors import DisclosureError, EncodingError, SignatureError
from agent.policy.file import load_policy
from tests.beacon.vectors import generate_compact
from tests.beacon.vectors.generate_compact import KEY, OTHER, PUBLIC_KEY
from tests.browser.stage import ROOT, SHOTS, build, served

POLICY = load_policy(ROOT / "config" / "policy.toml")
BIKE = compact_of(compile_disclosure(POLICY))
MESSAGE = seal_compact(BIKE, KEY)
CODE = code(compile_disclosure(POLICY).digest)
NOW_S = 1_800_000_000
VECTORS = json.loads(generate_compact.FILE.read_text())
AXE = (files("axe_playwright_python") / "axe.min.js").read_text()
RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


def fragment(message: bytes) -> str:
    """As a QR code carries it."""
    return "#" + base64.b32encode(message).decode().rstrip("=")


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, list[str]]]:
    with served(build(tmp_path_factory.mktemp("reader"))) as (address, asked, _):
        yield address, asked


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    context = chromium.new_context(viewport={"width": 320, "height": 700}, service_workers="block")
    opened = context.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    opened.clock.set_fixed_time(datetime.datetime.fromtimestamp(NOW_S, tz=datetime.UTC))
    yield opened
    context.close()
    assert errors == []


def read(page: Page, address: str, message: bytes) -> str:
    """The verdict of the page for a sign's code."""
    page.goto("about:blank")
    page.goto(address + fragment(message))
    page.wait_for_selector("html[data-done]")
    return page.get_attribute("#verdict", "class") or ""


def test_a_signs_code_is_a_verified_copy(page: Page, site: tuple[str, list[str]]) -> None:
    """The facts, who stands behind each, where to ask; nothing of it is sent anywhere."""
    assert read(page, site[0], MESSAGE) == "copy"
    text = page.inner_text("main")
    for fact in ("City of Springfield, Department of Transportation", "bridge-01", "15 September 2028", CODE):
        assert fact in text
    assert "That sensor cannot tell who you are." in text
    marks = page.locator("li .mark").all_inner_texts()
    assert {"Enforced by the unit itself", "Promised by those responsible"} == {mark.strip() for mark in marks}
    link = page.get_attribute("#shown a", "href")
    assert link == "https://springfield.example/sensors/bridge-01?unit=springfield%2Friver-bridge%2Fbridge-01&policy=1"
    assert page.is_hidden("#bluetooth")
    assert page.is_visible("#no-bluetooth")
    assert not any("d2" in path or len(path) > 40 for path in site[1])


def test_python_and_javascript_agree_on_every_vector(page: Page, site: tuple[str, list[str]]) -> None:
    """BE-33."""
    page.goto(site[0])
    found = page.evaluate("async (v) => (await import('/vectors.js')).outcomes(v)", VECTORS)
    assert found == {
        one["name"]: {key: value for key, value in one.items() if key not in ("name", "message")}
        for one in VECTORS["vectors"]
    }


def _mutate(page: Page, address: str, count: int) -> int:
    page.goto(address)
    call = "async ([message, count, now]) => (await import('/vectors.js')).mutated(message, count, now)"
    return int(page.evaluate(call, [MESSAGE.hex(), count, NOW_S]))


def test_no_mutation_is_verified(page: Page, site: tuple[str, list[str]]) -> None:
    """300 here, `make soak` has 10,000; the message itself is verified, so the count can be other than nought."""
    assert _mutate(page, site[0], 300) == 0
    assert page.evaluate("async ([m, n]) => (await import('/vectors.js')).verdict(m, n)", [MESSAGE.hex(), NOW_S]) == [
        "copy",
        None,
    ]


@pytest.mark.soak
def test_no_mutation_of_ten_thousand_is_verified(
    page: Page, site: tuple[str, list[str]], soak_record: Callable[[str, object], None]
) -> None:
    """In the browser and in Python, the same mutations of the same message."""
    verified = _mutate(page, site[0], 10_000)
    soak_record("reader", {"mutations": 10_000, "verified_in_browser": verified, "verified_in_python": _python(10_000)})
    assert verified == _python(10_000) == 0


def _python(count: int) -> int:
    """The mutations of vectors.js, by the decoder of this side."""
    verified = 0
    for i in range(count):
        data = bytearray(MESSAGE)
        bit = (i * 7) % (len(data) * 8)
        if i % 10 == 8:
            data = data[: (i * 31) % len(data)]
        elif i % 10 == 9:
            data.append(i & 255)
        else:
            data[bit >> 3] ^= 1 << (bit & 7)
        with contextlib.suppress(EncodingError, SignatureError, DisclosureError):
            open_compact(bytes(data), PUBLIC_KEY)
            verified += 1
    return verified


@pytest.mark.parametrize(
    ("message", "words"),
    [
        (seal_compact(BIKE, OTHER), "Because nobody vouches for the key that signed it."),
        (seal_compact(dataclasses.replace(BIKE, unit="bridge-02"), KEY), "Because the key belongs to another unit."),
        (MESSAGE.replace(b"Springf", b"Springg"), "Because the signature does not match."),
        (MESSAGE[:-1], "Because it is damaged"),
    ],
)
def test_what_cannot_be_verified_is_not_shown(
    page: Page, site: tuple[str, list[str]], message: bytes, words: str
) -> None:
    """A reason in words, and nothing of the content."""
    assert read(page, site[0], message) == "cannot"
    assert words in page.inner_text("#verdict")
    assert page.inner_text("#shown") == ""
    assert "Springf" not in page.inner_text("main")


def test_what_has_ended_says_so(page: Page, site: tuple[str, list[str]]) -> None:
    assert read(page, site[0], seal_compact(dataclasses.replace(BIKE, expires=NOW_S), KEY)) == "cannot"
    assert "Because these rules ended on 15 January 2027." in page.inner_text("#verdict")


def test_markup_in_a_disclosure_is_text(page: Page, site: tuple[str, list[str]]) -> None:
    evil = dataclasses.replace(
        BIKE, organisation="<img src=x onerror=alert(1)>", channel="address", where="<script>1</script>"
    )
    assert read(page, site[0], seal_compact(evil, KEY)) == "copy"
    assert "<img src=x onerror=alert(1)>" in page.inner_text("#shown")
    assert page.locator("#shown img, #shown script").count() == 0


def test_a_link_is_only_what_may_be_one(page: Page, site: tuple[str, list[str]]) -> None:
    page.goto(site[0])
    cases = [
        ["url", "https://x.example/a?b=1"],
        ["url", "javascript:alert(1)"],
        ["email", "a@b.example?cc=x"],
        ["phone", "+1 555"],
        ["address", "Here"],
    ]
    found = page.evaluate("async (cases) => (await import('/vectors.js')).links(cases)", cases)
    assert found == ["https://x.example/a?b=1&unit=c%2Fs%2Fu&policy=3", None, None, "tel:+1555", None]


@pytest.mark.parametrize("locale", LOCALES)
def test_every_language_has_the_same_facts(page: Page, site: tuple[str, list[str]], locale: str) -> None:
    """As many statements, no text missing, no sideways scrolling at 320 px, and no violation that axe finds, light and dark."""
    read(page, site[0], MESSAGE)
    lines = page.locator("#shown li").count()
    page.select_option("#language", locale)
    words = Wording(LOCALES[locale])
    assert page.inner_text("#verdict h2") == words.text("page.copy")
    assert page.get_attribute("html", "lang") == locale
    assert page.locator("#shown li").count() == lines > 15
    assert "page." not in page.inner_text("body")
    assert "{" not in page.inner_text("body")
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    SHOTS.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=SHOTS / f"reader-{locale}-320.png", full_page=True)
    assert violations(page) == []
    page.emulate_media(color_scheme="dark")
    assert violations(page) == []


def test_what_a_screen_reader_hears(page: Page, site: tuple[str, list[str]]) -> None:
    """Roles, names and order, as a golden file; to renew it, delete it and run this once."""
    read(page, site[0], MESSAGE)
    heard = page.locator("body").aria_snapshot().replace(CODE, "<code>") + "\n"
    golden = Path(__file__).parent / "reader-en.aria.yaml"
    if not golden.exists():
        golden.write_text(heard)
    assert heard == golden.read_text()
    assert '- heading "Verified copy" [level=2]' in heard


def test_axe_would_find_something(page: Page, site: tuple[str, list[str]]) -> None:
    """The negative control: an image without words, pale text, a page without a language."""
    read(page, site[0], MESSAGE)
    page.evaluate("""() => { document.documentElement.removeAttribute('lang'); const p = document.createElement('p');
        p.textContent = 'pale'; p.style.color = '#eee'; p.style.background = '#fff'; document.querySelector('main').append(p, document.createElement('img')); }""")
    assert {"color-contrast", "html-has-lang", "image-alt"} <= set(violations(page))


def violations(page: Page) -> list[str]:
    page.evaluate(AXE)
    found = page.evaluate("(rules) => axe.run(document, {runOnly: rules})", RULES)
    return [one["id"] for one in found["violations"]]


def test_desktop_print_and_keyboard(chromium: Browser, site: tuple[str, list[str]]) -> None:
    """A wide screen, what a printer gets, and every control by Tab."""
    page = chromium.new_page(viewport={"width": 1280, "height": 900})
    page.clock.set_fixed_time(datetime.datetime.fromtimestamp(NOW_S, tz=datetime.UTC))
    read(page, site[0], MESSAGE)
    reached = []
    for _ in range(5):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
    assert reached[:3] == ["language", "file", "print"]
    assert "A" in reached
    page.screenshot(path=SHOTS / "reader-en-1280.png", full_page=True)
    page.emulate_media(media="print")
    assert page.is_hidden("#ways")
    assert page.is_visible("#verdict")
    page.close()


def test_a_file_reads_the_same(page: Page, site: tuple[str, list[str]], tmp_path: Path) -> None:
    """As bytes or as the hex that `disclosure show --compact` prints."""
    for name, data in (("copy.cose", MESSAGE), ("copy.txt", MESSAGE.hex().encode() + b"\n")):
        (tmp_path / name).write_bytes(data)
        page.goto(site[0])
        page.wait_for_selector("html[data-ready]")
        page.set_input_files("#file", tmp_path / name)
        page.wait_for_selector("html[data-done]")
        assert page.get_attribute("#verdict", "class") == "copy"


def test_offline_after_one_visit(chromium: Browser, tmp_path: Path) -> None:
    """The server is gone; the page opens, and verifies."""
    with served(build(tmp_path)) as (address, _, server):
        context = chromium.new_context()
        page = context.new_page()
        page.goto(address)
        page.evaluate("navigator.serviceWorker.ready.then(() => 1)")
        server.shutdown()
        server.server_close()
        page.goto("about:blank")
        page.goto(address + fragment(MESSAGE))
        page.wait_for_selector("html[data-done]")
        assert page.get_attribute("#verdict", "class") == "copy"
        context.close()
