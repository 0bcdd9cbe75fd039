"""The printed sign as one HTML page with inline SVG: DTPR's honeycomb, the sentences that a sign must have, the QR code. No input, no output.

Whether everything fits is computed before anything is written, by a layout that takes each character for wider than it is: text gets the
largest size that fits, and what does not fit at the smallest legible size is refused. The browser tests measure that the estimate holds.
"""

import base64
import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import segno

from agent.beacon.advertisement import local_name
from agent.disclosure.datachain import Disclosure
from agent.disclosure.plain_language import statements
from agent.disclosure.rules import Category
from agent.disclosure.template import BLACK, BLUE, WHITE, YELLOW
from agent.disclosure.wording import Wording, locale_of
from agent.errors import DisclosureError

SIZES = {"a4": (210.0, 297.0), "a5": (148.0, 210.0), "a6": (105.0, 148.0)}
"""Width and height in millimetres (ISO 216)."""

QR_MM = {"a4": 80.0, "a5": 62.0, "a6": 46.0}
MIN_QR_MM = 20.0
"""DTPR's guide."""
MIN_MODULE_MM = 0.4
"""Phones read modules of a third of a millimetre from a hand's breadth; a sign is read from an arm's length."""
QUIET_MODULES = 4
FILLS = {"yellow": YELLOW, "blue": BLUE, "white": WHITE}

_LARGEST_MM, _SMALLEST_MM, _STEP_MM = 5.0, 2.1, 0.1
"""Of the text's size; 2.1 mm are 6 points."""
_WIDE = {"km": 0.72}
_HIGH = {"km": 1.75}
_USUAL_WIDE, _USUAL_HIGH = 0.6, 1.35
_KEPT_KEYS = ("institution", "guarantee.day", "guarantee.period", "guarantee.some_day", "guarantee.open_day")
_HEXAGON = "M50 3 92 27v46L50 97 8 73V27z"
_GLYPHS = {
    Category.PURPOSE: '<circle cx="50" cy="50" r="20" {line}/><circle cx="50" cy="50" r="7" fill="{ink}"/>',
    Category.ACCOUNTABLE: '<circle cx="50" cy="38" r="11" fill="{ink}"/><path d="M28 70a22 20 0 0 1 44 0z" fill="{ink}"/>',
    Category.TECH: '<circle cx="35" cy="50" r="6" fill="{ink}"/><path d="M45 36a20 20 0 0 1 0 28M54 27a32 32 0 0 1 0 46" {line}/>',
}


@dataclass(frozen=True, slots=True)
class Sign:
    """A finished sign; `url` is what the QR code and an NFC tag hold, `modules` the code's modules a side, without the quiet zone."""

    html: str
    url: str
    modules: int
    text_mm: float


def sign(
    disclosure: Disclosure,
    message: bytes,
    page: str,
    locales: Sequence[str],
    size: str,
    icons: Mapping[str, bytes] | None = None,
) -> Sign:
    """Lay out a sign for `message`, the signed compact disclosure, which the page at `page` opens; raises DisclosureError.

    `icons` are official icons by element id, already checked to be drawings.
    """
    base = page.rstrip("#")
    payload = base64.b32encode(message).decode().rstrip("=")
    segments: Any = [
        f"{base}#",
        payload,
    ]  # bytes, then alphanumeric: segno's type says one text, its encoder takes a list
    code = segno.make(segments, error="m", micro=False, boost_error=False)
    modules = int(code.symbol_size(border=0)[0])
    qr_mm = QR_MM[size]
    module_mm = qr_mm / (modules + 2 * QUIET_MODULES)
    if module_mm < MIN_MODULE_MM or modules * module_mm < MIN_QR_MM:
        raise DisclosureError(
            "sign",
            expected=f"a QR code with modules of {MIN_MODULE_MM} mm",
            got=f"{module_mm:.2f} mm",
            remedy="choose a larger size",
        )
    texts = {code_: _sentences(disclosure, code_) for code_ in locales}
    width, height = SIZES[size]
    margin = width * 0.06
    title_mm = width / 24
    inner = width - 2 * margin
    title_height = _lines(disclosure.title, title_mm, inner, 0.68) * title_mm * 1.3
    left = height - 2 * margin - title_height - qr_mm - _CAPTION_MM - _LEGEND_MM
    text_mm = _fitting(texts, inner, left)
    name = local_name(disclosure.unit, disclosure.colour, disclosure.digest)
    body = [
        f'<h1 style="font-size:{title_mm:.2f}mm">{html.escape(disclosure.title)}</h1>',
        f'<div class="top" style="height:{qr_mm:.1f}mm">{_honeycomb(disclosure, icons or {}, inner - qr_mm - 3, qr_mm)}'
        f"{_qr(code.matrix, modules, qr_mm)}</div>",
        f'<p class="name"><b>{html.escape(name)}</b> {html.escape(_short(base))}</p>',
        *(_block(code_, lines) for code_, lines in texts.items()),
        f'<p class="icons" lang="en">{_ICONS}</p>' if icons else "",
    ]
    style = _STYLE.format(width=width, height=height, margin=margin, text=text_mm)
    nfc = f"NFC tag (NDEF URI record, {ndef_bytes(base + '#' + payload)} bytes): {base}#{payload}"
    document = (
        f'<!doctype html>\n<html lang="{locales[0]}">\n<head>\n<meta charset="utf-8">\n'
        "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; img-src data:\">\n"
        f"<title>{html.escape(disclosure.title)}</title>\n<style>{style}</style>\n</head>\n<body>\n"
        f'<main class="sheet">\n{chr(10).join(body)}\n</main>\n<p class="technician" lang="en">{html.escape(nfc)}</p>\n</body>\n</html>\n'
    )
    return Sign(document, f"{base}#{payload}", modules, text_mm)


def ndef_bytes(url: str) -> int:
    """The size of an NDEF message with this one URI (NFC Forum URI RTD 1.0: "https://" is one byte)."""
    payload = 1 + len(url.removeprefix("https://").encode())
    return payload + (4 if payload < 256 else 7)


_ICONS = "Icons: DTPR contributors, CC BY 4.0, creativecommons.org/licenses/by/4.0"
_CAPTION_MM = 6.0
_LEGEND_MM = 5.0
"""The line that the icons' licence asks for, and what rounding takes."""
_STYLE = (
    "@page{{size:{width}mm {height}mm;margin:0}}*{{box-sizing:border-box;margin:0;padding:0}}"
    "body{{background:#fff;color:#000;font-family:'DejaVu Sans','Noto Sans','Noto Sans Khmer','Khmer OS',sans-serif}}"
    ".sheet{{width:{width}mm;height:{height}mm;padding:{margin:.2f}mm;overflow:hidden;font-size:{text:.2f}mm;line-height:1.3}}"
    "h1{{line-height:1.25}}.top{{display:flex;gap:3mm;align-items:center}}.top svg{{flex:none}}"
    ".name{{font-size:3mm;line-height:1.2;height:6mm;overflow-wrap:anywhere}}section+section{{border-top:.2mm solid #000}}"
    "section{{overflow-wrap:anywhere;padding:.6mm 0}}section[lang=km]{{line-height:1.7}}"
    ".icons{{font-size:1.8mm;line-height:1.3}}.technician{{margin:5mm;font-size:3mm;overflow-wrap:anywhere;max-width:{width}mm}}@media print{{.technician{{display:none}}}}"
)


def _sentences(disclosure: Disclosure, locale: str) -> list[str]:
    """Purpose, who answers, what senses and whether it tells who somebody is, the guarantee, where to ask."""
    found = [
        one
        for one in statements(disclosure, locale)
        if one.section in ("why", "sensor")
        or one.key in _KEPT_KEYS
        or (one.section == "ask" and one.key.startswith("ask."))
    ]
    words = Wording(locale_of(locale))
    note = [] if locale_of(locale).reviewed else [words.say("note.unreviewed")]
    demo = [words.say("unit.demo")] if disclosure.policy.demo else []
    return [*demo, *(one.shown for one in found), *note]


def _fitting(texts: Mapping[str, Sequence[str]], width: float, height: float) -> float:
    """The largest size of text with which everything fits; raises DisclosureError."""
    steps = round((_LARGEST_MM - _SMALLEST_MM) / _STEP_MM)
    for step in range(steps + 1):
        size = _LARGEST_MM - step * _STEP_MM
        needed = sum(
            1.6
            + sum(_lines(line, size, width, _WIDE.get(code, _USUAL_WIDE)) for line in lines)
            * size
            * _HIGH.get(code, _USUAL_HIGH)
            for code, lines in texts.items()
        )
        if needed <= height:
            return size
    raise DisclosureError(
        "sign",
        expected="text that fits",
        got="too much",
        remedy="choose a larger size, fewer languages, or shorter texts in the policy",
    )


def _lines(text: str, size: float, width: float, wide: float) -> int:
    """How many lines a paragraph takes at most: a line is left when the next word does not fit."""
    room = max(1, int(width / (size * wide)))
    lines, used = 1, 0
    for word in text.split():
        length = len(word)
        if used and used + 1 + length > room:
            lines, used = lines + 1, 0
        used += length + (1 if used else 0)
        if used > room:
            lines, used = lines + used // room, used % room
    return lines


def _block(locale: str, lines: Iterable[str]) -> str:
    return f'<section lang="{locale}">{"".join(f"<p>{html.escape(line)}</p>" for line in lines)}</section>'


def _honeycomb(disclosure: Disclosure, icons: Mapping[str, bytes], width: float, height: float) -> str:
    """Purpose in black above, who answers and the technology in its colour below: three hexagons side by side without a gap."""
    cells = (
        (Category.PURPOSE, BLACK, WHITE, 46, 0),
        (Category.ACCOUNTABLE, WHITE, BLACK, 4, 72),
        (Category.TECH, FILLS[disclosure.colour], BLACK, 90, 72),
    )
    drawn = []
    for category, fill, ink, x, y in cells:
        first = next(one.id for one in disclosure.elements if one.category is category)
        line = f'fill="none" stroke="{ink}" stroke-width="5"'
        glyph = _GLYPHS[category].format(ink=ink, line=line)
        if first in icons and not (category is Category.TECH and _other_colour(icons[first], fill)):
            data = base64.b64encode(icons[first]).decode()
            glyph = f'<image x="14" y="14" width="72" height="72" href="data:image/svg+xml;base64,{data}"/>'
        shape = f'<path d="{_HEXAGON}" fill="{fill}" stroke="#000" stroke-width="3"/>'
        drawn.append(f'<g transform="translate({x} {y})">{shape}{glyph}</g>')
    side = min(width, height)
    return f'<svg class="honeycomb" viewBox="0 0 194 174" style="width:{side:.1f}mm;height:{side:.1f}mm" aria-hidden="true">{"".join(drawn)}</svg>'


def _other_colour(icon: bytes, fill: str) -> bool:
    """Does an official icon bring a colour of its own that says something else about the sensor than this sign's?

    The radio that hears phones is yellow in the taxonomy, and blue on the sign of a unit that keeps nothing identifying.
    """
    found = icon.upper()
    return any(colour != fill and colour.encode() in found for colour in (YELLOW, BLUE)) or (
        fill != YELLOW and b"#FD0" in found
    )


def _qr(matrix: Sequence[bytearray], modules: int, side: float) -> str:
    whole = modules + 2 * QUIET_MODULES
    runs = "".join(
        f"M{x + QUIET_MODULES} {y + QUIET_MODULES}h1v1h-1z"
        for y, row in enumerate(matrix)
        for x, dark in enumerate(row)
        if dark
    )
    return (
        f'<svg class="qr" role="img" aria-label="QR" viewBox="0 0 {whole} {whole}" style="width:{side:.1f}mm;height:{side:.1f}mm" '
        f'shape-rendering="crispEdges"><path fill="#fff" d="M0 0h{whole}v{whole}H0z"/><path d="{runs}"/></svg>'
    )


def _short(base: str) -> str:
    """The page's address as people read it."""
    return base.removeprefix("https://").rstrip("/")
