"""A log that follows one of which a part was lost: what its first entries are. Pure.

Invariant: a ledger folded from them has the decisions, the budget and the last windows of the entries that were left, so that nothing is
released twice (I5) and nothing that was charged is forgotten (I4). The windows that were lost are charged as every window without an entry is.
"""

from collections.abc import Iterable, Iterator

from agent.anonymizer.ledger import Ledger
from agent.contracts.board_seen import BoardSeen
from agent.contracts.gate_log import GateChanges
from agent.contracts.log import Carried, Charge, Entry, Gap, KeyRotated, LogLost, NoticeServed, Release, carrying
from agent.contracts.log_file import AFTER, unit_path
from agent.wire.tlog import Checkpoint


def origin_after(origin: str, lost: Checkpoint) -> str:
    """The origin of the log that follows: the unit's, how many entries the lost one is known to have had, and the first half of their root."""
    return f"{unit_path(origin)}{AFTER}{lost.size}-{lost.root[:16].hex()}"


def continuation(lost: LogLost, left: Iterable[Entry], rotation: bytes | None = None) -> Iterator[Entry]:
    """The first entries: the loss, every decision that was left, and its windows as Gaps at the charge that they had. Rotations of the key that
    were left come again too, and after them `rotation`, the newest.

    Windows of a stream in a row at one charge are one Gap, ended by each decision, so that charges stand under the policy they stood under.
    """
    yield lost
    runs: dict[str, Gap] = {}
    served: NoticeServed | None = None
    for entry in left:
        match entry:
            case Release(stream, start, window_s, _, _, charge, _):
                yield from _add(runs, Gap(stream, start, window_s, 1, charge))
            case Gap():
                yield from _add(runs, entry)
            case NoticeServed():
                served = entry
            case LogLost() | Carried() | GateChanges() | BoardSeen():
                pass  # of its own log, which is kept
            case KeyRotated(message) if message == rotation:
                pass  # below
            case _:
                yield from _flush(runs, served)
                served = None
                yield entry
    yield from _flush(runs, served)
    if rotation is not None:
        yield KeyRotated(rotation)


def with_states(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The same, each bundle but the first begun by what those before it come to."""
    ledger = Ledger()
    for entry in entries:
        if ledger.carries:
            state = carrying(ledger.state)
            ledger.fold(state)
            yield state
        ledger.fold(entry)
        yield entry


def _flush(runs: dict[str, Gap], served: NoticeServed | None) -> Iterator[Entry]:
    yield from runs.values()
    runs.clear()
    if served is not None:
        yield served


def _add(runs: dict[str, Gap], more: Gap) -> Iterator[Gap]:
    run = runs.get(more.stream)
    if run is None:
        runs[more.stream] = more
    elif (run.window_s, _rho(run.charge)) == (more.window_s, _rho(more.charge)) and _end(run) == more.first_start:
        runs[more.stream] = Gap(run.stream, run.first_start, run.window_s, run.count + more.count, run.charge)
    else:
        yield run
        runs[more.stream] = more


def _rho(charge: Charge | None) -> object:
    return charge.rho if charge is not None else None


def _end(gap: Gap) -> int:
    return gap.first_start + gap.count * gap.window_s
