"""`dtpr-agent disclosure show`: every form of a policy or disclosure, in every locale, with official texts once imported."""

import base64
import json
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.cli.main import main
from agent.contracts.public import Envelope, seal_envelope
from agent.disclosure.compact import open_compact
from agent.disclosure.datachain import compile_disclosure
from agent.disclosure.plain_language import sentences
from agent.disclosure.wording import LOCALES
from agent.policy.compile import compile_policy
from agent.policy.parse import parse_policy
from agent.policy.signed import Kind
from agent.wire import cose_sign
from tests.disclosure.test_taxonomy import EXPORT, element
from tests.policy.test_parse import GOOD
from tests.signing import signed_policy

KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))
RFC_8032_PUBLIC_KEY = bytes.fromhex("d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a")
POLICY = parse_policy(GOOD, "p")
DISCLOSURE = compile_disclosure(POLICY)
ENVELOPE = seal_envelope(Envelope(DISCLOSURE.cbor, 1_790_000_000), KEY)


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


FORMS = {
    "policy.toml": GOOD.encode(),
    "policy.cbor": compile_policy(POLICY),
    "policy.cose": cose_sign.sign(compile_policy(POLICY), [KEY], content_type=Kind.POLICY.content_type),
    "envelope": ENVELOPE,
    "disclosure.json": json.dumps({"v": 1, "envelope": base64.b64encode(ENVELOPE).decode()}).encode(),
}


@pytest.mark.parametrize("name", FORMS)
def test_every_form_of_the_same_policy_reads_the_same(
    name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Text, compiled, signed, sealed for the air, and as the city receives it."""
    path = tmp_path / name
    path.write_bytes(FORMS[name])
    assert main(["disclosure", "show", str(path)]) == 0
    said = capsys.readouterr().out
    assert [line.strip() for line in said.splitlines() if line.startswith("  ")] == list(sentences(DISCLOSURE))
    assert said.startswith("Bike and foot counter, River Bridge\n\nWho runs it?\n")


@pytest.mark.parametrize("locale", LOCALES)
def test_json_in_every_locale(locale: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Element ids, marks, sentences, the locale and whether a speaker has checked it."""
    path = tmp_path / "p.toml"
    path.write_text(GOOD)
    assert main(["disclosure", "show", str(path), "--locale", locale, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["digest"] == DISCLOSURE.digest.hex()
    assert document["reviewed"] is LOCALES[locale].reviewed
    assert bool(document["notes"]) is not document["reviewed"]
    assert document["attribution"] is None
    promised = [s for s in document["statements"] if s["mark"] == "promised"]
    assert promised
    assert all(s["sentence"].startswith(LOCALES[locale].promised) for s in promised)
    assert {s["element_id"] for s in document["statements"]} >= {"mobility", "differential_privacy", "data_retained"}
    assert {(s["locale"], s["reviewed"]) for s in document["statements"]} == {(locale, LOCALES[locale].reviewed)}


def test_an_unchecked_translation_says_so_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """In its language and in English."""
    path = tmp_path / "p.toml"
    path.write_text(GOOD)
    main(["disclosure", "show", str(path), "--locale", "km"])
    lines = capsys.readouterr().out.splitlines()
    assert lines[1] == LOCALES["km"].texts["note.unreviewed"]
    assert lines[2] == "No speaker of Khmer has checked this text yet."


def test_official_texts_stand_beside_ours(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Title and description of an imported element with its places filled, once, with the attribution; never in another language."""
    export = tmp_path / "export.json"
    retained = element("data_retained", title=[{"locale": "en", "value": "Kept {{duration}}"}])
    export.write_text(json.dumps([*EXPORT, retained]))
    assert main(["taxonomy", "import", str(export)]) == 0
    path = tmp_path / "p.toml"
    path.write_text(GOOD)
    capsys.readouterr()
    main(["disclosure", "show", str(path)])
    said = capsys.readouterr().out
    assert said.count("DTPR: Title. Kept 730 days, see this page") == 1
    assert said.count("DTPR: Kept 730 days. ") == 1
    assert "CC BY 4.0" in said.splitlines()[-2]
    main(["disclosure", "show", str(path), "--locale", "fr"])
    said = capsys.readouterr().out
    assert "Title" not in said
    assert "DTPR: Il n'y a pas de texte officiel dans cette langue." in said
    main(["disclosure", "show", str(path), "--json"])
    document = json.loads(capsys.readouterr().out)
    official = {s["element_id"]: s["official"] for s in document["statements"]}
    assert official["mobility"]["title"] == "Title"
    assert official["mobility"]["icon"] == "mobility.svg"
    assert official["institution"] is None
    assert "CC BY 4.0" in document["attribution"]


def test_this_units_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without a file: what this unit has on air, or with --policy the policy that it was given."""
    text = (Path(__file__).parents[2] / "config/agent.toml").read_text()
    config = tmp_path / "agent.toml"
    config.write_text(
        text.replace("/etc/dtpr/policy.cose", f"{tmp_path}/policy.cose").replace("/run/dtpr-public", str(tmp_path))
    )
    assert main(["disclosure", "show", "--config", str(config)]) == 2
    assert f"{tmp_path}/envelope" in capsys.readouterr().err
    (tmp_path / "envelope").write_bytes(ENVELOPE)
    (tmp_path / "policy.cose").write_bytes(signed_policy(GOOD.replace("River Bridge", "Other Bridge")))
    assert main(["disclosure", "show", "--config", str(config)]) == 0
    assert capsys.readouterr().out.startswith("Bike and foot counter, River Bridge\n")
    assert main(["disclosure", "show", "--config", str(config), "--policy"]) == 0
    assert capsys.readouterr().out.startswith("Bike and foot counter, Other Bridge\n")


BAD = {
    "unknown locale": (GOOD.encode(), ["--locale", "de"], "expected one of en, es, fr, km, pt, tl"),
    "governance": (
        cose_sign.sign(b"\xa0", [KEY], content_type=Kind.GOVERNANCE.content_type),
        [],
        "expected a policy, got a governance",
    ),
    "cut envelope": (ENVELOPE[:-3], [], "f: "),
    "empty map": (b"\xa0", [], "f: "),
    "JSON without an envelope": (b"{}", [], 'JSON with an "envelope" in base64'),
    "JSON of nests": (b'{"envelope":' + b"[" * 60_000, [], 'JSON with an "envelope" in base64'),
    "envelope not base64": (b'{"envelope": "\xc3\xa9"}', [], "in base64"),
    "envelope a number": (b'{"envelope": 7}', [], "in base64"),
    "nothing": (b"", [], "f"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """One line that names the file, exit 2."""
    data, arguments, message = BAD[name]
    path = tmp_path / "f"
    path.write_bytes(data)
    assert main(["disclosure", "show", str(path), *arguments]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""


def test_compact_is_what_a_qr_code_carries(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """BE-28: at most 200 bytes for the example bike counter; by the example key, which is said, or by the unit's."""
    policy = str(Path(__file__).parents[2] / "config" / "policy.toml")
    assert main(["disclosure", "show", policy, "--compact", "--json"]) == 0
    printed = capsys.readouterr()
    shown = json.loads(printed.out)
    message = bytes.fromhex(shown["cbor"])
    assert list(shown) == ["bytes", "cbor", "digest"]
    assert shown["bytes"] == len(message) <= 200
    assert "a published example key, for which nobody vouches" in printed.err
    assert open_compact(message, RFC_8032_PUBLIC_KEY).digest == bytes.fromhex(shown["digest"])[:16]

    key = tmp_path / "unit-key"
    assert main(["key", "new", str(key)]) == 0
    public_key = bytes.fromhex(capsys.readouterr().out)
    assert main(["disclosure", "show", policy, "--compact", "--key", str(key)]) == 0
    printed = capsys.readouterr()
    size, message_line = printed.out.splitlines()
    assert size == f"{len(message)} bytes, of disclosure {shown['digest']}"
    assert printed.err == ""
    assert open_compact(bytes.fromhex(message_line), public_key) == open_compact(message, RFC_8032_PUBLIC_KEY)
