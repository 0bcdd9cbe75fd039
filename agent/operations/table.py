"""Records as lines for a terminal: one release a line, aligned; everything else one line too. Pure.

Invariant: a line holds printable characters only, whatever was received, and is at most MAX_LINE_CHARACTERS long.
"""

from agent.contracts.health import COUNTERS, DAEMONS
from agent.contracts.status import BUCKETS
from agent.operations.announcements import Record
from agent.operations.wording import cells_words, instant, label

MAX_LINE_CHARACTERS = 400

MAX_REMEMBERED = 10_000
"""Streams of which it was said what their sums are; when there are more it is said again."""

_MARKS = {True: "✓", False: "✗", None: "?"}
_PLAIN_MARKS = {True: "yes", False: "NO", None: "?"}
_COLUMNS = ("window begins (UTC)", "unit", "stream", "length")


class Table:
    """Column widths grow with what is shown. `unicode` False for a terminal that has no ✓."""

    def __init__(self, *, unicode: bool = True) -> None:
        self._marks = _MARKS if unicode else _PLAIN_MARKS
        self._widths = [len("2026-11-21 19:00:00"), 10, 10, 6]
        self._cells_width = 30
        self._headed = False
        self._said: dict[tuple[str, ...], str | None] = {}

    def lines(self, record: Record) -> list[str]:
        """The lines for one record, without newlines."""
        match record["type"]:
            case "release":
                lines = self._release(record)
            case "gap":
                lines = [
                    f"# {record['windows']} windows of {record['unit']} {record['stream']} from {instant(record['first_start'])} did not come"
                ]
            case "disclosure":
                lines = [
                    f"# disclosure of {record['unit']}: {record['title']} [{record['colour']}], policy "
                    f"{record['policy_version']}, digest {record['digest'][:16]}…  {self._mark(record)}"
                ]
            case "upcoming":
                lines = [
                    f"# on notice at {record['unit']}: {record['title']} [{record['colour']}], policy {record['policy_version']}, not before "
                    f"{instant(record['not_before'])}, digest {record['digest'][:16]}…  {self._mark(record)}"
                ]
            case "state":
                lines = _state(record)
            case "silent":
                lines = [
                    f"! {record['unit']} {record['stream']} is silent: {record['silent_s']} s since a release, newest window "
                    f"{instant(record['newest_window_start'])}"
                ]
            case "health":
                daemons = ", ".join(f"{name} {record[name]}" for name in DAEMONS)
                counted = ", ".join(f"{name} {record[name]}" for name in COUNTERS if record[name] != BUCKETS[0])
                memory = "locked" if record["memory_locked"] else "not locked"
                lines = [f"# health of {record['unit']}: {daemons}, memory {memory}{'; ' if counted else ''}{counted}"]
            case "checkpoint":
                lines = [f"# log of {record['unit']}: {record['size']} entries  {self._mark(record)}"]
            case _:
                lines = [f"! {record['topic']}: {record['where']}: expected {record['expected']}, got {record['got']}"]
        return [printable(line)[:MAX_LINE_CHARACTERS] for line in lines]

    def _mark(self, record: Record) -> str:
        return " ".join((self._marks[record["verified"]], *(f"({note})" for note in record["notes"])))

    def _release(self, record: Record) -> list[str]:
        values = (instant(record["window_start"]), record["unit"], record["stream"], f"{record['window_s']} s")
        self._widths = [max(width, len(value)) for width, value in zip(self._widths, values, strict=True)]
        cells = cells_words(record["cells"], record["noise_unit"], record["threshold"])
        self._cells_width = min(max(self._cells_width, len(cells)), 120)
        unprotected = label(record["guarantee"])
        notes = [unprotected, *record["notes"]] if unprotected else list(record["notes"])
        notes += ["late"] if record["late"] else []
        notes += ["repeat"] if record["retry"] else []
        notes += ["CONFLICT: another payload for this window"] if record["conflict"] else []
        notes += [] if record["disclosure_announced"] else ["its disclosure is not known yet"]
        row = "  ".join(value.ljust(width) for value, width in zip(values, self._widths, strict=True))
        ending = f"  {cells.ljust(self._cells_width)}  {record['state']}  {self._marks[record['verified']]}"
        lines = self._sums(record)
        lines += [] if self._headed else [self._head()]
        self._headed = True
        if record["missing_before"]:
            what = "not here yet" if record["awaited"] else "missing before this"
            lines.append(f"# {record['missing_before']} windows of {record['unit']} {record['stream']} {what}")
        return [*lines, row + ending + "".join(f"  ({note})" for note in notes)]

    def _sums(self, record: Record) -> list[str]:
        """What is wrong with sums of a stream's numbers, once, and again when it changes."""
        stream = tuple(record[name] for name in ("city", "site", "unit", "stream"))
        sums = record["sums"]
        if self._said.get(stream) == sums:
            return []
        if len(self._said) >= MAX_REMEMBERED:
            self._said.clear()
        self._said[stream] = sums
        return [f"# sums of {record['unit']} {record['stream']}: {sums or 'right on average'}"]

    def _head(self) -> str:
        row = "  ".join(value.ljust(width) for value, width in zip(_COLUMNS, self._widths, strict=True))
        return f"{row}  {'cells'.ljust(self._cells_width)}  state  verified"


def printable(text: str) -> str:
    """`text` with every control, format, private and surrogate character replaced: no escape sequence survives."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def _state(record: Record) -> list[str]:
    """Of what is offline nothing else: a will says what was so when it was left."""
    unit = record["unit"]
    if record["connection"] == "offline":
        return [f"# {unit} is offline" + (" (an old will, ignored)" if record["stale_will"] else "")]
    lines = [f"# {unit} is online, gate {record['gate']} ({record['reason']}), publisher {record['publisher']}"]
    if record["stop_reason"]:
        lines.append(f"# {unit} was stopped by {record['stop_by']}: {record['stop_reason']}")
    if record["offer_refused"]:
        lines.append(f"# {unit} refused an offer: {record['offer_refused']}")
    return lines
