"""Notice: a policy comes into force only after its disclosure was on air for the policy's notice period. Pure.

Invariant: what has been served is what the log says plus what this process saw since; only time under a valid lease counts, and
only what is logged counts after a restart.
"""

from agent.contracts.log import Entry, NoticeServed, PolicyTaken

LOG_EVERY_S = 900
"""At most a quarter of an hour of notice is lost by a power cut."""

NS = 1_000_000_000


class Notice:
    """The notice of one disclosure that is configured, perhaps not yet in force."""

    def __init__(self, digest: bytes, policy: bytes, required_s: int, *, logged_s: int, taken: bool) -> None:
        self._digest = digest
        self._policy = policy
        self._required_s = required_s
        self._logged_s = logged_s
        self._served_ns = logged_s * NS
        self.taken = taken

    @property
    def remaining_s(self) -> int:
        """Seconds on air still owed, rounded up; 0 once in force."""
        return 0 if self.taken else max(0, -(-(self._required_s * NS - self._served_ns) // NS))

    def serve(self, ns: int) -> None:
        """The disclosure was on air under a valid lease for `ns` more nanoseconds."""
        if not self.taken:
            self._served_ns += ns

    def due(self, at: int, *, may_take: bool) -> list[Entry]:
        """Entries to log at `at` (Unix seconds): progress, and the taking itself when complete and nothing else forbids it."""
        if self.taken:
            return []
        served_s = self._served_ns // NS
        complete = served_s >= self._required_s
        entries: list[Entry] = []
        if served_s > self._logged_s and (served_s >= self._logged_s + LOG_EVERY_S or (complete and may_take)):
            entries.append(NoticeServed(self._digest, served_s, at))
        if complete and may_take:
            entries.append(PolicyTaken(self._policy, self._digest, at))
        return entries

    def logged(self, entry: Entry) -> None:
        """One of the `due` entries is on the disk."""
        match entry:
            case NoticeServed(seconds=seconds):
                self._logged_s = seconds
            case PolicyTaken():
                self.taken = True
            case _:
                pass
