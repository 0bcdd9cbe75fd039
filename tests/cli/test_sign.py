"""`dtpr-agent sign`: what it writes, and what it refuses before it writes anything."""

import base64
import subprocess
import sys
from pathlib import Path

import pytest

from agent.beacon import advertisement
from agent.cli import sign_page
from agent.cli.main import main
from agent.cli.sign_page import ndef_bytes
from agent.disclosure.compact import open_compact
from agent.disclosure.datachain import compile_disclosure
from agent.policy.file import load_policy

ROOT = Path(__file__).parents[2]
BIKE = str(ROOT / "config" / "policy.toml")
PAGE = "https://springfield.example/sensors/"


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


CODE = advertisement.code(compile_disclosure(load_policy(Path(__file__).parents[2] / "config" / "policy.toml")).digest)


def sign(tmp_path: Path, *options: str, policy: str = BIKE, page: str = PAGE) -> int:
    return main(["sign", policy, "--page", page, "--out", str(tmp_path / "sign.html"), *options])


def test_a_sign_of_the_units_key(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The code holds the signed compact disclosure; the texts are there in both languages; the tag's text is printed."""
    assert main(["key", "new", str(tmp_path / "key")]) == 0
    public_key = bytes.fromhex(capsys.readouterr().out)
    assert sign(tmp_path, "--key", str(tmp_path / "key"), "--locale", "fr,en", "--size", "a4") == 0
    out, err = capsys.readouterr()
    url = out.splitlines()[-1].removeprefix("for an NFC tag: ")
    assert url.startswith(PAGE + "#")
    text = url.partition("#")[2]
    message = base64.b32decode(text + "=" * (-len(text) % 8))
    assert open_compact(message, public_key).unit == "bridge-01"
    assert err == ""
    page = (tmp_path / "sign.html").read_text()
    assert f"bridge-01 W{CODE}" in page
    assert '<html lang="fr">' in page
    assert "<h2>\u25c7 Those responsible promise this</h2>" in page
    assert "<h2>\u25c6 The unit itself makes sure of this</h2>" in page
    promised, enforced = page.split('<section lang="en">')[1].split("\u25c6")
    assert "<p>It is here to learn how people get around.</p>" in promised
    assert "is right at most 61 times in 100.</p>" in enforced
    assert "<p>Il est là pour savoir comment les gens se déplacent.</p>" in page
    assert page.count("Mobilité</div>") == 1
    assert "NFC tag (NDEF URI record" in page
    assert "<script" not in page


def test_a_sign_of_what_the_unit_signed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The key stays on the unit; what it printed for another policy is refused."""
    assert main(["disclosure", "show", BIKE, "--compact"]) == 0
    (tmp_path / "compact").write_text(capsys.readouterr().out)
    assert sign(tmp_path, "--compact", str(tmp_path / "compact")) == 0
    other = str(ROOT / "config" / "examples" / "visitors.toml")
    assert sign(tmp_path, "--compact", str(tmp_path / "compact"), policy=other) == 2
    assert "print it again on the unit" in capsys.readouterr().err
    (tmp_path / "compact").write_text("zz")
    assert sign(tmp_path, "--compact", str(tmp_path / "compact")) == 2


@pytest.mark.parametrize(
    "page", ["http://x.example/", "https://x.example/?a=b", "https://x.example/#", "https://x.example/" + "a" * 80]
)
def test_a_page_that_is_none_is_refused(tmp_path: Path, page: str) -> None:
    assert sign(tmp_path, page=page) == 2
    assert not (tmp_path / "sign.html").exists()


def test_what_does_not_fit_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Six languages on A6; and a code whose modules would be too fine."""
    assert sign(tmp_path, "--size", "a6", "--locale", "en,es,fr,km,pt,tl") == 2
    assert "choose a larger size, fewer languages" in capsys.readouterr().err
    assert sign(tmp_path, "--size", "a6", "--locale", "de") == 2
    assert not (tmp_path / "sign.html").exists()


def test_modules_too_fine_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sign_page, "QR_MM", {"a6": 25.0})
    assert sign(tmp_path, "--size", "a6") == 2
    assert "modules of 0.4 mm" in capsys.readouterr().err


NO_LIBRARY = """
import sys, cffi
opened = cffi.FFI.dlopen
def dlopen(self, name, *flags):
    if name and "pango" in name:
        raise OSError(f"cannot load library {name!r}")
    return opened(self, name, *flags)
cffi.FFI.dlopen = dlopen
from agent.cli.main import main
sys.exit(main(sys.argv[1:]))
"""


def test_pdf_without_its_extra_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "weasyprint", None)
    assert sign(tmp_path, "--pdf") == 3
    error = capsys.readouterr().err.splitlines()[-1]
    assert (
        error == "error: --pdf: WeasyPrint 68 or newer is not installed; pip install 'weasyprint>=68' (the extra `pdf`)"
    )
    assert not (tmp_path / "sign.html").exists()


def test_pdf_without_its_libraries_says_what_to_install(tmp_path: Path) -> None:
    """One line, neither WeasyPrint's page of advice nor a traceback."""
    ran = subprocess.run(
        [sys.executable, "-c", NO_LIBRARY, "sign", BIKE, "--page", PAGE, "--pdf", "--out", str(tmp_path / "sign.pdf")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert ran.returncode == 3, ran.stderr
    assert ran.stdout == ""
    assert [line for line in ran.stderr.splitlines() if not line.startswith("note: ")] == [
        "error: --pdf: WeasyPrint finds no Pango or HarfBuzz; "
        "apt install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
    ]
    assert not (tmp_path / "sign.pdf").exists()


def test_markup_in_a_policy_is_text(tmp_path: Path) -> None:
    """Titles and names come from a file that others wrote."""
    text = Path(BIKE).read_text().replace("Bike and foot counter, River Bridge", "<b onclick=x>&amp;")
    (tmp_path / "policy.toml").write_text(text)
    assert sign(tmp_path, policy=str(tmp_path / "policy.toml")) == 0
    assert "<b onclick" not in (tmp_path / "sign.html").read_text()
    assert "&lt;b onclick=x&gt;&amp;amp;" in (tmp_path / "sign.html").read_text()


def test_ndef_sizes() -> None:
    """Record header, type "U", prefix byte, address: short records have one length byte, others four."""
    assert ndef_bytes("https://a.example") == 4 + 1 + 9
    assert ndef_bytes("https://" + "a" * 300) == 7 + 1 + 300
