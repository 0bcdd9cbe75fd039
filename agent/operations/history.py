"""What a release log says happened, entry by entry, and everything in it that cannot be (OP-24 to OP-29 of SPEC.md). Pure.

Written from the specification, not from the unit's code: only the policy's own values, the decoders of public bytes and the order of policies
are shared. Invariant: an entry never ends the audit; what is wrong with it is a finding, and the next one is judged by what holds then.
"""

from collections import Counter
from collections.abc import Mapping

from agent.contracts import aggregate
from agent.contracts.board_seen import BoardSeen
from agent.contracts.carried import State
from agent.contracts.gate_log import GateChanges
from agent.contracts.log import Carried, Charge, Decision, Entry, Gap, KeyRotated, LogLost, Release, decode_entry
from agent.contracts.log_file import AFTER, MAX_ENTRY_BYTES, unit_path
from agent.errors import BadInput
from agent.operations.account import Account
from agent.operations.carried import CarriedStates
from agent.operations.findings import Findings, Kind
from agent.operations.hardware import Hardware
from agent.operations.layout import Layout, Pack, pack_of
from agent.operations.losses import Loss, loss_of
from agent.operations.numbers import Numbers
from agent.operations.openings import Openings
from agent.operations.policies import Policies
from agent.operations.repeated import Repeated, Windows
from agent.operations.rotations import Course
from agent.operations.signatures import verify_ed25519
from agent.policy.governance import TrustRoot
from agent.policy.modes import CountPrivacy
from agent.wire import cbor
from agent.wire.detached import DetachedVerifier
from agent.wire.tlog import leaf_hash

MAX_LAYOUTS = 64
BATCH = 32
"""Entries within which a unit logs what ends at one instant: of each of 8 streams the last window, and Gaps of the old and the new policy."""

MAX_CHARGES = 16
"""Of a stream, remembered to make the entry of a Release that was received of before."""

MAX_POLICIES = 1000
"""One a week for twenty years; each window is held against those around it."""

MAX_TOGETHER = 32
"""Policies that ended less than a period ago; each window's noise and budget is held against them all."""

MAX_DECISIONS = 10_000
"""Of governance, and changes of the key: each is told."""

MAX_STREAMS = 256
"""Names: a policy has eight at most, and each window of one is held against what the others cost."""

MAX_COUNTERS = 32
"""Different lengths of running totals; what the noise of the longest comes to takes two seconds to work out."""

MAX_MISSING = 10_000
"""Windows known to be missing that are remembered, to tell one that comes too late from one that comes twice."""


class History:
    """Folds the log named `origin` of a unit, signed as its `course` says. With a trust `root`, signatures of policies are verified under it and its successors.

    `unjudged` counts windows before `policies.settled`: of them only signature, place and order are judged. `charges` are those of each stream
    that were seen after a `resume`. Of a log that follows a loss `repeated` are the Gaps before the first Releases, `decided` (Unix seconds, leaf hash) the decisions.
    """

    def __init__(self, origin: str, course: Course, root: TrustRoot | None, findings: Findings) -> None:
        self.size = 0
        self.windows: Counter[str] = Counter()
        self.unjudged = 0
        self.first_start: int | None = None
        self.charges: dict[str, set[Charge]] | None = None
        self.newest_start: dict[str, int] = {}
        self.first_released: dict[str, int] = {}
        self.loss: Loss | None = None
        self.repeated = Repeated()
        self.lost_until = 0
        self.decided: list[tuple[int, bytes]] = []
        self._counters: set[int] = set()
        self._repeated_until = 0
        self._log = origin
        self._origin = tuple(unit_path(origin).split("/"))
        self.policies = Policies(self._origin, root, findings)
        self._course = course
        self._by_key = Counter[bool]()
        self._signatures = {key: DetachedVerifier(key, verify_ed25519) for key in course.keys}
        self._findings = findings
        self._account = Account()
        self._numbers = Numbers(self.policies, self._account, findings)
        self._states = CarriedStates(self.policies, self._account, findings)
        self.openings = Openings(findings)
        self.hardware = Hardware()
        self._closed_rules = 0
        self._ended_rules = 0
        self._ending: dict[int, tuple[int, set[str]]] = {}
        self._last_end: dict[str, int] = {}
        self._missing: set[tuple[str, int]] = set()
        self._layouts: dict[tuple[str, int], Layout] = {}

    def resume(self, size: int, state: State, decisions: Mapping[int, Decision]) -> None:
        """Begin after the first `size` entries, which came to `state`; `decisions` are those of its decisions that are known, by index."""
        unknown = [index for index in state.decisions if index not in decisions]
        known = [(index, decisions[index]) for index in state.decisions if index > max(unknown, default=-1)]
        self.policies.restore(known, whole=not unknown, served_s=state.served, newest_at=state.newest_at)
        self.size = size
        self._last_end = {each.stream: each.end for each in state.last}
        self.newest_start = {each.stream: each.end - 1 for each in state.last}
        for rule in self.policies.rules:
            self._account.begin(rule.effective, rule.policy)
        self.charges = {each.stream: set() for each in state.last}
        for run in sorted(state.spent.recent, key=lambda run: run.start):
            self._account.charge(run.stream, run.start, run.rho, window_s=max(1, run.step), count=run.count)
            self.charges[run.stream].add(Charge(run.rho))
        for held in state.spent.periods:
            self.charges.setdefault(held.stream, set()).add(Charge(held.rho))
        if AFTER in self._log and not state.releases:
            self._repeated_until = state.lost_until
        self.lost_until = state.lost_until
        self._states.resume(state)
        self.openings = Openings(self._findings, whole=False)

    def add(self, data: bytes, *, given: bool = False) -> tuple[Release, Layout, Pack] | None:
        """Judge the next entry; returns it, read, when it is a Release. `given`: the state that `resume` took up, which is the unit's word."""
        if given:
            self.openings.bundle()
            self.size += 1
            return None
        entry: Entry | None = None
        try:
            entry = decode_entry(data)
            if not self.size:
                self.loss = loss_of(
                    entry if isinstance(entry, LogLost) else None, self._log, self._course.keys, self._findings
                )
                self.lost_until = self._repeated_until = self.loss.until if self.loss is not None else 0
            self._states.due(entry, self.size)
            match entry:
                case Release():
                    return entry, *self._release(entry)
                case Gap():
                    self._gap(entry)
                    self.openings.gap()
                case Carried():
                    self.openings.bundle()
                case GateChanges():
                    self.openings.fold(entry, f"entry {self.size}")
                case BoardSeen():
                    self.hardware.fold(entry)
                case KeyRotated():
                    self._rotated()
                case LogLost():
                    if self.size:
                        self._find(Kind.MALFORMED, "a loss that is not the first entry")
                case _:
                    if self.lost_until and isinstance(entry, Decision):
                        self.decided.append((entry.at, leaf_hash(data)))
                    known = len(self.policies.rules)
                    self.policies.fold(entry, f"entry {self.size}")
                    for rule in self.policies.rules[known:]:
                        self._account.begin(rule.effective, rule.policy)
                        self._counters |= {
                            each.privacy.totals
                            for each in rule.policy.streams
                            if isinstance(each.privacy, CountPrivacy)
                        }
            return None
        except BadInput as bad:
            if entry is None:
                self._states.due(None, self.size)
            self._find(Kind.NULL_CHARGE if _uncharged(data) else Kind.MALFORMED, str(bad)[:200])
            return None
        finally:
            if entry is not None:
                self._states.see(entry, self.size)
            if self._account.overfull:
                self._find(
                    Kind.MALFORMED, "with it more windows are charged than two periods have, or more differently"
                )
                self._account.overfull = False
            self.size += 1

    @property
    def beyond(self) -> str | None:
        """What no honest log has more of, in words, when this one has."""
        if len(self.policies.rules) > MAX_POLICIES or len(self.policies.disclosures) > MAX_POLICIES:
            return f"at most {MAX_POLICIES} policies in a unit's life"
        if self.policies.together > MAX_TOGETHER:
            return f"at most {MAX_TOGETHER} policies within a period"
        if len(self.policies.events) > MAX_DECISIONS:
            return f"at most {MAX_DECISIONS} decisions of governance in a unit's life"
        if len(self.newest_start) > MAX_STREAMS:
            return f"at most {MAX_STREAMS} streams in a unit's life"
        if len(self._counters) > MAX_COUNTERS:
            return f"running totals of at most {MAX_COUNTERS} lengths in a unit's life"
        return self.repeated.beyond

    @property
    def newest(self) -> int:
        """The newest instant that the log speaks of."""
        return max(self.policies.newest_at, *self._last_end.values(), 0)

    def costs(self, stream: str, start: int) -> Windows | None:
        """A window of `stream`, charged the least that numbers of it can have cost; None where no policy known had it."""
        number = self.policies.in_force(start)
        known = self.policies.rules[number].streams.get(stream) if number is not None else None
        if number is None or known is None or start < self.policies.settled:
            return None
        owed = self._numbers.owed(number, known, start)
        return Windows(stream, start, known.window_s, 1, None if owed is None else Charge(owed.low))

    def _find(self, kind: Kind, words: str) -> None:
        self._findings.add(kind, f"entry {self.size}", words)

    def _release(self, entry: Release) -> tuple[Layout, Pack]:
        self._repeated_until = 0  # windows of the log before come first
        self.first_released.setdefault(entry.stream, entry.window_start)
        number = self._place(entry.stream, entry.window_start, entry.window_s, 1)
        layout, pack = self._read(entry)
        said = layout.aggregate.terms
        if self._origin != (said.city, said.site, said.unit):
            self._find(Kind.OTHER_UNIT, f"a Release of {said.city}/{said.site}/{said.unit}")
        if pack.log_index != self.size:
            self._find(Kind.OUT_OF_PLACE, f"it says that it is entry {pack.log_index}")
        if (said.stream, pack.window_start, said.window_s) != (entry.stream, entry.window_start, entry.window_s):
            self._find(Kind.WRONG_SHAPE, "its payload is of another stream or window than the entry")
        self._signed(entry)
        self.openings.release(entry, pack, f"entry {self.size}")
        self.windows["complete" if pack.reason is None else str(pack.reason)] += 1
        if (
            self.charges is not None
            and entry.charge is not None
            and len(self.charges.get(entry.stream, ())) < MAX_CHARGES
        ):
            self.charges.setdefault(entry.stream, set()).add(entry.charge)
        if number is None or entry.window_start < self.policies.settled:
            self._unsettled(entry.stream, entry.window_start, entry.window_s, 1, entry.charge)
            return layout, pack
        rule = self.policies.rules[number]
        if said.policy_version != rule.policy.version:
            self._find(
                Kind.POLICY_NOT_IN_FORCE,
                f"it names version {said.policy_version}; version {rule.policy.version} is in force",
            )
        elif not said.disclosure_digest == entry.disclosure_digest == rule.disclosure_digest:
            self._find(
                Kind.WRONG_DIGEST,
                f"it names {said.disclosure_digest.hex()[:16]}…, in force is {rule.disclosure_digest.hex()[:16]}…",
            )
        self._numbers.release(entry, layout.aggregate, pack, number, f"entry {self.size}")
        return layout, pack

    def _signed(self, entry: Release) -> None:
        """By the key whose turn it is."""
        turn = self._course.keys[self._course.number(self.size)]
        if self._signs(turn, entry):
            self._by_key[True] += 1
            return
        self._by_key[False] += 1
        number = self._course.signer(lambda key: self._signs(key, entry), self.size)
        if number is not None and self._course.given_up(number, self.size):
            self._find(Kind.KEY_ROTATION, "a Release signed with a key that was given up before it")
        else:
            self._find(Kind.RELEASE_SIGNATURE, f"{len(entry.signature)} bytes, not this key's in the form of a Release")

    def _signs(self, key: bytes, entry: Release) -> bool:
        """In the one form: a header could carry anything."""
        return self._signatures[key].verify(entry.signature, entry.payload) is True

    def _rotated(self) -> None:
        """Whether it fits with the others was judged when the copy was first read (`course_of`)."""
        rotation = self._course.rotations.get(self.size)
        if rotation is None:
            return
        if self._by_key[False] and not self._by_key[True]:
            self._find(Kind.KEY_ROTATION, "no Release before it is signed with the key that it gives up")
        self._by_key.clear()
        self.policies.events.append((rotation.at, f"signing key {rotation.old.hex()} gave way to {rotation.new.hex()}"))

    def _gap(self, entry: Gap) -> None:
        if entry.count < 1 or entry.window_s < 1 or entry.count > 10**9 or entry.window_s > 86_400:
            self._find(Kind.MALFORMED, "a Gap of no windows, or of more than there can be")
            return
        number = self._place(entry.stream, entry.first_start, entry.window_s, entry.count)
        if self.lost_until and entry.stream not in self.first_released:
            self.repeated.add(entry, self.size)
        self.windows["gap"] += entry.count
        if entry.first_start < self.policies.settled:
            self._unsettled(entry.stream, entry.first_start, entry.window_s, entry.count, entry.charge)
        elif number is not None:
            end = entry.first_start + entry.count * entry.window_s
            repeated = end <= self._repeated_until
            self._numbers.gap(entry, number, f"entry {self.size}", repeated=repeated)

    def _place(self, stream: str, start: int, window_s: int, count: int) -> int | None:
        """Does this window follow those before it? Returns the number of its rule, None when it has none that knows the stream."""
        number = self.policies.in_force(start)
        self._end_rules(number, stream)
        last = self._last_end.get(stream)
        self._last_end[stream] = max(start + count * window_s, last or 0)
        self.first_start = start if self.first_start is None else min(start, self.first_start)
        self.newest_start[stream] = max(start + (count - 1) * window_s, self.newest_start.get(stream, 0))
        if number is None and start < self.policies.settled:
            self._follows(stream, start, window_s, last)
            return None
        known = self.policies.rules[number].streams.get(stream) if number is not None else None
        if number is None or known is None or (number < self._closed_rules and (last is None or start >= last)):
            self._find(Kind.POLICY_NOT_IN_FORCE, f"no policy in force has {stream} at {start}")
            return None
        if known.window_s != window_s or start % window_s:
            self._find(Kind.WRONG_SHAPE, f"{stream} at {start}: a window of {window_s} s, not {known.window_s} s")
            return None
        if last is not None and start < last:
            self._again(stream, start)
            return number
        self._skipped(
            stream, max(self.policies.rules[number].effective, -(-(last or 0) // window_s) * window_s), start, window_s
        )
        return number

    def _follows(self, stream: str, start: int, window_s: int, last: int | None) -> None:
        """The same where no policy is known: windows follow one another, whatever they are."""
        if last is not None and start < last:
            self._again(stream, start)
        elif last is not None and window_s > 0:
            self._skipped(stream, -(-last // window_s) * window_s, start, window_s)

    def _again(self, stream: str, start: int) -> None:
        late = (stream, start) in self._missing
        self._missing.discard((stream, start))
        self._find(Kind.OUT_OF_ORDER if late else Kind.WINDOW_TWICE, f"{stream} at {start}")

    def _unsettled(self, stream: str, start: int, window_s: int, count: int, charge: Charge | None) -> None:
        """A window that no known policy is held against; what it is charged counts for those after it."""
        if start >= self.policies.settled:
            return  # no policy had it: found
        self.unjudged += count
        if charge is not None:
            self._account.charge(stream, start, charge.rho, window_s=window_s, count=count)

    def _skipped(self, stream: str, low: int, high: int, window_s: int) -> None:
        if low >= high:
            return
        self._find(Kind.GAP_HIDDEN, f"{stream}: {(high - low) // window_s} windows from {low} on")
        room = MAX_MISSING - len(self._missing)
        self._missing.update((stream, low + i * window_s) for i in range(min(room, (high - low) // window_s)))

    def _end_rules(self, number: int | None, stream: str) -> None:
        """The windows of a rule that has ended must all be there: a stream's before its first of the next, those of others soon after it."""
        while self._ending and self._ending[min(self._ending)][0] <= self.size:
            old = min(self._ending)
            for name in self._ending.pop(old)[1]:
                self._close(old, name)
            self._closed_rules = old + 1
        if number is None:
            return
        for old in range(self._ended_rules, number):
            self._ending[old] = self.size + BATCH, {each.name for each in self.policies.rules[old].policy.streams}
        self._ended_rules = max(self._ended_rules, number)
        for old, (_, names) in self._ending.items():
            if old < number and stream in names:
                names.discard(stream)
                self._close(old, stream)

    def _close(self, number: int, name: str) -> None:
        rule, end = self.policies.rules[number], self.policies.rules[number + 1].effective
        window_s = rule.streams[name].window_s
        last = max(rule.effective, self._last_end.get(name, 0))
        self._skipped(name, -(-last // window_s) * window_s, end, window_s)

    def _read(self, entry: Release) -> tuple[Layout, Pack]:
        """Raises EncodingError for a payload that is none."""
        key = (entry.stream, len(entry.payload))
        layout = self._layouts.get(key)
        pack = layout.read(entry.payload) if layout is not None else None
        if layout is None or pack is None:
            said = aggregate.decode(entry.payload)
            if len(self._layouts) >= MAX_LAYOUTS:
                self._layouts.clear()
            layout = self._layouts[key] = Layout(entry.payload, said)
            pack = pack_of(said)
        return layout, pack


def _uncharged(data: bytes) -> bool:
    """Is it a Release but for its charge, which is null although its pack claims a guarantee? `decode_entry` reads no such entry."""
    try:
        item = cbor.decode(data, max_bytes=MAX_ENTRY_BYTES)
        charged = {**item, 6: [0, 1]} if isinstance(item, dict) and item.get(6, 0) is None else None
        return charged is not None and isinstance(decode_entry(cbor.encode(charged)), Release)
    except BadInput:
        return False
