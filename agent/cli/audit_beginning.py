"""What an audit of a copy without its oldest bundles proves, and what it does not, in words. Pure."""

from agent.contracts.aggregate import END_START
from agent.operations import wording
from agent.operations.beginning import Beginning, places
from agent.operations.findings import Kind
from agent.operations.policies import NEVER
from agent.operations.verdict import Verdict


def beginning_lines(verdict: Verdict) -> list[str]:
    """None for a copy of the whole log."""
    begin = verdict.beginning
    if begin is None or begin.entry is None:
        return []
    since = f", windows from {instant(verdict.since)} on" if verdict.since is not None else ""
    before = f"entries 0 to {begin.entry - 1}"
    lines = [
        f"    begins     with entry {begin.held}: the copy does not have those before it",
        f"    judged     from entry {begin.entry}{since}: {_extent(verdict)}",
        f"    before     {before} are of this same log: their hashes lead to the root that is signed{_also(begin)}"
        if same_log(verdict)
        else f"    not proven that {before} are of this log: no root that the unit signed covers them",
        f"    not proven what entries 0 to {begin.entry - 1} say; what was spent and released until then is the unit's word, in entry {begin.entry}: "
        "had it lied there, only the older entries would show it (--earlier DIR)",
    ]
    if begin.unproven:
        lines.append(
            f"    not proven that the log has what was received as of before at {places(begin.unproven)} ({_count(len(begin.unproven), 'release')}): payload or "
            "signature was not kept (subscribe --raw), the hash tile is gone, or it differs"
        )
    if begin.absent:
        lines += _policies(verdict, begin)
    return lines


def instant(at: int) -> str:
    """UTC, to the second; a log may claim any instant."""
    return wording.instant(at) if 0 <= at < END_START else f"at {at}"


def same_log(verdict: Verdict) -> bool:
    """Does a root that the unit signed cover the hashes of before?"""
    return not verdict.findings.kinds & {Kind.ROOT, Kind.CHECKPOINT_SIGNATURE, Kind.OTHER_UNIT}


def last_line(verdict: Verdict) -> str:
    """Of a copy that begins late, in which nothing was found."""
    assert verdict.beginning is not None
    entry, windows = verdict.beginning.entry, sum(verdict.windows.values())
    if verdict.unjudged and verdict.unjudged == windows:
        return f"CLEAN FROM ENTRY {entry} ON in place, order and signatures; no window could be held against its policy"
    return f"CLEAN FROM ENTRY {entry} ON: nothing was found in what could be judged; of what was before, only what is said above"


def _extent(verdict: Verdict) -> str:
    by_policy = "charges, budget and policies"
    if not verdict.unjudged:
        return f"place, order, signatures, {by_policy}"
    if verdict.unjudged == sum(verdict.windows.values()):
        return f"place, order and signatures; {by_policy} of no window"
    return f"place, order and signatures; {by_policy} of windows from {instant(verdict.settled)} on"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _also(begin: Beginning) -> str:
    words = [f"{_count(begin.agreeing, 'checkpoint')} of then agreeing"] if begin.agreeing else []
    words += [f"{_count(begin.included, 'release')} received of then in it"] if begin.included else []
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
