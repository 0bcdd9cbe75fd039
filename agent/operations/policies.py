"""Which policy holds when, by the log: offers, notice, takings, stop orders and trust roots, and what in them cannot be (OP-25). Pure.

Written from the specification; of the unit's code only the decoders and the order of policies (what is stricter) are shared.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from math import lcm

from agent.contracts.aggregate import END_START
from agent.contracts.log import Decision, GovernanceTaken, NoticeServed, PolicyOffered, PolicyTaken, StopTaken
from agent.errors import BadInput, DtprError
from agent.operations.dues import Span, owed, strength
from agent.operations.findings import Findings, Kind
from agent.policy.adopt import notice_owed
from agent.policy.compile import decompile_policy
from agent.policy.governance import TrustRoot, decompile_governance
from agent.policy.model import Policy, Stream
from agent.policy.signed import read_signed, verify_governance, verify_policy, verify_stop
from agent.policy.stop import StopOrder, decompile_stop
from agent.policy.values import DAY_S
from agent.policy.words import day_words

Verify = Callable[[TrustRoot], object]

CLOCK_SLACK_S = 900
"""Notice is accumulated by boot time and logged every 900 s (AN-22): a clock corrected backwards in between has served more than UTC shows."""

NEVER = 1 << 62

OF_NOTICE = frozenset({Kind.WITHOUT_NOTICE, Kind.IMPOSSIBLE_NOTICE})
OF_TAKING = OF_NOTICE | {Kind.NOT_OFFERED, Kind.WRONG_BEGINNING}


@dataclass(frozen=True, slots=True)
class Rule:
    """A policy in force for windows that start at `effective` or later."""

    policy: Policy
    disclosure_digest: bytes
    effective: int
    streams: dict[str, Stream]


@dataclass(slots=True)
class _OnNotice:
    policy: Policy
    compiled: bytes
    message: bytes
    disclosure_digest: bytes
    offered_at: int
    served_s: int = 0


Governing = PolicyOffered | NoticeServed | PolicyTaken | StopTaken | GovernanceTaken


class Policies:
    """Folds what governance did to the unit `origin` (city, site, unit). With a trust `root`, signatures are verified under it and its
    successors. Every method raises BadInput for an entry whose message cannot be read.

    `settled` is the instant from which on windows can be held against what governance decided: later than 0 only after a `restore`.
    """

    def __init__(self, origin: tuple[str, ...], root: TrustRoot | None, findings: Findings) -> None:
        self.rules: list[Rule] = []
        self.events: list[tuple[int, str]] = []
        self.disclosures: dict[bytes, bytes] = {}
        """Digest -> the compiled policy that is disclosed under it."""
        self.stop_above: int | None = None
        self.settled = 0
        self._unjudged: frozenset[Kind] = frozenset()
        self._origin = origin
        self._root = root
        self._findings = findings
        self._where = ""
        self._upcoming: _OnNotice | None = None
        self._highest = 0
        self.newest_at = 0
        self.together = 0
        """How many policies that had ended still counted when one began, at most."""

    def fold(self, entry: Governing, where: str) -> None:
        """Judge the next entry of governance; `where` names it."""
        self._where = where
        self._at(entry.at)
        match entry:
            case PolicyOffered():
                self._offered(entry)
            case NoticeServed():
                self._notice(entry)
            case PolicyTaken():
                self._taken(entry)
            case StopTaken():
                self._stop(entry)
            case GovernanceTaken():
                self._governance(entry)

    def restore(self, known: Iterable[tuple[int, Decision]], *, whole: bool, served_s: int, newest_at: int) -> None:
        """Take up what governance decided before the entries that are folded: all of it (`whole`), or the last of it without a hole. Of what came between
        these entries, notice and windows, nothing is known but that `served_s` seconds are served, up to `newest_at` (Unix seconds).

        Where something is unknown, so is who may sign; and a window is judged only a whole period after the first policy that is known.
        """
        self._unjudged = OF_NOTICE if whole else frozenset(Kind)
        if not whole:
            self._root = None
        for index, entry in known:
            try:
                self.fold(entry, f"entry {index}")
            except BadInput as bad:
                self._findings.add(Kind.MALFORMED, f"entry {index}", str(bad)[:200])
        if self._upcoming is not None:
            self._upcoming.served_s = served_s
        self.newest_at = max(self.newest_at, newest_at)
        self._unjudged = frozenset()
        if not whole and not self.rules:
            self.settled, self._unjudged = NEVER, OF_TAKING
        elif not whole:
            self.settled = self.rules[0].effective + DAY_S

    @property
    def served_s(self) -> int:
        """Seconds of notice served by the policy that is on notice; 0 without one."""
        return self._upcoming.served_s if self._upcoming is not None else 0

    def in_force(self, start: int) -> int | None:
        """The number of the rule for a window that starts at `start`; None when there is none."""
        for number in range(len(self.rules) - 1, -1, -1):
            if self.rules[number].effective <= start:
                return number
        return None

    def stopped(self, number: int) -> bool:
        """Does a stop order hold that the rule's policy does not lift?"""
        return self.stop_above is not None and self.rules[number].policy.version <= self.stop_above

    def strength(self, number: int, stream: Stream, start: int) -> Span | None:
        """Of the noise that a window of `stream` draws under rule `number`, by AN-34: the stream's own, or what is owed for a policy that ended
        less than a period ago, whichever is stronger. None: nothing can stand for that, and the window has no numbers."""
        strongest = strength(stream)
        for older, until in self._ended(number):
            for each in older.streams if start < until else ():
                if each.name == stream.name or each.channel == stream.channel:
                    least = owed(stream, each)
                    if least is None:
                        return None
                    strongest = Span(max(strongest.low, least.low), max(strongest.high, least.high))
        return strongest

    def changes(self, number: int, low: int, high: int) -> list[int]:
        """Instants after `low` and up to `high` at which what is owed for an older policy ends, under rule `number`."""
        return [until for _, until in self._ended(number) if low < until <= high]

    def _ended(self, number: int) -> Iterator[tuple[Policy, int]]:
        """The policies before rule `number`, and until when each still counts: the longer of its period and the present one's."""
        present = self.rules[number].policy
        for old in range(number):
            older = self.rules[old].policy
            yield older, self.rules[old + 1].effective + max(older.period_s, present.period_s)

    def _offered(self, entry: PolicyOffered) -> None:
        _, compiled = read_signed(entry.message)
        policy = decompile_policy(compiled)
        where = f"policy version {policy.version}"
        self._signed(where, lambda root: verify_policy(entry.message, root, entry.at))
        if (policy.unit.city, policy.unit.site, policy.unit.name) != self._origin:
            self._find(Kind.OTHER_UNIT, f"{where} is for {policy.unit.city}/{policy.unit.site}/{policy.unit.name}")
        worded_anew = any(
            policy == known for known in (self._upcoming and self._upcoming.policy, self._latest) if known
        )
        if policy.version <= self._highest and not worded_anew:
            self._find(Kind.VERSION_BACK, f"{where} after version {self._highest}")
        if policy.expires <= entry.at:
            self._find(Kind.AFTER_EXPIRY, f"{where} was offered after it had expired")
        self._highest = max(self._highest, policy.version)
        self._upcoming = _OnNotice(policy, compiled, entry.message, entry.disclosure_digest, entry.at)
        self._disclosed(entry.disclosure_digest, compiled)
        self.events.append((entry.at, f"offered {where}"))

    def _notice(self, entry: NoticeServed) -> None:
        upcoming = self._upcoming
        if upcoming is None or upcoming.disclosure_digest != entry.disclosure_digest:
            self._find(Kind.IMPOSSIBLE_NOTICE, "notice served for a disclosure that is not on notice")
            return
        if not upcoming.served_s <= entry.seconds <= entry.at - upcoming.offered_at + CLOCK_SLACK_S:
            passed = entry.at - upcoming.offered_at
            self._find(
                Kind.IMPOSSIBLE_NOTICE,
                f"{entry.seconds} s served {passed} s after the offer, {upcoming.served_s} s before",
            )
        upcoming.served_s = entry.seconds

    def _taken(self, entry: PolicyTaken) -> None:
        upcoming, self._upcoming = self._upcoming, None
        policy = decompile_policy(entry.policy)
        where = f"policy version {policy.version}"
        if upcoming is None or (upcoming.compiled, upcoming.disclosure_digest) != (
            entry.policy,
            entry.disclosure_digest,
        ):
            self._find(Kind.NOT_OFFERED, f"{where} was not on notice")
        else:
            owed = notice_owed(self._latest, policy)
            if upcoming.served_s < owed:
                self._find(Kind.WITHOUT_NOTICE, f"{where} owed {owed} s on air and had {upcoming.served_s} s")
        self._begins(policy, entry)
        self.rules.append(Rule(policy, entry.disclosure_digest, entry.effective, {s.name: s for s in policy.streams}))
        ended = sum(until > entry.effective for _, until in self._ended(len(self.rules) - 1))
        self.together = max(self.together, ended)
        if self.settled == NEVER:
            self.settled, self._unjudged = entry.effective + DAY_S, frozenset()
        self._disclosed(entry.disclosure_digest, entry.policy)
        self.events.append((entry.at, f"took {where}, in force from {_utc(entry.effective)}"))

    def _disclosed(self, digest: bytes, compiled: bytes) -> None:
        """A digest is of one disclosure, which holds its policy."""
        if self.disclosures.setdefault(digest, compiled) != compiled:
            self._find(Kind.OTHER_DISCLOSURE, f"disclosure {digest.hex()[:16]}… was that of another policy before")

    def _begins(self, policy: Policy, entry: PolicyTaken) -> None:
        """AN-23: at the window in progress for a first policy, for any other at the next common boundary, not before its own date."""
        old = self.rules[-1] if self.rules else None
        stride = lcm(*(s.window_s for p in (policy, *([old.policy] if old else [])) for s in p.streams))
        low = entry.at - stride + 1 if old is None else max(entry.at, policy.effective, old.effective + 1)
        early = old is None and entry.at < policy.effective
        high = entry.at if old is None else max(low, entry.at) + stride
        if entry.effective % stride or not low <= entry.effective <= high or early or entry.at >= policy.expires:
            self._find(
                Kind.WRONG_BEGINNING,
                f"policy version {policy.version}, logged at {entry.at}, begins at {entry.effective}",
            )

    def _stop(self, entry: StopTaken) -> None:
        order = decompile_stop(read_signed(entry.message)[1])
        self._signed("stop order", lambda root: self._by(entry.by, verify_stop(entry.message, root, entry.at)))
        self.stop_above = self._highest
        self.events.append((entry.at, f"stopped by {', '.join(entry.by)}: {order.reason}"))

    def _by(self, by: tuple[str, ...], order: StopOrder) -> None:
        """Who stopped it, as the log says, are those who signed."""
        if sorted(by) != sorted(order.signers):
            self._find(Kind.UNSIGNED, f"stop order: by {', '.join(by)}, signed by {', '.join(order.signers)}"[:300])

    def _governance(self, entry: GovernanceTaken) -> None:
        root = decompile_governance(read_signed(entry.message)[1])
        self._signed(
            f"trust root version {root.version}", lambda current: verify_governance(entry.message, current, entry.at)
        )
        if self._root is not None:
            self._root = root
        if self._upcoming is not None:
            try:
                verify_policy(self._upcoming.message, root, entry.at)
            except BadInput:  # withdrawn: its signers no longer are enough
                self._upcoming = None
        self.events.append((entry.at, f"trust root version {root.version}"))

    def _signed(self, what: str, verify: Verify) -> None:
        if self._root is None:
            return
        try:
            verify(self._root)
        except DtprError as bad:
            self._find(Kind.UNSIGNED, f"{what}: {bad}"[:300])

    @property
    def _latest(self) -> Policy | None:
        return self.rules[-1].policy if self.rules else None

    def _at(self, at: int) -> None:
        if at < self.newest_at:
            self._find(Kind.CLOCK_BACK, f"dated {self.newest_at - at} s before an entry that precedes it")
        self.newest_at = max(self.newest_at, at)

    def _find(self, kind: Kind, words: str) -> None:
        if kind not in self._unjudged:
            self._findings.add(kind, self._where, words)


def _utc(at: int) -> str:
    """A log may claim any instant."""
    return day_words(at) if 0 <= at < END_START else str(at)
