"""Signs in Chromium: every example policy, language and size fits its paper, and its QR code opens a page that verifies."""

import datetime
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from agent.cli.sign_page import SIZES, sign
from agent.disclosure.compact import compact_of, seal_compact
from agent.disclosure.datachain import compile_disclosure
from agent.disclosure.wording import LOCALES
from agent.policy.file import load_policy
from agent.policy.units import Units, VouchedUnit
from tests.beacon.vectors.generate_compact import KEY, PUBLIC_KEY
from tests.browser.stage import ROOT, SHOTS, build, served

POLICIES = (ROOT / "config" / "policy.toml", *sorted((ROOT / "config" / "examples").glob("*.toml")))
PAGE = "https://springfield.example/sensors/"
NOW_S = 1_800_000_000

OVERFLOWS = """() => { const sheet = document.querySelector('.sheet'), edge = sheet.getBoundingClientRect();
  const inside = (box) => box.left >= edge.left - .5 && box.right <= edge.right + .5 && box.bottom <= edge.bottom + .5;
  return sheet.scrollHeight > sheet.clientHeight || sheet.scrollWidth > sheet.clientWidth
    || ![...sheet.querySelectorAll('*')].every((one) => inside(one.getBoundingClientRect())); }"""


def decoded(picture: Path) -> str:
    """What zbar reads in a picture."""
    zbar = shutil.which("zbarimg")
    assert zbar, "make browser installs zbar-tools"
    return subprocess.run(
        [zbar, "--quiet", "--raw", str(picture)], capture_output=True, text=True, check=False
    ).stdout.strip()


@pytest.fixture(scope="module")
def page(chromium: Browser) -> Iterator[Page]:
    opened = chromium.new_page(viewport={"width": 820, "height": 1200}, device_scale_factor=2)
    yield opened
    opened.close()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_nothing_overflows_and_every_code_reads(page: Page, path: Path, size: str) -> None:
    """Alone in each language; on A4 in two. The code is read from the picture and holds what was signed."""
    SHOTS.mkdir(parents=True, exist_ok=True)
    disclosure = compile_disclosure(load_policy(path))
    message = seal_compact(compact_of(disclosure), KEY)
    choices = [(locale,) for locale in LOCALES] + ([("fr", "en"), ("km", "en")] if size == "a4" else [])
    for locales in choices:
        made = sign(disclosure, message, PAGE, locales, size)
        page.set_content(made.html)
        assert not page.evaluate(OVERFLOWS), (locales, made.text_mm)
        side = page.evaluate("document.querySelector('.qr').getBoundingClientRect().width") * 25.4 / 96
        assert side * made.modules / (made.modules + 8) >= 20
        shot = SHOTS / f"sign-{path.stem}-{size}-{'-'.join(locales)}.png"
        page.locator(".sheet").screenshot(path=shot)
        assert decoded(shot) == made.url


def test_an_overflow_would_be_seen(page: Page) -> None:
    """The positive control: larger letters than the layout allows."""
    disclosure = compile_disclosure(load_policy(POLICIES[0]))
    made = sign(disclosure, seal_compact(compact_of(disclosure), KEY), PAGE, ("en",), "a6")
    page.set_content(made.html.replace(f"font-size:{made.text_mm:.2f}mm", "font-size:9mm"))
    assert page.evaluate(OVERFLOWS)


def test_from_the_printed_code_to_the_verdict(chromium: Browser, page: Page, tmp_path: Path) -> None:
    """Picture, URL, page: a verified copy for each policy, with Bluetooth absent."""
    disclosures = [compile_disclosure(load_policy(path)) for path in POLICIES]
    for number, disclosure in enumerate(disclosures):
        folder = tmp_path / str(number)
        folder.mkdir()
        unit = disclosure.policy.unit
        listed = Units(1, "springfield", (VouchedUnit(unit.site, unit.name, PUBLIC_KEY),))
        with served(build(folder, listed)) as (address, _, _):
            made = sign(disclosure, seal_compact(compact_of(disclosure), KEY), PAGE, ("en",), "a6")
            page.set_content(made.html)
            page.locator(".sheet").screenshot(path=folder / "sign.png")
            read = decoded(folder / "sign.png")
            reader = chromium.new_context(service_workers="block").new_page()
            reader.clock.set_fixed_time(datetime.datetime.fromtimestamp(NOW_S, tz=datetime.UTC))
            reader.goto(read.replace(PAGE, address))
            reader.wait_for_selector("html[data-done]")
            assert reader.get_attribute("#verdict", "class") == "copy"
            assert disclosure.policy.accountable.name in reader.inner_text("#shown")
            reader.context.close()
