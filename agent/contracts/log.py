"""The release log's entries: anonymizer -> publisher and anyone who audits, in the file that contracts/log_file describes. Pure.

Invariant: an entry has one encoding, and a Release without a charge is one whose own pack says that nothing is guaranteed (DESIGN.md I4).
"""

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from agent.contracts.board_seen import BoardSeen, decode_board_seen
from agent.contracts.carried import State, decode_state, encode_state
from agent.contracts.gate_log import GateChanges, decode_gate_changes
from agent.contracts.guarantee import LABEL
from agent.contracts.log_file import MAX_ENTRY_BYTES, logged_until
from agent.errors import EncodingError, LogDamaged
from agent.wire import cbor
from agent.wire.senml import SENML_JSON, media_type
from agent.wire.tlog import decode_checkpoint

MAX_CARRIED_BYTES = 32 * 1024
"""Two periods of 64 streams whose windows change their charge all the time can be longer: then start-up reads one bundle more."""

MAX_SIGNED_BYTES = 40 * 1024
"""A signed message that is kept whole in an entry: a policy of the greatest size with thirty signatures."""


@dataclass(frozen=True, slots=True)
class Charge:
    """What one reading in this window costs: zCDP rho, exact."""

    rho: Fraction


NOTHING = Charge(Fraction(0))
"""The charge of a window from which no value leaves."""


@dataclass(frozen=True, slots=True)
class Release:
    """A sealed Aggregate: the payload's bytes are what is published, now and at every retry.

    `charge` is None only where the payload's own `guarantee` is that there is none; any other such entry is not read (DESIGN.md I4).
    """

    stream: str
    window_start: int
    window_s: int
    payload: bytes
    signature: bytes
    charge: Charge | None
    disclosure_digest: bytes

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode(
            {
                0: 1,
                1: self.stream,
                2: self.window_start,
                3: self.window_s,
                4: self.payload,
                5: self.signature,
                6: _charge(self.charge),
                7: self.disclosure_digest,
            }
        )


@dataclass(frozen=True, slots=True)
class PolicyTaken:
    """A policy's compiled bytes, so that the log alone gives the budget: logged at `at`, in force for every window that starts
    at `effective` or later (Unix seconds both; `effective` is the start of a window of all its streams and of those before)."""

    policy: bytes
    disclosure_digest: bytes
    at: int
    effective: int

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode({0: 2, 1: self.policy, 2: self.disclosure_digest, 3: self.at, 4: self.effective})


@dataclass(frozen=True, slots=True)
class PolicyOffered:
    """A policy was verified and accepted at `at`: its notice begins. `message` is the COSE_Sign as it was signed."""

    message: bytes
    disclosure_digest: bytes
    at: int

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode({0: 5, 1: self.message, 2: self.disclosure_digest, 3: self.at})


@dataclass(frozen=True, slots=True)
class StopTaken:
    """A stop order was verified and is in force from `at` on; `by` are the signers that were
    verified, as role/name."""

    message: bytes
    by: tuple[str, ...]
    at: int

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode({0: 6, 1: self.message, 2: list(self.by), 3: self.at})


@dataclass(frozen=True, slots=True)
class GovernanceTaken:
    """A new trust root, signed under the one before it, is in force from `at` on."""

    message: bytes
    at: int

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode({0: 7, 1: self.message, 2: self.at})


@dataclass(frozen=True, slots=True)
class NoticeServed:
    """`seconds` of valid lease accumulated so far for a disclosure that is not yet in force."""

    disclosure_digest: bytes
    seconds: int
    at: int

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode({0: 3, 1: self.disclosure_digest, 2: self.seconds, 3: self.at})


@dataclass(frozen=True, slots=True)
class Gap:
    """`count` windows from `first_start` that a restart lost: charged as if released, never released (I4)."""

    stream: str
    first_start: int
    window_s: int
    count: int
    charge: Charge | None

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode(
            {0: 4, 1: self.stream, 2: self.first_start, 3: self.window_s, 4: self.count, 5: _charge(self.charge)}
        )


@dataclass(frozen=True, slots=True)
class LogLost:
    """The first entry of a log that follows one of which a part was lost: `checkpoint` is the newest note known of that (as signed),
    `kept` how many entries of it were still there and `root` their root hash (32 bytes)."""

    checkpoint: bytes
    kept: int
    root: bytes

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode({0: 8, 1: self.checkpoint, 2: self.kept, 3: self.root})


@dataclass(frozen=True, slots=True)
class Carried:
    """The first entry of every bundle of 256 but the first: what the entries before it come to; None where that is too long for an entry."""

    state: State | None

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode({0: 9} if self.state is None else {0: 9, **encode_state(self.state)})


@dataclass(frozen=True, slots=True)
class KeyRotated:
    """From here on the unit signs with another key: `message` is what the old one said of that (contracts/rotation). The checkpoint over
    this entry is the first by the new key."""

    message: bytes

    def encode(self) -> bytes:
        """The entry, deterministic CBOR."""
        return cbor.encode({0: 12, 1: self.message})


KEY_ROTATED = b"\xa2\x00\x0c"
"""So each KeyRotated begins, and no other entry."""


def carrying(state: State) -> Carried:
    """The entry that carries `state`, if one can."""
    whole = Carried(state)
    return whole if len(whole.encode()) <= MAX_CARRIED_BYTES else Carried(None)


Decision = PolicyTaken | PolicyOffered | StopTaken | GovernanceTaken
"""What governance decided."""

Entry = Release | NoticeServed | Gap | LogLost | Carried | GateChanges | BoardSeen | KeyRotated | Decision


def decode_entry(data: bytes, where: str = "log entry") -> Entry:
    """Decode one entry; raise LogDamaged."""
    entry = _decode(data, where)
    if entry.encode() != data:  # [2, 64] is 1/32
        raise LogDamaged(where, expected="the one encoding of an entry", got="another one")
    return entry


def _decode(data: bytes, where: str) -> Entry:
    try:
        item = cbor.decode(data, max_bytes=MAX_ENTRY_BYTES)
        if isinstance(item, dict) and any(isinstance(value, bool) for value in item.values()):
            raise LogDamaged(where, expected="an entry", got="true or false")  # both are int to a pattern
        match item:
            case {
                0: 1,
                1: str(stream),
                2: int(start),
                3: int(window_s),
                4: bytes(payload),
                5: bytes(signature),
                6: charge,
                7: bytes(digest),
            } if len(item) == 8:
                if charge is None and not _unprotected(payload):
                    raise LogDamaged(where, expected="a charge, as its pack claims a guarantee", got="null")
                return Release(stream, start, window_s, payload, signature, _to_charge(charge, where), digest)
            case {0: 2, 1: bytes(policy), 2: bytes(digest), 3: int(at), 4: int(effective)} if len(item) == 5:
                return PolicyTaken(policy, digest, at, effective)
            case {0: 3, 1: bytes(digest), 2: int(seconds), 3: int(at)} if len(item) == 4:
                return NoticeServed(digest, seconds, at)
            case {0: 4, 1: str(stream), 2: int(start), 3: int(window_s), 4: int(count), 5: charge} if len(item) == 6:
                return Gap(stream, start, window_s, count, _to_charge(charge, where))
            case {0: 5, 1: bytes(message), 2: bytes(digest), 3: int(at)} if len(item) == 4:
                return PolicyOffered(message, digest, at)
            case {0: 6, 1: bytes(message), 2: list(by), 3: int(at)} if len(item) == 4 and all(
                isinstance(name, str) for name in by
            ):
                return StopTaken(message, tuple(by), at)
            case {0: 7, 1: bytes(message), 2: int(at)} if len(item) == 3:
                return GovernanceTaken(message, at)
            case {0: 8, 1: bytes(note), 2: int(kept), 3: bytes(root)} if len(item) == 4:
                return LogLost(note, kept, root)
            case {0: 12, 1: bytes(message)} if len(item) == 2:
                return KeyRotated(message)
            case {0: 9, **state}:
                return Carried(decode_state(state) if state else None)
            case {0: 10}:
                return decode_gate_changes(item)
            case {0: 11}:
                return decode_board_seen(item)
    except EncodingError as bad:
        raise LogDamaged(where, expected="an entry", got=str(bad)) from None
    raise LogDamaged(where, expected="an entry of kind 1 to 12", got="something else")


def newest_instant(entry: Entry) -> int:
    """The newest instant (Unix seconds) that `entry` speaks of; of a LogLost that of the log it names. Raises LogDamaged."""
    match entry:
        case Release():
            return entry.window_start + entry.window_s
        case Gap():
            return entry.first_start + entry.count * entry.window_s
        case LogLost():
            try:
                return logged_until(decode_checkpoint(entry.checkpoint))
            except EncodingError as bad:
                raise LogDamaged("log entry 0", expected="the checkpoint of a log", got=bad.got) from None
        case Carried() | GateChanges() | BoardSeen() | KeyRotated():
            return 0  # no window depends on when they were: none of them may shut the gate until then
        case _:
            return entry.at


def _unprotected(payload: bytes) -> bool:
    """Does the pack say of itself that nothing is guaranteed? Of the pack nothing else is read here."""
    if media_type(payload) == SENML_JSON:
        words = payload.partition(b'{"n":"guarantee","vs":"')[2].partition(b'"')[0]
    else:
        after = payload.partition(_GUARANTEE_IN_CBOR)[2]
        words = after[1 : 1 + after[0]] if after else b""
    return words.endswith(LABEL.encode())


_GUARANTEE_IN_CBOR = b"\xa2\x00\x69guarantee\x03\x78"
"""A record of a name and of text of 24 to 255 octets (RFC 8428 section 6): all words of a guarantee are so long."""


def _charge(charge: Charge | None) -> list[int] | None:
    return None if charge is None else [charge.rho.numerator, charge.rho.denominator]


def _to_charge(item: Any, where: str) -> Charge | None:
    match item:
        case None:
            return None
        case [int(numerator), int(denominator)] if numerator >= 0 and denominator > 0:
            return Charge(Fraction(numerator, denominator))
    raise LogDamaged(where, expected="a charge [numerator, denominator] or null", got=type(item).__name__)
