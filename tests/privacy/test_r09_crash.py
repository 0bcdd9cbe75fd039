"""R9: a few of the crashes of test_crash.py, which `make test` runs 50 of and `make soak` 1,000, for the table's sake."""

from tests.privacy.table import Record
from tests.privacy.test_crash import caught, crash

RUNS = 8


def test_a_crash_between_draw_and_publication(record: Record) -> None:
    """AN-50 to AN-58, I4, I5: at the first calls from the draw on, and in two of the five broken daemons. Picked by a seed."""
    report = crash("--runs", str(RUNS))
    assert report["violations"] == []
    assert report["runs"] == RUNS
    record(
        "R9",
        "killed between draw and publication",
        measured=f"0 of {report['runs']} runs, {report['images_recovered']} disks",
        claim="no window twice, no charge lost",
        caught=caught("no charge for a lost window", "whole record behind the checkpoint dropped"),
    )
