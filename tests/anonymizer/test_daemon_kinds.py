"""Every kind of reading through the real process."""

import os
import time
from pathlib import Path

import pytest

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate
from agent.contracts.reading import Kind
from agent.local.clock import boot_ns
from agent.wire.cose import public_bytes
from agent.wire.detached import verify_detached
from agent.wire.senml import media_type
from tests.anonymizer.stage import KEY, Bridge, Unit, message
from tests.anonymizer.test_kinds import TEXTS, board, brought, text
from tests.privacy.memory_scan import Scanner, address_forms

NAMES = ("stays", "cars", "visitors", "noise", "passing")


def residue(unit: Unit, addresses: list[bytes]) -> None:
    """R16 for the whole process: when the windows have closed no address is in its memory; what is in it is found."""
    assert unit.process is not None
    forms = [form for address in addresses for form in address_forms(address)]
    assert Scanner(forms).names_in_process(unit.process.pid) == []
    assert "digest" in Scanner([(unit.digest, "digest")]).names_in_process(unit.process.pid)


@pytest.mark.parametrize("encoding", ["json", "cbor"])
def test_all_kinds_from_readings_to_releases(tmp_path: Path, encoding: str) -> None:
    """I4, I6, AN-2, AN-412: each stream releases every window, with its own charge and one length; every reading is accounted for."""
    words = text(*NAMES).replace("10 seconds", "2 seconds").replace("samples = 10", "samples = 2")
    words = words.replace("m = 5\nc = 5", "m = 2\nc = 2").replace('notice = "5 seconds"', 'notice = "1 seconds"')
    unit = Unit(tmp_path, words)
    with unit.settings.open("a") as settings:
        settings.write(f'[release]\nencoding = "{encoding}"\n')
    try:
        unit.start()
        unit.wait((tmp_path / "public" / "envelope").exists, "envelope")
        beacon, bridge = unit.beacon(), Bridge(unit)
        bridge.send(message(Kind.BOARD, board(*NAMES).encode()))
        sent = 0
        addresses = [bytes([2]) + os.urandom(5) for _ in range(20)]
        until = time.monotonic() + 9
        while time.monotonic() < until:
            beacon.lease(unit.digest)
            bridge.send(message(Kind.ALIVE))
            now = boot_ns()
            for channel, name in enumerate(NAMES):
                kind = TEXTS[name][0]
                bridge.send(
                    brought(
                        channel,
                        now,
                        classes=[1] * 20 if kind in ("count", "duration") else None,
                        values=[60] * 20 if kind in ("scalar", "duration") else None,
                        identifiers=addresses if kind == "unique" else None,
                    )
                )
                sent += 20
            time.sleep(0.25)
        bridge.close()

        def accounted() -> bool:
            counters = unit.counters()
            said = int(counters["counted"]) + sum(map(int, counters["discarded"].values()))
            return counters["pending"] == 0 and said == sent

        unit.wait(accounted, "conservation of readings")
        residue(unit, addresses)
        assert unit.stop() == 0
        packs: dict[str, list[Aggregate]] = {}
        for release in unit.releases():
            assert media_type(release.payload) == f"application/senml+{encoding}"
            pack = aggregate.decode(release.payload)
            verify_detached(release.signature, public_bytes(KEY), release.payload)
            packs.setdefault(release.stream, []).append(pack)
            assert (release.charge is None) == (release.stream == "cars")
        for name in NAMES:
            assert any(pack.reason is None for pack in packs[name]), name
            assert len({len(aggregate.encode(pack)) for pack in packs[name]}) == 1
        assert any(pack.values[2] == "estimate" for pack in packs["visitors"])
    finally:
        unit.end()
