"""`dtpr-agent taxonomy import | status`: the official DTPR texts and icons, kept in a folder of this machine.

    FOLDER/taxonomy.json     the compact imported form (agent/disclosure/taxonomy)
    FOLDER/icons/NAME.svg    icons, each named as the address in its element ends
    FOLDER/ATTRIBUTION.txt   whose work this is, under which licence, and what was changed

An import is checked whole before the first byte is written, and taxonomy.json is replaced last.
"""

import argparse
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from agent.cli import https
from agent.disclosure import icon
from agent.disclosure.taxonomy import (
    ATTRIBUTION,
    CHANGES_MADE,
    Taxonomy,
    differences,
    encode_taxonomy,
    findings,
)
from agent.disclosure.taxonomy_export import MAX_EXPORT_BYTES, decode_taxonomy, read_exports
from agent.disclosure.wording import LOCALES
from agent.errors import MessageError, StorageUnavailable, TaxonomyError
from agent.local.files import read_capped, write_atomic

FILE = "taxonomy.json"
MAX_FILES = 1_000
SHOWN = 12
"""Ids in one line of a report; the rest is counted."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`import` and `status`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    import_ = actions.add_parser("import", help="take over official texts and icons from an export of the DTPR API v1")
    import_.add_argument(
        "sources",
        nargs="+",
        metavar="FILE_OR_URL",
        help="answers of /api/dtpr/v1/elements/device and …/categories/device, icons (.svg), or folders of these; addresses begin https://",
    )
    import_.add_argument(
        "--icons", action="store_true", help="fetch icons that were not given from the addresses in the elements"
    )
    import_.add_argument(
        "--to", type=Path, metavar="DIR", help="where to keep them (default: ~/.local/share/dtpr/taxonomy)"
    )
    status = actions.add_parser("status", help="what is kept, and where it does not fit this program")
    status.add_argument(
        "--to", type=Path, metavar="DIR", help="where it is kept (default: ~/.local/share/dtpr/taxonomy)"
    )


def run(args: argparse.Namespace) -> int:
    """Raises TaxonomyError, Unavailable, StorageUnavailable; what an earlier import kept stays as it was then."""
    folder: Path = args.to or default_folder()
    if args.action == "import":
        return run_import(args.sources, folder, fetch_icons=args.icons)
    taxonomy = load_taxonomy(folder)
    if taxonomy is None:
        print(f"nothing imported in {folder}")
        print("    dtpr-agent taxonomy import FILE_OR_URL…   takes over the official texts and icons")
        return 0
    _report(taxonomy, folder)
    return 0


def default_folder() -> Path:
    """`$XDG_DATA_HOME/dtpr/taxonomy`, which is ~/.local/share/dtpr/taxonomy where the variable is not set."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if base.startswith("/") else Path.home() / ".local/share") / "dtpr/taxonomy"


def load_taxonomy(folder: Path) -> Taxonomy | None:
    """What was imported into `folder`, or None when nothing was; raises TaxonomyError."""
    path = folder / FILE
    data = _read(path, MAX_EXPORT_BYTES)
    return None if data is None else decode_taxonomy(data, str(path))


def official_icons(folder: Path, taxonomy: Taxonomy | None, elements: Iterable[str]) -> dict[str, bytes]:
    """The imported icons of these elements, checked again to be drawings; raises TaxonomyError."""
    found = {}
    for element in dict.fromkeys(elements):
        known = taxonomy.elements.get(element) if taxonomy else None
        path = folder / "icons" / known.icon if known and known.icon else None
        if path is not None and path.is_file() and path.stat().st_size <= icon.MAX_ICON_BYTES:
            data = path.read_bytes()
            icon.check_icon(data, str(path))
            found[element] = data
    return found


@dataclass(frozen=True, slots=True)
class _Given:
    """Named bytes: exports, and icons by file name."""

    exports: list[tuple[str, bytes]]
    icons: dict[str, bytes]


def run_import(sources: Iterable[str], folder: Path, *, fetch_icons: bool) -> int:
    """Read everything, check everything, then write."""
    given = _Given([], {})
    for source in sources:
        _take(source, given)
    taxonomy = read_exports(given.exports)
    wanted = {element.icon: element.icon_url for element in taxonomy.elements.values() if element.icon}
    if fetch_icons:
        for name, url in wanted.items():
            if name not in given.icons and url.startswith("https://"):
                given.icons[name] = https.get(url, icon.MAX_ICON_BYTES)
    for name, data in given.icons.items():
        icon.check_icon(data, name)
    old = load_taxonomy(folder)
    _write(taxonomy, {name: data for name, data in given.icons.items() if name in wanted}, wanted, folder)
    if unused := sorted(set(given.icons) - set(wanted)):
        print(f"not kept: {_some(unused)}: no element names these icons")
    _report(taxonomy, folder)
    if old is not None:
        changed = [f"{identity} ({what})" for identity, what in differences(old, taxonomy)]
        print(f"    since the last import: {_some(changed) if changed else 'nothing changed'}")
    return 0


def _take(source: str, given: _Given) -> None:
    """Add what `source` names: an address, a file, or every .json and .svg in a folder."""
    if "://" in source:
        is_icon = source.partition("?")[0].endswith(".svg")
        _add(source, source.partition("?")[0].rpartition("/")[2], https.get(source, MAX_EXPORT_BYTES), is_icon, given)
        return
    path = Path(source)
    try:
        inside = sorted(p for p in path.iterdir() if p.suffix in (".json", ".svg")) if path.is_dir() else [path]
    except (OSError, ValueError) as bad:
        raise TaxonomyError(source[:100], expected="a readable file or folder", got=_why(bad)) from None
    if not inside or len(inside) > MAX_FILES:
        raise TaxonomyError(source, expected=f"a folder of 1 to {MAX_FILES} .json and .svg files", got=str(len(inside)))
    for one in inside:
        data = _read(one, MAX_EXPORT_BYTES)
        if data is None:
            raise TaxonomyError(
                str(one), expected="a readable file", got="none", remedy="give a file or an https:// address"
            )
        _add(str(one), one.name, data, one.suffix == ".svg", given)


def _add(source: str, name: str, data: bytes, is_icon: bool, given: _Given) -> None:
    if not is_icon:
        given.exports.append((source if "://" in source else name, data))
    elif name in given.icons:
        raise TaxonomyError(source, expected="each icon once", got=f"a second {name}")
    else:
        given.icons[name] = data


def _write(taxonomy: Taxonomy, icons: dict[str, bytes], wanted: Iterable[str], folder: Path) -> None:
    data = encode_taxonomy(taxonomy)
    if len(data) > MAX_EXPORT_BYTES:
        raise TaxonomyError(
            "export", expected=f"at most {MAX_EXPORT_BYTES:,} bytes in compact form", got=f"{len(data):,}"
        )
    try:
        (folder / "icons").mkdir(parents=True, exist_ok=True)
        for stale in {path.name for path in (folder / "icons").glob("*.svg")} - set(wanted):
            (folder / "icons" / stale).unlink()
    except OSError as bad:
        raise StorageUnavailable(str(folder), why=_why(bad), remedy="choose another folder with --to") from None
    for name, drawing in icons.items():
        write_atomic(folder / "icons" / name, drawing)
    write_atomic(folder / "ATTRIBUTION.txt", f"{ATTRIBUTION}\nChanged: {CHANGES_MADE}\n".encode())
    write_atomic(folder / FILE, data, durable=True)


def _report(taxonomy: Taxonomy, folder: Path) -> None:
    found = findings(taxonomy, LOCALES)
    named = {element.icon for element in taxonomy.elements.values() if element.icon}
    kept = sum((folder / "icons" / name).is_file() for name in named)
    newest = max(element.version for element in taxonomy.elements.values())
    lines = [
        str(folder),
        f"    {len(taxonomy.elements)} elements, {len(taxonomy.categories)} categories, newest of {newest}; {kept} of {len(named)} icons",
        *(f"    from {name}, SHA-256 {digest}" for name, digest in taxonomy.sources),
        f"    ids that this program uses and the taxonomy lacks: {_some(found.unknown)}",
        f"    ids that stand in another category now: {_some(found.moved)}",
    ]
    for locale in LOCALES:
        gaps = [element for element, one in found.untranslated if one == locale]
        lines.append(f"    without official text in {locale}: {_some(gaps)}")
    lines += [f"    {ATTRIBUTION}", f"    {CHANGES_MADE}"]
    print("\n".join(lines))


def _some(items: Iterable[str]) -> str:
    """The items in words: none, all, or the first few and a count."""
    listed = list(items)
    if not listed:
        return "none"
    rest = len(listed) - SHOWN
    return ", ".join(listed[:SHOWN]) + (f" and {rest} more" if rest > 0 else "")


def _read(path: Path, max_bytes: int) -> bytes | None:
    """The file's bytes, None when it is absent; raises TaxonomyError."""
    try:
        if path.exists() and not path.is_file():
            raise TaxonomyError(str(path), expected="a file", got="something else")
        return read_capped(path, max_bytes)
    except MessageError as bad:
        raise TaxonomyError(bad.where, expected=bad.expected, got=bad.got) from None
    except (OSError, ValueError) as bad:
        raise TaxonomyError(str(path), expected="a readable file", got=_why(bad)) from None


def _why(bad: Exception) -> str:
    return (bad.strerror if isinstance(bad, OSError) else None) or str(bad) or "an error"
