"""`dtpr-agent reader build DIR`: the resident's page as a folder of static files, with the keys that a city vouches for.

The files of agent/reader are copied as they are; facts.js is written: six languages from agent/disclosure/sentences, the registry of
element numbers, the units whose list enough of the governance signed, and official texts and icons where they were imported. Any web server with
https serves the folder; nothing in it runs on the server.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import agent
from agent.cli.taxonomy import default_folder, load_taxonomy, official_icons
from agent.disclosure.compact import PHRASES
from agent.disclosure.explanations.table import EXPLANATIONS
from agent.disclosure.icon import colour_of
from agent.disclosure.numbers import REGISTRY
from agent.disclosure.taxonomy import ATTRIBUTION, CHANGES_MADE, Taxonomy, official
from agent.disclosure.wording import LOCALES
from agent.errors import BadInput, PolicyError, StorageUnavailable
from agent.local.clock import OPERATOR, Clock
from agent.local.files import write_atomic
from agent.policy.file import load_governance
from agent.policy.governance import TrustRoot
from agent.policy.signed import verify_units
from agent.policy.units import Units
from agent.policy.vocabulary import QUANTITIES
from agent.wire import toml

SOURCE = Path(agent.__file__).parent / "reader"
COPIED = (
    *("index.html", "reader.css", "icon.svg", "manifest.webmanifest"),
    *("cbor.js", "cose.js", "ed25519.js", "disclosure.js", "bound.js", "checkpoint.js", "figures.js", "verdict.js"),
    *("live.js", "words.js", "honeycomb.js", "page.js", "main.js"),
    *("noble-ed25519.js", "noble-ed25519.LICENSE.txt"),
)
"""The last two are a copy of @noble/ed25519 as npm/package-lock.json names it, with its licence."""
WORKER = "sw.js"
FACTS = "facts.js"
ICONS = "icons"
OWN_NAMES = {"en": "English", "es": "Español", "fr": "Français", "km": "ខ្មែរ", "pt": "Português", "tl": "Tagalog"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`build DIR`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    build = actions.add_parser("build", help="write the resident's page into a folder, for any web server with https")
    build.add_argument("folder", type=Path, metavar="DIR", help="where to; files of an earlier build are replaced")
    build.add_argument(
        "--governance", type=Path, required=True, metavar="F", help="the trust root: governance.toml or governance.cose"
    )
    build.add_argument("--units", type=Path, required=True, metavar="F", help="units.cose, signed by enough of them")
    build.add_argument(
        "--taxonomy", type=Path, metavar="DIR", help="where the official texts are (see: taxonomy import)"
    )


def run(args: argparse.Namespace) -> int:
    """Write the folder; raises PolicyError, SignatureError, TaxonomyError, StorageUnavailable."""
    root = load_governance(args.governance)
    units = load_units(args.units, root)
    folder = args.taxonomy or default_folder()
    taxonomy = load_taxonomy(folder)
    icons = official_icons(folder, taxonomy, [one.id for one in REGISTRY])
    files = site(facts(root, units, taxonomy, icons), icons)
    try:
        (args.folder / ICONS).mkdir(parents=True, exist_ok=True)
        for name, data in files.items():
            write_atomic(args.folder / name, data)
    except OSError as bad:
        raise StorageUnavailable(str(args.folder), why=bad.strerror or "an error") from None
    size = sum(map(len, files.values()))
    texts = "with official texts" if taxonomy else "without official texts (see: taxonomy import)"
    print(
        f"{args.folder}: {len(files)} files, {size:,} bytes; trusts {len(units.units)} units of {units.city}; {texts}"
    )
    return 0


def load_units(path: Path, root: TrustRoot) -> Units:
    """The vouched units; raises PolicyError or SignatureError naming the file."""
    try:
        with path.open("rb") as file:
            data = file.read(toml.MAX_BYTES + 1)
    except OSError as bad:
        raise PolicyError(str(path), expected="a readable file", got=bad.strerror or "an error") from None
    try:
        return verify_units(data, root, Clock(OPERATOR).utc_ns() // 1_000_000_000)
    except BadInput as bad:
        raise type(bad)(f"{path}: {bad.where}", expected=bad.expected, got=bad.got, remedy=bad.remedy) from None


def facts(root: TrustRoot, units: Units, taxonomy: Taxonomy | None, icons: Mapping[str, bytes]) -> dict[str, Any]:
    """Everything that the page knows beside what it reads, as JSON values."""
    return {
        "locales": {code: _locale(code) for code in LOCALES},
        "registry": [[one.id, one.category.value, one.mark.value] for one in REGISTRY],
        "phrases": [[code, phrase] for code, phrase in PHRASES.items()],
        "trust": {
            "city": units.city,
            "version": units.version,
            "expires": root.expires,
            "units": [{"site": u.site, "name": u.name, "key": u.public_key.hex()} for u in units.units],
        },
        "people": sorted(name for name, one in QUANTITIES.items() if one.person_derived),
        "explanations": {
            code: {"reviewed": one.reviewed, "texts": dict(one.texts), "titles": dict(one.titles)}
            for code, one in EXPLANATIONS.items()
        },
        "official": _official(taxonomy) if taxonomy else {},
        "icons": {element: colour_of(data) for element, data in icons.items()},
        "attribution": f"{ATTRIBUTION} {CHANGES_MADE}" if taxonomy else None,
    }


def site(known: dict[str, Any], icons: Mapping[str, bytes]) -> dict[str, bytes]:
    """File name -> content; the service worker's version is the digest of all else, so a changed page replaces its cache."""
    files = {name: (SOURCE / name).read_bytes() for name in COPIED}
    written = json.dumps(known, ensure_ascii=True, sort_keys=True, separators=(",", ":"))
    files[FACTS] = f"export default {written};\n".encode()
    files |= {f"{ICONS}/{element}.svg": data for element, data in icons.items()}
    version = hashlib.sha256(b"".join(hashlib.sha256(data).digest() for data in files.values())).hexdigest()[:16]
    kept = json.dumps(["./", *sorted(files)])
    worker = (SOURCE / WORKER).read_bytes().replace(b"@VERSION@", version.encode())
    files[WORKER] = worker.replace(b"@FILES@", kept.encode())
    return files


def _locale(code: str) -> dict[str, Any]:
    table = LOCALES[code]
    return {
        "name": OWN_NAMES[code],
        "reviewed": table.reviewed,
        "unreviewed": f"No speaker of {table.name} has checked this text yet.",
        "date": table.date,
        "months": table.months,
        "first_day": table.first_day,
        "texts": dict(table.texts),
    }


def _official(taxonomy: Taxonomy) -> dict[str, dict[str, dict[str, str | None]]]:
    found: dict[str, dict[str, dict[str, str | None]]] = {}
    for element in dict.fromkeys(one.id for one in REGISTRY):
        known = taxonomy.elements.get(element)
        for code in LOCALES if known else ():
            assert known is not None
            title = official(known.title, code)
            if title is not None:
                words = {"title": title, "description": official(known.description, code)}
                found.setdefault(element, {})[code] = words
    return found
