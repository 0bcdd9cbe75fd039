"""What an audit of a copy without its oldest bundles proves, and what it does not, in words. Pure."""

from datetime import UTC, datetime

from agent.contracts.aggregate import END_START
from agent.operations.audit import Verdict
from agent.operations.beginning import Beginning, places
from agent.operations.policies import NEVER


def beginning_lines(verdict: Verdict) -> list[str]:
    """None for a copy of the whole log."""
    begin = verdict.beginning
    if begin is None or begin.entry is None:
        return []
    since = f", windows from {instant(verdict.since)} on" if verdict.since is not None else ""
    what = "place, order, signatures, charges and budget, and that they keep to their policies"
    lines = [
        f"    begins     with entry {begin.held}: the copy does not have those before it",
        f"    proven     from entry {begin.entry}{since}: {what}",
        f"    before     entries 0 to {begin.entry - 1} are of this same log: their hashes lead to the root that is signed{_also(begin)}",
        f"    not proven what entries 0 to {begin.entry - 1} say; what was spent and released until then is the unit's word, in entry {begin.entry}: "
        "had it lied there, only the older entries would show it (--earlier DIR)",
    ]
    if begin.unproven:
        lines.append(
            f"    not proven that {len(begin.unproven)} releases received of before are in the log: entries {places(begin.unproven)}; their payload or signature "
            "was not kept (subscribe --raw), their hash tile is gone, or they differ"
        )
    if begin.absent:
        lines += _policies(verdict, begin)
    return lines


def instant(at: int) -> str:
    """UTC, to the second; a log may claim any instant."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M:%S") if 0 <= at < END_START else f"at {at}"


def _also(begin: Beginning) -> str:
    words = [f"{begin.agreeing} checkpoints of then agree"] if begin.agreeing else []
    words += [f"{begin.included} releases received of then are in it"] if begin.included else []
    words += [] if begin.tiles_whole else ["some hash tiles are gone"]
    return "".join(f"; {each}" for each in words)


def _policies(verdict: Verdict, begin: Beginning) -> list[str]:
    held = "entry" if len(begin.absent) == 1 else "entries"
    lines = [
        f"    not proven what governance decided in {held} {places(begin.absent)} (of {begin.decided} decisions), which the copy does not have: give "
        "the policies of then (--policy F) or an older copy (--earlier DIR); who signed is not judged",
    ]
    if verdict.unjudged:
        until = "all" if verdict.settled >= NEVER else f"those before {instant(verdict.settled)}"
        lines.append(
            f"    not proven that {verdict.unjudged} windows, {until}, keep to their policy and its budget: which one held is not known; their place, order and "
            "signatures are judged"
        )
    return lines
