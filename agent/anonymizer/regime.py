"""A regime: the windows of one policy, from its effective instant until the next policy's. Pure.

Invariant: a window belongs to the policy in force at its start; windows of a stream close in order also where two regimes meet, so that what
is logged never goes back.
"""

from collections import Counter
from collections.abc import Iterator, Mapping
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from agent.anonymizer import batch
from agent.anonymizer.counts import TotalsTerms
from agent.anonymizer.discard import Discard
from agent.anonymizer.kinds import terms_for
from agent.anonymizer.ledger import Ledger, Standing
from agent.anonymizer.rows import Columns
from agent.anonymizer.siphash import Fill
from agent.anonymizer.terms import Terms
from agent.anonymizer.transition import changes
from agent.anonymizer.window import NS, Moment, Part, StreamWindows, window_start
from agent.contracts.board import Board
from agent.errors import InvariantBroken
from agent.policy.adopt import Taken

MAX_CATCH_UP = 16
"""Windows of a stream that are closed one by one after a standstill; more than that become one Gap."""

Table = tuple[int, NDArray[np.int64]] | None
"""What a board's hello means for a stream (agent.anonymizer.batch)."""


class Regime:
    """`hold_ns` is when the last window of the regime before it has closed (UTC nanoseconds): none of this one closes earlier."""

    def __init__(self, taken: Taken, ledger: Ledger, now: Moment, hold_ns: int, fill: Fill) -> None:
        self.taken = taken
        self.streams = taken.policy.streams
        self.windows = [
            StreamWindows(
                stream, max(window_start(now.utc_ns, stream.window_s), ledger.first_free(taken, stream)), fill
            )
            for stream in self.streams
        ]
        first_of_channel = {stream.channel: stream.name for stream in reversed(self.streams)}
        self.accounts = [first_of_channel[stream.channel] == stream.name for stream in self.streams]
        self._hold_ns = hold_ns
        self._tables: dict[int, list[Table]] = {}
        self._terms: dict[tuple[int, Standing], Terms] = {}
        for start in (taken.effective, *changes(ledger.adoption.taken, taken.effective, 2**40)):
            for number in range(len(self.streams)):
                self.terms(number, start, ledger)  # a table takes a while: not at the first closing

    # --- time -----------------------------------------------------------------------------------------------------

    def end(self, until: int) -> None:
        """The next policy begins at `until` (Unix seconds)."""
        for windows in self.windows:
            windows.until = until

    @property
    def until(self) -> int | None:
        """Where the next policy begins."""
        return self.windows[0].until

    @property
    def finished(self) -> bool:
        """Have all windows closed?"""
        return all(windows.finished for windows in self.windows)

    @property
    def last_closing_ns(self) -> int:
        """When the last window closes, which is not before the last one of the regime before it; 0 without an end."""
        if self.until is None:
            return 0
        return max(self._hold_ns, *(self.until * NS + int(stream.grace_s * NS) for stream in self.streams))

    def closes_at_ns(self, number: int) -> int:
        """When the next window of stream `number` closes."""
        return max(self.windows[number].closes_at_ns, self._hold_ns)

    def next_closing_ns(self) -> int | None:
        """When the next window of any stream closes."""
        return min(
            (self.closes_at_ns(n) for n, windows in enumerate(self.windows) if not windows.finished), default=None
        )

    def due(self, now_ns: int) -> tuple[list[tuple[int, int]], int]:
        """((closing instant, stream) of every window to close by now, readings given up because a standstill was too long)."""
        found, given_up = [], 0
        for number, windows in enumerate(self.windows):
            if windows.finished or now_ns < self.closes_at_ns(number):
                continue
            window_s = windows.stream.window_s
            behind = (now_ns - windows.closes_at_ns) // (window_s * NS) + 1
            if windows.until is not None:
                behind = min(behind, (windows.until - windows.next_start) // window_s)
            standing_still = (now_ns - self.closes_at_ns(number)) // (window_s * NS) + 1
            if standing_still > MAX_CATCH_UP:
                readings = windows.skip_to(windows.next_start + (behind - 1) * window_s)
                given_up += readings if self.accounts[number] else 0
                behind = 1
            at = windows.closes_at_ns
            found += [(max(at + i * window_s * NS, self._hold_ns), number) for i in range(behind)]
        return found, given_up

    def abandon(self) -> int:
        """Give up every window; returns the readings they held."""
        return self._accounted([windows.abandon() for windows in self.windows])

    def step(self, before_utc_ns: int, after_utc_ns: int) -> int:
        """UTC was stepped; returns the readings in windows that have no numbers for it."""
        return self._accounted([windows.step(before_utc_ns, after_utc_ns) for windows in self.windows])

    def stop(self, at_utc_ns: int) -> int:
        """A stop order came; returns the readings in windows that have no numbers for it."""
        return self._accounted([windows.stop(at_utc_ns) for windows in self.windows])

    def _accounted(self, lost: list[int]) -> int:
        return sum(count for count, accounts in zip(lost, self.accounts, strict=True) if accounts)

    def cover(self, before_utc_ns: int, held_until_ns: tuple[int, ...], board_until_ns: Mapping[int, int]) -> None:
        """Note what held from an instant on: `held_until_ns` is until when the unit ran and perhaps until when the gate was open;
        `board_until_ns` until when the board behind each connection was alive (UTC nanoseconds all)."""
        for number, windows in enumerate(self.windows):
            held = list(held_until_ns)
            if len(held) > Part.GATE:
                alive = [until for link, until in board_until_ns.items() if self.table(link, number) is not None]
                held.append(min(held[Part.GATE], max(alive, default=0)))
            for part, until in zip(Part, held, strict=False):
                windows.cover(part, before_utc_ns, until)

    # --- boards ---------------------------------------------------------------------------------------------------

    def meet(self, connection: int, board: Board | None) -> None:
        """The board behind a connection said hello, or is gone."""
        self._tables.pop(connection, None)
        if board is not None:
            self._tables[connection] = [batch.class_table(board, stream) for stream in self.streams]

    def table(self, connection: int, number: int) -> Table:
        """What the board behind `connection` measures of stream `number`."""
        tables = self._tables.get(connection)
        return tables[number] if tables is not None else None

    def count(
        self, connection: int, arrived: batch.Batch, now: Moment, inside: NDArray[np.bool_] | None
    ) -> Counter[Discard]:
        """Count readings of a board's channel, of which those that `inside` marks (None for all) were taken while this policy was in force;
        returns how many of these were discarded, by reason."""
        discarded: Counter[Discard] = Counter()
        accounted = False
        times_utc_ns = None
        for number, windows in enumerate(self.windows):
            table = self.table(connection, number)
            if table is None or table[0] != arrived.channel:
                continue
            if times_utc_ns is None:
                times_utc_ns = arrived.times_boot_ns + now.offset_ns
            refused = windows.count(
                times_utc_ns,
                Columns(table[1].take(arrived.classes), arrived.values, arrived.identifiers, arrived.width),
                now.utc_ns,
                oldest_utc_ns=arrived.oldest_boot_ns + now.offset_ns,
                newest_utc_ns=arrived.newest_boot_ns + now.offset_ns,
                inside=inside,
            )
            if self.accounts[number]:
                accounted = True
                discarded += refused
        if not accounted:
            discarded[Discard.UNKNOWN_CHANNEL] = (
                len(arrived.classes) if inside is None else int(np.count_nonzero(inside))
            )
        return discarded

    # --- noise ----------------------------------------------------------------------------------------------------

    def terms(self, number: int, start: int, ledger: Ledger) -> Terms:
        """The terms of stream `number` for a window that starts at `start`."""
        stream = self.streams[number]
        standing = ledger.standing(stream, start)
        terms = self._terms.get((number, standing))
        if terms is None:
            terms = terms_for(
                self.taken.policy,
                stream,
                self.taken.disclosure_digest,
                standing.strength,
                standing.charge,
                standing.withheld,
            )
            self._terms[number, standing] = terms
        return terms

    def lose(self, streams: set[str]) -> None:
        """The windows of these that closed last were not logged: running totals begin anew after them."""
        for (number, _), terms in self._terms.items():
            if isinstance(terms, TotalsTerms) and self.streams[number].name in streams:
                terms.counter.lose()


class Regimes:
    """The regimes whose windows have not all closed, in the order of their policies."""

    def __init__(self, fill: Fill) -> None:
        self._regimes: list[Regime] = []
        self._fill = fill

    def __iter__(self) -> Iterator[Regime]:
        return iter(self._regimes)

    def begin(self, ledger: Ledger, now: Moment, boards: Mapping[int, Board]) -> list[Regime]:
        """Add a regime for every policy that has not ended; what one that ended still owes is a Gap. Returns the new ones."""
        newest = max((regime.taken.effective for regime in self._regimes), default=-1)
        added = []
        for one in ledger.adoption.taken:
            ends = ledger.adoption.ends(one)
            if one.effective <= newest or (ends is not None and ends * NS <= now.utc_ns):
                continue  # known, or over: a clock that went back brings no policy back
            hold_ns = 0
            if self._regimes:
                self._regimes[-1].end(one.effective)
                hold_ns = self._regimes[-1].last_closing_ns
            added.append(Regime(one, ledger, now, hold_ns, self._fill))
            self._regimes.append(added[-1])
            for connection, board in boards.items():
                added[-1].meet(connection, board)
        return added

    def begun(self, utc_ns: int) -> list[Regime]:
        """Those whose policy was in force at or before an instant."""
        return [regime for regime in self._regimes if regime.taken.effective * NS <= utc_ns]

    def next_closing_ns(self) -> int | None:
        """When the next window closes."""
        closings = (regime.next_closing_ns() for regime in self._regimes)
        return min((at for at in closings if at is not None), default=None)

    def closing(self) -> dict[tuple[int, str], int]:
        """(effective instant of the policy, stream) -> start of the window that closes next (Ledger.gaps)."""
        return {
            (r.taken.effective, windows.stream.name): windows.next_start for r in self._regimes for windows in r.windows
        }

    def pending(self) -> int:
        """Readings in windows that have not closed."""
        return sum(
            windows.pending
            for regime in self._regimes
            for windows, accounts in zip(regime.windows, regime.accounts, strict=True)
            if accounts
        )

    def due(self, now_ns: int) -> tuple[list[tuple[Regime, int, int]], int]:
        """(regime, stream, how many windows) in order of their closing, an older policy's first, then in policy order; and the readings given up.

        Windows of one stream that follow one another in this order are told together.
        """
        found, given_up = [], 0
        for order, regime in enumerate(self._regimes):
            due, lost = regime.due(now_ns)
            given_up += lost
            found += [(at, order, number) for at, number in due]
        runs = groupby(sorted(found), key=lambda each: each[1:])
        return [(self._regimes[order], number, len(list(run))) for (order, number), run in runs], given_up

    def count(self, connection: int, arrived: batch.Batch, now: Moment, since_boot_ns: int) -> Counter[Discard]:
        """Count each reading that was taken at `since_boot_ns` or later under the policy in force when it was taken; returns how many were
        discarded, by reason.

        Raises InvariantBroken when there is no policy: the gate let a reading in that nobody had decided to count.
        """
        if not self._regimes:
            raise InvariantBroken("the gate is open without a policy in force")
        begins_boot_ns = [regime.taken.effective * NS - now.offset_ns for regime in self._regimes[1:]]
        if arrived.oldest_boot_ns >= max([since_boot_ns, *begins_boot_ns]):
            return self._regimes[-1].count(connection, arrived, now, None)
        discarded: Counter[Discard] = Counter()
        open_then = arrived.times_boot_ns >= since_boot_ns
        discarded[Discard.GATE] = int(np.count_nonzero(~open_then))
        belongs = np.searchsorted(np.array(begins_boot_ns, dtype=np.int64), arrived.times_boot_ns, side="right")
        for number, regime in enumerate(self._regimes):
            discarded += regime.count(connection, arrived, now, open_then & (belongs == number))
        return discarded

    def meet(self, connection: int, board: Board | None) -> None:
        """The board behind a connection said hello, or is gone."""
        for regime in self._regimes:
            regime.meet(connection, board)

    def drop_finished(self) -> int:
        """Forget those whose windows have all closed; returns the readings in windows that will never be theirs."""
        ended = [regime for regime in self._regimes if regime.finished]
        self._regimes = [regime for regime in self._regimes if not regime.finished]
        return sum(regime.abandon() for regime in ended)

    def abandon(self) -> int:
        """Give up all windows, and overwrite their keys; returns the readings they held."""
        return sum(regime.abandon() for regime in self._regimes)
