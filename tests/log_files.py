"""Release logs as the anonymizer writes them, with entries of any content, for tests of who reads them."""

from collections.abc import Iterable
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.contracts import log_file
from agent.contracts.log_end import read_last_head
from agent.contracts.log_file import RELEASES, pack_checkpoint, pack_record
from agent.wire.tlog import EMPTY_ROOT, Checkpoint, TreeHead, sign_checkpoint


def write_log(
    folder: Path, entries: Iterable[bytes], key: Ed25519PrivateKey, origin: str, *extensions: str, **signed: object
) -> Checkpoint:
    """`releases` in `folder`: the first checkpoint, the entries, the last checkpoint, and zeros. `extensions` instead of the true ones, and `size`
    and `root`, make it lie; returns what it signs."""
    folder.mkdir(parents=True, exist_ok=True)
    head = TreeHead()

    def note(end: int, *extensions: str) -> bytes:
        size, root = int(str(signed.get("size", head.size))), signed.get("root", head.root())
        assert isinstance(root, bytes)
        return sign_checkpoint(Checkpoint(origin, size, root, extensions or said(end)), origin, key)

    with (folder / RELEASES).open("wb") as file:
        first = Checkpoint(origin, 0, EMPTY_ROOT, said(0))
        file.write(pack_checkpoint(sign_checkpoint(first, origin, key), 0))
        for entry in entries:
            head.append(entry)
            file.write(pack_record(entry))
        end = file.tell()
        if head.size:
            file.write(pack_checkpoint(note(end, *extensions), end))
        file.write(bytes(4096))
    return Checkpoint(origin, head.size, head.root(), said(end if head.size else 0))


def said(end: int) -> tuple[str, ...]:
    """The extension lines of a checkpoint over entries that end at byte `end`."""
    return log_file.extensions(end, 0, 0)


def entries_in(folder: Path) -> int:
    """How many the last checkpoint in a log's folder covers."""
    content = (folder / RELEASES).read_bytes()
    head = read_last_head(lambda at, length: content[at : at + length], str(folder))
    assert head is not None
    return head.entries
