"""I2 from the digest's side: whatever changes in a policy, its disclosure is another one, and every field was really changed."""

from collections import Counter

import pytest
from hypothesis import given, settings

from agent.disclosure.datachain import compile_disclosure
from agent.policy.compile import policy_digest
from agent.policy.parse import parse_policy
from tests.policy.changes import FIELDS, changes
from tests.policy.policies import policies
from tests.vectors.policy import generate as vectors

EXAMPLES = 45

EACH_KIND = [
    vectors.GOOD,
    *(vectors.GOOD.replace(*vectors.instead(stream, "other", "other")) for stream in vectors.OTHERS),
]
"""One policy of each kind and mode, so that a rare kind is not left to chance."""


def test_any_change_of_any_policy_changes_both_digests(capsys: pytest.CaptureFixture[str]) -> None:
    """Each field of each part of random valid policies, changed to another valid value; the fields are listed, none with zero."""
    changed: Counter[str] = Counter(dict.fromkeys(FIELDS, 0))

    def one(text: str) -> None:
        policy = parse_policy(text, "p")
        before = compile_disclosure(policy).digest
        seen = set()
        for field, other in changes(policy):
            assert compile_disclosure(other).digest != before, field
            assert policy_digest(other) != policy_digest(policy), field
            seen.add(field)
        changed.update(seen)

    for text in EACH_KIND:
        one(text)
    settings(max_examples=EXAMPLES)(given(policies())(one))()
    with capsys.disabled():
        print(f"\npolicies of {EXAMPLES + len(EACH_KIND)} whose digest changed with each field:")
        for field, count in changed.items():
            print(f"  {field:<32} {count:>4}")
    assert set(changed) == set(FIELDS), "a field outside the model"
    assert [field for field, count in changed.items() if count == 0] == []
