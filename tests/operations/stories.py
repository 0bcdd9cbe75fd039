"""Logs for the audit: one written by the real anonymizer's code in memory, and what a unit that cheats would make of it."""

import base64
import dataclasses
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.contracts import aggregate
from agent.contracts.cells import MAX_WIDTH
from agent.contracts.log import Entry, Release
from agent.local.randomness import random_bytes
from agent.operations.log_copy import export
from agent.operations.subscribe import _json
from agent.operations.verification import Received, Verification
from agent.wire import cose, tlog
from agent.wire.detached import signed_type
from agent.wire.tlog import Checkpoint, TreeHead
from tests import packs
from tests.anonymizer.stage import KEY, ORIGIN, make_policy
from tests.anonymizer.test_kinds import Life
from tests.anonymizer.worlds import World
from tests.log_files import write_log

PUBLIC = cose.public_bytes(KEY)


def live_through_it(world: World, version: int) -> None:
    """Counts, a restart, a stricter policy (`version`) with half the budget, another (the next version) with shorter windows, a stop order."""
    world.run(12)
    world.count([0] * 40 + [1] * 30)
    world.run(6)
    world.boot_ns += 5 * 10**9
    world.restart()
    world.look()
    world.run(6)
    world.offer(make_policy(version=version, notice="2 seconds", rho="0.0625", cap="0.0625"))
    world.run(8)
    world.offer(make_policy(version=version + 1, notice="3 seconds", window=2))
    world.run(8)
    world.stop("a pipe burst")
    world.run(6)


@cache
def story() -> tuple[Entry, ...]:
    """A first policy, a restart, a stricter policy with half the budget (so that its first windows are not affordable), a stop order."""
    world = World(make_policy(notice="2 seconds"))
    live_through_it(world, 2)
    return tuple(world.entries)


KINDS = ("stays", "open_stays", "cars", "visitors", "noise", "leq", "dust", "passing")
"""A stream of each kind and mode (tests/anonymizer/test_kinds)."""


class Street(Life):
    """A unit that measures everything. Noise is drawn."""

    def __init__(self, *names: str) -> None:
        super().__init__(*names)
        self.random = random_bytes
        self.restart()
        self.on(1)

    def busy(self, seconds: int) -> None:
        """Readings of every channel come in, ever more, for some seconds."""
        for second in range(0, seconds, 5):
            many = 4 + second
            if "cars" in self.names:
                self.bring("cars", classes=[1] * many)
            if "passing" in self.names:
                self.bring("passing", classes=[1] * many + [0] * 3 * many)
            for name in {"stays", "open_stays"} & {*self.names}:
                self.bring(name, classes=[1] * many + [0], values=[60_000] * many + [7_200_000])
            if "visitors" in self.names:
                self.bring("visitors", identifiers=[bytes([2, 0, 0, 0, second, n % 256]) for n in range(4 * many)])
            for name, value in (("noise", 61), ("leq", 55), ("dust", 12)):
                if name in self.names:
                    self.bring(name, values=[value] * 5)
            self.on(5)


class CborStreet(Street):
    """The same, set to CBOR."""

    cbor = True


@cache
def street(*, cbor: bool = False, cbor_after: bool | None = None) -> tuple[Entry, ...]:
    """Every kind and mode: readings, and a restart with a Gap; in CBOR, or in CBOR or not after the restart."""
    life = (CborStreet if cbor else Street)(*KINDS)
    life.busy(80)
    life.boot_ns += 45 * 10**9
    life.cbor = cbor if cbor_after is None else cbor_after
    life.restart()
    life.on(5)
    life.busy(60)
    return tuple(life.entries)


def note_of(entries: Sequence[bytes], *, key: Ed25519PrivateKey = KEY, origin: str = ORIGIN, more: str = "") -> bytes:
    """A checkpoint of them, without a word of where they are."""
    head = TreeHead()
    for entry in entries:
        head.append(entry)
    return tlog.sign_checkpoint(Checkpoint(origin, head.size, head.root(), (more,) if more else ()), origin, key)


def write_copy(
    folder: Path, entries: Iterable[Entry | bytes], *, key: Ed25519PrivateKey = KEY, origin: str = ORIGIN
) -> Path:
    """The log as its unit signs it (or another), exported into `folder`/copy."""
    data = [entry if isinstance(entry, bytes) else entry.encode() for entry in entries]
    write_log(folder / "log", data, key, origin)
    export(folder / "log", folder / "copy")
    return folder / "copy"


def resealed(release: Release, *, key: Ed25519PrivateKey = KEY, **changes: Any) -> Release:
    """The same Release saying something else, signed again."""
    before = aggregate.decode(release.payload)
    if before.terms.cbor_bytes is not None and "fields" in changes:  # which have no widths in CBOR
        changes["fields"] = tuple(dataclasses.replace(field, width=MAX_WIDTH) for field in changes["fields"])
    payload = aggregate.encode(packs.changed(before, **changes))
    said = aggregate.decode(payload)
    return dataclasses.replace(
        release,
        window_start=said.window_start,
        payload=payload,
        signature=cose.sign1(payload, key, detached=True, content_type=signed_type(payload)),
        disclosure_digest=said.terms.disclosure_digest,
    )


def renumbered(entries: Sequence[Entry]) -> list[Entry]:
    """A careful cheat signs every Release again for the place where it now stands."""
    return [
        resealed(entry, log_index=index) if isinstance(entry, Release) else entry for index, entry in enumerate(entries)
    ]


def received(entries: Iterable[Entry], note: bytes | None = None, *, raw: bool = True) -> str:
    """What `dtpr-agent subscribe --json` writes when these Releases, and then a checkpoint, arrive."""
    verification = Verification([PUBLIC])
    root = f"dtpr/v1/{ORIGIN}"
    messages = [
        (f"{root}/agg/{entry.stream}", entry.payload, (("sig", base64.b64encode(entry.signature).decode()),))
        for entry in entries
        if isinstance(entry, Release)
    ]
    if note is not None:
        messages.append((f"{root}/checkpoint", note, ()))  # type: ignore[arg-type]  # no properties
    lines = []
    for topic, payload, properties in messages:
        for record, message in verification.take(Received(topic, payload, properties, False, 0.0)):
            lines.append(_json(record, message, raw=raw))
    return "".join(f"{line}\n" for line in lines)
