"""Records as CSV (RFC 4180): one row a cell, so that every kind of stream has the same columns. Pure.

Invariant: nothing in a row begins like a spreadsheet's formula, whatever was received: text comes from names and words that the pack's decoder has checked.
"""

from agent.operations.announcements import Record
from agent.operations.wording import instant

COLUMNS = (
    "window_start_utc",
    "window_s",
    "city",
    "site",
    "unit",
    "stream",
    "kind",
    "cell",
    "value",
    "words",
    "state",
    "coverage",
    "threshold",
    "noise_sd",
    "noise_unit",
    "guarantee",
    "policy_version",
    "log_index",
    "verified",
    "repeat",
    "conflict",
    "late",
)

HEADER = ",".join(COLUMNS)


def rows(record: Record) -> list[str]:
    """The rows of a release, without line ends; none for any other record. `value` is a number, `words` what stands in its place."""
    if record["type"] != "release":
        return []
    shared = {
        **record,
        "window_start_utc": instant(record["window_start"]),
        "repeat": record["retry"],
    }
    return [
        ",".join(
            _text(
                {**shared, "cell": cell, "value": _number(value), "words": value if isinstance(value, str) else None}[
                    name
                ]
            )
            for name in COLUMNS
        )
        for cell, value in record["cells"].items()
    ]


def _number(value: float | str) -> float | None:
    return None if isinstance(value, str) else value


def _text(value: object) -> str:
    match value:
        case None:
            return ""
        case bool():
            return "true" if value else "false"
    text = str(value)
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
