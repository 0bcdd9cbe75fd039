"""What a policy's Releases take on the card: the budget of the disk (AN-112). Pure.

Every pack of a stream has one length and every closing one checkpoint, so this is counted, not estimated. What it leaves out is little:
the state in every 256th entry, what the gate and the boards did (AN-122 and AN-124 bound it), decisions.
"""

from collections import defaultdict
from fractions import Fraction

from agent.anonymizer.kinds import longest_release
from agent.contracts.log_file import extensions, pack_checkpoint, pack_record
from agent.policy.model import Policy
from agent.policy.values import DAY_S
from agent.wire.tlog import EMPTY_ROOT, Checkpoint, note_bytes

_SOME_YEARS = extensions(10**9, 10, 2**31)


def log_bytes_a_day(policy: Policy) -> Fraction:
    """Streams that close at the same instants are one append: their entries and one checkpoint, to the end of a sector. Where only some instants
    are the same it counts a checkpoint too many. Raises EncodingError for a policy that `kinds.encodable` refuses."""
    origin = policy.unit.path
    note = bytes(note_bytes(Checkpoint(origin, 10**6, EMPTY_ROOT, _SOME_YEARS), origin))
    together: dict[tuple[int, Fraction], int] = defaultdict(int)
    for stream in policy.streams:
        together[stream.window_s, stream.grace_s] += len(pack_record(longest_release(policy, stream).encode()))
    return sum(
        (
            Fraction(DAY_S, window_s) * (entries + len(pack_checkpoint(note, entries)))
            for (window_s, _), entries in together.items()
        ),
        Fraction(0),
    )
