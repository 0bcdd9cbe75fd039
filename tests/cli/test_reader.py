"""`dtpr-agent reader build`: the page's files, the facts that it is built with, and whose keys it trusts."""

import hashlib
import json
import re
from pathlib import Path

import pytest

from agent.cli import reader
from agent.cli.main import main
from agent.disclosure.numbers import REGISTRY
from agent.disclosure.taxonomy import encode_taxonomy
from agent.disclosure.taxonomy_export import read_exports
from agent.disclosure.wording import LOCALES
from agent.policy.signed import Kind
from agent.policy.units import Units, VouchedUnit, compile_units
from agent.wire import cose_sign
from tests.conftest import MISSING_SHARED
from tests.disclosure.readability import grade
from tests.fuzz.seeds import EXPORT, GOVERNANCE, KEY_BYTES, KEYS

SHARED = Path(__file__).parents[3] / "shared" / "dtpr"
NOBLE_SHA256 = "a4f631d1876b5d9e43a86cd71194ca27b5e1451edf4ba4db9a418f40a475569a"
UNITS = Units(7, "springfield", (VouchedUnit("river-bridge", "bridge-01", KEY_BYTES),))
PAGES = sorted(path for path in reader.SOURCE.glob("*") if path.is_file() and path.suffix != ".md")
OWN = [path for path in PAGES if not path.name.startswith("noble")]


def build(folder: Path, *signers: int) -> int:
    (folder / "governance.toml").write_bytes(GOVERNANCE)
    signed = cose_sign.sign(compile_units(UNITS), [KEYS[one] for one in signers], content_type=Kind.UNITS.content_type)
    (folder / "units.cose").write_bytes(signed)
    where = ["--governance", str(folder / "governance.toml"), "--units", str(folder / "units.cose")]
    return main(["reader", "build", str(folder / "site"), *where, "--taxonomy", str(folder)])


def known(folder: Path) -> dict[str, object]:
    text = (folder / "site" / "facts.js").read_text()
    found = json.loads(text.removeprefix("export default ").removesuffix(";\n"))
    assert isinstance(found, dict)
    return found


def test_it_is_built_with_the_vouched_keys(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(tmp_path, 0, 2) == 0
    assert "trusts 1 units of springfield; without official texts" in capsys.readouterr().out
    facts = known(tmp_path)
    assert facts["trust"] == {
        "city": "springfield",
        "version": 7,
        "expires": 1_882_915_200,
        "units": [{"site": "river-bridge", "name": "bridge-01", "key": KEY_BYTES.hex()}],
    }
    assert facts["registry"] == [[one.id, one.category.value, one.mark.value] for one in REGISTRY]
    assert {code: locale["texts"] for code, locale in facts["locales"].items()} == {  # type: ignore[attr-defined]
        code: dict(locale.texts) for code, locale in LOCALES.items()
    }


def test_a_list_that_too_few_signed_is_not_trusted(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Nothing is written."""
    assert build(tmp_path, 0) == 2
    assert "units.cose" in capsys.readouterr().err
    assert not (tmp_path / "site").exists()


def test_official_texts_come_with_their_attribution(tmp_path: Path) -> None:
    (tmp_path / "taxonomy.json").write_bytes(encode_taxonomy(read_exports([("x", EXPORT)])))
    assert build(tmp_path, 0, 2) == 0
    facts = known(tmp_path)
    assert facts["official"] == {
        "data_retained": {
            "en": {"title": "Words with a …", "description": "Words with a …"},
            "fr": {"title": "Des mots", "description": "Des mots"},
        }
    }
    assert "CC BY 4.0" in str(facts["attribution"])


def test_a_changed_page_has_another_cache(tmp_path: Path) -> None:
    """The worker's version is a digest of the files that it keeps, and it keeps all of them."""
    assert build(tmp_path, 0, 2) == 0
    worker = (tmp_path / "site" / "sw.js").read_text()
    other = reader.site({"other": "facts"}, {"mobility": b"<svg/>"})
    assert re.search(r'VERSION = "([0-9a-f]{16})"', worker)
    assert other["sw.js"].decode() != worker
    kept = set(json.loads(other["sw.js"].decode().split("FILES = ")[1].split(";")[0]))
    assert kept == set(other) - {"sw.js"} | {"./"}
    assert {path.name for path in PAGES} == set(other) - {"facts.js", "icons/mobility.svg"}


@pytest.mark.parametrize("path", OWN, ids=lambda path: path.name)
def test_nothing_of_a_disclosure_can_become_markup_and_nothing_is_fetched(path: Path) -> None:
    """No innerHTML and its like, no eval, no address but those that name a standard; the policy of the page says the same."""
    text = path.read_text()
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|new Function|localStorage|sendBeacon", text
    )
    assert set(re.findall(r"https?://[^\"' ]*", text)) <= {"http://www.w3.org/2000/svg"}
    if path.name == "index.html":
        assert "default-src 'none'; script-src 'self'; style-src 'self'" in text
        assert not re.search(r"<script(?![^>]*src=)|\son[a-z]+=|\sstyle=", text)


def test_every_text_of_the_page_is_in_every_language() -> None:
    """Keys that the scripts name are keys of the tables."""
    text = "".join(path.read_text() for path in OWN if path.suffix == ".js" and path.name != "sw.js")
    keys = set(re.findall(r'"((?:page|tech|not_done|heading|note|unit)\.[a-z_.]+)"', text))
    assert len(keys) > 20
    for locale in LOCALES.values():
        assert keys <= set(locale.texts)


def test_an_eighth_grader_can_read_the_page() -> None:
    """Flesch-Kincaid grade of at most 8 for the page's own English text (headings and buttons left out), as for the rest of the disclosure."""
    found = [
        text.format(day="1 May", n="2", code="", city="Ada", time="10:00", stream="x", start="1:00", end="2:00")
        for key, text in LOCALES["en"].texts.items()
        if key.startswith("page.")
    ]
    own = [text for text in found if text.endswith((".", "?"))]
    found_grade = grade(own)
    print(f"the page's own text: grade {found_grade:.1f} over {len(own)} sentences")
    assert len(own) > 30
    assert found_grade <= 8
    assert (
        grade(["Cryptographic verification of institutional authenticity necessitates computational infrastructure."])
        > 8
    )


def test_the_fallback_has_its_licence_and_lock() -> None:
    """Its licence is beside it, and it is unchanged; `make interop` compares it with what npm ci fetches."""
    locked = json.loads((reader.SOURCE / "npm" / "package-lock.json").read_text())["packages"][
        "node_modules/@noble/ed25519"
    ]
    assert locked["integrity"].startswith("sha512-")
    assert locked["license"] == "MIT"
    licence = (reader.SOURCE / "noble-ed25519.LICENSE.txt").read_text()
    assert "The MIT License" in licence
    assert "Paul Miller" in licence
    copied = (reader.SOURCE / "noble-ed25519.js").read_bytes()
    assert hashlib.sha256(copied).hexdigest() == NOBLE_SHA256


def test_official_icons_stand_on_the_sign(tmp_path: Path) -> None:
    """The real export: the icons of this policy's purpose and technology are in the honeycomb, checked to be drawings."""
    if not SHARED.exists():
        pytest.skip(f"{MISSING_SHARED}: dtpr")
    folder = tmp_path / "taxonomy"
    given = [str(SHARED / name) for name in ("elements_device.json", "categories_device.json", "icons")]
    assert main(["taxonomy", "import", *given, "--to", str(folder)]) == 0
    policy = str(Path(__file__).parents[2] / "config" / "policy.toml")
    page = ["--page", "https://springfield.example/", "--taxonomy", str(folder), "--out", str(tmp_path / "sign.html")]
    assert main(["sign", policy, *page]) == 0
    assert (tmp_path / "sign.html").read_text().count("data:image/svg+xml;base64,") == 3

    visitors = str(Path(policy).parent / "examples" / "visitors.toml")
    assert main(["sign", visitors, *page]) == 0
    drawn = (tmp_path / "sign.html").read_text()
    assert drawn.count("data:image/svg+xml;base64,") == 2, "the taxonomy's yellow radio does not stand on a blue sign"
    assert 'fill="#36B2E6"' in drawn
    assert "Icons: DTPR contributors, CC BY 4.0" in drawn
    assert build(tmp_path, 0, 2) == 0
