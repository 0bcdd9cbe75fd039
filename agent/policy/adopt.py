"""Where each policy stands: offered, on notice, in force, expired or superseded; stop orders; the trust root. Pure.

Invariant: a `Standing` is a function of the log's entries alone, in order, so a kill at any instant changes nothing in it. A policy gets into
the log only through `judge_policy` (signed by enough, this unit's, higher than any seen, within its dates, enforceable) and into force only by a
PolicyTaken at `effective_from`: after its notice on air, or at once when it is stricter in everything (I3, I7).
"""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from math import lcm

from agent.contracts.log import (
    MAX_SIGNED_BYTES,
    Entry,
    GovernanceTaken,
    NoticeServed,
    PolicyOffered,
    PolicyTaken,
    StopTaken,
)
from agent.errors import LogDamaged, PolicyError
from agent.policy.compile import decompile_policy
from agent.policy.enforcement import enforceable
from agent.policy.governance import TrustRoot, decompile_governance
from agent.policy.model import Policy, Unit
from agent.policy.order import compare
from agent.policy.signed import SignedPolicy, StopOrder
from agent.policy.words import time_words
from agent.wire import cose

DAY_S = 86_400
"""Dates are days of a city; somewhere it is already tomorrow."""


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
class Standing:
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


def fold(standing: Standing, entry: Entry) -> Standing:
    """Add the next entry; raise LogDamaged or PolicyError for one that no version of this function let in."""
    match entry:
        case PolicyOffered():
            return _offered(standing, entry)
        case NoticeServed():
            upcoming = standing.upcoming
            if upcoming is not None and upcoming.disclosure_digest == entry.disclosure_digest:
                standing = replace(standing, upcoming=replace(upcoming, served_s=entry.seconds))
            return _at(standing, entry.at)
        case PolicyTaken():
            return _taken(standing, entry)
        case StopTaken():
            stop = Stop(entry.reason, entry.by, entry.at, standing.highest)
            return _at(replace(standing, stop=stop, seen=standing.seen | {_payload_digest(entry.message)}), entry.at)
        case GovernanceTaken():
            root = decompile_governance(_payload(entry.message))
            return _at(replace(standing, root=root), entry.at)
        case _:
            return standing


def _offered(standing: Standing, entry: PolicyOffered) -> Standing:
    compiled = _payload(entry.message)
    policy = decompile_policy(compiled)
    known = standing.latest
    upcoming = Upcoming(
        policy=policy,
        compiled=compiled,
        message=entry.message,
        disclosure_digest=entry.disclosure_digest,
        offered_at=entry.at,
        required_s=notice_owed(known.policy if known else None, policy),
    )
    seen = standing.seen | {_payload_digest(entry.message)}
    highest = max(standing.highest, policy.version)
    return _at(replace(standing, upcoming=upcoming, seen=seen, highest=highest), entry.at)


def _taken(standing: Standing, entry: PolicyTaken) -> Standing:
    upcoming = standing.upcoming
    if upcoming is None or (upcoming.compiled, upcoming.disclosure_digest) != (entry.policy, entry.disclosure_digest):
        raise LogDamaged("log entry", expected="a policy taken that was offered before it", got="another policy")
    if standing.latest is not None and entry.effective <= standing.latest.effective:
        raise LogDamaged("log entry", expected="each policy to begin after the one before it", got="an earlier instant")
    one = Taken(upcoming.policy, upcoming.message, entry.disclosure_digest, entry.effective)
    return _at(replace(standing, taken=(*standing.taken, one), upcoming=None), entry.at)


def _at(standing: Standing, at: int) -> Standing:
    return replace(standing, newest_at=max(standing.newest_at, at))


def standing_of(entries: Iterable[Entry]) -> Standing:
    """The fold of a whole log."""
    standing = Standing()
    for entry in entries:
        standing = fold(standing, entry)
    return standing


# --- what may get in --------------------------------------------------------------------------------------------------


def judge_policy(signed: SignedPolicy, message: bytes, standing: Standing, unit: Unit | None, now_s: int) -> bool:
    """May this verified policy be put on notice? False when it is on notice or in force already; raises PolicyError.

    `unit` is whose log it is, None for a unit without one. Signatures, the trust root's date and its city were checked before (agent.policy.signed).
    """
    policy = signed.policy
    where = f"policy version {policy.version}"
    known = standing.upcoming or standing.latest
    if known is not None and message_payload_is(known.message, signed.compiled):
        return False
    if standing.latest is not None and message_payload_is(standing.latest.message, signed.compiled):
        return False
    if unit is not None and policy.unit != unit:
        raise PolicyError(where, expected=f"a policy for {_name(unit)}", got=f"one for {_name(policy.unit)}")
    if policy.version <= standing.highest:
        raise PolicyError(
            where,
            expected=f"a version higher than any seen here, {standing.highest + 1} or more",
            got=str(policy.version),
            remedy="raise version and sign again; a unit never goes back",
        )
    if policy.issued > now_s + DAY_S:
        raise PolicyError(where, expected="one issued by now", got="one issued later", remedy="is the unit's clock right?")
    owed_s = notice_owed(standing.latest.policy if standing.latest else None, policy)
    if policy.expires <= now_s:
        raise PolicyError(where, expected="one that has not expired", got="an expired one", remedy="issue a new version")
    if policy.expires <= now_s + owed_s:
        raise PolicyError(
            where,
            expected=f"one that ends later than its notice of {time_words(owed_s)}",
            got="one that ends before it could begin",
            remedy="choose a later expires",
        )
    if len(message) > MAX_SIGNED_BYTES:
        raise PolicyError(where, expected=f"at most {MAX_SIGNED_BYTES} bytes", got=str(len(message)))
    enforceable(policy)
    return True


def judge_stop(order: StopOrder, message: bytes, standing: Standing, unit: Unit | None) -> bool:
    """Must this verified stop order be obeyed? False when it is in force already; raises PolicyError."""
    if order.unit and (unit is None or order.unit != unit.name):
        raise PolicyError(
            "stop order", expected=f"one for {unit.name if unit else 'every unit of the city'}", got=f"one for {order.unit}"
        )
    latest = standing.latest
    if _payload_digest(message) in standing.seen:
        lifted = standing.stop is None or (latest is not None and latest.policy.version > standing.stop.above)
        if not lifted:
            return False
        raise PolicyError(
            "stop order", expected="one that is new", got="one that was obeyed before and then lifted", remedy="sign it again"
        )
    if latest is not None and order.issued < latest.policy.issued:
        raise PolicyError(
            "stop order",
            expected="one issued after the policy that it stops",
            got="an older one, which that policy has lifted",
            remedy="sign a new one",
        )
    if len(message) > MAX_SIGNED_BYTES:
        raise PolicyError("stop order", expected=f"at most {MAX_SIGNED_BYTES} bytes", got=str(len(message)))
    return True


# --- when it takes effect ---------------------------------------------------------------------------------------------


def notice_owed(old: Policy | None, new: Policy) -> int:
    """Seconds on air before `new` may act: none when it is stricter than `old` in everything."""
    return new.notice_s if old is None else compare(old, new).wait_s


def effective_from(standing: Standing, served_s: int, now_s: int) -> int | None:
    """From when on the policy on notice is in force, if that can be said at `now_s`: its notice is complete and it is the next boundary.

    For a first policy the start of the window in progress, for any other the next instant at which a window of every stream begins,
    of the old policy and of the new. None: not yet, or never.
    """
    upcoming, latest = standing.upcoming, standing.latest
    if upcoming is None or served_s < upcoming.required_s or now_s >= upcoming.policy.expires:
        return None
    if latest is None:
        stride_s = boundary_s(upcoming.policy)
        return now_s // stride_s * stride_s if now_s >= upcoming.policy.effective else None
    stride_s = boundary_s(latest.policy, upcoming.policy)
    earliest = max(now_s + 1, upcoming.policy.effective, latest.effective + 1)
    at = -(-earliest // stride_s) * stride_s
    return at if at <= now_s + stride_s else None


def earliest_start(standing: Standing, served_s: int, now_s: int) -> int:
    """When the policy on notice can be in force at the earliest, if it stays on air from now on."""
    upcoming, latest = standing.upcoming, standing.latest
    assert upcoming is not None
    at = max(now_s + max(0, upcoming.required_s - served_s), upcoming.policy.effective)
    if latest is None:
        return at
    stride_s = boundary_s(latest.policy, upcoming.policy)
    return -(-at // stride_s) * stride_s


def boundary_s(*policies: Policy) -> int:
    """All windows of all these policies begin together every so many seconds; at most a day, since each divides a day."""
    return lcm(*(stream.window_s for policy in policies for stream in policy.streams))


def message_payload_is(message: bytes, compiled: bytes) -> bool:
    """Does this signed message carry these bytes?"""
    return _payload(message) == compiled


def _payload(message: bytes) -> bytes:
    return cose.decode_sign(message).payload


def _payload_digest(message: bytes) -> bytes:
    return hashlib.sha256(_payload(message)).digest()


def _name(unit: Unit) -> str:
    return f"{unit.city}/{unit.site}/{unit.name}"
