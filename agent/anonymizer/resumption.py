"""Where a start may begin to read a release log: at the newest state that a bundle's first entry carries (AN-65, AN-66). Pure.

Invariant: nothing counts because the file of bundles says it. Its hashes, with the entries behind them, must be the tree of the log's last
checkpoint, which is signed and covers the state; what is read of an older bundle must have that bundle's hash.
"""

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from agent.anonymizer.extent import Bundle, Extent
from agent.contracts.carried import State
from agent.contracts.log import Carried, Decision, Entry, Release, decode_entry
from agent.contracts.log_file import Record, covered_bytes
from agent.errors import EncodingError, LogDamaged
from agent.wire.tiles import WIDTH
from agent.wire.tlog import Checkpoint, TreeHead

Records = Callable[[int], Iterator[Record]]
"""(offset) -> every whole record from there on."""

Verify = Callable[[bytes], Checkpoint]
"""A note's checkpoint; ValueError when it is not this log's, or not signed by this unit."""


@dataclass(frozen=True, slots=True)
class Resumption:
    """The entries in `bundles` came to `state`, and `named` are those that it names by their index: decisions and newest Releases."""

    bundles: tuple[Bundle, ...]
    state: State
    named: Mapping[int, Entry]

    @property
    def size(self) -> int:
        """How many entries need not be read."""
        return len(self.bundles) * WIDTH

    @property
    def at(self) -> int:
        """The byte from which on records are to be read."""
        return self.bundles[-1].end

    @property
    def extent(self) -> Extent:
        """How far the log goes there."""
        return Extent.resumed(self.bundles, self.state)


def resumption(bundles: Sequence[Bundle], records: Records, verify: Verify, oldest: int | None) -> Resumption | None:
    """The newest that leaves no more than `oldest` entries unread, so that the oldest checkpoint known of the log is held against it; None when
    there is none. Raises LogDamaged when these bundles are not this log's, or what is needed of them is damaged."""
    most = len(bundles) if oldest is None else min(len(bundles), oldest // WIDTH)
    for number in range(most, 0, -1):
        before = tuple(bundles[:number])
        carried = _carried(records(before[-1].end))
        if carried is None and number < len(bundles):
            raise _foreign(f"no state where bundle {number} should begin")
        if carried is not None and carried.state is not None and _is_covered(before, records, verify):
            return Resumption(before, carried.state, _named(before, carried.state, records))
    return None


def _carried(records: Iterator[Record]) -> Carried | None:
    """The next entry, if it is one that carries a state, or would."""
    for record in records:
        if not record.is_checkpoint:
            try:
                entry = decode_entry(record.body)
            except LogDamaged:
                return None
            return entry if isinstance(entry, Carried) else None
    return None


def _is_covered(bundles: Sequence[Bundle], records: Records, verify: Verify) -> bool:
    """Does the log's last checkpoint cover the entry after `bundles`? Raises LogDamaged when it is not over these bundles and what follows."""
    head = TreeHead.over([bundle.root for bundle in bundles], WIDTH)
    least = head.size
    last: tuple[bytes, tuple[int, bytes, int]] | None = None
    for record in records(bundles[-1].end):
        if record.is_checkpoint:
            last = record.body, (head.size, head.root(), record.start)
        else:
            head.append(record.body)
    if last is None or last[1][0] <= least:
        return False
    note, held = last
    try:
        checkpoint = verify(note)
        same = (checkpoint.size, checkpoint.root, covered_bytes(checkpoint)) == held
    except (EncodingError, ValueError):
        same = False
    if not same:
        raise _foreign("the last checkpoint is over other entries")
    return True


def _named(bundles: Sequence[Bundle], state: State, records: Records) -> dict[int, Entry]:
    """The entries that `state` names, by index."""
    newest = {each.release: each.stream for each in state.last if each.release >= 0}
    wanted: dict[int, set[int]] = defaultdict(set)
    for index in (*state.decisions, *newest):
        wanted[index // WIDTH].add(index)
    found: dict[int, Entry] = {}
    for number in sorted(wanted):
        if not 0 <= number < len(bundles):
            raise _foreign("a state names an entry that is not before it")
        found |= _entries(bundles, number, wanted[number], records)
    for index, entry in found.items():
        stream = newest.get(index)
        right = isinstance(entry, Decision) if stream is None else isinstance(entry, Release) and entry.stream == stream
        if not right:
            raise _foreign(f"a state names entry {index}, which is another")
    return found


def _entries(bundles: Sequence[Bundle], number: int, wanted: set[int], records: Records) -> dict[int, Entry]:
    """Some entries of a bundle, all of which has its hash."""
    found: dict[int, Entry] = {}
    head, end = TreeHead(), 0
    for record in records(bundles[number - 1].end if number else 0):
        if record.is_checkpoint:
            continue
        index = number * WIDTH + head.size
        if index in wanted:
            found[index] = decode_entry(record.body, f"log entry {index}")
        head.append(record.body)
        if head.size == WIDTH:
            end = record.end
            break
    if Bundle(end, head.root()) != bundles[number]:
        raise _foreign(f"bundle {number} is another, or damaged")
    return found


def _foreign(got: str) -> LogDamaged:
    return LogDamaged("bundles", expected="those of this log", got=got)
