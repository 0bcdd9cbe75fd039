"""What a publisher and an auditor see of a release log: every window once, with the bytes it always had, charged, and within the cap.

Only published files are read: the log, its checkpoint, the public key and the policy that the log itself holds.
"""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

from agent.anonymizer.ledger import Ledger
from agent.contracts import aggregate
from agent.contracts.log import Charge, Entry, Gap, PolicyTaken, Release
from agent.contracts.log_file import RELEASES, iter_log, iter_records
from agent.errors import DtprError
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.operations.rotations import Course
from agent.policy.model import Policy
from agent.publisher.cursor import START, Cursor
from agent.publisher.follow import Follower
from agent.wire import cose, tlog
from tests.anonymizer.one_window import count_privacy

Window = tuple[str, int]


class Violation(AssertionError):
    """A promise of the log that does not hold."""


class Publisher:
    """Reads on whenever it is told, as the publisher does, and never forgets what it saw. `shown` None: a log that nobody writes now."""

    def __init__(self, folder: Path, shown: Path | None = None) -> None:
        self._folder = folder
        self._shown = shown
        self.seen: dict[Window, bytes] = {}
        self.reopen()

    def reopen(self) -> None:
        """From the first entry on, as one who comes new."""
        self._follower = Follower(self._folder, self._shown)
        self._cursor: Cursor = START

    def look(self) -> list[Entry]:
        """What has become visible since the last look; raise Violation for a window that was seen with other bytes."""
        found: list[Entry] = []
        try:
            while batch := list(self._follower.entries(self._cursor, 1000)):
                found += [logged.entry for logged in batch]
                self._cursor = batch[-1].cursor
        except DtprError as bad:
            raise Violation(f"a reader finds the log damaged: {bad}") from bad
        for release in (entry for entry in found if isinstance(entry, Release)):
            window = release.stream, release.window_start
            if self.seen.setdefault(window, release.encode()) != release.encode():
                raise Violation("a window was released twice with other bytes")
        return found


def audit(folder: Path, origin: str, public_key: bytes, seen: dict[Window, bytes]) -> list[Entry]:
    """Read all of a log from the beginning; raise Violation. `seen` is what was ever visible: all of it must be there."""
    newcomer = Publisher(folder)
    entries = newcomer.look()
    _require_checkpoint(folder, origin, public_key)
    windows: dict[Window, Release | Gap] = {}
    for number, entry in enumerate(entries):
        if not isinstance(entry, Release | Gap):
            continue
        first, count = (entry.window_start, 1) if isinstance(entry, Release) else (entry.first_start, entry.count)
        for start in range(first, first + count * entry.window_s, entry.window_s):
            if windows.setdefault((entry.stream, start), entry) is not entry:
                raise Violation("a window is in the log twice")
        if isinstance(entry, Release):
            _require_release(entry, number, public_key)
    for window, bytes_then in seen.items():
        held = windows.get(window)
        if not isinstance(held, Release) or held.encode() != bytes_then:
            raise Violation("a window that was visible is not in the log as it was")
    _require_no_hole(windows)
    _require_charges(entries)
    _require_gate(entries, origin, public_key)
    return entries


def _require_gate(entries: Sequence[Entry], origin: str, public_key: bytes) -> None:
    """What the log tells of the gate covers every Release (OP-50, OP-51), whatever the crash took."""
    findings = Findings()
    history = History(origin, Course(origin, (public_key,)), None, findings)
    for entry in entries:
        history.add(entry.encode())
    if accused := findings.kinds & {Kind.WHILE_CLOSED, Kind.GATE_UNTOLD, Kind.GATE_BACK}:
        raise Violation(f"an honest unit is accused of {', '.join(sorted(accused))}")


def whole_entries(releases: bytes) -> list[bytes]:
    """The entries that a disk holds whole from its beginning on: any of them may have been durable."""
    return [entry for _, entry in iter_records(releases)]


def _require_checkpoint(folder: Path, origin: str, public_key: bytes) -> None:
    """Every one in the log covers what is before it, and the last one all that is there."""
    head = tlog.TreeHead()
    covered = -1
    for record in iter_log((folder / RELEASES).read_bytes()):
        if not record.is_checkpoint:
            head.append(record.body)
            continue
        try:
            checkpoint = tlog.open_checkpoint(record.body, origin, public_key)
        except (DtprError, ValueError) as bad:
            raise Violation(f"a checkpoint does not verify: {bad}") from bad
        if (head.size, head.root()) != (checkpoint.size, checkpoint.root):
            raise Violation("a checkpoint covers other entries than the log has")
        covered = head.size
    if covered != head.size:
        raise Violation("the log has entries that no checkpoint covers")


def _require_release(release: Release, number: int, public_key: bytes) -> None:
    try:
        cose.verify1(release.signature, public_key, detached_payload=release.payload)
        pack = aggregate.decode(release.payload)
    except DtprError as bad:
        raise Violation(f"a Release does not verify: {bad}") from bad
    if (pack.log_index, pack.terms.disclosure_digest) != (number, release.disclosure_digest):
        raise Violation("a Release names another place or disclosure than its own")
    if release.charge is None or (pack.reason is None) != (release.charge.rho > 0):
        raise Violation("numbers without a charge")


def _require_no_hole(windows: dict[Window, Release | Gap]) -> None:
    for stream in {name for name, _ in windows}:
        starts = sorted(start for name, start in windows if name == stream)
        window_s = windows[stream, starts[0]].window_s
        if starts != list(range(starts[0], starts[-1] + 1, window_s)):
            raise Violation("a window is neither released nor charged as lost")


def _require_charges(entries: Sequence[Entry]) -> None:
    """The budget folded from the log is the worst case of the charges in it, at the rate of the policy, and within its cap."""
    try:
        ledger = Ledger(entries)
    except DtprError as bad:
        raise Violation(f"the log does not fold: {bad}") from bad
    if ledger.adoption.latest is None:
        return
    policy = ledger.adoption.latest.policy
    rates = {stream.name: count_privacy(stream).charge for stream in policy.streams}
    charges: dict[str, list[tuple[int, Fraction]]] = {name: [] for name in rates}
    taken = False
    for entry in entries:
        match entry:
            case Release(stream=stream, window_start=start, charge=Charge(rho)) if rho:
                charges[stream].append((start, rho))
            case Gap(stream=stream, charge=charge):
                rho = charge.rho if charge is not None else Fraction(0)
                if taken and rho != rates[stream]:
                    raise Violation("a lost window costs less than a released one")
                charges[stream] += [
                    (entry.first_start + i * entry.window_s, rho) for i in range(entry.count if rho else 0)
                ]
            case PolicyTaken():
                taken = True
            case _:
                pass
    if any(rho < rates[stream] for stream, charged in charges.items() for _, rho in charged):
        raise Violation("a window costs less than its noise is worth")
    if charged := [item for one in charges.values() for item in one]:
        _require_budget(ledger, policy, charges, max(at for at, _ in charged))


def _require_budget(
    ledger: Ledger, policy: Policy, charges: dict[str, list[tuple[int, Fraction]]], newest: int
) -> None:
    """PRIVACY.md 1.2 for c = 1: the m largest charges of the period that ends with the newest."""
    spent = Fraction(0)
    for stream in policy.streams:
        privacy = count_privacy(stream)
        if privacy.c != 1:
            raise Violation("the auditor's own sum is for c = 1")
        recent = [rho for at, rho in charges[stream.name] if newest - policy.period_s < at <= newest]
        spent += sum(sorted(recent, reverse=True)[: privacy.m], Fraction(0))
    if ledger.budget.spent(newest) != spent:
        raise Violation("the budget folded from the log is not the worst case of its charges")
    if spent > policy.cap_rho:
        raise Violation("more was spent than the cap allows")
