"""lease.sock: beacon -> anonymizer. SOCK_SEQPACKET; a lease says "exactly this disclosure is on air now".

The end of the connection ends the lease at once; a lease lapses LEASE_LIFETIME_S after it was received, by the
receiver's boot clock. Nothing in a lease can open the gate by itself: the digest must be the one in force (I3).
"""

import enum
from dataclasses import dataclass

from agent.errors import EncodingError, MessageError
from agent.wire import cbor

MAX_MESSAGE_BYTES = 256
LEASE_LIFETIME_S = 10
RENEW_EVERY_S = 2
"""Five chances before a lease lapses."""


class OnAir(enum.IntEnum):
    """How the disclosure is being shown."""

    ADVERTISING = 1
    SERVING = 2
    """A reader is connected, so the controller may have stopped advertising: counts as on air."""


@dataclass(frozen=True, slots=True)
class Lease:
    """`disclosure_digest` is the 32-byte SHA-256 that names the disclosure on air."""

    disclosure_digest: bytes
    on_air: OnAir

    def encode(self) -> bytes:
        """The message, deterministic CBOR."""
        return cbor.encode({0: 1, 1: self.disclosure_digest, 2: self.on_air.value})


def decode(message: bytes) -> Lease:
    """Decode one message; raise MessageError."""
    try:
        item = cbor.decode(message, max_bytes=MAX_MESSAGE_BYTES, max_depth=2)
    except EncodingError as bad:
        raise MessageError("lease.sock", expected="a lease", got=str(bad)) from None
    match item:
        case {0: 1, 1: bytes() as digest, 2: (1 | 2) as on_air} if len(digest) == 32 and len(item) == 3:
            lease = Lease(digest, OnAir(on_air))
            if lease.encode() == message:  # True == 1 in a pattern
                return lease
    raise MessageError("lease.sock", expected="{0: 1, 1: 32 bytes, 2: 1 or 2}", got=type(item).__name__)
