"""What a person reads of a release, whatever its kind. Rules OP-n are those of agent/operations/SPEC.md."""

import dataclasses

import pytest

from agent.cli.demo.panes import cells_words, noise_words
from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate, Cell, Field, NotCollected
from agent.operations.announcements import Record
from agent.operations.table import MAX_LINE_CHARACTERS, Table
from agent.operations.verification import Received, Verification
from tests import packs
from tests.packs import COUNT, DURATION, NONE, SCALAR, TOTALS, UNIQUE, changed


def record_of(window: Aggregate) -> Record:
    terms = window.terms
    topic = f"dtpr/v1/{terms.city}/{terms.site}/{terms.unit}/agg/{terms.stream}"
    ((record, _),) = Verification().take(Received(topic, aggregate.encode(window), (), False, 0.0))
    assert record["type"] == "release"
    return record


def row(window: Aggregate) -> str:
    return Table().lines(record_of(window))[-1]


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("count", "bike 23  foot <13 "),
        ("totals", "bike 23  foot <22  bike/total 1204  foot/total 87  since 2027-01-15 00:00:00 "),
        ("every number", "bike 23  foot -3 "),
        (
            "duration",
            "car/to_900s 31  car/to_3600s <13  car/over_3600s 14  car/p25 to_900s  car/median to_900s  car/p75 over_3600s ",
        ),
        ("unique", "devices 412 ±3.79 "),
        ("scalar", "mean 612.5 ppm "),
        ("coarse", "leq 63 dB "),
        ("none", "mean -3.5 Cel "),
    ],
)
def test_the_cells_of_every_kind(name: str, shown: str) -> None:
    """OP-10, OP-12."""
    assert f"  {shown}" in row(packs.ALL[name])
    assert cells_words(record_of(packs.ALL[name])).startswith(shown.strip())


@pytest.mark.parametrize("name", packs.ALL)
def test_what_has_no_guarantee_is_labelled_in_every_line(name: str) -> None:
    """OP-12, I1: also in a window without numbers, and nowhere else."""
    window = packs.ALL[name]
    nothing = dataclasses.replace(window, reason=NotCollected.GATE, values=(Cell.NOT_COLLECTED,) * len(window.values))
    unprotected = name in ("threshold-only", "coarse", "none")
    for one in (window, nothing):
        assert ("not a privacy guarantee" in row(one)) is unprotected
        assert ("not a privacy guarantee" in cells_words(record_of(one))) is unprotected


@pytest.mark.parametrize("name", packs.ALL)
def test_what_sums_are_is_said_once_a_stream_and_when_it_changes(name: str) -> None:
    """OP-18, AN-59: to people before a stream's first line, to programs in every record."""
    window = packs.ALL[name]
    record, table = record_of(window), Table()
    words = "biased low: suppressed numbers are missing" if window.terms.threshold else None
    assert record["sums"] == words
    said = [f"# sums of bridge-01 {window.terms.stream}: {words}"] if words else []
    assert [line for line in table.lines(record) if line.startswith("#")] == said
    assert len(table.lines(record)) == 1
    other = {**record, "unit": "bridge-02"}
    assert len(table.lines(other)) == 1 + len(said)
    if words:
        assert table.lines({**record, "sums": None})[0] == said[0].replace(words, "right on average")


def test_devices_beyond_the_bitmap_are_at_least_so_many() -> None:
    """OP-10."""
    assert "devices at least 9000 ±3.79 " in row(changed(UNIQUE, values=(9000, UNIQUE.values[1], "at_least")))
    assert "devices <21 " in row(changed(UNIQUE, values=(Cell.SUPPRESSED,) * 3))
    assert "mean - " in row(changed(SCALAR, reason=NotCollected.SAMPLES, values=(Cell.NOT_COLLECTED,)))


def test_a_window_of_many_cells_keeps_its_state_and_label() -> None:
    """OP-8, OP-12."""
    names = [f"class{number:02}/{part}" for number in range(60) for part in ("to_60s", "over_60s")]
    words = [f"class{number:02}/{part}" for number in range(60) for part in ("p25", "median", "p75")]
    fields = (*(Field(name, "count", 4) for name in names), *(Field(name, "", 10) for name in words))
    values = (20,) * len(names) + ("to_60s",) * len(words)
    line = row(changed(packs.ALL["threshold-only"], fields=fields, values=values))
    assert len(line) < MAX_LINE_CHARACTERS
    assert line.endswith("complete  ?  (threshold-only: not a privacy guarantee)  (its disclosure is not known yet)")
    assert " more  complete" in line


@pytest.mark.parametrize(
    ("window", "kind", "cells", "noise"),
    [
        (COUNT, "count", {"bike": 23, "foot": "suppressed"}, (4.0, "count", None)),
        (
            TOTALS,
            "count",
            {"bike": 23, "foot": "suppressed", "bike/total": 1204, "foot/total": 87, "total/since": 1_799_971_200},
            (8.127, "count", 12.74),
        ),
        (UNIQUE, "unique", {"devices": 412, "devices_sd": 3.79, "devices_is": "estimate"}, (3.704, "count", None)),
        (SCALAR, "scalar", {"mean": 612.5}, (12.41, "ppm", None)),
        (NONE, "scalar", {"mean": -3.5}, (0.0, "Cel", None)),
    ],
)
def test_a_record_maps_names_to_numbers_or_words(
    window: Aggregate, kind: str, cells: dict[str, object], noise: tuple[float, str, float | None]
) -> None:
    """OP-12: the same shape for every kind."""
    record = record_of(window)
    assert (record["kind"], record["cells"]) == (kind, cells)
    assert (record["noise_sd"], record["noise_unit"], record["total_noise_sd"]) == noise
    assert record["guarantee"] == window.terms.guarantee.words()


def test_the_demo_says_in_what_unit_the_noise_is() -> None:
    assert noise_words(record_of(DURATION)) == "4.0"
    assert noise_words(record_of(SCALAR)) == "12.41 ppm"
