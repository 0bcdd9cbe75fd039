"""`dtpr-agent sign`: the sign for a unit's pole, as HTML that any browser prints at its true size, or as PDF."""

import argparse
import re
from pathlib import Path

from agent.cli.disclosure import load_disclosure, signing_key
from agent.cli.sign_page import SIZES, Sign, sign
from agent.cli.sign_pdf import pdf
from agent.cli.taxonomy import default_folder, load_taxonomy, official_icons
from agent.disclosure.compact import compact_of, read_compact, seal_compact
from agent.disclosure.datachain import Disclosure
from agent.disclosure.wording import LOCALES, locale_of
from agent.errors import DisclosureError, StorageUnavailable
from agent.local.files import write_atomic
from agent.policy.file import read_policy

_PAGE = re.compile(r"https://[A-Za-z0-9.-]+(?::[0-9]+)?(?:/[A-Za-z0-9._~/-]*)?")
MAX_PAGE_CHARACTERS = 80


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """`FILE --page URL [--size …] [--locale …] [--key F | --compact F] [--pdf] --out SIGN`."""
    parser.add_argument("file", type=Path, metavar="FILE", help="what `disclosure show` reads: a policy or an envelope")
    parser.add_argument("--page", required=True, metavar="URL", help="where the resident's page is (see: reader build)")
    parser.add_argument("--size", choices=tuple(SIZES), default="a5", help="paper (default: %(default)s)")
    parser.add_argument(
        "--locale", default="en", metavar="LL,LL", help=f"languages, of {', '.join(LOCALES)} (default: en)"
    )
    signer = parser.add_mutually_exclusive_group()
    signer.add_argument(
        "--key", type=Path, metavar="FILE", help="the unit's signing key, where the sign is made on the unit"
    )
    signer.add_argument(
        "--compact",
        type=Path,
        metavar="FILE",
        help="what `disclosure show --compact --key …` printed on the unit, in hex",
    )
    parser.add_argument(
        "--taxonomy", type=Path, metavar="DIR", help="where the official icons are (see: taxonomy import)"
    )
    parser.add_argument("--pdf", action="store_true", help="write PDF instead of HTML; needs the extra `pdf`")
    parser.add_argument("--out", type=Path, required=True, metavar="SIGN", help="the file to write")


def run(args: argparse.Namespace) -> int:
    """Write the sign and print what goes onto an NFC tag; raises PolicyError, DisclosureError, TaxonomyError, Unavailable."""
    made = make(args)
    content = pdf(made.html) if args.pdf else made.html.encode()
    try:
        write_atomic(args.out, content)
    except OSError as bad:
        raise StorageUnavailable(str(args.out), why=bad.strerror or "an error") from None
    print(f"{args.out}: {args.size}, QR code of {made.modules} modules a side, text of {made.text_mm:.1f} mm")
    print(f"for an NFC tag: {made.url}")
    return 0


def make(args: argparse.Namespace) -> Sign:
    """The sign that the arguments ask for."""
    if len(args.page) > MAX_PAGE_CHARACTERS or not _PAGE.fullmatch(args.page):
        raise DisclosureError(
            "--page",
            expected=f"an https:// address of at most {MAX_PAGE_CHARACTERS} characters, without ? and #",
            got="another",
        )
    locales = list(dict.fromkeys(args.locale.split(",")))
    for locale in locales:
        locale_of(locale)
    disclosure = load_disclosure(args.file)
    if args.compact is not None:
        message = _signed(args.compact, disclosure)
    else:
        message = seal_compact(compact_of(disclosure), signing_key(args.key))
    folder = args.taxonomy or default_folder()
    icons = official_icons(folder, load_taxonomy(folder), [one.id for one in disclosure.elements])
    return sign(disclosure, message, args.page, locales, args.size, icons)


def _signed(path: Path, disclosure: Disclosure) -> bytes:
    lines = read_policy(path).decode("ascii", "replace").split()
    try:
        message = bytes.fromhex(lines[-1] if lines else "")
    except ValueError:
        raise DisclosureError(str(path), expected="hex digits", got="something else") from None
    if read_compact(message) != compact_of(disclosure):
        raise DisclosureError(
            str(path),
            expected="the compact form of this disclosure",
            got="another's",
            remedy="print it again on the unit",
        )
    return message
