"""Decisions of governance that lie before the beginning of a copy, found again from a policy and their leaf hashes: OP-35 of SPEC.md. Pure.

The log's entry is the policy, the disclosure's digest and one or two instants. Who has the policy (from who signed it, or out of a disclosure that the
unit showed) knows all but the instants, and there are few enough to try: an entry with the very leaf hash that the log's tiles hold is that
entry. Nothing is taken that does not have it.
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from math import lcm
from struct import Struct

from agent.contracts.log import Decision, PolicyOffered, PolicyTaken
from agent.policy.model import Policy

MAX_TRIES = 6_000_000
"""Some ten seconds. The newest decision is found at once, as the log's state names its instant, and what was offered weeks before it soon after."""

_TAKEN = Struct(">BBIBBI")
_OFFERED = Struct(">BBI")
_UINT32 = 0x1A
"""Of CBOR: an integer of four bytes follows, as every instant from 1970-01-01 18:12:16 to 2106 has."""

_FIRST, _END = 1 << 16, 1 << 32


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy that the unit may have taken: `compiled`, the `digest` of a disclosure of it, and the `message` as it was signed, where that is known."""

    policy: Policy
    compiled: bytes
    digest: bytes
    message: bytes | None = None


def find_decisions(leaves: Mapping[int, bytes], candidates: Sequence[Candidate], newest_at: int) -> dict[int, Decision]:
    """Of the entries with these leaf hashes (32 bytes, by index) those that offer or take a candidate at `newest_at` (Unix seconds) or before."""
    wanted = {leaf: index for index, leaf in leaves.items()}
    found: dict[int, Decision] = {}
    if not wanted or not candidates:
        return found
    strides = {_stride([one.policy, other.policy]) for one in candidates for other in candidates}
    forms = [_Form(each, strides) for each in candidates]
    oldest = max(_FIRST, min(each.policy.issued for each in candidates))
    tries = 0
    for at in range(min(newest_at, _END - 1), oldest - 1, -1):
        for form in forms:
            for leaf, entry in form.leaves(at):
                tries += 1
                index = wanted.pop(leaf, None)
                if index is not None:
                    found[index] = form.entry(at, entry)
                    form.found(entry)
        if not wanted or tries > MAX_TRIES or all(form.is_found for form in forms):
            break
    return found


class _Form:
    """A candidate's entries but for their instants."""

    def __init__(self, candidate: Candidate, strides: Iterable[int]) -> None:
        self._candidate = candidate
        self._own = _stride([candidate.policy])
        self._strides = sorted(strides)
        taken = PolicyTaken(candidate.compiled, candidate.digest, _FIRST, _FIRST).encode()
        self._taken: hashlib._Hash | None = hashlib.sha256(b"\0" + taken[: -_TAKEN.size])
        self._offered: hashlib._Hash | None = None
        if candidate.message is not None:
            offered = PolicyOffered(candidate.message, candidate.digest, _FIRST).encode()
            self._offered = hashlib.sha256(b"\0" + offered[: -_OFFERED.size])

    @property
    def is_found(self) -> bool:
        """Is there nothing left of it to look for?"""
        return self._taken is None and self._offered is None

    def found(self, effective: int | None) -> None:
        """This one was found: one that was offered, and one that was taken, is offered or taken once."""
        if effective is None:
            self._offered = None
        else:
            self._taken = None

    def leaves(self, at: int) -> Iterator[tuple[bytes, int | None]]:
        """(leaf hash, instant from which it is in force, None for an offer) of what can have been logged at `at`."""
        taken, offered = self._taken, self._offered
        if taken is not None:
            for effective in self._effective(at):
                one = taken.copy()
                one.update(_TAKEN.pack(3, _UINT32, at, 4, _UINT32, effective))
                yield one.digest(), effective
        if offered is not None:
            one = offered.copy()
            one.update(_OFFERED.pack(3, _UINT32, at))
            yield one.digest(), None

    def entry(self, at: int, effective: int | None) -> Decision:
        """That entry."""
        candidate = self._candidate
        if effective is not None:
            return PolicyTaken(candidate.compiled, candidate.digest, at, effective)
        assert candidate.message is not None
        return PolicyOffered(candidate.message, candidate.digest, at)

    def _effective(self, at: int) -> set[int]:
        """AN-23: a first policy from the window in progress on, another from the next common boundary, or the one after it."""
        low = max(at, self._candidate.policy.effective)
        found = {at - at % self._own}
        for stride in self._strides:
            boundary = -(-low // stride) * stride
            found |= {boundary, boundary + stride}
        return {each for each in found if _FIRST <= each < _END}


def _stride(policies: Iterable[Policy]) -> int:
    return lcm(*(stream.window_s for policy in policies for stream in policy.streams))
