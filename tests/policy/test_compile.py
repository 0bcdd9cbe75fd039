"""agent/policy/compile: one encoding of a policy, read back to the same policy, and no bytes that skip the parser's rules."""

import hashlib
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PolicyError
from agent.policy.compile import compile_policy, decompile_policy, policy_digest
from agent.policy.parse import parse_policy
from agent.wire import cbor
from tests.policy.policies import policies
from tests.policy.test_parse import DEMO, GOOD, changed

POLICY = parse_policy(GOOD, "p")
BYTES = compile_policy(POLICY)


def edited(*path: int, to: Any) -> bytes:
    """The compiled policy with the value at `path` replaced."""
    item = cbor.decode(BYTES)
    inner = item
    for step in path[:-1]:
        inner = inner[step]
    inner[path[-1]] = to
    return cbor.encode(item)


@pytest.mark.parametrize("text", [GOOD, DEMO])
def test_round_trip(text: str) -> None:
    """decompile(compile(policy)) == policy, and the digest is SHA-256 over the bytes."""
    policy = parse_policy(text, "p")
    assert decompile_policy(compile_policy(policy)) == policy
    assert policy_digest(policy) == hashlib.sha256(compile_policy(policy)).digest()


def test_known_digest() -> None:
    """The encoding does not change between versions of this code: a policy in the field keeps its digest."""
    assert policy_digest(POLICY).hex() == "a4d9027744ddc77a0171320c9e690835b896a8bf88a3f26cd73b1bb0f3db9379"


@given(policies())
def test_round_trip_of_any_policy(text: str) -> None:
    """The same for every policy the parser accepts; writing it twice gives the same bytes."""
    policy = parse_policy(text, "p")
    data = compile_policy(policy)
    assert decompile_policy(data) == policy
    assert compile_policy(decompile_policy(data)) == data


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# expect: ok\n", "# another comment\n\n"),
        ('kept = "730 days"', 'kept = "17520 hours"'),
        ('community_labels = []\ncollect_within = "7 days"', 'collect_within = "1 week"\ncommunity_labels = []'),
        ("cap_rho = 0.125", 'cap_rho = "1/8"'),
        ("issued = 2026-09-01", "issued = 2026-09-01T00:00:00Z"),
        ("schema = 1", "schema = 1\ndemo = false"),
    ],
)
def test_the_same_policy_in_other_words(old: str, new: str) -> None:
    """What does not change the meaning does not change the digest."""
    assert compile_policy(parse_policy(changed(old, new), "p")) == BYTES


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("version = 3", "version = 4"),
        ("River Bridge", "River bridge"),
        ('"bike", "foot"', '"foot", "bike"'),
        ('"10 seconds"', '"10.001 seconds"'),
        ("max_count = 5000", "max_count = 5001"),
        ('totals = "none"', 'totals = "period"'),
        ('elements = ["mobility", "planning_decision_making"]', 'elements = ["planning_decision_making", "mobility"]'),
        ('notice = "14 days"', 'notice = "15 days"'),
    ],
)
def test_another_policy_has_another_digest(old: str, new: str) -> None:
    """Every value is in the bytes, order included."""
    assert policy_digest(parse_policy(changed(old, new), "p")) != policy_digest(POLICY)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "deterministic CBOR"),
        (b"\xa0", "a map with the keys 0 to 14, got 0 keys"),
        (b"\x80", "a map with the keys 0 to 14, got list"),
        (BYTES + b"\x00", "deterministic CBOR"),
        (BYTES[:-1], "deterministic CBOR"),
        (edited(0, to=2), "schema: expected 1"),
        (edited(1, to=0), "version: expected"),
        (edited(1, to=True), "version: expected"),
        (edited(2, to=1), "demo: expected true or false"),
        (edited(3, to="tcp"), "transport: expected one of tls, any"),
        (edited(4, to=[]), "unit: expected a map"),
        (edited(4, 0, to="a/b"), "unit.city: expected"),
        (edited(4, 0, to=7), "unit.city: expected"),
        (edited(4, 4, to=1), "unit: expected a map with the keys 0 to 3, got 5 keys"),
        (edited(5, 1, to="near"), "location.precision: expected one of exact"),
        (edited(6, 1, to=["a\nb"]), "accountable.vendors.0: expected"),
        (edited(7, 0, to=[]), "contact.feedback: expected 1 to 4"),
        (edited(7, 1, to=""), "contact.address: expected"),
        (edited(7, 5, to="x"), "contact: expected a map with the keys 0 to 0, and of 1 to 4, got 6 keys"),
        (edited(8, 0, to=["spying"]), "purpose.elements.0: expected a DTPR purpose element"),
        (edited(8, 0, to=[1]), "purpose.elements.0: expected"),
        (edited(9, to=[]), "audience: expected"),
        (edited(9, 0, 1, to="available_to_me"), "audience.0.access: expected one of"),
        (edited(9, 0, 1, to={0: []}), "audience.access: expected a value of its kind"),
        (edited(9, 0, 3, to="730 days"), "audience.kept: expected a value of its kind"),
        (edited(9, 0, 3, to=-1), "audience.kept: expected a value of its kind"),
        (edited(9, 0, 3, to=2**60), "audience.kept: expected a value of its kind"),
        (edited(10, 0, to=["not_available_to_me"]), "access.denied: expected available_to_download or"),
        (edited(11, 0, to="MIT"), "data.licence: expected an SPDX id"),
        (edited(12, 0, to=0), "dates.issued: expected a year"),
        (edited(12, 0, to=2**39), "dates.issued: expected a year"),
        (edited(12, 2, to=1789430400), "dates.expires: expected later than effective"),
        (edited(12, 3, to=5), "dates.notice: expected at least 1 day"),
        (edited(13, 1, to=[2, 16]), "the one encoding of its values"),
        (edited(13, 1, to=[1, 0]), "budget.cap_rho: expected a value of its kind"),
        (edited(13, 1, to=[1, -8]), "budget.cap_rho: expected a value of its kind"),
        (edited(13, 1, to=[1, 2**50]), "budget.cap_rho: expected"),
        (edited(13, 1, to=[1, 16]), "the sum of rho over all streams"),
        (edited(14, to=[]), "stream: expected"),
        (edited(14, to=[1]), "stream: expected a map"),
        (edited(14, to={}), "stream"),
        (edited(14, 0, 4, to=420), "stream.0.window: expected a window that divides a day"),
        (edited(14, 0, 5, to=900_000), "stream.0.grace: expected less than the window"),
        (edited(14, 0, 6, to=["police"]), "stream.0.receivers.0: expected the name of an [[audience]]"),
        (edited(14, 0, 7, 0, to="none"), "stream.0.privacy.mode"),
        (edited(14, 0, 7, 1, to=[4, 1]), "stream.0.privacy.rho: expected a rho"),
        (edited(14, 0, 7, 3, to=5), "stream.0.privacy.c: expected at most m = 4"),
        (edited(14, 0, 7, 7, to=[1, 1]), "stream.0.privacy.epsilon: expected a known key"),
        (edited(14, 0, 8, to=["bike", "bike"]), "stream.0.classes.1: expected distinct"),
        (edited(14, 0, 9, to=[60]), "stream.0.bins: expected a known key"),
        (edited(14, 0, 9, to=["1 minute"]), "stream.bins.window: expected a value of its kind"),
    ],
)
def test_bytes_that_are_no_policy(data: bytes, said: str) -> None:
    """Every shape, value and rule is checked again: bytes cannot say what a text may not."""
    with pytest.raises(PolicyError) as caught:
        decompile_policy(data)
    assert str(caught.value).startswith("compiled policy")
    assert said in str(caught.value)


@given(st.integers(0, len(BYTES) - 1), st.integers(0, 255))
def test_one_changed_byte(at: int, byte: int) -> None:
    """A changed byte is refused or is another policy in its one encoding."""
    changed_bytes = bytearray(BYTES)
    changed_bytes[at] = byte
    try:
        policy = decompile_policy(bytes(changed_bytes))
    except PolicyError:
        return
    assert compile_policy(policy) == bytes(changed_bytes)


@given(
    st.recursive(
        st.none() | st.integers(-3, 2**40) | st.text(max_size=5),
        lambda x: st.lists(x, max_size=3) | st.dictionaries(st.integers(0, 14), x, max_size=15),
        max_leaves=20,
    )
)
def test_only_the_documented_error_escapes(item: Any) -> None:
    """Whatever the values."""
    with pytest.raises(PolicyError):
        decompile_policy(cbor.encode(item))


@given(
    st.sampled_from(range(15)), st.sampled_from([None, True, 0, -1, 2**41, "", "x", b"", [], [0], [1, 2], {}, {0: 1}])
)
def test_only_the_documented_error_escapes_near_a_policy(key: int, value: Any) -> None:
    """The same with one table exchanged."""
    data = edited(key, to=value)
    if data != BYTES:
        try:
            policy = decompile_policy(data)
        except PolicyError:
            return
        assert compile_policy(policy) == data
