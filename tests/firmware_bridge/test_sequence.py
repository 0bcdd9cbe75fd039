"""FB-9: sequence numbers."""

from hypothesis import given
from hypothesis import strategies as st

from firmware_bridge.sequence import Order, Sequence

MODULUS = 1 << 32


@given(st.integers(0, MODULUS - 1), st.integers(1, MODULUS // 2 - 1))
def test_a_step_ahead_counts_what_is_between_also_over_the_end(start: int, step: int) -> None:
    sequence = Sequence()
    assert sequence.observe(start) is Order.FORWARD
    assert sequence.observe((start + step) % MODULUS) is Order.FORWARD
    assert sequence.missing == step - 1


@given(st.integers(0, MODULUS - 1), st.integers(1, MODULUS // 2))
def test_a_step_behind_is_named_and_changes_nothing(start: int, step: int) -> None:
    sequence = Sequence()
    sequence.observe(start)
    assert sequence.observe((start - step) % MODULUS) is Order.BACKWARDS
    assert (sequence.last, sequence.missing) == (start, 0)


def test_the_same_number_again_is_a_duplicate() -> None:
    sequence = Sequence()
    sequence.observe(5)
    assert sequence.observe(5) is Order.DUPLICATE
    assert sequence.observe(6) is Order.FORWARD


def test_a_hello_starts_anew_and_keeps_the_count() -> None:
    sequence = Sequence()
    sequence.observe(10)
    sequence.observe(13)
    sequence.restart(2)
    assert sequence.observe(3) is Order.FORWARD
    assert sequence.missing == 2
