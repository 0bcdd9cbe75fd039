"""An independent verifier accepts our log: Go's golang.org/x/mod/sumdb reads checkpoint, tiles, entries and proofs (and finds damage)."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from agent.operations.log_copy import export
from agent.wire import cose
from tests.log_files import write_log
from tests.wire.notes import verifier_key
from tests.wire.test_tlog import KEY, OTHER_KEY

PROGRAM = Path(__file__).parent / "sumdb" / "main.go"
VECTORS = Path(__file__).parent.parent / "vectors" / "wire"
GOPATH = Path("/usr/share/gocode")
"""Where Debian's golang-golang-x-mod-dev puts its source."""

ORIGIN = "springfield/river-bridge/bridge-01"


def build(folder: Path) -> Path:
    """The program, compiled; skips where Go or its packages are not installed."""
    go = shutil.which("go")
    if go is None or not (GOPATH / "src/golang.org/x/mod/sumdb").is_dir():
        pytest.skip("missing Go: apt-get install golang-go golang-golang-x-mod-dev")
    program = folder / "sumdb"
    environment = {
        **os.environ,
        "GO111MODULE": "off",
        "GOPATH": str(GOPATH),
        "GOCACHE": str(folder / "cache"),
        "GOFLAGS": "",
        "CGO_ENABLED": "0",
    }
    subprocess.run([go, "build", "-o", program, PROGRAM], env=environment, check=True, capture_output=True, timeout=300)
    return program


@pytest.fixture(scope="module", name="sumdb")
def _sumdb(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("sumdb"))


def log_of(folder: Path, size: int) -> Path:
    """A log folder with `size` entries of no meaning, as the anonymizer writes one."""
    write_log(folder, (b"entry %d" % number + bytes(number % 300) for number in range(size)), KEY, ORIGIN)
    return folder


def run(program: Path, folder: Path, public_key: bytes) -> subprocess.CompletedProcess[str]:
    command = [str(program), "verify", str(folder), verifier_key(ORIGIN, public_key)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.parametrize("size", [1, 255, 256, 257, 700])
def test_go_accepts_an_exported_log(sumdb: Path, tmp_path: Path, size: int) -> None:
    """Note, tiles, entries, inclusion of each entry and consistency with each older size."""
    export(log_of(tmp_path / "log", size), tmp_path / "copy")
    ran = run(sumdb, tmp_path / "copy", cose.public_bytes(KEY))
    assert (ran.returncode, ran.stdout) == (0, f"{ORIGIN} {size}\n"), ran.stderr


def test_go_refuses_what_we_did_not_sign(sumdb: Path, tmp_path: Path) -> None:
    """Positive controls: another key, a changed entry, a changed hash."""
    copy = tmp_path / "copy"
    export(log_of(tmp_path / "log", 300), copy)
    assert run(sumdb, copy, cose.public_bytes(OTHER_KEY)).returncode == 1
    for name in ("tile/entries/001.p/44", "tile/0/001.p/44"):
        whole = (copy / name).read_bytes()
        (copy / name).write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
        assert run(sumdb, copy, cose.public_bytes(KEY)).returncode == 1, name
        (copy / name).write_bytes(whole)
    assert run(sumdb, copy, cose.public_bytes(KEY)).returncode == 0


def vectors(program: Path) -> str:
    leaves = json.loads((VECTORS / "rfc6962_roots.json").read_text())["leaves"]
    return subprocess.run([str(program), "vectors", *leaves], capture_output=True, text=True, check=True).stdout


def test_the_proof_vectors_are_gos(sumdb: Path) -> None:
    """tests/vectors/wire/rfc6962_proofs.json, which test_proofs reads, is what the Go package says."""
    assert vectors(sumdb) == (VECTORS / "rfc6962_proofs.json").read_text()


if __name__ == "__main__":
    import tempfile

    with tempfile.TemporaryDirectory() as scratch:
        (VECTORS / "rfc6962_proofs.json").write_text(vectors(build(Path(scratch))))
