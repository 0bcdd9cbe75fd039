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
from hypothesis import given, settings
from playwright.sync_api import Browser, Page

from agent.beacon.advertisement import code
from agent.cli.reader import COPIED
from agent.disclosure.compact import Guarantee, compact_of, guarantee_of, open_compact, seal_compact
from agent.disclosure.datachain import compile_disclosure
from agent.disclosure.explanations.table import EXPLANATIONS
from agent.disclosure.presence import Scope
from agent.disclosure.wording import LOCALES, Wording
from agent.errors import DisclosureError, EncodingError, SignatureError
from agent.policy.compile import compile_policy
from agent.policy.file import load_policy
from agent.policy.parse import parse_policy
from tests.beacon.vectors import generate_compact
from tests.beacon.vectors.generate_compact import KEY, OTHER, PUBLIC_KEY
from tests.browser.stage import ROOT, SHOTS, build, served
from tests.policy.policies import policies

POLICIES = (ROOT / "config" / "policy.toml", *sorted((ROOT / "config" / "examples").glob("*.toml")))
POLICY = load_policy(POLICIES[0])
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
    names = {"/", *(f"/{name}" for name in (*COPIED, "facts.js", "vectors.js", "sw.js"))}
    assert set(site[1]) <= names, "nothing of the message is asked for"


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


@pytest.mark.parametrize("locale", LOCALES)
def test_every_element_opens_to_its_explanation(page: Page, site: tuple[str, list[str]], locale: str) -> None:
    """Each element of the message, in this language, open at 320 px without violation; a translation nobody checked says so."""
    read(page, site[0], MESSAGE)
    page.select_option("#language", locale)
    known = EXPLANATIONS[locale]
    page.evaluate("document.querySelectorAll('#shown details').forEach((one) => { one.open = true; })")
    text = page.inner_text("#shown")
    for one in (*(element.id for element in BIKE.elements), "tech.non_identifiable"):
        assert known.texts[one] in text, one
    note = Wording(LOCALES[locale]).text("page.unchecked")
    assert (note in text) is not known.reviewed
    assert page.evaluate("document.documentElement.scrollWidth") <= 320
    assert violations(page) == []
    page.screenshot(path=SHOTS / f"reader-{locale}-320-open.png", full_page=True)


@pytest.mark.parametrize(
    ("guarantee", "words"),
    [
        (
            Guarantee(Scope.ALL, 61, 92),
            ["all published figures to tell if you passed today is right at most 61 times", "92"],
        ),
        (Guarantee(Scope.ALL, 100, 100, 3600), ["may tell if you passed in 1 hour", "they may be sure of it"]),
        (Guarantee(Scope.NOISY, 61, 100), ["only for the numbers that chance changes", "these numbers to tell", "61"]),
        (Guarantee(Scope.NOISY_ONLY, 61, 92, 7200), ["if you passed in 2 hours", "no such limit holds"]),
        (Guarantee(Scope.NONE), ["may tell if you passed today"]),
        (Guarantee(Scope.NOBODY), ["These numbers are not about people."]),
    ],
)
def test_the_guarantee_in_words(
    page: Page, site: tuple[str, list[str]], guarantee: Guarantee, words: list[str]
) -> None:
    """The number is the message's, never the page's own."""
    assert read(page, site[0], seal_compact(dataclasses.replace(BIKE, guarantee=guarantee), KEY)) == "copy"
    text = page.inner_text("#shown")
    for one in words:
        assert one in text
    assert ("Guessing is right 50 times" in text) is (guarantee.scope < 3 and guarantee.period < 100)


def test_the_page_works_out_the_same_guarantee(page: Page, site: tuple[str, list[str]]) -> None:
    """bound.js and agent/disclosure/bound.py: the example policies, one with running totals, and 60 policies at random."""
    texts = [path.read_text() for path in POLICIES] + [
        POLICIES[0].read_text().replace('totals = "none"', 'totals = "period"')
    ]

    @settings(max_examples=60, derandomize=True, database=None)
    @given(policies())
    def more(text: str) -> None:
        texts.append(text)

    more()
    parsed = [parse_policy(text, "p") for text in texts]
    page.goto(site[0])
    found = page.evaluate(
        "async (p) => (await import('/vectors.js')).guarantees(p)", [compile_policy(one).hex() for one in parsed]
    )
    wanted = [guarantee_of(compile_disclosure(one)) for one in parsed]
    assert found == [[int(one.scope), one.period, one.month, one.period_s] for one in wanted]
    assert {one.scope for one in wanted} == set(Scope)


WITHOUT_ED25519 = """() => { if (!globalThis.SubtleCrypto) return; const real = SubtleCrypto.prototype.importKey;
  SubtleCrypto.prototype.importKey = function (format, key, algorithm, ...rest) {
    return (algorithm.name ?? algorithm) === "Ed25519" ? Promise.reject(new DOMException("", "NotSupportedError")) : real.call(this, format, key, algorithm, ...rest); }; }"""


def test_without_ed25519_in_the_browser_the_copied_library_verifies(page: Page, site: tuple[str, list[str]]) -> None:
    """WebCrypto's Ed25519 taken away: verdict and refusals are the same; the library taken away too: it says that it cannot check."""
    page.add_init_script(f"({WITHOUT_ED25519})()")
    del site[1][:]
    assert read(page, site[0], MESSAGE) == "copy"
    assert "/noble-ed25519.js" in site[1]
    assert page.evaluate("async (v) => (await import('/vectors.js')).outcomes(v)", VECTORS) == {
        one["name"]: {key: value for key, value in one.items() if key not in ("name", "message")}
        for one in VECTORS["vectors"]
    }
    assert read(page, site[0], MESSAGE[:-1] + bytes([MESSAGE[-1] ^ 1])) == "cannot"
    assert "Because the signature does not match." in page.inner_text("#verdict")


def test_with_neither_it_says_so(chromium: Browser, site: tuple[str, list[str]]) -> None:
    context = chromium.new_context(service_workers="block")
    page = context.new_page()
    page.clock.set_fixed_time(datetime.datetime.fromtimestamp(NOW_S, tz=datetime.UTC))
    page.add_init_script(f"({WITHOUT_ED25519})()")
    page.route("**/noble-ed25519.js", lambda route: route.abort())
    assert read(page, site[0], MESSAGE) == "cannot"
    assert "Because this browser cannot check signatures." in page.inner_text("#verdict")
    assert page.inner_text("#shown") == ""
    context.close()


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
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.append(page.evaluate("document.activeElement.id || document.activeElement.tagName"))
        if reached[-1] == "print":
            break
    assert reached[:2] == ["language", "SUMMARY"]
    assert {"A", "file"} <= set(reached)
    assert reached.count("SUMMARY") == page.locator("#shown summary").count()
    page.locator("#shown summary").first.focus()
    page.keyboard.press("Enter")
    assert page.locator("#shown details[open]").count() == 1
    page.keyboard.press("Enter")
    assert page.locator("#shown details[open]").count() == 0
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
