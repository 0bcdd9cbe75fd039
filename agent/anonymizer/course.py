"""The course of policies as one process sees it: which is in force, which is shown, which is on notice and how far. Pure.

Invariant: what is shown first is in force, or is the first policy on its notice; a disclosure that this program words otherwise than the log
names it is never shown as the one that was on notice.
"""

from collections.abc import Callable

from agent.anonymizer.notice import Notice
from agent.contracts.log import Entry, NoticeServed, PolicyOffered, PolicyTaken
from agent.errors import BadInput
from agent.policy.adopt import Adoption, Taken, Upcoming, effective_from
from agent.policy.model import Policy


class Course:
    """`disclose` gives the disclosure digest of a policy. The adoption, a function of the log, is an argument everywhere."""

    def __init__(self, adoption: Adoption, disclose: Callable[[Policy], bytes]) -> None:
        self.notice: Notice | None = None
        self._disclose = disclose
        self._same: dict[bytes, bool] = {}
        self.follow(adoption)

    def follow(self, adoption: Adoption) -> None:
        """Another policy may be on notice."""
        upcoming = adoption.upcoming
        if upcoming is None:
            self.notice = None
        elif self.notice is None or self.notice.digest != upcoming.disclosure_digest:
            self.notice = Notice(upcoming)

    def in_force(self, adoption: Adoption, utc_s: int) -> Taken | None:
        """The policy in force at `utc_s`; None when there is none, or when it would be disclosed otherwise than it was on notice."""
        one = adoption.in_force(utc_s)
        return one if one is not None and self._is_disclosed_so(one) else None

    def disclosed(self, adoption: Adoption, utc_s: int) -> Taken | Upcoming | None:
        """What the beacon shows first."""
        return self.in_force(adoption, utc_s) or adoption.upcoming

    def beside(self, adoption: Adoption, utc_s: int) -> Taken | Upcoming | None:
        """What the beacon shows beside it: the policy taken that has not begun, else the one on notice."""
        shown = self.in_force(adoption, utc_s)
        if shown is None:
            return None
        after = [one for one in adoption.taken if one.effective > max(shown.effective, utc_s)]
        return after[0] if after else adoption.upcoming

    def due(self, adoption: Adoption, utc_s: int, *, on_air: bool) -> list[Entry]:
        """What to log: progress of the notice, and the taking when it is complete and the disclosure is `on_air` now."""
        upcoming, notice = adoption.upcoming, self.notice
        if upcoming is None or notice is None:
            return []
        effective = effective_from(adoption, notice.served_s, utc_s)
        taking = effective is not None and (on_air or upcoming.required_s == 0)
        served = notice.due(utc_s, taking=taking)
        entries: list[Entry] = [served] if served is not None else []
        if taking and effective is not None:
            entries.append(PolicyTaken(upcoming.compiled, upcoming.disclosure_digest, utc_s, effective))
        return entries

    def logged(self, entry: Entry, adoption: Adoption) -> None:
        """An entry is on the disk."""
        match entry:
            case NoticeServed() if self.notice is not None and self.notice.digest == entry.disclosure_digest:
                self.notice.logged(entry)
            case PolicyOffered() | PolicyTaken():
                self.follow(adoption)
            case _:
                pass

    def offer_again(self, adoption: Adoption, utc_s: int) -> PolicyOffered | None:
        """The policy whose disclosure this program words otherwise than the log names it: it owes its notice again. Raises PolicyError or
        DisclosureError when this program cannot disclose it at all."""
        known = adoption.upcoming or adoption.latest
        if known is None or self._is_disclosed_so(known):
            return None
        return PolicyOffered(known.message, self._disclose(known.policy), utc_s)

    def _is_disclosed_so(self, one: Taken | Upcoming) -> bool:
        if one.disclosure_digest not in self._same:
            try:
                self._same[one.disclosure_digest] = self._disclose(one.policy) == one.disclosure_digest
            except BadInput:  # this program cannot disclose it at all; `offer_again` says why
                self._same[one.disclosure_digest] = False
        return self._same[one.disclosure_digest]
