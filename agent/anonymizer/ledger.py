"""What the release log says so far: policy in force, notice served, last window of each stream, budget. Pure.

Invariant: a Ledger is a function of the log's entries alone, in order (DESIGN.md I4); a window that is in it is never released
again (I5).
"""

from collections.abc import Iterable, Iterator
from copy import copy
from fractions import Fraction

from agent.anonymizer.budget import Budget, terms_of
from agent.contracts.log import Charge, Entry, Gap, NoticeServed, PolicyTaken, Release
from agent.errors import LogDamaged, WindowReleased
from agent.policy.compile import decompile_policy
from agent.policy.enforcement import count_privacy
from agent.policy.model import Policy


class Ledger:
    """The fold of a release log."""

    def __init__(self, entries: Iterable[Entry] = ()) -> None:
        self.size = 0
        self.releases = 0
        self.policy: Policy | None = None
        self.disclosure_digest = b""
        self.budget = Budget()
        self._notice_s: dict[bytes, int] = {}
        self._last_end: dict[str, int] = {}
        for entry in entries:
            self.fold(entry)

    def copy(self) -> "Ledger":
        """The same state, to be folded on independently; its size does not grow with the log's."""
        same = copy(self)
        same.budget = self.budget.copy()
        same._notice_s = dict(self._notice_s)
        same._last_end = dict(self._last_end)
        return same

    @property
    def last_logged_end(self) -> int:
        """End (Unix seconds) of the newest window logged for any stream; 0 for none."""
        return max(self._last_end.values(), default=0)

    def last_end(self, stream: str) -> int | None:
        """End of the last window logged for `stream`."""
        return self._last_end.get(stream)

    def notice_s(self, digest: bytes) -> int:
        """Seconds of notice logged for a disclosure since the last policy was taken."""
        return self._notice_s.get(digest, 0)

    def charge_of(self, stream: str) -> Charge:
        """What a window of `stream` costs at the rate of the policy in force; nothing before the first policy."""
        for known in self.policy.streams if self.policy else ():
            if known.name == stream:
                return Charge(count_privacy(known).charge)
        return Charge(Fraction(0))

    def lost(self, now_s: int) -> Iterator[Gap]:
        """What a start at `now_s` (Unix seconds) owes: every whole window since the last logged one of each stream of the policy in
        force, in its window length and at its charge, whatever policy comes next.
        """
        for stream in self.policy.streams if self.policy else ():
            last = self.last_end(stream.name)
            if last is None:
                continue
            first = -(-last // stream.window_s) * stream.window_s
            count = (now_s - first) // stream.window_s
            if count > 0:
                yield Gap(stream.name, first, stream.window_s, count, self.charge_of(stream.name))

    def require_unreleased(self, stream: str, start: int) -> None:
        """Raise WindowReleased when a window of `stream` from `start` on, or a later one, is already logged."""
        last = self._last_end.get(stream)
        if last is not None and start < last:
            raise WindowReleased(f"stream {stream}: the window from {start} on is released, or its time has passed")

    def fold(self, entry: Entry) -> None:
        """Add the next entry; raise LogDamaged when it cannot follow those before it."""
        match entry:
            case PolicyTaken():
                self.policy = decompile_policy(entry.policy)
                self.disclosure_digest = entry.disclosure_digest
                self._notice_s.clear()
                self.budget.change_terms(entry.at, terms_of(self.policy))
            case NoticeServed():
                self._notice_s[entry.disclosure_digest] = entry.seconds
            case Release():
                self._window(entry.stream, entry.window_start, entry.window_s, entry.charge, 1)
                self.releases += 1
            case Gap():
                self._window(entry.stream, entry.first_start, entry.window_s, entry.charge, entry.count)
        self.size += 1

    def _window(self, stream: str, start: int, window_s: int, charge: Charge | None, count: int) -> None:
        last = self._last_end.get(stream)
        if window_s < 1 or count < 1 or (last is not None and start < last):
            raise LogDamaged(
                f"log entry {self.size}",
                expected="windows of a stream in order, each once",
                got="one again or out of order",
            )
        if charge is not None and charge.rho:
            if self.policy is None:
                raise LogDamaged(f"log entry {self.size}", expected="a policy before the first charge", got="none")
            self.budget.charge(stream, start, window_s, charge.rho, count)
        self._last_end[stream] = start + count * window_s
