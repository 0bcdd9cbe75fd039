"""What else is known of the windows before a loss, received or in a copy of the lost log, held against the log that follows: OP-59 of SPEC.md."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from agent.contracts.log import NOTHING, Decision, Entry, Gap, Release, decode_entry
from agent.errors import BadInput, LogDamaged
from agent.operations.copies import Copies
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.operations.losses import Loss, named_after
from agent.operations.received import Line, Seen, Window, signed_by
from agent.operations.repeated import Windows
from agent.wire.tlog import Checkpoint, leaf_hash


def short_of_received(
    before: Mapping[Window, Seen], size: int, history: History, ends: Mapping[str, int]
) -> dict[Window, str]:
    """Those of the windows received from `before` that the log accounts for by less than their numbers cost, or not at all, each with words. Of the lost log
    `size` entries were known to the unit; `ends` is up to where the windows of each stream are in entries that are not at hand."""
    found = {}
    for window, seen in before.items():
        if window.start < max(history.policies.settled, ends.get(window.stream, 0)):
            continue
        cost = history.costs(*window) or Windows(*window, 1, 1, None)
        if not seen.numbers and cost.charge is not None:
            cost = cost._replace(charge=NOTHING)
        words = next(_short(cost, seen.log_index < size, history), None)
        if words is not None:
            found[window] = words
    return found


def may_be_the_units(line: Line, keys: Sequence[bytes]) -> bool:
    """Was this verified, or signed by one of the unit's `keys`, as far as that was kept with it? Which key signed when in the lost log, this one does not say."""
    return line.verified is True or any(signed_by(line, key) is not False for key in keys)


def hold_decisions(loss: Loss, history: History, findings: Findings) -> None:
    """No decision of governance is lost (AN-64): as many are here as the unit said that there were."""
    here = sum(at <= loss.until for at, _ in history.decided)
    if here < loss.decided:
        words = f"{loss.decided} decisions of governance in the log before the loss, {here} of them here"
        findings.add(Kind.HIDDEN_BY_LOSS, "entry 0", words)


def hold_copy(folder: Path, head: Checkpoint, loss: Loss, history: History, findings: Findings) -> bool:
    """Hold the copy in `folder` of the lost log, or of one that this followed itself, entry by entry against the log of `history`. `head` is its checkpoint, which the
    unit signed. False when it is neither. Raises LogDamaged for a copy that is not what its checkpoint says."""
    copies = Copies(folder, head.size)
    if head.origin == loss.lost.origin:
        size, roots = loss.lost.size, {loss.lost.size: loss.lost.root.hex(), loss.kept: loss.root.hex()}
    else:
        size, root = named_after(loss.lost.origin) or (0, "")
        roots = {size: root}
        if not root or not _has(copies, size, root, untold=False):
            return False
    differing = [
        each for each, root in roots.items() if each <= head.size and not _has(copies, each, root, untold=True)
    ]
    tree, ends = copies.head(), dict[str, int]()
    decided = {leaf for _, leaf in history.decided}
    for data in copies.entries():
        where, known = f"{folder} entry {tree.size}", tree.size < size
        tree.append(data)
        entry = _read(data)
        if entry is None or differing:
            continue
        if isinstance(entry, Decision):
            if known and leaf_hash(data) not in decided:
                findings.add(Kind.HIDDEN_BY_LOSS, where, "a decision of governance that is not in the log that follows")
            continue
        before = _windows(entry)
        if before is None or before.start < ends.get(before.stream, 0):
            continue
        ends[before.stream] = before.end
        first = history.first_released.get(before.stream, before.end)
        if known and first < before.end:
            findings.add(Kind.WINDOW_TWICE, where, f"{before}, released from {first} on in the log that follows")
        for words in _short(before.until(first), known, history):
            findings.add(Kind.HIDDEN_BY_LOSS, where, words)
    if tree.root() != head.root:
        raise LogDamaged(str(folder), expected=f"{head.size} entries under the checkpoint's root", got="others")
    for each in differing:
        findings.add(Kind.FORKED_LOG, str(folder), f"another root for {each} entries than the loss says, or names")
    return True


def _short(before: Windows, known: bool, history: History) -> Iterator[str]:
    """Nothing where a log that has just begun has not come to these windows yet."""
    if history.first_released or before.start < history.repeated.reached(before.stream):
        yield from history.repeated.short(before, known=known)


def _has(copies: Copies, size: int, root: str, *, untold: bool) -> bool:
    """Do the first `size` entries have this root, in hex, or one that begins so? `untold` where no hash tiles are left to tell."""
    found = copies.root(size) if size <= copies.size else None
    return untold if found is None else found.hex().startswith(root)


def _read(data: bytes) -> Entry | None:
    """An entry of the lost log, whose own audit says what is wrong with it."""
    try:
        return decode_entry(data)
    except BadInput:
        return None


def _windows(entry: Entry) -> Windows | None:
    match entry:
        case Release(stream, start, window_s, _, _, charge, _):
            count = 1
        case Gap(stream, start, window_s, count, charge):
            pass
        case _:
            return None
    return Windows(stream, start, window_s, count, charge) if window_s > 0 and count > 0 else None
