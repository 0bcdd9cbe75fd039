"""What a release log says happened, entry by entry, and everything in it that cannot be (OP-24 to OP-29 of SPEC.md). Pure.

Written from the specification, not from the unit's code: only the policy's own values, the decoders of public bytes and the order of policies
are shared. Invariant: an entry never ends the audit; what is wrong with it is a finding, and the next one is judged by what holds then.
"""

from collections import Counter

from agent.contracts import aggregate
from agent.contracts.log import MAX_ENTRY_BYTES, Carried, Entry, Gap, LogLost, Release, decode_entry, unit_path
from agent.errors import BadInput
from agent.operations.account import Account
from agent.operations.carried import CarriedStates
from agent.operations.findings import Findings, Kind
from agent.operations.layout import Layout, Pack, pack_of
from agent.operations.losses import Loss, loss_of
from agent.operations.numbers import Numbers
from agent.operations.policies import Policies
from agent.policy.governance import TrustRoot
from agent.wire import cbor
from agent.wire.detached import DetachedVerifier

MAX_LAYOUTS = 64
MAX_MISSING = 10_000
"""Windows known to be missing that are remembered, to tell one that comes too late from one that comes twice."""


class History:
    """Folds the log named `origin` of a unit. With a trust `root`, signatures of policies are verified under it and its successors."""

    def __init__(self, origin: str, public_key: bytes, root: TrustRoot | None, findings: Findings) -> None:
        self.size = 0
        self.windows: Counter[str] = Counter()
        self.newest_start: dict[str, int] = {}
        self.loss: Loss | None = None
        self._log = origin
        self._origin = tuple(unit_path(origin).split("/"))
        self.policies = Policies(self._origin, root, findings)
        self._key = public_key
        self._signature = DetachedVerifier(public_key)
        self._findings = findings
        self._account = Account()
        self._numbers = Numbers(self.policies, self._account, findings)
        self._states = CarriedStates(self.policies, self._account, findings)
        self._closed_rules = 0
        self._last_end: dict[str, int] = {}
        self._missing: set[tuple[str, int]] = set()
        self._layouts: dict[tuple[str, int], Layout] = {}

    def add(self, data: bytes) -> tuple[Release, Layout, Pack] | None:
        """Judge the next entry; returns it, read, when it is a Release."""
        entry: Entry | None = None
        try:
            entry = decode_entry(data)
            if not self.size:
                self.loss = loss_of(entry if isinstance(entry, LogLost) else None, self._log, self._key, self._findings)
            self._states.due(entry, self.size)
            match entry:
                case Release():
                    return entry, *self._release(entry)
                case Gap():
                    self._gap(entry)
                case Carried():
                    pass
                case LogLost():
                    if self.size:
                        self._find(Kind.MALFORMED, "a loss that is not the first entry")
                case _:
                    known = len(self.policies.rules)
                    self.policies.fold(entry, f"entry {self.size}")
                    for rule in self.policies.rules[known:]:
                        self._account.begin(rule.effective, rule.policy)
            return None
        except BadInput as bad:
            if entry is None:
                self._states.due(None, self.size)
            self._find(Kind.NULL_CHARGE if _uncharged(data) else Kind.MALFORMED, str(bad)[:200])
            return None
        finally:
            if entry is not None:
                self._states.see(entry, self.size)
            self.size += 1

    @property
    def newest(self) -> int:
        """The newest instant that the log speaks of."""
        return max(self.policies.newest_at, *self._last_end.values(), 0)

    def _find(self, kind: Kind, words: str) -> None:
        self._findings.add(kind, f"entry {self.size}", words)

    def _release(self, entry: Release) -> tuple[Layout, Pack]:
        number = self._place(entry.stream, entry.window_start, entry.window_s, 1)
        layout, pack = self._read(entry)
        said = layout.aggregate.terms
        if self._origin != (said.city, said.site, said.unit):
            self._find(Kind.OTHER_UNIT, f"a Release of {said.city}/{said.site}/{said.unit}")
        if pack.log_index != self.size:
            self._find(Kind.OUT_OF_PLACE, f"it says that it is entry {pack.log_index}")
        if (said.stream, pack.window_start, said.window_s) != (entry.stream, entry.window_start, entry.window_s):
            self._find(Kind.WRONG_SHAPE, "its payload is of another stream or window than the entry")
        if (
            self._signature.verify(entry.signature, entry.payload) is not True
        ):  # in the one form: a header could carry anything
            self._find(Kind.RELEASE_SIGNATURE, f"{len(entry.signature)} bytes, not this key's in the form of a Release")
        self.windows["complete" if pack.reason is None else str(pack.reason)] += 1
        if number is None:
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

    def _gap(self, entry: Gap) -> None:
        if entry.count < 1 or entry.window_s < 1 or entry.count > 10**9 or entry.window_s > 86_400:
            self._find(Kind.MALFORMED, "a Gap of no windows, or of more than there can be")
            return
        number = self._place(entry.stream, entry.first_start, entry.window_s, entry.count)
        self.windows["gap"] += entry.count
        if number is not None:
            end = entry.first_start + entry.count * entry.window_s
            repeated = self.loss is not None and end <= self.loss.until
            self._numbers.gap(entry, number, f"entry {self.size}", repeated=repeated)

    def _place(self, stream: str, start: int, window_s: int, count: int) -> int | None:
        """Does this window follow those before it? Returns the number of its rule, None when it has none that knows the stream."""
        number = self.policies.in_force(start)
        if number is not None and number > self._closed_rules:
            for old in range(self._closed_rules, number):
                self._close(old)
            self._closed_rules = number
        last = self._last_end.get(stream)
        self._last_end[stream] = max(start + count * window_s, last or 0)
        self.newest_start[stream] = max(start + (count - 1) * window_s, self.newest_start.get(stream, 0))
        known = self.policies.rules[number].streams.get(stream) if number is not None else None
        if number is None or known is None or (number < self._closed_rules and (last is None or start >= last)):
            self._find(Kind.POLICY_NOT_IN_FORCE, f"no policy in force has {stream} at {start}")
            return None
        if known.window_s != window_s or start % window_s:
            self._find(Kind.WRONG_SHAPE, f"{stream} at {start}: a window of {window_s} s, not {known.window_s} s")
            return None
        if last is not None and start < last:
            late = (stream, start) in self._missing
            self._missing.discard((stream, start))
            self._find(Kind.OUT_OF_ORDER if late else Kind.WINDOW_TWICE, f"{stream} at {start}")
            return number
        self._skipped(
            stream, max(self.policies.rules[number].effective, -(-(last or 0) // window_s) * window_s), start, window_s
        )
        return number

    def _skipped(self, stream: str, low: int, high: int, window_s: int) -> None:
        if low >= high:
            return
        self._find(Kind.GAP_HIDDEN, f"{stream}: {(high - low) // window_s} windows from {low} on")
        room = MAX_MISSING - len(self._missing)
        self._missing.update((stream, low + i * window_s) for i in range(min(room, (high - low) // window_s)))

    def _close(self, number: int) -> None:
        """The windows of a rule that has ended must all be there before the first of the next."""
        rule, end = self.policies.rules[number], self.policies.rules[number + 1].effective
        for stream in rule.policy.streams:
            last = max(rule.effective, self._last_end.get(stream.name, 0))
            self._skipped(stream.name, -(-last // stream.window_s) * stream.window_s, end, stream.window_s)

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
