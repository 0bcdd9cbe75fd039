"""A witness's copy of a unit's log, from what it publishes: whole bundles and tiles, and signed checkpoints (OP-40 to OP-43).

    DIR/checkpoint, DIR/tile/…      a copy as `log export` makes it: what the newest checkpoint that its bundles reach signs
    DIR/pending/<number>            bundles that no checkpoint has confirmed yet

Invariant: nothing enters the copy before its entries have the root of a checkpoint that the unit signed, and `checkpoint` comes last; what
is refused changes nothing. A bundle is whole only after its last entry, so the copy ends at most 256 entries before the unit's log.
"""

import contextlib
import copy
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.contracts.log_file import unit_path
from agent.contracts.rotation import open_rotation
from agent.errors import BadInput, EncodingError, LogDamaged, SignatureError, StorageUnavailable
from agent.local.files import write_atomic
from agent.operations.copies import Copies
from agent.operations.log_copy import is_there, read_regular
from agent.operations.rotations import rotation_entries
from agent.wire.tiles import (
    CHECKPOINT,
    MAX_BUNDLE_BYTES,
    WIDTH,
    Tile,
    TileBuilder,
    bundles_of,
    decode_bundle,
    encode_bundle,
    hash_tiles_of,
    parse_topic,
)
from agent.wire.tlog import MAX_NOTE_BYTES, Checkpoint, TreeHead, decode_checkpoint, signed_by, split_note

MAX_PENDING = 64
"""Bundles beyond the copy, and checkpoints, that are kept until they meet."""


@dataclass(frozen=True, slots=True)
class Grown:
    """The copy now has this checkpoint, `before` entries of it already then."""

    checkpoint: Checkpoint
    before: int


class Mirror:
    """One unit's copy in `folder`. `take` what arrives below the unit's topics. Raises LogDamaged for a folder that holds another log.

    `public_key` is the unit's present key, `previous` those before it. What one of them says in the log of a key that follows it is believed.
    """

    def __init__(self, folder: Path, origin: str, public_key: bytes, *previous: bytes) -> None:
        self._folder = folder
        self._origin = origin
        self._keys = [public_key, *previous]
        self._rotated: int | None = None
        self._notes: dict[int, bytes] = {}
        self._pending: dict[int, tuple[bytes, ...]] = {}
        self._head, self._builder = TreeHead(), TileBuilder()
        self._log = ""
        self.checkpoint: Checkpoint | None = None
        if is_there(folder / CHECKPOINT):
            self._continue()
        waiting = (
            path for path in (folder / "pending").glob("*") if not path.name.startswith(".")
        )  # cut short while written
        for path in sorted(waiting)[:MAX_PENDING]:
            self._pending[_number(path)] = _bundle(read_regular(path, MAX_BUNDLE_BYTES), str(path))
            self._learn(self._pending[_number(path)])

    @property
    def missing(self) -> int | None:
        """The number of the first bundle that is not here although later ones are; only a copy made on the unit has it."""
        later = [number for number in self._pending if number > self._whole]
        return self._whole if later and self._whole not in self._pending else None

    def take(self, rest: str, payload: bytes) -> Grown | None:
        """A message on `rest` below the unit's topics; what the copy has become when it grew. Raises BadInput for what is refused."""
        if rest == CHECKPOINT:
            self.take_note(payload)
        elif rest.startswith("log/entries/"):
            self._take_bundle(parse_topic(rest).index, payload)
        elif rest.startswith("log/tile/"):
            parse_topic(rest)  # every hash tile follows from the bundles
            return None
        else:
            return None
        return self._grow()

    def take_note(self, note: bytes) -> None:
        """A checkpoint, perhaps cosigned; raises EncodingError or SignatureError when the unit did not sign it."""
        checkpoint = self._opened(note)
        known = self.checkpoint
        self._log = self._log or checkpoint.origin
        if checkpoint.origin != self._log:
            raise LogDamaged(
                str(self._folder),
                expected=f"the log {self._log}",
                got=checkpoint.origin,
                remedy="keep this copy: the unit lost the end of its log and began another; mirror that into another folder",
            )
        if known is not None and checkpoint.size == known.size:
            if checkpoint.root != known.root:
                raise self._forked(checkpoint)
            before = read_regular(self._folder / CHECKPOINT, MAX_NOTE_BYTES)
            if (joined := _joined(before, note)) != before:  # more have signed it
                write_atomic(self._folder / CHECKPOINT, joined, durable=True)
        elif known is None or checkpoint.size > known.size:
            before = self._notes.get(checkpoint.size, note)
            if decode_checkpoint(before).root != checkpoint.root:
                raise self._forked(checkpoint)
            self._notes[checkpoint.size] = _joined(before, note)
            self._thin()

    def _opened(self, note: bytes) -> Checkpoint:
        """One of the unit's log, or of one that follows a loss of it; not by a key that was given up, once the present one has signed as much."""
        checkpoint, signatures = split_note(note)
        name = checkpoint.origin if unit_path(checkpoint.origin) == self._origin else self._origin
        signer = next((key for key in self._keys if signed_by(checkpoint, signatures, name, key)), None)
        if signer is None:
            raise SignatureError(
                "checkpoint",
                expected=f"a signature by {name}",
                got="none by that key",
                remedy="if its key was rotated, begin again with a key directory made since",
            )
        if signer == self._keys[0]:
            self._rotated = min(checkpoint.size, self._rotated if self._rotated is not None else checkpoint.size)
        elif self._rotated is not None and checkpoint.size >= self._rotated:
            raise SignatureError(
                "checkpoint", expected=f"a signature by the present key of {name}", got="one by a key given up"
            )
        return checkpoint

    def _learn(self, entries: Iterable[bytes]) -> None:
        """A known key may say in the log which one follows it; that is so whether or not the log is this one."""
        known = self._keys[0]
        for _, message in rotation_entries(iter(entries)):
            with contextlib.suppress(BadInput):
                rotation = open_rotation(message)
                if rotation.unit == self._origin and rotation.old == self._keys[0] and rotation.new not in self._keys:
                    self._keys.insert(0, rotation.new)
                    self._rotated = None
        if self._keys[0] != known:  # what came before its turn may go on from there
            for number in sorted(self._pending):
                self._learn(self._pending[number])

    @property
    def _whole(self) -> int:
        """Whole bundles in the copy."""
        return self._builder.size // WIDTH

    def _take_bundle(self, number: int, payload: bytes) -> None:
        entries = _bundle(payload, f"bundle {number}")
        if number < self._whole or number in self._pending or number >= self._whole + 1000 * MAX_PENDING:
            return
        if len(self._pending) >= MAX_PENDING and number < (farthest := max(self._pending)):
            del self._pending[farthest]  # whoever sent it: what comes next in the copy has its place
            (self._folder / "pending" / f"{farthest:012}").unlink(missing_ok=True)
        if len(self._pending) >= MAX_PENDING:
            raise LogDamaged(
                f"bundle {number}",
                expected=f"at most {MAX_PENDING} bundles beyond the copy",
                got="more",
                remedy=f"bundle {self._whole} is missing: begin with a copy made by `dtpr-agent log export`",
            )
        self._store(self._folder / "pending" / f"{number:012}", payload)
        self._pending[number] = entries
        self._learn(entries)

    def _grow(self) -> Grown | None:
        """Confirm what the largest checkpoint within reach signs."""
        reach = self._whole
        while reach in self._pending:
            reach += 1
        sizes = [size for size in self._notes if self._builder.size < size <= reach * WIDTH]
        if not sizes:
            return None
        note = self._notes[max(sizes)]
        checkpoint = decode_checkpoint(note)
        head = copy.deepcopy(self._head)
        for entry in self._beyond(checkpoint.size):
            head.append(entry)
        if head.root() != checkpoint.root:
            bad = range(self._whole, reach)
            for number in bad:
                del self._pending[number]
                (self._folder / "pending" / f"{number:012}").unlink(missing_ok=True)
            raise LogDamaged(
                f"bundles {bad.start} to {bad.stop - 1}",
                expected=f"the root that the unit signed over {checkpoint.size} entries",
                got="other entries",
                remedy="somebody else may have sent them; continue with a copy made by `dtpr-agent log export`",
            )
        return self._confirm(note, checkpoint)

    def _beyond(self, size: int) -> Iterator[bytes]:
        """The entries after the copy's whole bundles, up to `size`."""
        for number in range(self._whole, -(-size // WIDTH)):
            yield from self._pending[number][: size - number * WIDTH]

    def _confirm(self, note: bytes, checkpoint: Checkpoint) -> Grown:
        before = self.checkpoint.size if self.checkpoint is not None else 0
        builder, whole = TileBuilder(self._builder.size, self._builder.rows), self._whole
        head = copy.deepcopy(self._head)
        for number in range(whole, checkpoint.size // WIDTH):
            for entry in self._pending[number]:
                head.append(entry)
                for tile, content in builder.append(entry):
                    self._store(self._folder / tile.path, content)
            self._store(self._folder / Tile(None, number).path, encode_bundle(self._pending[number]))
        last = TileBuilder(builder.size, builder.rows)
        rest = checkpoint.size % WIDTH
        if rest:
            entries = self._pending[checkpoint.size // WIDTH][:rest]
            self._store(self._folder / Tile(None, checkpoint.size // WIDTH, rest).path, encode_bundle(entries))
            for entry in entries:
                last.append(entry)
        for tile, content in last.partial():
            self._store(self._folder / tile.path, content)
        self._store(self._folder / CHECKPOINT, note)
        kept = {*bundles_of(checkpoint.size), *hash_tiles_of(checkpoint.size)}
        for tile in {*bundles_of(before), *hash_tiles_of(before)} - kept:
            (self._folder / tile.path).unlink(missing_ok=True)
        self._head, self._builder, self.checkpoint = head, builder, checkpoint
        for number in range(whole, self._whole):
            del self._pending[number]
            (self._folder / "pending" / f"{number:012}").unlink(missing_ok=True)
        self._notes = {size: kept_note for size, kept_note in self._notes.items() if size > checkpoint.size}
        return Grown(checkpoint, before)

    def _continue(self) -> None:
        """Go on with the copy in the folder, which must be this unit's and whole from its first bundle on."""
        note = read_regular(self._folder / CHECKPOINT, MAX_NOTE_BYTES)
        try:
            copies = Copies(self._folder, decode_checkpoint(note).size)
            self._learn(copies.unproved())
            checkpoint = self._opened(note)
        except (EncodingError, SignatureError) as bad:
            raise LogDamaged(
                str(self._folder / CHECKPOINT), expected=f"a checkpoint signed by {self._origin}", got=str(bad)
            ) from None
        whole, tail = checkpoint.size // WIDTH * WIDTH, TreeHead()
        self._head, self._builder = copies.head(), TileBuilder(copies.begin, copies.rows)
        for number, entry in enumerate(copies.entries(), copies.begin):
            if number == whole:
                tail = copy.deepcopy(self._head)
            if number < whole:
                self._head.append(entry)
                self._builder.append(entry)
            else:
                tail.append(entry)
        if (tail if checkpoint.size > whole else self._head).root() != checkpoint.root:
            raise LogDamaged(str(self._folder), expected="the entries that its checkpoint signs", got="others")
        self.checkpoint, self._log = checkpoint, checkpoint.origin

    def _thin(self) -> None:
        """Keep of the checkpoints the newest within each bundle: the smaller ones would be replaced by it."""
        newest: dict[int, int] = {}
        for size in sorted(self._notes):
            newest[-(-size // WIDTH)] = size
        self._notes = {size: self._notes[size] for size in list(newest.values())[:MAX_PENDING]}

    def _forked(self, checkpoint: Checkpoint) -> LogDamaged:
        return LogDamaged(
            f"checkpoint of {checkpoint.size} entries",
            expected="the root that the unit signed before",
            got=f"another: {checkpoint.root.hex()[:16]}…",
            remedy="keep both: the unit has shown two histories; `dtpr-agent audit --checkpoint` shows it",
        )

    def _store(self, path: Path, content: bytes) -> None:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(path, content, durable=True)
        except OSError as bad:
            raise StorageUnavailable(str(path), why=bad.strerror or "an error", remedy="make room") from bad


def _joined(note: bytes, more: bytes) -> bytes:
    """The first with what the other has of signatures besides, as far as there is room: none of a witness goes for what somebody added."""
    text, _, lines = note.partition(b"\n\n")
    other, _, further = more.partition(b"\n\n")
    if other != text:  # with other words beside the root
        return max(note, more, key=len)
    known = lines.split(b"\n")
    for line in further.split(b"\n"):
        if line not in known and len(note) + len(line) < MAX_NOTE_BYTES:
            note += line + b"\n"
            known.append(line)
    return note


def _bundle(payload: bytes, where: str) -> tuple[bytes, ...]:
    if len(payload) > MAX_BUNDLE_BYTES:
        raise LogDamaged(where, expected=f"at most {MAX_BUNDLE_BYTES} bytes", got=str(len(payload)))
    try:
        return decode_bundle(payload, WIDTH)
    except EncodingError as bad:
        raise LogDamaged(where, expected=bad.expected, got=bad.got) from None


def _number(path: Path) -> int:
    if path.name.isascii() and path.name.isdigit() and len(path.name) == 12:
        return int(path.name)
    raise LogDamaged(str(path), expected="a bundle's number", got="another name")
