"""The gate: may readings be counted at this instant, and if not, why (DESIGN.md I3, I7). Pure.

Invariant: the gate is open only while every condition holds at the instant asked about; nothing that is remembered could keep
it open, and a lease is worth nothing unless it names exactly the disclosure in force. All ages are by CLOCK_BOOTTIME.
"""

from dataclasses import dataclass

from agent.anonymizer.window import NS, Moment
from agent.contracts.lease import LEASE_LIFETIME_S, MAX_AHEAD_NS, Lease
from agent.contracts.public import Reason
from agent.errors import MessageError

LEASE_LIFETIME_NS = LEASE_LIFETIME_S * 1_000_000_000


@dataclass(frozen=True, slots=True)
class Conditions:
    """Everything but the lease. `utc_s` Unix seconds; `not_before` the newest instant that is logged, 0 for none; `stopped`: a stop
    order holds; `has_policy`: one is in force or on notice, whose dates are `effective` and `expires`; `memory_safe`: readings cannot
    reach a swap file, or the policy is a demonstration's; `just_begun`: the policy began less than a lease's life ago, so that the beacon,
    which has shown it beside the one before it, may still do so."""

    stopped: bool
    has_policy: bool
    clock_trusted: bool
    utc_s: int
    not_before: int
    effective: int
    expires: int
    storage_ready: bool
    memory_safe: bool
    notice_served: bool
    just_begun: bool


@dataclass(frozen=True, slots=True)
class _Held:
    lease: Lease
    from_boot_ns: int


class Leases:
    """The leases of each connection to lease.sock; a connection's end ends its lease."""

    def __init__(self) -> None:
        self._held: dict[int, _Held] = {}
        self._ended = False

    def receive(self, connection: int, lease: Lease, boot_ns: int) -> None:
        """A lease arrived on `connection`; it replaces the one before it.

        Raise MessageError when it has lapsed on its way.
        """
        sent_boot_ns = lease.sent_boot_ns
        if not boot_ns - LEASE_LIFETIME_NS < sent_boot_ns <= boot_ns + MAX_AHEAD_NS:
            raise MessageError(
                "lease.sock",
                expected=f"a lease sent in the last {LEASE_LIFETIME_S} s",
                got="an older one" if sent_boot_ns < boot_ns else "one sent in the future",
            )
        self._held[connection] = _Held(lease, min(boot_ns, sent_boot_ns))

    def end(self, connection: int) -> None:
        """The connection ended."""
        if self._held.pop(connection, None) is not None:
            self._ended = True

    def valid_until_ns(self, digest: bytes, *, beside: bool) -> int:
        """The boot time at which the newest lease for `digest` lapses; 0 without one. `beside`: it may be the upcoming one of the two."""
        return max(
            (
                held.from_boot_ns + LEASE_LIFETIME_NS
                for held in self._held.values()
                if digest in (held.lease.digests if beside else (held.lease.disclosure_digest,))
            ),
            default=0,
        )

    @property
    def lapsed_ns(self) -> int:
        """The boot time at which the newest lease lapses, whatever it is for; 0 without one."""
        return max((held.from_boot_ns + LEASE_LIFETIME_NS for held in self._held.values()), default=0)

    def reason(self, digest: bytes, boot_ns: int, *, beside: bool) -> Reason:
        """OPEN when a fresh lease for `digest` is held; else why not."""
        if boot_ns < self.valid_until_ns(digest, beside=beside):
            return Reason.OPEN
        if not self._held:
            return Reason.LEASE_CLOSED if self._ended else Reason.NO_LEASE
        if all(boot_ns >= held.from_boot_ns + LEASE_LIFETIME_NS for held in self._held.values()):
            return Reason.LEASE_LAPSED
        return Reason.LEASE_MISMATCH


def reason(conditions: Conditions, leases: Leases, digest: bytes, boot_ns: int) -> Reason:
    """OPEN, or the first reason in the order of contracts.public.Reason why the gate is closed."""
    if conditions.stopped:
        return Reason.STOPPED
    if not conditions.clock_trusted:
        return Reason.CLOCK_UNTRUSTED
    if conditions.utc_s < conditions.not_before:
        return Reason.CLOCK_BACKWARDS
    if not conditions.has_policy:
        return Reason.NO_POLICY
    if not conditions.memory_safe:
        return Reason.MEMORY_UNLOCKED
    if conditions.utc_s < conditions.effective:
        return Reason.NOT_EFFECTIVE
    if conditions.utc_s >= conditions.expires:
        return Reason.EXPIRED
    if not conditions.storage_ready:
        return Reason.STORAGE
    lease = leases.reason(digest, boot_ns, beside=conditions.just_begun)
    if lease is not Reason.OPEN:
        return lease
    return Reason.OPEN if conditions.notice_served else Reason.ON_NOTICE


class Gate:
    """How the gate stands: `reason`, `since` (Unix seconds) by the clock of then, and by the boot clock when it was last opened."""

    def __init__(self) -> None:
        self.leases = Leases()
        self.reason = Reason.NO_POLICY
        self.since = 0
        self.opened_boot_ns = 0

    def decide(self, conditions: Conditions, digest: bytes, now: Moment) -> int:
        """Anew; the instant (Unix seconds) from which on it holds. A lapse is dated when it was, not when it was noticed: readings wake this process."""
        found = reason(conditions, self.leases, digest, now.boot_ns)
        if found is self.reason and self.since:
            return conditions.utc_s
        changed_ns = now.boot_ns
        if found is Reason.LEASE_LAPSED:
            changed_ns = self.leases.lapsed_ns
        elif found is Reason.LEASE_MISMATCH and self.reason is Reason.OPEN:  # perhaps another's lease goes on
            changed_ns = self.leases.valid_until_ns(digest, beside=conditions.just_begun) or now.boot_ns
        if found is Reason.OPEN:
            self.opened_boot_ns = now.boot_ns
        self.reason, self.since = found, (min(now.boot_ns, changed_ns) + now.offset_ns) // NS
        return self.since
