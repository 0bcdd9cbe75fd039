"""Where each policy stands: offered, on notice, in force, expired or superseded; stop orders; the trust root. Pure.

Invariant: a `Adoption` is a function of the log's entries alone, in order, so a kill at any instant changes nothing in it. A policy gets into
the log only through `judge_policy` (signed by enough, this unit's, higher than any seen, within its dates, enforceable) and into force only by a
PolicyTaken at `effective_from`: after its notice on air, or at once when it is stricter in everything (I3, I7).
"""

from dataclasses import dataclass, replace
from math import lcm

from agent.contracts.log import Entry, GovernanceTaken, NoticeServed, PolicyOffered, PolicyTaken, StopTaken
from agent.errors import BadInput, LogDamaged
from agent.policy.compile import decompile_policy
from agent.policy.governance import TrustRoot, decompile_governance
from agent.policy.model import Policy, Unit
from agent.policy.order import compare
from agent.policy.signed import read_signed, verify_policy
from agent.policy.stop import decompile_stop
from agent.wire.sha256 import sha256


@dataclass(frozen=True, slots=True)
class Taken:
    """A policy in force for every window that starts at `effective` (Unix seconds) or later, until the next one's."""

    policy: Policy
    message: bytes
    disclosure_digest: bytes
    effective: int


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A policy on notice: `served_s` of `required_s` seconds on air are logged."""

    policy: Policy
    compiled: bytes
    message: bytes
    disclosure_digest: bytes
    offered_at: int
    required_s: int
    served_s: int = 0


@dataclass(frozen=True, slots=True)
class Stop:
    """A stop order in force since `at`. Only a policy of a version higher than `above`, none of which was known then, lifts it."""

    reason: str
    by: tuple[str, ...]
    at: int
    above: int


@dataclass(frozen=True, slots=True)
class Adoption:
    """Everything that governance has decided so far. `seen` are digests of signed payloads, `newest_at` the newest logged instant."""

    taken: tuple[Taken, ...] = ()
    upcoming: Upcoming | None = None
    stop: Stop | None = None
    root: TrustRoot | None = None
    seen: frozenset[bytes] = frozenset()
    highest: int = 0
    newest_at: int = 0

    @property
    def latest(self) -> Taken | None:
        """The policy taken last; it may not have begun yet."""
        return self.taken[-1] if self.taken else None

    @property
    def unit(self) -> Unit | None:
        """Whose log this is; None before the first policy."""
        known = self.latest or self.upcoming
        return known.policy.unit if known else None

    def in_force(self, utc_s: int) -> Taken | None:
        """The policy for a window that starts at `utc_s`; before the first one's beginning the first."""
        for one in reversed(self.taken):
            if one.effective <= utc_s:
                return one
        return self.taken[0] if self.taken else None

    def ends(self, one: Taken) -> int | None:
        """When the next policy begins after `one`; None when none does."""
        after = [other.effective for other in self.taken if other.effective > one.effective]
        return min(after, default=None)

    def stopped(self, utc_s: int) -> Stop | None:
        """The stop order in force at `utc_s`."""
        holds = self.in_force(utc_s)
        lifted = self.stop is not None and holds is not None and holds.policy.version > self.stop.above
        return None if lifted else self.stop

    def trust_root(self, installed: TrustRoot) -> TrustRoot:
        """The trust root in force: the one installed, or a later version that was taken."""
        return self.root if self.root is not None and self.root.version > installed.version else installed


def fold(adoption: Adoption, entry: Entry) -> Adoption:
    """Add the next entry; raise LogDamaged or PolicyError for one that no version of this function let in."""
    match entry:
        case PolicyOffered():
            return _offered(adoption, entry)
        case NoticeServed():
            upcoming = adoption.upcoming
            if upcoming is not None and upcoming.disclosure_digest == entry.disclosure_digest:
                adoption = replace(adoption, upcoming=replace(upcoming, served_s=entry.seconds))
            return _at(adoption, entry.at)
        case PolicyTaken():
            return _taken(adoption, entry)
        case StopTaken():
            order = decompile_stop(_payload(entry.message))
            stop = Stop(order.reason, entry.by, entry.at, adoption.highest)
            return _at(replace(adoption, stop=stop, seen=adoption.seen | {payload_digest(entry.message)}), entry.at)
        case GovernanceTaken():
            root = decompile_governance(_payload(entry.message))
            upcoming = _still_signed(adoption.upcoming, root, entry.at)
            return _at(replace(adoption, root=root, upcoming=upcoming), entry.at)
        case _:
            return adoption


def _offered(adoption: Adoption, entry: PolicyOffered) -> Adoption:
    compiled = _payload(entry.message)
    policy = decompile_policy(compiled)
    known = adoption.latest
    upcoming = Upcoming(
        policy=policy,
        compiled=compiled,
        message=entry.message,
        disclosure_digest=entry.disclosure_digest,
        offered_at=entry.at,
        required_s=notice_owed(known.policy if known else None, policy),
    )
    seen = adoption.seen | {payload_digest(entry.message)}
    highest = max(adoption.highest, policy.version)
    return _at(replace(adoption, upcoming=upcoming, seen=seen, highest=highest), entry.at)


def _taken(adoption: Adoption, entry: PolicyTaken) -> Adoption:
    upcoming = adoption.upcoming
    if upcoming is None or (upcoming.compiled, upcoming.disclosure_digest) != (entry.policy, entry.disclosure_digest):
        raise LogDamaged("log entry", expected="a policy taken that was offered before it", got="another policy")
    if adoption.latest is not None and entry.effective <= adoption.latest.effective:
        raise LogDamaged("log entry", expected="each policy to begin after the one before it", got="an earlier instant")
    one = Taken(upcoming.policy, upcoming.message, entry.disclosure_digest, entry.effective)
    return _at(replace(adoption, taken=(*adoption.taken, one), upcoming=None), entry.at)


def _still_signed(upcoming: Upcoming | None, root: TrustRoot, at: int) -> Upcoming | None:
    """What is on notice, unless the new root no longer counts enough of its signers."""
    try:
        if upcoming is not None:
            verify_policy(upcoming.message, root, at)
    except BadInput:
        return None
    return upcoming


def _at(adoption: Adoption, at: int) -> Adoption:
    return replace(adoption, newest_at=max(adoption.newest_at, at))


# --- when it takes effect ---------------------------------------------------------------------------------------------


def notice_owed(old: Policy | None, new: Policy) -> int:
    """Seconds on air before `new` may act: none when it is stricter than `old` in everything (the same, worded anew, is not)."""
    return new.notice_s if old is None or old == new else compare(old, new).wait_s


def effective_from(adoption: Adoption, served_s: int, now_s: int) -> int | None:
    """From when on the policy on notice is in force, if that can be said at `now_s`: its notice is complete and it is the next boundary.

    For a first policy the start of the window in progress, for any other the next instant at which a window of every stream begins,
    of the old policy and of the new. None: not yet, or never.
    """
    upcoming, latest = adoption.upcoming, adoption.latest
    if upcoming is None or served_s < upcoming.required_s or now_s >= upcoming.policy.expires:
        return None
    if latest is None:
        stride_s = boundary_s(upcoming.policy)
        return now_s // stride_s * stride_s if now_s >= upcoming.policy.effective else None
    stride_s = boundary_s(latest.policy, upcoming.policy)
    earliest = max(now_s + 1, upcoming.policy.effective, latest.effective + 1)
    at = -(-earliest // stride_s) * stride_s
    return at if at <= now_s + stride_s else None


def earliest_start(adoption: Adoption, served_s: int, now_s: int) -> int:
    """When the policy on notice can be in force at the earliest, if it stays on air from now on."""
    upcoming, latest = adoption.upcoming, adoption.latest
    assert upcoming is not None
    at = max(now_s + max(0, upcoming.required_s - served_s), upcoming.policy.effective)
    if latest is None:
        return at
    stride_s = boundary_s(latest.policy, upcoming.policy)
    return -(-at // stride_s) * stride_s


def boundary_s(*policies: Policy) -> int:
    """All windows of all these policies begin together every so many seconds; at most a day, since each divides a day."""
    return lcm(*(stream.window_s for policy in policies for stream in policy.streams))


def _payload(message: bytes) -> bytes:
    return read_signed(message)[1]


def payload_digest(message: bytes) -> bytes:
    """SHA-256 over what was signed, whoever signed it."""
    return sha256(_payload(message))
