"""local/counters: exact numbers only on a descriptor, and only under the demo's policy (I1)."""

import json
import os

import pytest

from agent.errors import DemoOnly
from agent.local.counters import ExactCounters


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
