"""Signs as PDF, by the command: one page of the paper's size, fonts within, whole text, a code that reads, and laid out as Chromium does."""

import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from xml.etree import ElementTree

import pytest
from playwright.sync_api import Browser

from agent.cli import sign_pdf
from agent.cli.main import main
from agent.cli.sign_page import SIZES, sign
from agent.disclosure.compact import compact_of, seal_compact
from agent.disclosure.datachain import compile_disclosure
from agent.errors import PrinterUnavailable
from agent.policy.file import load_policy
from tests.beacon.vectors.generate_compact import KEY
from tests.browser.browse_sign import PAGE, POLICIES, decoded
from tests.browser.stage import SHOTS

POINT_MM = 25.4 / 72
NEAR_MM = 0.8
"""How far a word may stand from where Chromium prints it: each rounds a line's height in its own way."""
LOCALES = ("en", "km", "fr,en")
DEJAVU_ONLY = "<fontconfig><dir>/usr/share/fonts/truetype/dejavu</dir><cachedir>{}</cachedir></fontconfig>"


@dataclass(frozen=True, slots=True)
class Word:
    """A word on paper, in millimetres from its top left corner."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


def poppler(command: str, *arguments: str) -> str:
    tool = shutil.which(command)
    assert tool, "make browser installs poppler-utils"
    return subprocess.run([tool, *arguments], capture_output=True, text=True, check=True).stdout


def words(path: Path) -> list[Word]:
    found = ElementTree.fromstring(poppler("pdftotext", "-bbox", str(path), "-")).iter(  # noqa: S314 - poppler's own
        "{http://www.w3.org/1999/xhtml}word"
    )
    edges = ("xMin", "yMin", "xMax", "yMax")
    return [Word(one.text or "", *(float(one.attrib[edge]) * POINT_MM for edge in edges)) for one in found]


def on_each_other(found: list[Word]) -> list[tuple[str, str]]:
    """Words whose middles overlap: a box is as high as its font allows, the ink is not."""

    def middle(one: Word) -> tuple[float, float]:
        quarter = (one.bottom - one.top) / 4
        return one.top + quarter, one.bottom - quarter

    return [
        (a.text, b.text)
        for index, a in enumerate(found)
        for b in found[index + 1 :]
        if min(a.right, b.right) - max(a.left, b.left) > 0.2
        and min(middle(a)[1], middle(b)[1]) > max(middle(a)[0], middle(b)[0])
    ]


def letters(text: str) -> Counter[str]:
    return Counter("".join(text.split()))


def written(arguments: list[str], out: Path, capsys: pytest.CaptureFixture[str]) -> str:
    """What the sign's code must hold."""
    assert main(["sign", *arguments, "--page", PAGE, "--out", str(out)]) == 0
    return capsys.readouterr().out.splitlines()[-1].removeprefix("for an NFC tag: ")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("path", POLICIES, ids=lambda path: path.stem)
def test_one_page_of_the_papers_size_whole_and_readable(
    path: Path, size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In English, in Khmer's script, and in two languages where the paper holds them."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    SHOTS.mkdir(parents=True, exist_ok=True)
    width, height = SIZES[size]
    for locale in LOCALES:
        arguments = [str(path), "--size", size, "--locale", locale]
        if (size, locale) == ("a6", "fr,en"):  # more than the paper holds
            assert main(["sign", *arguments, "--pdf", "--page", PAGE, "--out", str(tmp_path / "none.pdf")]) == 2
            assert "choose a larger size, fewer languages" in capsys.readouterr().err
            continue
        out, picture = tmp_path / f"{locale}.pdf", SHOTS / f"sign-pdf-{path.stem}-{size}-{locale}"
        url = written([*arguments, "--pdf"], out, capsys)
        told = poppler("pdfinfo", str(out))
        assert re.search(r"^Pages: +1$", told, re.MULTILINE), told
        paper = re.search(r"^Page size: +([0-9.]+) x ([0-9.]+) pts", told, re.MULTILINE)
        assert paper, told
        assert [float(side) * POINT_MM for side in paper.groups()] == pytest.approx([width, height], abs=0.1)
        fonts = [line.split() for line in poppler("pdffonts", str(out)).splitlines()[2:]]
        assert fonts
        assert all(font[-5] == "yes" for font in fonts), fonts
        assert any("Khmer" in font[0] for font in fonts) is (locale == "km"), fonts
        found = words(out)
        edge = width * 0.06 - 0.1
        assert all(one.left >= edge and one.right <= width - edge and one.bottom <= height - edge for one in found)
        if locale != "km":  # Khmer's vowels are stored in another order than they are drawn in
            assert on_each_other(found) == []
            page = tmp_path / "sign.html"
            assert written(arguments, page, capsys) == url
            sheet = re.search(r"<main.*?</main>", page.read_text(), re.DOTALL)
            assert sheet
            assert letters(" ".join(one.text for one in found)) == letters(unescape(re.sub("<[^>]*>", "", sheet[0])))
        poppler("pdftoppm", "-r", "150", "-png", "-singlefile", str(out), str(picture))
        assert decoded(picture.with_suffix(".png")) == url


@pytest.mark.parametrize("size", ["a4", "a5"])
def test_chromium_prints_the_same(
    chromium: Browser, size: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every word is in its place, whichever of the two prints. (On A6 they break a long web address at another sign.)"""
    arguments = [str(POLICIES[0]), "--size", size, "--locale", "fr,en"]
    written([*arguments, "--pdf"], tmp_path / "ours.pdf", capsys)
    written(arguments, tmp_path / "sign.html", capsys)
    page = chromium.new_page()
    page.set_content((tmp_path / "sign.html").read_text())
    page.pdf(path=tmp_path / "theirs.pdf", prefer_css_page_size=True)
    page.close()
    ours, theirs = words(tmp_path / "ours.pdf"), words(tmp_path / "theirs.pdf")
    assert sorted(one.text for one in ours) == sorted(one.text for one in theirs)
    far = [
        one
        for one in ours
        if not any(
            one.text == other.text and abs(one.left - other.left) < NEAR_MM and abs(one.bottom - other.bottom) < NEAR_MM
            for other in theirs
        )
    ]
    assert far == []


def test_official_icons_are_printed_with_their_licence(tmp_path: Path) -> None:
    """They are drawings within the page's own drawing; the licence stands at the foot, on nothing else."""
    disclosure = compile_disclosure(load_policy(POLICIES[0]))
    message = seal_compact(compact_of(disclosure), KEY)
    icon = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36"><path fill="#f0f" d="M0 0h36v36H0z"/></svg>'
    drawn = {}
    for name, icons in (("with", {one.id: icon for one in disclosure.elements}), ("without", {})):
        made = sign(disclosure, message, PAGE, ("en",), "a6", icons)
        (tmp_path / f"{name}.pdf").write_bytes(sign_pdf.pdf(made.html))
        poppler("pdftoppm", "-r", "72", "-singlefile", str(tmp_path / f"{name}.pdf"), str(tmp_path / name))
        drawn[name] = (tmp_path / f"{name}.ppm").read_bytes().count(b"\xff\x00\xff")
    assert drawn["with"] > 1000
    assert drawn["without"] == 0
    found = words(tmp_path / "with.pdf")
    foot = [one for one in found if "creativecommons" in one.text]
    assert [one.bottom == max(other.bottom for other in found) for one in foot] == [True]
    assert foot[0].bottom < SIZES["a6"][1] * 0.97
    assert on_each_other(found) == []


def test_what_lies_on_each_other_would_be_seen(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The positive control: the honeycomb's rows pushed together."""
    written([str(POLICIES[0])], tmp_path / "sign.html", capsys)
    page = (tmp_path / "sign.html").read_text()
    assert "top:50%" in page
    (tmp_path / "sign.pdf").write_bytes(
        sign_pdf.pdf(page.replace("top:50%", "top:0").replace("width:50%", "width:100%"))
    )
    assert on_each_other(words(tmp_path / "sign.pdf"))


def test_what_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As when the letters here are wider than those that the layout counts with."""
    written([str(POLICIES[0]), "--size", "a6"], tmp_path / "sign.html", capsys)
    page, sizes = re.subn(r"(hidden;font-size:)[0-9.]+mm", r"\g<1>9mm", (tmp_path / "sign.html").read_text())
    assert sizes == 1
    with pytest.raises(PrinterUnavailable, match="does not fit its page"):
        sign_pdf.pdf(page)


def test_letters_that_no_font_has_are_refused(tmp_path: Path) -> None:
    """Not printed as empty boxes: a machine without a Khmer font."""
    (tmp_path / "fonts.conf").write_text(DEJAVU_ONLY.format(tmp_path / "cache"))
    ran = subprocess.run(
        [
            *(sys.executable, "-m", "agent.cli.main", "sign", str(POLICIES[0]), "--page", PAGE),
            *("--locale", "km", "--pdf", "--out", "sign.pdf"),
        ],
        cwd=tmp_path,
        env={**os.environ, "FONTCONFIG_FILE": str(tmp_path / "fonts.conf")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 3, ran.stderr
    assert "fonts-khmeros" in ran.stderr.splitlines()[-1]
    assert not (tmp_path / "sign.pdf").exists()


def test_nothing_is_fetched(tmp_path: Path) -> None:
    """A sign holds all that it needs; a file that it names is not opened."""
    (tmp_path / "red.svg").write_text(
        '<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><text y="9">A</text></svg>'
    )
    page = f'<style>@page{{size:105mm 148mm}}</style><p>B<img src="{(tmp_path / "red.svg").as_uri()}">'
    (tmp_path / "sign.pdf").write_bytes(sign_pdf.pdf(page))
    assert [one.text for one in words(tmp_path / "sign.pdf")] == ["B"]
