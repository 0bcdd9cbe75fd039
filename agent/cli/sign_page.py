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
from agent.disclosure.explanations.table import EXPLANATIONS
from agent.disclosure.icon import colour_of
from agent.disclosure.plain_language import statements
from agent.disclosure.rules import Category, Mark
from agent.disclosure.template import BLACK, BLUE, WHITE, YELLOW
from agent.disclosure.wording import Wording, locale_of
from agent.errors import DisclosureError

SIZES = {"a4": (210.0, 297.0), "a5": (148.0, 210.0), "a6": (105.0, 148.0)}
"""Width and height in millimetres (ISO 216)."""

QR_MM = {"a4": 80.0, "a5": 62.0, "a6": 42.0}
MIN_QR_MM = 20.0
"""DTPR's guide."""
MIN_MODULE_MM = 0.4
"""Phones read modules of a third of a millimetre from a hand's breadth; a sign is read from an arm's length."""
QUIET_MODULES = 4
PROMISED, ENFORCED = "\u25c7", "\u25c6"
"""As on the resident's page."""
FILLS = {"yellow": YELLOW, "blue": BLUE, "white": WHITE}

_LARGEST_MM = {"a4": 8.0, "a5": 6.0, "a6": 5.0}
_SMALLEST_MM, _STEP_MM = 2.1, 0.1
"""Of the text's size; 2.1 mm are 6 points."""
_LABEL_LINES = 3
"""Under a hexagon."""
_CAPTION_TEXT_MM = 3.0
_GROUP, _INDENT_MM, _GAP_MM = 1.12, 3.4, 1.6
"""A group's heading is larger than its sentences by this; its line at the left with what is between; the gap above it."""
_WIDE = {"km": 0.6}
_HIGH = {"km": 1.75}
_USUAL_WIDE, _USUAL_HIGH = 0.6, 1.35
_KEPT_KEYS = ("institution", "guarantee.day", "guarantee.period", "guarantee.some_day", "guarantee.open_day")
_HEXAGON = "M50 2 91.6 26v48L50 98 8.4 74V26z"
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
    name = local_name(disclosure.unit, disclosure.colour, disclosure.digest)
    caption = [Wording(locale_of(locales[0])).say("sign.scan"), f"{name}  {_short(base)}"]
    wide, high = _WIDE.get(locales[0], _USUAL_WIDE), _HIGH.get(locales[0], _USUAL_HIGH)
    caption_height = sum(_lines(one, _CAPTION_TEXT_MM, inner, wide + 0.05) for one in caption) * _CAPTION_TEXT_MM * high
    left = height - 2 * margin - title_height - qr_mm - caption_height - _SPARE_MM
    text_mm = _fitting(texts, inner, left, _LARGEST_MM[size])
    body = [
        f'<h1 style="font-size:{title_mm:.2f}mm">{html.escape(disclosure.title)}</h1>',
        f'<div class="top" style="height:{qr_mm:.1f}mm">'
        f"{_honeycomb(disclosure, icons or {}, locales[0], inner - qr_mm - 3, qr_mm)}{_qr(code.matrix, modules, qr_mm)}</div>",
        f'<p class="name"><b>{html.escape(caption[0])}</b><br><b>{html.escape(name)}</b>&ensp;{html.escape(_short(base))}</p>',
        f'<div class="texts">{"".join(_block(code_, found) for code_, found in texts.items())}</div>',
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
_SPARE_MM = 5.0
"""The line that the icons' licence asks for, and what rounding takes."""
# Blocks and fixed places alone: Chromium and WeasyPrint lay them out alike, which is not so for flexible boxes.
_STYLE = (
    "@page{{size:{width}mm {height}mm;margin:0}}*{{box-sizing:border-box;margin:0;padding:0}}"
    "body{{background:#fff;color:#000;font-family:'DejaVu Sans','Noto Sans','Noto Sans Khmer','Khmer OS',sans-serif}}"
    ".sheet{{position:relative;width:{width}mm;height:{height}mm;padding:{margin:.2f}mm;overflow:hidden;font-size:{text:.2f}mm;line-height:1.3}}"
    "h1{{line-height:1.25}}.top{{position:relative}}.qr{{position:absolute;top:0;right:0}}.honeycomb{{position:absolute;top:0;left:0;height:100%}}"
    ".honeycomb div{{position:absolute;top:50%;left:0;width:50%;text-align:center;font-weight:bold;overflow-wrap:anywhere}}"
    ".honeycomb div:first-child{{top:0;width:100%}}.honeycomb div:last-child{{left:50%}}.honeycomb svg{{display:block;margin:0 auto}}"
    ".name{{font-size:3mm;line-height:1.3;overflow-wrap:anywhere}}.name:lang(km){{line-height:1.7}}.texts{{padding-top:1mm}}"
    "section+section{{border-top:.3mm solid #000;margin-top:.8mm}}section{{overflow-wrap:anywhere;padding:.6mm 0}}section[lang=km]{{line-height:1.7}}h2{{font-size:1.12em;line-height:inherit}}"
    ".group{{border-left:.9mm solid #000;padding-left:2.5mm;margin-top:1.6mm}}.promised{{border-left-style:dotted}}"
    ".icons{{position:absolute;bottom:{margin:.2f}mm;font-size:1.8mm;line-height:1.3}}.technician{{margin:5mm;font-size:3mm;overflow-wrap:anywhere;max-width:{width}mm}}@media print{{.technician{{display:none}}}}"
)


@dataclass(frozen=True, slots=True)
class _Said:
    """One language's texts: before the groups, the groups (heading, sentences), and after them."""

    before: tuple[str, ...]
    groups: tuple[tuple[str, tuple[str, ...]], ...]
    after: tuple[str, ...]


def _sentences(disclosure: Disclosure, locale: str) -> _Said:
    """Purpose, who answers, what senses and whether it tells who somebody is, where to ask; then the guarantee: by who stands behind it."""
    found = [
        one
        for one in statements(disclosure, locale)
        if one.section in ("why", "sensor")
        or one.key in _KEPT_KEYS
        or (one.section == "ask" and one.key.startswith("ask."))
    ]
    words = Wording(locale_of(locale))
    groups = [
        (f"{sign_} {words.say(key)}", tuple(one.text for one in found if one.mark is mark))
        for sign_, key, mark in (
            (PROMISED, "sign.promised", Mark.PROMISED),
            (ENFORCED, "sign.enforced", Mark.ENFORCED),
        )
    ]
    return _Said(
        before=(words.say("unit.demo"),) if disclosure.policy.demo else (),
        groups=tuple(group for group in groups if group[1]),
        after=() if locale_of(locale).reviewed else (words.say("note.unreviewed"),),
    )


def _fitting(texts: Mapping[str, _Said], width: float, height: float, largest: float) -> float:
    """The largest size of text with which everything fits; raises DisclosureError."""
    steps = round((largest - _SMALLEST_MM) / _STEP_MM)
    for step in range(steps + 1):
        size = largest - step * _STEP_MM
        if sum(1.8 + _tall(said, code, size, width) for code, said in texts.items()) <= height:
            return size
    raise DisclosureError(
        "sign",
        expected="text that fits",
        got="too much",
        remedy="choose a larger size, fewer languages, or shorter texts in the policy",
    )


def _tall(said: _Said, locale: str, size: float, width: float) -> float:
    """Millimetres that one language takes at most."""
    wide, high = _WIDE.get(locale, _USUAL_WIDE), _HIGH.get(locale, _USUAL_HIGH)
    width -= _INDENT_MM
    plain = [*said.before, *(line for _, lines in said.groups for line in lines), *said.after]
    gaps = _GAP_MM * len(said.groups)
    headings = sum(_lines(heading, size * _GROUP, width, wide + 0.08) for heading, _ in said.groups)
    return (sum(_lines(line, size, width, wide) for line in plain) + headings * _GROUP) * size * high + gaps


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


def _block(locale: str, said: _Said) -> str:
    def lines(texts: Iterable[str]) -> str:
        return "".join(f"<p>{html.escape(line)}</p>" for line in texts)

    groups = "".join(
        f'<div class="group{" promised" if heading.startswith(PROMISED) else ""}"><h2>{html.escape(heading)}</h2>{lines(texts)}</div>'
        for heading, texts in said.groups
    )
    return f'<section lang="{locale}">{lines(said.before)}{groups}{lines(said.after)}</section>'


def _honeycomb(disclosure: Disclosure, icons: Mapping[str, bytes], locale: str, width: float, height: float) -> str:
    """Purpose in black above, who answers and the technology in its colour below, each with its name under it."""
    cells = (
        (Category.PURPOSE, BLACK, WHITE),
        (Category.ACCOUNTABLE, WHITE, BLACK),
        (Category.TECH, FILLS[disclosure.colour], BLACK),
    )
    label_mm = max(_SMALLEST_MM, height / 22)
    high = _HIGH.get(locale, 1.3)
    side = min((height - 2 * _LABEL_LINES * label_mm * high) / 2, width / 2.2)
    drawn = []
    for category, fill, ink in cells:
        first = next(one.id for one in disclosure.elements if one.category is category)
        line = f'fill="none" stroke="{ink}" stroke-width="5"'
        glyph = _GLYPHS[category].format(ink=ink, line=line)
        if first in icons and not (category is Category.TECH and _other_colour(icons[first], disclosure.colour)):
            data = base64.b64encode(icons[first]).decode()
            glyph = f'<image x="-2" y="-2" width="104" height="104" href="data:image/svg+xml;base64,{data}"/>'
        shape = f'<path d="{_HEXAGON}" fill="{fill}" stroke="#000" stroke-width="3"/>'
        label = _label(disclosure, category, first, locale, width / 2, label_mm)
        drawn.append(
            f'<div><svg viewBox="0 0 100 100" style="width:{side:.1f}mm;height:{side:.1f}mm" aria-hidden="true">{shape}{glyph}</svg>'
            f"{html.escape(label)}</div>"
        )
    style = f"width:{width:.2f}mm;font-size:{label_mm:.2f}mm;line-height:{high - 0.1:.2f}"
    return f'<div class="honeycomb" lang="{locale}" style="{style}">{"".join(drawn)}</div>'


def _label(disclosure: Disclosure, category: Category, element: str, locale: str, width: float, size: float) -> str:
    """The element's short name; of who answers the name where it fits, else the question."""
    if category is not Category.ACCOUNTABLE:
        return EXPLANATIONS[locale].titles[element]
    name = disclosure.policy.accountable.name
    if _lines(name, size, width, _USUAL_WIDE + 0.08) <= _LABEL_LINES:
        return name
    return Wording(locale_of(locale)).say("heading.who")


def _other_colour(icon: bytes, colour: str) -> bool:
    """Does an official icon bring a colour of its own that says something else about the sensor than this sign's?

    The radio that hears phones is yellow in the taxonomy, and blue on the sign of a unit that keeps nothing identifying.
    """
    return colour_of(icon) not in ("", colour)


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
