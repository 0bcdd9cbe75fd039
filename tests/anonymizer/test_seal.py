"""The example that opens SPEC.md, byte for byte."""

import re
from fractions import Fraction
from pathlib import Path

from agent.anonymizer import seal as seal_module
from agent.anonymizer.seal import seal
from agent.contracts import aggregate
from agent.contracts.log import Charge, decode_entry
from agent.contracts.log_file import pack_record
from agent.wire import cose
from tests.anonymizer.stage import KEY
from tests.packs import COUNT

SPEC = Path(seal_module.__file__).with_name("SPEC.md")


def blocks() -> list[str]:
    """The fenced blocks of SPEC.md."""
    return re.findall(r"^```\w*\n(.*?)^```", SPEC.read_text(), flags=re.MULTILINE | re.DOTALL)


def test_the_example_of_the_spec_is_what_the_code_makes() -> None:
    """AN-44, AN-50: payload, entry and record; the key is the 32 bytes 00 to 1f."""
    release = seal(COUNT, Charge(Fraction(1, 32)), KEY)
    payload, entry, record = blocks()[:3]
    assert payload.replace("\n", "").encode() == release.payload
    assert bytes.fromhex(entry) == release.encode()
    assert bytes.fromhex(record.split()[0]) == pack_record(release.encode())[:8]


def test_the_example_verifies() -> None:
    """AN-44: a stranger with the public key needs nothing else."""
    release = decode_entry(bytes.fromhex(blocks()[1]))
    assert release == seal(COUNT, Charge(Fraction(1, 32)), KEY)
    public = KEY.public_key().public_bytes_raw()
    assert cose.verify1(release.signature, public, detached_payload=release.payload) == release.payload
    assert aggregate.decode(release.payload) == COUNT


def test_every_rule_is_cited_by_a_test() -> None:
    """The spec is what is tested."""
    rules = set(re.findall(r"^\*\*(AN-\d+)\*\*", SPEC.read_text(), flags=re.MULTILINE))
    cited = set().union(*(re.findall(r"AN-\d+", path.read_text()) for path in Path(__file__).parents[1].rglob("*.py")))
    assert len(rules) >= 25
    assert rules - cited == set()
    assert cited - rules == set()
