"""lease.sock: beacon -> anonymizer. SOCK_SEQPACKET; a lease says "exactly these disclosures are on air now", one or two of them.

The end of the connection ends the lease at once; a lease lapses LEASE_LIFETIME_S after it was sent or received, whichever was
earlier. Both ends are on one kernel and read its one CLOCK_BOOTTIME, so a lease that waited in the socket while its receiver stood
still is as old as it is. Nothing in a lease can open the gate by itself: the digest must be the one in force (I3).
"""

import enum
from dataclasses import dataclass

from agent.errors import EncodingError, MessageError
from agent.wire import cbor

MAX_MESSAGE_BYTES = 256
LEASE_LIFETIME_S = 10
RENEW_EVERY_S = 2
"""Five chances before a lease lapses."""

MAX_AHEAD_NS = 1_000_000_000
"""A receiver looks at the clock before it reads: by this much a lease may have been sent after that look."""


class OnAir(enum.IntEnum):
    """How the disclosure is being shown."""

    ADVERTISING = 1
    SERVING = 2
    """A reader is connected, so the controller may have stopped advertising: counts as on air."""


@dataclass(frozen=True, slots=True)
class Lease:
    """`disclosure_digest` is the 32-byte SHA-256 that names the disclosure on air, `upcoming_digest` the one served beside it,
    `sent_boot_ns` the sender's CLOCK_BOOTTIME."""

    disclosure_digest: bytes
    on_air: OnAir
    sent_boot_ns: int
    upcoming_digest: bytes | None = None

    @property
    def digests(self) -> tuple[bytes, ...]:
        """Every disclosure on air."""
        beside = () if self.upcoming_digest is None else (self.upcoming_digest,)
        return (self.disclosure_digest, *beside)

    def encode(self) -> bytes:
        """The message, deterministic CBOR."""
        item: dict[int, object] = {0: 1, 1: self.disclosure_digest, 2: self.on_air.value, 3: self.sent_boot_ns}
        if self.upcoming_digest is not None:
            item[4] = self.upcoming_digest
        return cbor.encode(item)


def decode(message: bytes) -> Lease:
    """Decode one message; raise MessageError."""
    try:
        item = cbor.decode(message, max_bytes=MAX_MESSAGE_BYTES, max_depth=2)
    except EncodingError as bad:
        raise MessageError("lease.sock", expected="a lease", got=str(bad)) from None
    upcoming = item.get(4) if isinstance(item, dict) else None
    match item:
        case {0: 1, 1: bytes() as digest, 2: (1 | 2) as on_air, 3: int(sent_boot_ns)} if (
            len(digest) == 32
            and not isinstance(sent_boot_ns, bool)
            and 0 <= sent_boot_ns < 1 << 63
            and (upcoming is None or (isinstance(upcoming, bytes) and len(upcoming) == 32 and upcoming != digest))
        ):
            lease = Lease(digest, OnAir(on_air), sent_boot_ns, upcoming)
            if lease.encode() == message:  # no further keys; and True == 1 in a pattern
                return lease
    raise MessageError(
        "lease.sock",
        expected="{0: 1, 1: 32 bytes, 2: 1 or 2, 3: boot time in ns}, perhaps 4: 32 other bytes",
        got=type(item).__name__,
    )
