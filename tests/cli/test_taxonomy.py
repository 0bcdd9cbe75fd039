"""`dtpr-agent taxonomy`: an import is checked whole before anything is written, by file and over real https."""

import http.server
import json
import os
import ssl
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.cli import https
from agent.cli.main import main
from agent.cli.taxonomy import load_taxonomy
from agent.errors import TaxonomyError, Unavailable
from tests.conftest import MISSING_SHARED
from tests.disclosure.test_taxonomy import EXPORT, SHARED, category, element, titled
from tests.publisher.certificates import Authority

ICON = b'<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0Z"/></svg>'


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))


def write(folder: Path, items: object, name: str = "export.json") -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(json.dumps(items))
    return path


def test_files_and_icons_are_kept_with_their_attribution(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exports and icons from a folder; an icon that no element names stays out, and is said."""
    export = write(tmp_path / "in", EXPORT)
    (tmp_path / "in/mobility.svg").write_bytes(ICON)
    (tmp_path / "in/other.svg").write_bytes(ICON)
    assert main(["taxonomy", "import", str(export.parent)]) == 0
    said = capsys.readouterr().out
    kept = tmp_path / "home/dtpr/taxonomy"
    assert sorted(path.name for path in kept.rglob("*") if path.is_file()) == [
        "ATTRIBUTION.txt",
        "mobility.svg",
        "taxonomy.json",
    ]
    assert "CC BY 4.0" in (kept / "ATTRIBUTION.txt").read_text()
    assert "Links are reduced" in (kept / "ATTRIBUTION.txt").read_text()
    assert "not kept: other.svg" in said
    assert "1 elements, 1 categories, newest of 2025-08-29T00:00:00Z; 1 of 1 icons" in said
    assert load_taxonomy(kept) is not None


def test_what_does_not_fit_is_reported(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`status`: unknown ids and missing locales by name; and what a second import changed."""
    assert main(["taxonomy", "status"]) == 0
    assert "nothing imported" in capsys.readouterr().out
    main(["taxonomy", "import", str(write(tmp_path / "in", EXPORT))])
    capsys.readouterr()
    assert main(["taxonomy", "status"]) == 0
    said = capsys.readouterr().out
    assert "the taxonomy lacks: institution, organization" in said
    assert "without official text in en: none" in said
    assert "without official text in fr: mobility" in said
    main(["taxonomy", "import", str(write(tmp_path / "in", [category(), element("dining")]))])
    assert "since the last import: dining (new), mobility (gone)" in capsys.readouterr().out


def test_the_official_taxonomy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All of it, with every icon, from the shared snapshot."""
    if not SHARED.exists():
        pytest.skip(f"{MISSING_SHARED}: dtpr")
    assert main(["taxonomy", "import", str(SHARED), str(SHARED / "icons"), "--to", str(tmp_path / "t")]) == 0
    said = capsys.readouterr().out
    assert "124 elements, 8 categories" in said
    assert "123 of 123 icons" in said
    assert "the taxonomy lacks: none" in said


@pytest.mark.parametrize("bad", ["markup", "icon", "absent", "empty folder", "http", "icon twice", "fifo"])
def test_a_refused_import_leaves_the_old_one(bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit 2 with one line, and the folder holds what it held."""
    good = write(tmp_path / "in", EXPORT)
    main(["taxonomy", "import", str(good)])
    kept = tmp_path / "home/dtpr/taxonomy"
    before = {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()}
    capsys.readouterr()
    worse = tmp_path / "worse"
    worse.mkdir()
    sources = [str(good)]
    if bad == "markup":
        sources = [str(write(worse, titled("<b>x</b>")))]
    elif bad == "icon":
        (worse / "mobility.svg").write_bytes(ICON.replace(b"path d", b"path onclick"))
        sources += [str(worse)]
    elif bad == "absent":
        sources += [str(worse / "none.json")]
    elif bad == "empty folder":
        sources += [str(worse)]
    elif bad == "http":
        sources += ["http://127.0.0.1:9/elements"]
    elif bad == "icon twice":
        (worse / "mobility.svg").write_bytes(ICON)
        sources += [str(worse), str(worse / "mobility.svg")]
    else:
        os.mkfifo(worse / "pipe.json")
        sources += [str(worse / "pipe.json")]
    assert main(["taxonomy", "import", *sources]) == 2
    captured = capsys.readouterr()
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1
    assert {path: path.read_bytes() for path in kept.rglob("*") if path.is_file()} == before


def test_a_spoilt_store_is_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It is input like any other."""
    main(["taxonomy", "import", str(write(tmp_path / "in", EXPORT))])
    kept = tmp_path / "home/dtpr/taxonomy/taxonomy.json"
    kept.write_text(kept.read_text().replace("Title", "<i>Title"))
    assert main(["taxonomy", "status"]) == 2
    assert "text without markup" in capsys.readouterr().err


class _Server(http.server.ThreadingHTTPServer):
    bodies: dict[str, bytes]
    redirects: dict[str, str]

    def handle_error(self, request: object, client_address: object) -> None:
        """Quiet: a client that does not trust us hangs up."""


class _Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server = self.server
        assert isinstance(server, _Server)
        if self.path in server.redirects:
            self.send_response(302)
            self.send_header("Location", server.redirects[self.path])
            self.end_headers()
            return
        body = server.bodies.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, format: str, *args: object) -> None:
        """Quiet."""


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[_Server, str]]:
    """A real https server for `localhost`, whose authority this process trusts by OpenSSL's own variable."""
    authority = Authority(tmp_path / "ca")
    issued = authority.issue("localhost")
    served = _Server(("127.0.0.1", 0), _Handler)
    served.bodies, served.redirects = {}, {}
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(issued.certificate, issued.key)
    served.socket = context.wrap_socket(served.socket, server_side=True, do_handshake_on_connect=False)
    monkeypatch.setenv("SSL_CERT_FILE", str(authority.certificate))
    monkeypatch.setenv("no_proxy", "localhost")
    thread = threading.Thread(target=served.serve_forever, daemon=True)
    thread.start()
    try:
        yield served, f"https://localhost:{served.server_address[1]}"
    finally:
        served.shutdown()
        served.server_close()
        thread.join(10)


def test_import_over_https(server: tuple[_Server, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Elements, categories and, when asked for, the icons at the addresses in the elements."""
    served, base = server
    icon = {"url": f"{base}/dtpr-icons/mobility.svg", "alt_text": []}
    served.bodies = {
        "/api/dtpr/v1/elements/device": json.dumps([element(icon=icon)]).encode(),
        "/api/dtpr/v1/categories/device": json.dumps([category()]).encode(),
        "/dtpr-icons/mobility.svg": ICON,
    }
    sources = [f"{base}{path}" for path in served.bodies if path.startswith("/api")]
    assert main(["taxonomy", "import", *sources, "--icons", "--to", str(tmp_path / "t")]) == 0
    assert f"from {sources[0]}, SHA-256" in capsys.readouterr().out
    assert (tmp_path / "t/icons/mobility.svg").read_bytes() == ICON


def test_what_the_network_may_do(server: tuple[_Server, str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A redirect to https is followed, one to http or a file is not; too much, nothing and strangers are errors."""
    served, base = server
    served.bodies = {"/a": b"x" * 100}
    served.redirects = {"/b": f"{base}/a", "/c": base.replace("https", "http") + "/a", "/d": "file:///etc/passwd"}
    assert https.get(f"{base}/b", 100) == b"x" * 100
    with pytest.raises(TaxonomyError, match="at most 99 bytes"):
        https.get(f"{base}/a", 99)
    for path in ("/c", "/d"):
        with pytest.raises((TaxonomyError, Unavailable)):
            https.get(f"{base}{path}", 100)
    with pytest.raises(Unavailable, match="answered 404") as caught:
        https.get(f"{base}/none", 100)
    assert caught.value.exit_code == 3
    monkeypatch.delenv("SSL_CERT_FILE")
    with pytest.raises(Unavailable, match="certificate verify failed"):
        https.get(f"{base}/a", 100)
    for url in ("http://localhost/x", "ftp://x", "https://x y", "file:///etc/passwd"):
        with pytest.raises(TaxonomyError, match="an https address"):
            https.get(url, 100)
