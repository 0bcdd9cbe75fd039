"""Where an audit begins whose copy no longer has the oldest entries: at the first state that a bundle held carries (OP-34, OP-35 of SPEC.md)."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice

from agent.contracts import aggregate
from agent.contracts.carried import State
from agent.contracts.log import Carried, Decision, Release, decode_entry
from agent.disclosure.datachain import compile_disclosure, decode_disclosure
from agent.errors import BadInput, LogDamaged
from agent.operations.carried import possible
from agent.operations.copies import Copies
from agent.operations.decisions import Candidate, find_decisions
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.operations.received import Line, entries_of
from agent.policy.compile import compile_policy
from agent.policy.file import PolicyFile
from agent.wire.tiles import WIDTH
from agent.wire.tlog import leaf_hash

MAX_CANDIDATES = 32
"""Policies that are tried; a unit's life has a few."""

MAX_PLACES = 5
"""Entries named in one line."""


@dataclass(frozen=True, slots=True)
class Tried:
    """Where policies of before may be found again: files, and disclosures (their compact form) that the unit showed."""

    files: Sequence[PolicyFile] = ()
    disclosures: Sequence[bytes] = ()

    def candidates(self, copies: Copies) -> list[Candidate]:
        """Each with every digest that its disclosure can have: as compiled now, or as the first Releases held name it."""
        named = set(_named(copies))
        found: dict[tuple[bytes, bytes], Candidate] = {}
        for file in self.files:
            digests = {digest for version, digest in named if version == file.policy.version}
            with contextlib.suppress(BadInput):
                digests.add(compile_disclosure(file.policy).digest)
            for digest in digests:
                found[file.compiled, digest] = Candidate(file.policy, file.compiled, digest, file.message)
        for shown in self.disclosures:
            with contextlib.suppress(BadInput):
                said = decode_disclosure(shown)
                compiled = compile_policy(said.policy)
                found.setdefault((compiled, said.digest), Candidate(said.policy, compiled, said.digest))
        return list(found.values())[:MAX_CANDIDATES]


@dataclass(slots=True)
class Beginning:
    """What is known of a copy that begins with entry `held`. It is judged from entry `entry` on, the first that carries a state; None when none does.

    `tiles_whole`: every hash tile of before is there. `decided` entries before hold decisions of governance, and those at `absent` are not known.
    `included` releases received of before are proven to be in the log, those at `unproven` (their indices) are not. `agreeing` checkpoints of
    before are of the same log.
    """

    held: int
    tiles_whole: bool
    entry: int | None = None
    decided: int = 0
    absent: tuple[int, ...] = ()
    ends: Mapping[str, int] | None = None
    included: int = 0
    unproven: list[int] = field(default_factory=list)
    agreeing: int = 0

    def take_up(
        self, data: bytes, index: int, copies: Copies, history: History, tried: Tried, findings: Findings
    ) -> None:
        """The first entry of a bundle: `history` goes on from the state that it carries, when it carries one that can be."""
        state = _state(data, index, findings)
        if state is None:
            return
        known = {place: entry for place in state.decisions if (entry := _kept(place, copies)) is not None}
        leaves = {place: leaf for place in state.decisions if place not in known and (leaf := copies.leaf(place))}
        known |= find_decisions(leaves, tried.candidates(copies), state.newest_at)
        history.resume(index, state, known)
        self.entry, self.decided = index, len(state.decisions)
        self.absent = tuple(place for place in state.decisions if place not in known)
        self.ends = {each.stream: each.end for each in state.last}

    def prove(self, line: Line, index: int, copies: Copies, history: History) -> None:
        """Is a Release received of before the entry at `index`?"""
        leaf = copies.leaf(index)
        if leaf is not None and any(leaf_hash(entry) == leaf for entry in entries_of(line, history.charges or {})):
            self.included += 1
        else:
            self.unproven.append(index)


def places(indices: Sequence[int]) -> str:
    """Some entries by their indices, for people."""
    more = f" and {len(indices) - MAX_PLACES} more" if len(indices) > MAX_PLACES else ""
    return ", ".join(map(str, indices[:MAX_PLACES])) + more


def _state(data: bytes, index: int, findings: Findings) -> State | None:
    """What the entry carries; None where it carries nothing (which it may say), or, a finding, nothing that can be."""
    try:
        entry = decode_entry(data)
    except LogDamaged as bad:
        findings.add(Kind.MALFORMED, f"entry {index}", str(bad)[:200])
        entry = None
    if not isinstance(entry, Carried):
        findings.add(Kind.CARRIED_STATE, f"entry {index}", "a bundle that begins with no state")
        return None
    if entry.state is None:
        return None
    words = possible(entry.state, index)
    if words is not None:
        findings.add(Kind.CARRIED_STATE, f"entry {index}", words)
        return None
    return entry.state


def _kept(index: int, copies: Copies) -> Decision | None:
    """A decision that an earlier copy still has."""
    data = copies.entry(index)
    if data is None:
        return None
    with contextlib.suppress(LogDamaged):
        entry = decode_entry(data)
        if isinstance(entry, Decision):
            return entry
    return None


def _named(copies: Copies) -> Iterator[tuple[int, bytes]]:
    """(policy version, disclosure digest) of each Release in the first bundle held."""
    for data in islice(copies.entries(), WIDTH):
        with contextlib.suppress(BadInput):
            entry = decode_entry(data)
            if isinstance(entry, Release):
                yield aggregate.decode(entry.payload).terms.policy_version, entry.disclosure_digest
