"""agent/disclosure/icon: a drawing passes, anything that could run or fetch does not."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.disclosure.icon import MAX_ICON_BYTES, check_icon
from agent.errors import TaxonomyError
from tests.conftest import MISSING_SHARED

ICONS = Path(__file__).parents[3] / "shared/dtpr/icons"
OPEN = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 36 36">'
XLINK = 'xmlns:xlink="http://www.w3.org/1999/xlink"'


def test_every_official_icon_passes() -> None:
    """Upstream's drawings are drawings."""
    if not ICONS.exists():
        pytest.skip(f"{MISSING_SHARED}: dtpr/icons")
    paths = sorted(ICONS.glob("*.svg"))
    assert len(paths) > 100
    for path in paths:
        check_icon(path.read_bytes(), path.name)


def test_shapes_masks_and_styles_pass() -> None:
    """References inside the file are fine."""
    check_icon(
        (
            f'<?xml version="1.0" encoding="utf-8"?><!-- drawn -->{OPEN}<style type="text/css">.a{{fill:#FFF}}</style>'
            '<defs><mask id="m"><rect width="1" height="1"/></mask></defs><g mask="url(#m)"><path class="a" d="M0 0Z"/></g></svg>'
        ).encode(),
        "a.svg",
    )


HOSTILE = {
    "script": f"{OPEN}<script>alert(1)</script></svg>",
    "script of another case": f"{OPEN}<SCRIPT>alert(1)</SCRIPT></svg>",
    "handler": f'{OPEN}<path d="" onclick="alert(1)"/></svg>',
    "handler on the root": '<svg xmlns="http://www.w3.org/2000/svg" onload="alert(1)"></svg>',
    "page inside": f"{OPEN}<foreignObject/></svg>",
    "html": f'{OPEN}<a xmlns="http://www.w3.org/1999/xhtml"/></svg>',
    "link": f'{OPEN}<a href="https://x.example"/></svg>',
    "image": f'{OPEN}<image href="https://x.example/i.png"/></svg>',
    "use from outside": f'{OPEN}<use href="https://x.example/i.svg#a"/></svg>',
    "xlink": f'<svg xmlns="http://www.w3.org/2000/svg" {XLINK}><g xlink:href="https://x.example"/></svg>',
    "animation": f'{OPEN}<animate attributeName="href"/></svg>',
    "style fetches": f"{OPEN}<style>.a{{fill:url(https://x.example)}}</style></svg>",
    "style imports": f"{OPEN}<style>@import 'x';</style></svg>",
    "style escaped": f"{OPEN}<style>.a{{fill:\\75rl(x)}}</style></svg>",
    "style in two pieces": f"{OPEN}<style>.a{{fill:ur&#108;(https:&#47;/x.example)}}</style></svg>",
    "style attribute fetches": f'{OPEN}<g style="background:url(//x.example)"/></svg>',
    "fill fetches": f'{OPEN}<g fill="url( https://x.example)"/></svg>',
    "entity": f'<!DOCTYPE svg [<!ENTITY a "b">]>{OPEN}&a;</svg>',
    "a billion laughs": '<!DOCTYPE svg [<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;&a;&a;">]>'
    + OPEN
    + "&b;</svg>",
    "file from outside": f'<!DOCTYPE svg SYSTEM "file:///etc/passwd">{OPEN}</svg>',
    "instruction": f'<?xml-stylesheet href="x"?>{OPEN}</svg>',
    "not a drawing": "<html></html>",
    "other namespace": "<svg><path/></svg>",
    "cut off": f"{OPEN}<path",
    "empty": "",
    "words": "no XML at all",
    "many": f"{OPEN}{'<g/>' * 2001}</svg>",
    "deep": f"{OPEN}{'<g>' * 5000}",
    "oversized": f"{OPEN}{' ' * MAX_ICON_BYTES}</svg>",
    "unknown attribute": f'{OPEN}<g href="#a"/></svg>',
}


@pytest.mark.parametrize("name", HOSTILE)
def test_hostile_icons(name: str) -> None:
    """Each is refused by name of the file."""
    with pytest.raises(TaxonomyError, match=r"^icon\.svg"):
        check_icon(HOSTILE[name].encode(), "icon.svg")


@given(st.binary(max_size=200) | st.text(max_size=200).map(lambda text: f"{OPEN}{text}</svg>".encode()))
@settings(max_examples=300)
def test_only_the_documented_error_escapes(data: bytes) -> None:
    """Any bytes: a drawing, or TaxonomyError."""
    try:
        check_icon(data, "icon.svg")
    except TaxonomyError:
        return
    assert b"<script" not in data
