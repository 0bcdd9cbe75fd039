"""FB-6: the schema hash is the SHA-256 of the file as shipped; FB-5: the file, the contracts and the code name the same keys."""

import hashlib
import re
from pathlib import Path

import firmware_bridge
from agent.contracts.board import MAX_CHANNELS, MAX_CLASSES, ChannelKey, Hello
from agent.contracts.reading import MAX_AGE_MS, MAX_IDENTIFIER_BYTES, TAG_UINT8, TAG_UINT16_LE, TAG_UINT32_LE, Body
from firmware_bridge.frame import MAX_READINGS
from firmware_bridge.schema import SCHEMA_HASH

TEXT = (Path(firmware_bridge.__file__).parent / "reading.cddl").read_text()


def keys(rule: str) -> list[int]:
    body = re.search(rf"^{rule} = \{{(.*?)^\}}", TEXT, re.M | re.S)
    assert body is not None
    return [int(key) for key in re.findall(r"^\s*\??\s*(\d+) =>", body[1], re.M)]


def test_hash_is_of_the_file() -> None:
    assert hashlib.sha256(TEXT.encode()).digest() == SCHEMA_HASH


def test_keys_are_those_of_the_contracts() -> None:
    assert keys("hello") == [key.value for key in Hello]
    assert keys("channel") == [key.value for key in ChannelKey]
    assert keys("readings") == [key.value for key in Body]


def test_tags_and_bounds_are_those_of_the_code() -> None:
    for tag, width in ((TAG_UINT16_LE, 2), (TAG_UINT8, 1), (TAG_UINT32_LE, 4)):
        assert f"#6.{tag}(bstr .size ({width}..{width * MAX_READINGS}))" in TEXT
    assert f"0..{MAX_CHANNELS - 1}," in TEXT
    assert f"[0*{MAX_CLASSES} name]" in TEXT
    assert f"<= {MAX_AGE_MS}" in TEXT
    assert f"? 4 => 1..{MAX_IDENTIFIER_BYTES}," in TEXT
