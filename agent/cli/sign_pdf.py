"""A sign as PDF, by WeasyPrint: an extra, over Pango and HarfBuzz of the system. Only here is it imported, and only when a PDF is asked for."""

import io
import logging
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from typing import Any

from agent.errors import PrinterUnavailable

EXTRA = "pip install 'weasyprint>=68' (the extra `pdf`)"
LIBRARIES = "apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
FONTS = "apt install fonts-dejavu-core fonts-khmeros"
_NO_GLYPH = ".notdef glyph"
"""How WeasyPrint's log says that no font has a character, which it then prints as an empty box."""


def pdf(page: str) -> bytes:
    """The PDF of a sign's HTML: one page of its true size, fonts within, fetched from nowhere; raises PrinterUnavailable."""
    html, fetcher = _weasyprint()
    with _log() as said:
        document = html(string=page, url_fetcher=fetcher(allowed_protocols=("data",))).render()
        printed: bytes = document.write_pdf()
    if any(_NO_GLYPH in line for line in said):
        raise PrinterUnavailable("--pdf", why="no font here has some of the sign's letters", remedy=FONTS)
    if len(document.pages) != 1:
        raise PrinterUnavailable("--pdf", why="with the fonts here the sign does not fit its page", remedy=FONTS)
    return printed


def _weasyprint() -> tuple[Any, Any]:
    """Its HTML and URLFetcher (of 68 and newer); it prints a page of advice before it raises that a library is missing."""
    try:
        with redirect_stdout(io.StringIO()):
            from weasyprint import HTML
            from weasyprint.urls import URLFetcher
    except ImportError:
        raise PrinterUnavailable("--pdf", why="WeasyPrint 68 or newer is not installed", remedy=EXTRA) from None
    except OSError:
        raise PrinterUnavailable("--pdf", why="WeasyPrint finds no Pango or HarfBuzz", remedy=LIBRARIES) from None
    return HTML, URLFetcher


@contextmanager
def _log() -> Iterator[list[str]]:
    """What WeasyPrint logs meanwhile, kept off the terminal."""
    said: list[str] = []
    log = logging.getLogger("weasyprint")
    keeper = _Keeper(said)
    before = log.propagate
    log.addHandler(keeper)
    log.propagate = False
    try:
        yield said
    finally:
        log.removeHandler(keeper)
        log.propagate = before


class _Keeper(logging.Handler):
    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self._said = said

    def emit(self, record: logging.LogRecord) -> None:
        self._said.append(record.getMessage())
