"""config/asyncapi.yaml, pack.schema.json and pack.cddl are what the code publishes; mosquitto's own client shows it legibly.

`make interop` has the official AsyncAPI parser read the first two. The CDDL is held against packs by cddl-verifier, which enforces all of RFC 8610.
"""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import cbor2
import pytest
from cddl_verifier import Validator

from agent.contracts import aggregate
from tests import packs
from tests.brokers import Mosquitto
from tests.publisher.unit_folders import TIMEOUT_S, PublisherProcess, UnitFolder, wait_until
from tests.vectors.asyncapi.generate import documents

CONFIG = Path(__file__).parents[2] / "config"
COUNT = json.loads(aggregate.encode(packs.COUNT))


@pytest.mark.parametrize("name", ["asyncapi.yaml", "pack.schema.json"])
def test_what_is_described_is_what_is_published(name: str) -> None:
    """To write them anew: `python -m tests.vectors.asyncapi.generate`."""
    assert (CONFIG / name).read_text() == documents()[name]


@pytest.fixture(scope="module")
def cddl() -> Validator:
    return Validator(CONFIG / "pack.cddl")


def fits(cddl: Validator, pack: Any) -> bool:
    return bool(cddl.validate(cbor2.dumps(pack), root_type="pack").valid)


@pytest.mark.parametrize("name", packs.ALL)
def test_every_kind_of_pack_fits_the_cddl(cddl: Validator, name: str) -> None:
    assert fits(cddl, json.loads(aggregate.encode(packs.ALL[name])))


CBOR = cbor2.loads(aggregate.encode(aggregate.in_cbor(packs.COUNT)))


def fits_in_cbor(cddl: Validator, pack: bytes) -> bool:
    return bool(cddl.validate(pack, root_type="cbor-pack").valid)


@pytest.mark.parametrize("name", packs.ALL)
def test_every_kind_of_pack_in_cbor_fits_the_cddl(cddl: Validator, name: str) -> None:
    """The very octets that are signed."""
    assert fits_in_cbor(cddl, aggregate.encode(aggregate.in_cbor(packs.ALL[name])))
    assert not fits_in_cbor(cddl, cbor2.dumps(json.loads(aggregate.encode(packs.ALL[name]))))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        CBOR[:-1],
        [*CBOR[:-3], CBOR[-1]],
        [*CBOR, CBOR[-1]],
        [CBOR[1], CBOR[0], *CBOR[2:]],
        [CBOR[0] | {2: -1}, *CBOR[1:]],
        [CBOR[0] | {"x": 1}, *CBOR[1:]],
        [CBOR[0], CBOR[1] | {2: 0.95}, *CBOR[2:]],
        [*CBOR[:2], {0: "state", 3: "fine"}, *CBOR[3:]],
        [*CBOR[:-1], {0: "filler", 8: "AAAA"}],
        *([*CBOR[:place], *CBOR[place + 1 :]] for place in range(10)),
    ],
)
def test_nothing_else_fits_the_cddl_in_cbor(cddl: Validator, wrong: Any) -> None:
    """Positive control."""
    assert not fits_in_cbor(cddl, cbor2.dumps(wrong))


@pytest.mark.parametrize(
    "wrong",
    [
        [],
        COUNT[:-2],
        [COUNT[1], COUNT[0], *COUNT[2:]],
        [*COUNT, {"n": "extra", "v": 1}],
        [COUNT[0] | {"v": -1}, *COUNT[1:]],
        [COUNT[0] | {"x": 1}, *COUNT[1:]],
        [*COUNT[:2], {"n": "state", "vs": "fine"}, *COUNT[3:]],
        *([*COUNT[:place], *COUNT[place + 1 :]] for place in range(10)),
    ],
)
def test_nothing_else_fits_the_cddl(cddl: Validator, wrong: Any) -> None:
    """Positive control."""
    assert not fits(cddl, wrong)


def test_mosquitto_sub_shows_legible_json(tmp_path: Path) -> None:
    """The default format with the tool that everyone has: one line of JSON a window, numbers as numbers."""
    command = shutil.which("mosquitto_sub")
    assert command is not None
    unit = UnitFolder(tmp_path / "unit")
    unit.announce()
    unit.release_windows(0, 2)
    with Mosquitto(tmp_path) as broker:
        unit.configure(broker.port)
        options = ["-h", broker.host, "-p", str(broker.port), "-q", "1", "-C", "2", "-i", "shown"]
        reader = subprocess.Popen([command, *options, "-t", "dtpr/v1/+/+/+/agg/#"], stdout=subprocess.PIPE, text=True)
        with reader:
            wait_until(lambda: "Sending SUBACK to shown" in broker.log, "the subscription")
            with PublisherProcess(unit):
                output, _ = reader.communicate(timeout=TIMEOUT_S)
    first, second = (json.loads(line) for line in output.splitlines())
    assert first[-2:] == [
        {"n": "cell/bicycle", "u": "count", "v": 20},
        {"n": "cell/pedestrian", "u": "count", "v": 31},
    ]
    assert second[-2] == {"n": "cell/bicycle", "vs": "suppressed"}
    assert output.isprintable() or set(output) <= {chr(code) for code in range(32, 127)} | {"\n"}
