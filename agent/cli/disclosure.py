"""`dtpr-agent disclosure show`: what residents read, in their language, with the official texts beside it where they were imported.

`disclosure read`, in its own module, does the same with what a unit nearby says by radio.
"""

import argparse
import base64
import binascii
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.cli import disclosure_read
from agent.cli.taxonomy import default_folder, load_taxonomy
from agent.contracts.public import ENVELOPE, read_envelope
from agent.disclosure.compact import compact_of, seal_compact
from agent.disclosure.datachain import Disclosure, compile_disclosure, decode_disclosure
from agent.disclosure.plain_language import Statement, heading, notes, statements
from agent.disclosure.taxonomy import ATTRIBUTION, CHANGES_MADE, Taxonomy, official
from agent.disclosure.wording import LOCALES, Wording, locale_of
from agent.errors import BadInput, DisclosureError
from agent.local import settings
from agent.local.credentials import load_signing_key
from agent.policy.compile import decompile_policy
from agent.policy.file import read_policy
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from agent.policy.signed import Kind, read_signed

if TYPE_CHECKING:  # as in wire/cose: only signing needs cryptography
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

EXAMPLE_KEY = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
"""The secret key of RFC 8032 section 7.1, test 1: everybody has it."""

_COSE_SIGN1 = b"\xd2"
_COSE_SIGN = b"\xd8\x62"
_CBOR_MAP = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`show [FILE]`, `read`."""
    actions = parser.add_subparsers(metavar="ACTION", required=True, dest="action")
    disclosure_read.add_arguments(
        actions.add_parser("read", help="read a unit nearby by radio, as a phone does, and say whether it verifies")
    )
    show = actions.add_parser("show", help="what residents read")
    show.add_argument(
        "file",
        type=Path,
        nargs="?",
        metavar="FILE",
        help="a policy.toml, its compiled or signed form, a unit's envelope, or its `disclosure` message (default: this unit's envelope, now on air)",
    )
    show.add_argument(
        "--policy",
        action="store_true",
        help="without FILE: the file of [paths] policy in agent.toml instead of this unit's envelope",
    )
    show.add_argument("--locale", default="en", metavar="LL", help=f"the language: {', '.join(LOCALES)} (default: en)")
    show.add_argument(
        "--json", action="store_true", help="statements with element ids, marks, locale and official texts"
    )
    show.add_argument(
        "--compact", action="store_true", help="the signed compact disclosure, as a sign's QR code carries it (hex)"
    )
    show.add_argument(
        "--key",
        type=Path,
        metavar="FILE",
        help="with --compact: the unit's signing key (default: a published example key, for which nobody vouches)",
    )
    show.add_argument(
        "--taxonomy", type=Path, metavar="DIR", help="where the official texts are (see: taxonomy import)"
    )
    show.add_argument(
        "--config", type=Path, default=settings.DEFAULT_PATH, metavar="F", help="agent.toml (default: %(default)s)"
    )


def run(args: argparse.Namespace) -> int:
    """Print the disclosure; raises PolicyError, DisclosureError, SettingsError, TaxonomyError. `show` looks at no signature."""
    if args.action == "read":
        return disclosure_read.run(args)
    locale_of(args.locale)
    path: Path | None = args.file
    if path is None:
        paths = settings.load(args.config).paths
        path = paths.policy if args.policy else paths.public / ENVELOPE
    disclosure = load_disclosure(path)
    if args.compact:
        print(shown_compact(disclosure, signing_key(args.key), as_json=args.json), end="")
        return 0
    taxonomy = load_taxonomy(args.taxonomy or default_folder())
    show = shown_json if args.json else shown_text
    print(show(disclosure, args.locale, taxonomy), end="")
    return 0


def load_disclosure(path: Path) -> Disclosure:
    """The disclosure that a file holds or leads to, whichever form it has; raises PolicyError or DisclosureError naming the file."""
    data = read_policy(path)
    try:
        if data.startswith(b"{"):
            data = _envelope_of(data)
        if data.startswith(_COSE_SIGN1):
            return decode_disclosure(read_envelope(data).disclosure)
        if data.startswith(_COSE_SIGN):
            kind, data = read_signed(data)
            if kind is not Kind.POLICY:
                raise DisclosureError("signed file", expected="a policy", got=f"a {kind}")
            return compile_disclosure(decompile_policy(data))
        if data[:1] and data[0] >> 5 == _CBOR_MAP:
            return compile_disclosure(decompile_policy(data))
    except BadInput as bad:
        raise DisclosureError(f"{path}: {bad.where}", expected=bad.expected, got=bad.got, remedy=bad.remedy) from None
    return compile_disclosure(parse_policy(data, str(path)))


def signing_key(path: Path | None) -> "Ed25519PrivateKey":
    """The key in this file, else the published example key, with a word on standard error; raises SettingsError."""
    if path is not None:
        return load_signing_key(path)
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    print(
        "note: signed by a published example key, for which nobody vouches; --key FILE signs by the unit's",
        file=sys.stderr,
    )
    return Ed25519PrivateKey.from_private_bytes(EXAMPLE_KEY)


def shown_compact(disclosure: Disclosure, key: "Ed25519PrivateKey", *, as_json: bool) -> str:
    """The signed compact disclosure: its length, itself in hex, the whole disclosure's digest. Raises DisclosureError."""
    message = seal_compact(compact_of(disclosure), key)
    if as_json:
        shown = {"bytes": len(message), "cbor": message.hex(), "digest": disclosure.digest.hex()}
        return json.dumps(shown, indent=1) + "\n"
    return f"{len(message)} bytes, of disclosure {disclosure.digest.hex()}\n{message.hex()}\n"


def _envelope_of(message: bytes) -> bytes:
    """The envelope inside a unit's retained `disclosure` message."""
    try:
        fields = json.loads(message)
        return base64.b64decode(fields["envelope"], validate=True)
    except (ValueError, KeyError, TypeError, RecursionError, binascii.Error):
        raise DisclosureError(
            "disclosure message", expected='JSON with an "envelope" in base64', got="something else"
        ) from None


def shown_text(disclosure: Disclosure, locale: str, taxonomy: Taxonomy | None) -> str:
    """Headings, sentences and, once for each element, its official title and description."""
    lines = [disclosure.title, *notes(locale)]
    section = ""
    explained: set[str] = set()
    for statement in statements(disclosure, locale):
        if statement.section != section:
            section = statement.section
            lines += ["", heading(section, locale)]
        lines.append(f"  {statement.shown}")
        if taxonomy is not None and statement.element and statement.element not in explained:
            explained.add(statement.element)
            lines.append(f"      DTPR: {_official_line(statement.element, disclosure.policy, locale, taxonomy)}")
    if taxonomy is not None:
        lines += ["", ATTRIBUTION, CHANGES_MADE]
    return "\n".join(lines) + "\n"


def shown_json(disclosure: Disclosure, locale: str, taxonomy: Taxonomy | None) -> str:
    """The same as JSON; `official` is null without an imported taxonomy, and where it has no text in this locale."""
    document = {
        "unit": disclosure.unit,
        "title": disclosure.title,
        "policy_version": disclosure.policy_version,
        "digest": disclosure.digest.hex(),
        "colour": disclosure.colour,
        "locale": locale,
        "reviewed": locale_of(locale).reviewed,
        "notes": list(notes(locale)),
        "statements": [
            _tree(statement, disclosure.policy, locale, taxonomy) for statement in statements(disclosure, locale)
        ],
        "attribution": ATTRIBUTION if taxonomy is not None else None,
        "changes_made": CHANGES_MADE if taxonomy is not None else None,
    }
    return json.dumps(document, ensure_ascii=False, indent=1) + "\n"


def _tree(statement: Statement, policy: Policy, locale: str, taxonomy: Taxonomy | None) -> dict[str, Any]:
    return {
        "section": statement.section,
        "heading": heading(statement.section, locale),
        "key": statement.key,
        "element_id": statement.element or None,
        "mark": statement.mark.name.lower(),
        "locale": locale,
        "reviewed": locale_of(locale).reviewed,
        "text": statement.text,
        "sentence": statement.shown,
        "official": _official(statement.element, policy, locale, taxonomy) if statement.element and taxonomy else None,
    }


def _official(element: str, policy: Policy, locale: str, taxonomy: Taxonomy) -> dict[str, str | None] | None:
    """The element's official title and description; None for an element that the taxonomy lacks or has no title for in this locale."""
    found = taxonomy.elements.get(element)
    words = Wording(locale_of(locale))
    lengths = dict.fromkeys(words.duration(audience.retention_days * 86_400) for audience in policy.audiences)
    filled = {"duration": words.listed(lengths)}
    title = official(found.title, locale, filled) if found else None
    if found is None or title is None:
        return None
    return {"title": title, "description": official(found.description, locale, filled), "icon": found.icon or None}


def _official_line(element: str, policy: Policy, locale: str, taxonomy: Taxonomy) -> str:
    found = _official(element, policy, locale, taxonomy)
    if found is None:
        return Wording(locale_of(locale)).say("note.no_official")
    return ". ".join(text for text in (found["title"], found["description"]) if text)
