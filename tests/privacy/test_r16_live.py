"""R16, live: addresses of real phones go from a board on a pty through the real bridge into the real anonymizer, and stay in neither."""

import csv
from collections import Counter
from pathlib import Path

import pytest

from agent.contracts import aggregate
from tests.conftest import MISSING_SHARED
from tests.privacy.live_unit import LiveUnit
from tests.privacy.memory_scan import Scanner, address_forms
from tests.privacy.table import Record

SIGHTINGS = Path(__file__).parents[3] / "shared" / "data" / "probe_requests_2022-10-19.csv"


def sightings() -> list[bytes]:
    """The source address of every probe request, in order."""
    if not SIGHTINGS.exists():
        pytest.skip(f"{MISSING_SHARED}: {SIGHTINGS.name}")
    with SIGHTINGS.open(newline="") as file:
        return [bytes.fromhex(row["src"].replace(":", "")) for row in csv.DictReader(file)]


def residue(folder: Path, fault: str) -> dict[str, Counter[str]]:
    """What of them is in the memory of each process one second after the last of their windows."""
    addresses = sightings()
    distinct = set(addresses)
    search = Scanner([form for address in distinct for form in address_forms(address)])
    folder.mkdir()
    with LiveUnit(folder, fault) as live:
        counted = live.sight(addresses)
        assert counted > 0.9 * len(addresses), "most sightings were counted"
        packs = [aggregate.decode(release.payload) for release in live.unit.releases()]
        devices = [value for pack in packs if isinstance(value := pack.values[0], int)]
        assert sum(devices) > 0.8 * len(distinct), "and published as numbers of devices"
        live.wait(1)
        instrument = {
            "bridge": Scanner([(b"sniffer", "here")]),
            "anonymizer": Scanner([(live.unit.digest, "here")]),
        }
        for name, pid in live.pids.items():
            assert instrument[name].names_in_process(pid), f"the search does not read the {name}"
        return {name: Counter(search.names_in_process(pid)) for name, pid in live.pids.items()}


def test_real_addresses_stay_in_neither_process(tmp_path: Path, record: Record) -> None:
    """AN-412, FB-16, must-show 5; the control decodes identifiers with cbor2, and is found in both."""
    found = residue(tmp_path / "real", "none")
    controls = residue(tmp_path / "broken", "cbor2")
    assert found == {"bridge": Counter(), "anonymizer": Counter()}
    assert controls["bridge"]["raw"]
    assert controls["anonymizer"]["raw"]
    record(
        "R16",
        "real addresses in bridge and anonymizer, live",
        measured=f"{sum(map(Counter.total, found.values()))} places of {len(set(sightings()))} addresses",
        claim="0",
        caught=[f"cbor2 in the {name}" for name in controls],
    )
