"""What a policy's Releases take on the card: the budget of the disk (AN-112). Pure.

Every pack of a stream has one length and every closing one checkpoint, so this is counted, not estimated. What it leaves out is little:
the state in every 256th entry, what the gate and the boards did (AN-122 and AN-124 bound it), decisions.
"""

from collections import defaultdict
from fractions import Fraction

from agent.anonymizer.kinds import longest_release
from agent.contracts.log_file import RECORD, SECTOR_BYTES
from agent.policy.model import Policy
from agent.wire.tlog import EMPTY_ROOT, Checkpoint, note_bytes

DAY_S = 86_400

_SOME_YEARS = f"bytes {10**9}", f"decisions {10}", f"until {2**31}"


def log_bytes_a_day(policy: Policy) -> Fraction:
    """Streams that close at the same instants are one append: their entries and one checkpoint, to the end of a sector. Where only some instants
    are the same it counts a checkpoint too many. Raises EncodingError for a policy that `kinds.encodable` refuses."""
    origin = policy.unit.path
    note = RECORD.size + note_bytes(Checkpoint(origin, 10**6, EMPTY_ROOT, _SOME_YEARS), origin)
    together: dict[tuple[int, Fraction], int] = defaultdict(int)
    for stream in policy.streams:
        together[stream.window_s, stream.grace_s] += RECORD.size + len(longest_release(policy, stream).encode())
    return sum(
        (Fraction(DAY_S, window_s) * _sectors(entries + note) for (window_s, _), entries in together.items()),
        Fraction(0),
    )


def _sectors(length: int) -> int:
    """In whole ones."""
    return length + -length % SECTOR_BYTES
