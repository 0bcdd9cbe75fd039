"""local/counters: exact numbers only on a descriptor, and only under the demo's policy (I1)."""

import dataclasses
import json
import os
from pathlib import Path

import pytest

from agent.contracts.public import MAX_STATE_BYTES, says_demo
from agent.errors import DemoOnly
from agent.local.counters import ExactCounters
from tests.contracts.test_public import STATE


def test_nothing_is_written_before_the_policy_is_known_to_be_the_demos() -> None:
    reader, writer = os.pipe()
    os.set_blocking(reader, False)
    counters = ExactCounters(writer, "beacon")
    counters.write({"leases": 1})
    with pytest.raises(BlockingIOError):
        os.read(reader, 100)
    assert counters.due
    counters.allow(demo=True)
    counters.write({"leases": 2})
    line = json.loads(os.read(reader, 1000))
    assert line.pop("pss_kib") > 1000
    assert line == {"daemon": "beacon", "leases": 2}
    assert not counters.due
    with pytest.raises(DemoOnly, match="beacon"):
        counters.allow(demo=False)
    os.close(reader)
    counters.write({"leases": 3})  # nobody reads any more: no error, and no further line
    os.close(writer)


def test_without_a_descriptor_there_is_nothing_to_count_and_nothing_to_refuse() -> None:
    counters = ExactCounters(None, "beacon")
    assert not counters.due
    counters.allow(demo=False)
    counters.write({"leases": 1})


def test_the_public_state_is_asked_whose_policy_is_in_force(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """PB-14: without a state, or with one that cannot be read, there is no line; what is wrong with it is said once."""
    reader, writer = os.pipe()
    counters, state = ExactCounters(writer, "beacon"), tmp_path / "state"
    assert not counters.ask(state, MAX_STATE_BYTES, says_demo)
    state.write_bytes(b"{")
    assert [counters.ask(state, MAX_STATE_BYTES, says_demo) for _ in range(2)] == [False, False]
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    state.write_bytes(dataclasses.replace(STATE, demo=True).encode())
    assert counters.ask(state, MAX_STATE_BYTES, says_demo)
    state.write_bytes(dataclasses.replace(STATE, demo=False).encode())
    with pytest.raises(DemoOnly, match="beacon"):
        counters.ask(state, MAX_STATE_BYTES, says_demo)
    os.close(reader)
    os.close(writer)
