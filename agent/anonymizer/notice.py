"""Notice: a policy comes into force only after its disclosure was on air for the notice it owes. Pure.

Invariant: what has been served is what the log says plus what this process saw since; only time under a valid lease counts, and
only what is logged counts after a restart.
"""

from agent.contracts.log import NoticeServed
from agent.policy.adopt import Upcoming

LOG_EVERY_S = 900
"""At most a quarter of an hour of notice is lost by a power cut."""

NS = 1_000_000_000


class Notice:
    """The notice of the policy that is upcoming."""

    def __init__(self, upcoming: Upcoming) -> None:
        self.digest = upcoming.disclosure_digest
        self._required_s = upcoming.required_s
        self._logged_s = upcoming.served_s
        self._served_ns = upcoming.served_s * NS

    @property
    def served_s(self) -> int:
        """Whole seconds on air so far."""
        return self._served_ns // NS

    @property
    def remaining_s(self) -> int:
        """Seconds on air still owed, rounded up."""
        return max(0, -(-(self._required_s * NS - self._served_ns) // NS))

    def serve(self, ns: int) -> None:
        """The disclosure was on air under a valid lease for `ns` more nanoseconds."""
        self._served_ns += ns

    def due(self, at: int, *, taking: bool) -> NoticeServed | None:
        """What to log at `at` (Unix seconds): progress of LOG_EVERY_S, or all of it when the policy is being taken."""
        if self.served_s > self._logged_s and (taking or self.served_s >= self._logged_s + LOG_EVERY_S):
            return NoticeServed(self.digest, self.served_s, at)
        return None

    def logged(self, entry: NoticeServed) -> None:
        """The entry that was `due` is on the disk."""
        self._logged_s = entry.seconds
