"""local/memory: what a start left behind goes back to the kernel (AN-110, PB-38)."""

from agent.local import memory
from tests.memory import resident_kib

PIECE = 1000
PIECES = 40_000


def test_what_is_free_below_something_in_use_is_given_back() -> None:
    """The C library itself gives back only what is at the end of its heap."""
    kept = [bytes([number % 256]) * PIECE for number in range(PIECES)]
    last = kept[-1]
    kept.clear()
    before = resident_kib()
    memory.give_back()
    assert before - resident_kib() > PIECE * PIECES // 1024 // 2
    assert len(last) == PIECE
