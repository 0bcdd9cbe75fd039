"""Units that exist in memory only, and publish what a real unit with this policy would: signed packs with real noise, a log, what is retained. Pure.

Any policy does; only what the windows held is made up (agent.operations.invention). Invariant: a unit's memory does not grow with what it has published: of its log it keeps the running Merkle root.
"""

from collections.abc import Callable
from dataclasses import replace

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer.counts import TotalsTerms
from agent.anonymizer.kinds import encodable, terms_for
from agent.anonymizer.terms import Terms
from agent.contracts.aggregate import Aggregate, Template
from agent.contracts.log import Entry, PolicyTaken, Release
from agent.contracts.pack_cbor import in_cbor as terms_in_cbor
from agent.contracts.public import Envelope, Reason, State, seal_envelope
from agent.disclosure.datachain import compile_disclosure
from agent.operations.invention import Invention
from agent.policy.compile import compile_policy
from agent.policy.model import Policy
from agent.publisher.message import (
    Message,
    checkpoint_message,
    disclosure_message,
    release_messages,
    state_message,
    upcoming_message,
)
from agent.publisher.topics import Topics
from agent.wire import cose
from agent.wire.detached import signed_type
from agent.wire.tlog import Checkpoint, TreeHead, sign_checkpoint

RandomBytes = Callable[[int], bytes]

HISTORY_S = 30 * 86_400
"""Simulated windows begin so long before now, so that they can go by faster than real ones and none is in the future."""

SITES = 100
"""Units of one site."""


class Crowd:
    """What all simulated units have in common: the policy but for its unit, the law of the noise, and whether packs are in CBOR.

    Raises PolicyError for a policy of which no window could be written.
    """

    def __init__(self, policy: Policy, root: str, now: int, *, cbor: bool = False) -> None:
        self.cbor = cbor
        encodable(policy)
        self.policy = policy
        self.root = root
        self.terms = tuple(terms_for(self.policy, stream, bytes(32)) for stream in self.policy.streams)
        longest = max(stream.window_s for stream in self.policy.streams)
        self.start = (now - HISTORY_S) // longest * longest

    def unit(self, number: int, key: Ed25519PrivateKey) -> "SimulatedUnit":
        """Unit `number` of the crowd."""
        site = f"sim-{number // SITES:04}"
        named = replace(self.policy.unit, site=site, name=f"sim-{number:06}")
        return SimulatedUnit(self, replace(self.policy, unit=named), key)


class SimulatedUnit:
    """One of them. Releases go round its streams, a window after another."""

    __slots__ = (
        "_envelope",
        "_head",
        "_key",
        "_packs",
        "_published",
        "_root",
        "_start",
        "_state",
        "path",
        "public_key",
        "topics",
    )

    def __init__(self, crowd: Crowd, policy: Policy, key: Ed25519PrivateKey) -> None:
        disclosure = compile_disclosure(policy)
        unit = policy.unit
        self._key = key
        self._start = crowd.start
        self._published = 0
        self._head = TreeHead()
        self._log(PolicyTaken(compile_policy(policy), disclosure.digest, crowd.start, crowd.start))
        self._envelope = seal_envelope(Envelope(disclosure.cbor, crowd.start), key)
        self._packs = tuple(_Pack(terms, policy, disclosure.digest, cbor=crowd.cbor) for terms in crowd.terms)
        self.public_key = cose.public_bytes(key)
        self.path = f"{unit.city}/{unit.site}/{unit.name}"
        self.topics = Topics(crowd.root, unit.city, unit.site, unit.name)
        self._state = State(
            city=unit.city,
            site=unit.site,
            unit=unit.name,
            gate="open",
            reason=Reason.OPEN,
            since=crowd.start,
            policy_version=policy.version,
            disclosure=disclosure.digest.hex(),
            notice_remaining_s=0,
            expires=policy.expires,
            clock_trusted=True,
            demo=policy.demo,
            public_key=self.public_key.hex(),
            collect_within_s=policy.collect_within_s,
        )

    def announcements(self, session: str) -> list[Message]:
        """What goes out at the beginning of a connection (PB-7)."""
        return [
            self.state(session, "online"),
            disclosure_message(self.topics, self._envelope),
            upcoming_message(self.topics, None),
            self.checkpoint(),
        ]

    def state(self, session: str, connection: str) -> Message:
        """Also the will."""
        return state_message(self.topics, self._state, session=session, connection=connection, publisher="ok")

    def checkpoint(self) -> Message:
        """The log's head, signed."""
        head = Checkpoint(self.path, self._head.size, self._head.root())
        return checkpoint_message(self.topics, sign_checkpoint(head, self._state.unit, self._key))

    def release(self, random_bytes: RandomBytes, *, mqtt5: bool = True) -> tuple[Message, ...]:
        """The next window: govern, seal, log. `random_bytes` feeds noise and counts."""
        number, place = divmod(self._published, len(self._packs))
        pack = self._packs[place]
        self._published += 1
        log_index = self._head.size
        governed = pack.window(self._start + number * pack.terms.stream.window_s, log_index, random_bytes)
        payload = pack.template.encode(governed)
        release = Release(
            pack.terms.stream.name,
            governed.window_start,
            pack.terms.stream.window_s,
            payload,
            cose.sign1(payload, self._key, detached=True, content_type=signed_type(payload)),
            pack.terms.charge,
            governed.terms.disclosure_digest,
        )
        self._log(release)
        expiry_s = self._state.collect_within_s
        return release_messages(self.topics, release, log_index=log_index, expiry_s=expiry_s, mqtt5=mqtt5)

    def _log(self, entry: Entry) -> None:
        self._head.append(entry.encode())


class _Pack:
    """One stream of one unit."""

    __slots__ = ("_invention", "template", "terms")

    def __init__(self, terms: Terms, policy: Policy, digest: bytes, *, cbor: bool) -> None:
        unit = policy.unit
        named = replace(terms.pack, city=unit.city, site=unit.site, unit=unit.name, disclosure_digest=digest)
        self.terms = replace(terms) if isinstance(terms, TotalsTerms) else terms  # running totals are the unit's own
        self.template = Template(terms_in_cbor(named) if cbor else named)
        self._invention = Invention(terms.stream)

    def window(self, start: int, log_index: int, random_bytes: RandomBytes) -> Aggregate:
        held = self._invention.next_window(random_bytes)
        values = self.terms.numbers(start, held, random_bytes).values(0, True)
        return Aggregate(self.template.terms, start, 100, None, log_index, values)
