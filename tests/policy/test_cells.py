"""Names and units of cells by the policy alone are those that the anonymizer makes."""

from pathlib import Path

import pytest
from hypothesis import given, settings

from agent.anonymizer.kinds import terms_for
from agent.policy.cells import cell_names, cell_unit
from agent.policy.file import load_policy
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from tests.policy.policies import policies

CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = [CONFIG / "policy.toml", *sorted((CONFIG / "examples").glob("*.toml"))]


def hold_together(policy: Policy) -> None:
    for stream in policy.streams:
        made = [(field.name, field.unit) for field in terms_for(policy, stream, bytes(32)).pack.fields]
        assert [(name, cell_unit(stream, name)) for name in cell_names(stream)] == made


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: str(path.stem))
def test_they_are_the_anonymizers(path: Path) -> None:
    """AN-47, AN-424, AN-439."""
    hold_together(load_policy(path))


@given(policies())
@settings(max_examples=60)
def test_they_are_for_every_policy(text: str) -> None:
    """The same, of all kinds and modes."""
    hold_together(parse_policy(text, "policy"))
