"""Is this SVG only a drawing? Checked before an official icon is kept, since pages will show it. Pure.

Invariant: what passes holds shapes, gradients and masks, refers to nothing outside itself, and cannot run anything. The list says what
may be there; everything else refuses the file.
"""

import re
from typing import NoReturn
from xml.parsers import expat

from agent.errors import TaxonomyError

MAX_ICON_BYTES = 64 * 1024
"""The largest official icon has 8 kB."""

MAX_ELEMENTS = 2_000

SVG = "http://www.w3.org/2000/svg"

_ELEMENTS = frozenset(
    (
        *("svg", "g", "defs", "title", "desc", "style", "mask", "clipPath"),
        *("path", "rect", "circle", "ellipse", "line", "polyline", "polygon"),
        *("linearGradient", "radialGradient", "stop"),
    )
)
_ATTRIBUTES = frozenset(
    (
        *(
            "class",
            "clip-path",
            "clip-rule",
            "clipPathUnits",
            "cx",
            "cy",
            "d",
            "fill",
            "fill-opacity",
            "fill-rule",
            "fx",
            "fy",
        ),
        *("gradientTransform", "gradientUnits", "height", "id", "mask", "mask-type", "maskContentUnits", "maskUnits"),
        *("offset", "opacity", "points", "preserveAspectRatio", "r", "role", "rx", "ry", "stop-color", "stop-opacity"),
        *("stroke", "stroke-dasharray", "stroke-linecap", "stroke-linejoin", "stroke-miterlimit", "stroke-opacity"),
        *(
            "stroke-width",
            "style",
            "transform",
            "type",
            "version",
            "viewBox",
            "width",
            "x",
            "x1",
            "x2",
            "y",
            "y1",
            "y2",
        ),
        "http://www.w3.org/XML/1998/namespace space",
    )
)
_OUTSIDE = re.compile(r"url\(\s*(?!#)|@|\\|expression|[A-Za-z]+script:|//", re.IGNORECASE)


def check_icon(data: bytes, where: str) -> None:
    """Return None for a drawing; raise TaxonomyError at `where` for anything else."""
    if len(data) > MAX_ICON_BYTES:
        _refuse(where, f"at most {MAX_ICON_BYTES:,} bytes", f"{len(data):,}")
    parser = expat.ParserCreate(namespace_separator=" ")
    style = ""
    names: list[str] = []

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal style
        space, _, local = name.rpartition(" ")
        if not names and (space, local) != (SVG, "svg"):
            _refuse(where, "an SVG drawing", f"the element {local[:40]}")
        if space != SVG or local not in _ELEMENTS:
            _refuse(where, "shapes only", f"the element {local[:40]}")
        names.append(local)
        if len(names) > MAX_ELEMENTS:
            _refuse(where, f"at most {MAX_ELEMENTS} elements", "more")
        for attribute, value in attributes.items():
            if attribute not in _ATTRIBUTES:
                _refuse(where, "attributes of shapes only", f"the attribute {attribute.rpartition(' ')[2][:40]}")
            if _OUTSIDE.search(value):
                _refuse(where, "nothing from outside the file", f"such a value of {attribute[:40]}")
        style = ""

    def words(text: str) -> None:
        nonlocal style
        if names and names[-1] == "style":
            style += text
            if _OUTSIDE.search(style):
                _refuse(where, "a style that refers to nothing outside the file", "one that does")

    def declared(*_: object) -> None:
        _refuse(where, "no document type, entity or instruction", "one")

    parser.StartElementHandler = start
    parser.CharacterDataHandler = words
    parser.StartDoctypeDeclHandler = declared
    parser.EntityDeclHandler = declared
    parser.ProcessingInstructionHandler = declared
    try:
        parser.Parse(data, True)
    except expat.ExpatError as bad:
        raise TaxonomyError(
            f"{where}: line {bad.lineno}", expected="an SVG drawing", got=expat.ErrorString(bad.code)
        ) from None


def _refuse(where: str, expected: str, got: str) -> NoReturn:
    raise TaxonomyError(where, expected=expected, got=got)


_YELLOW = (b"#FFDD00", b"#FFDC00", b"#FD0")
_BLUE = (b"#36B2E6",)


def colour_of(data: bytes) -> str:
    """ "yellow", "blue" or "": the colour of a context that a checked icon brings of its own."""
    found = data.upper()
    if any(colour in found for colour in _YELLOW):
        return "yellow"
    return "blue" if any(colour in found for colour in _BLUE) else ""
