"""What a subscriber received, line by line of `dtpr-agent subscribe --json`, held against the log (OP-23, OP-36). Pure.

Invariant: memory grows by one short record a window received, and a line that is not understood is an error that names it.
"""

import base64
import hashlib
import json
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, NamedTuple

from agent.contracts import aggregate
from agent.contracts.governed import PackTerms
from agent.contracts.guarantee import NoGuarantee
from agent.contracts.log import NOTHING, Charge, Release
from agent.errors import BadInput, EncodingError, MessageError, SignatureError
from agent.operations.findings import Findings, Kind
from agent.operations.layout import Pack
from agent.operations.shown import Shown
from agent.wire.detached import verify_detached

MAX_LINE_BYTES = 256 * 1024
"""A payload of 64 KiB in base64, and its record."""

MAX_WINDOWS = 1_000_000
"""Seven years of four streams; about 400 bytes each."""


TERMS = (
    "window_s",
    "kind",
    "threshold",
    "sums",
    "noise_sd",
    "noise_unit",
    "total_noise_sd",
    "guarantee",
    "policy_version",
    "disclosure",
)
"""What a record says of its stream, besides its numbers: a better guarantee than the log has would deceive as well."""


MAX_HEADS = 1_000_000
"""As many, with each note."""


MAX_TERMS = 64
MAX_SHOWN = 10_000
"""Disclosures; a unit signs a new envelope once a minute at most, and has few policies."""


class Window(NamedTuple):
    """Which window of the unit."""

    stream: str
    start: int


class Seen(NamedTuple):
    """What was received for it: SHA-256 of the payload (`raw`), or of what the record says, and whether numbers were."""

    log_index: int
    fingerprint: bytes
    raw: bool
    numbers: bool = True


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the file: a Release with its payload where `--raw` kept it, a checkpoint's note or claim, a disclosure's envelope, or none of these."""

    release: tuple[Window, Seen] | None = None
    verified: bool | None = None
    payload: bytes | None = None
    signature: bytes | None = None
    head: tuple[str, int, bytes] | None = None
    note: bytes | None = None
    retained: bool = False
    shown: Shown | None = None


def parse_line(line: bytes, where: str, origin: str) -> Line:
    """Read one line; what is about another unit than `origin` is empty. Raises MessageError."""
    if len(line) > MAX_LINE_BYTES:
        raise MessageError(where, expected=f"at most {MAX_LINE_BYTES} bytes", got=str(len(line)))
    try:
        item = json.loads(line)
        if item["type"] == "fault" or "/".join((item["city"], item["site"], item["unit"])) != origin:
            return Line()
        payload = base64.b64decode(item["payload_base64"], validate=True) if "payload_base64" in item else None
        if item["type"] == "release":
            return _release(item, payload)
        if item["type"] == "checkpoint" and item["verified"] is not False:
            head = (str(item["origin"]), _size(item["size"]), bytes.fromhex(item["root"]))
            return Line(None, item["verified"], None, None, head, payload, item.get("retained", False) is True)
        if item["type"] in ("disclosure", "upcoming") and item["verified"] is not False:
            envelope = None if payload is None else base64.b64decode(json.loads(payload)["envelope"], validate=True)
            shown = Shown(bytes.fromhex(item["digest"]), _whole(item["issued_at"]), envelope)
            return Line(verified=item["verified"], shown=shown)
        return Line()
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, RecursionError) as bad:
        raise MessageError(
            where, expected="a line of `dtpr-agent subscribe --json`", got=f"{type(bad).__name__}: {bad}"[:100]
        ) from None


def _release(item: dict[str, Any], payload: bytes | None) -> Line:
    window = Window(sys.intern(str(item["stream"])), _whole(item["window_start"]))
    print_ = _said(item) if payload is None else payload
    seen = Seen(
        _whole(item["log_index"]), hashlib.sha256(print_).digest(), payload is not None, item["state"] == "complete"
    )
    properties = item.get("user_properties", [])
    found = [value for name, value in properties if name == "sig"]
    signature = base64.b64decode(found[0], validate=True) if found else None
    return Line((window, seen), item["verified"], payload, signature)


def _said(item: dict[str, Any]) -> bytes:
    """What a record says of its window, in one form."""
    cells = sorted((str(name), str(value)) for name, value in item["cells"].items())
    own = [
        item["stream"],
        _whole(item["window_start"]),
        _whole(item["log_index"]),
        item["state"],
        round(100 * item["coverage"]),
        cells,
    ]
    return json.dumps([own, [item[name] for name in TERMS]]).encode()


def promised(terms: PackTerms) -> list[object]:
    """The same of a stream in the log: TERMS, as a record has them."""
    total = terms.total_noise_sd
    return [
        terms.window_s,
        terms.kind,
        terms.threshold,
        terms.sums,
        float(terms.noise_sd),
        terms.noise_unit,
        None if total is None else float(total),
        terms.guarantee.words(),
        terms.policy_version,
        terms.disclosure_digest.hex(),
    ]


def said(stream: str, pack: Pack, names: tuple[str, ...], promise: list[object]) -> bytes:
    """The same of a Release in the log, whose cells have these names."""
    values = (float(value) if isinstance(value, Decimal) else value for value in pack.values)
    state = "complete" if pack.reason is None else f"not_collected:{pack.reason}"
    cells = sorted((name, str(value)) for name, value in zip(names, values, strict=True))
    own = [stream, pack.window_start, pack.log_index, state, pack.coverage_percent, cells]
    return json.dumps([own, promise]).encode()


def _whole(value: Any) -> int:
    if type(value) is not int:
        raise TypeError("a whole number")
    return value


def _size(value: Any) -> int:
    if not 0 <= _whole(value) < 2**63:
        raise ValueError("no number of entries")
    return _whole(value)


class Rest(NamedTuple):
    """Of what was received and the log did not confirm: how many are newer than the log copy, those of the log before this one, and those that say that
    they lie before the copy begins, with the index of each."""

    newer: int
    before: dict[Window, Seen]
    earlier: dict[Window, int]


class Reception:
    """Everything received of one unit, and what of it the log confirmed."""

    def __init__(self, findings: Findings) -> None:
        self.windows: dict[Window, Seen] = {}
        self.heads: list[tuple[str, str, int, bytes, bytes | None, bool]] = []
        self.shown: dict[Shown, str] = {}
        self.claims = 0
        """Checkpoints of which only somebody's word is here."""
        self.received = 0
        self.confirmed = 0
        self.suspects: dict[Window, str] = {}
        self._findings = findings
        self._promises: dict[int, tuple[PackTerms, tuple[str, ...], list[object]]] = {}

    def take(self, line: Line, where: str) -> None:
        """Remember one line."""
        if line.head is not None and line.note is None and line.verified is None:
            self.claims += 1
        elif line.head is not None:
            if len(self.heads) >= MAX_HEADS:
                raise MessageError(where, expected=f"at most {MAX_HEADS} checkpoints in one audit", got="more")
            self.heads.append((where, *line.head, line.note, line.retained))
        if line.shown is not None and (line.verified or line.shown.envelope) and len(self.shown) < MAX_SHOWN:
            self.shown.setdefault(line.shown, where)
        if line.release is None:
            return
        window, seen = line.release
        if line.verified is False:
            self._findings.add(
                Kind.FORGED, where, f"{window.stream} at {window.start}: the subscriber found no valid signature"
            )
            return
        if len(self.windows) >= MAX_WINDOWS:
            raise MessageError(where, expected=f"at most {MAX_WINDOWS} windows in one audit", got="more")
        self.received += 1
        known = self.windows.setdefault(window, seen)
        if known != seen and known.raw == seen.raw:
            self._findings.add(Kind.TWO_PAYLOADS, where, f"{window.stream} at {window.start}")

    def confirm(self, entry: Release, index: int, pack: Pack, terms: PackTerms) -> None:
        """The log holds `entry` at `index`."""
        window = Window(entry.stream, entry.window_start)
        seen = self.windows.pop(window, None)
        if seen is None:
            return
        logged = entry.payload if seen.raw else self._said(entry, pack, terms)
        if seen.log_index == index and seen.fingerprint == hashlib.sha256(logged).digest():
            self.confirmed += 1
        else:
            self.suspects[window] = f"the log holds another payload for it, as entry {index}"
            self._findings.add(
                Kind.ALTERED,
                f"received as entry {seen.log_index}",
                f"{window.stream} at {window.start}: entry {index} differs",
            )

    def _said(self, entry: Release, pack: Pack, terms: PackTerms) -> bytes:
        known = self._promises.get(id(terms))
        if known is None:
            if len(self._promises) >= MAX_TERMS:
                self._promises.clear()
            known = self._promises[id(terms)] = (terms, tuple(f.name for f in terms.fields), promised(terms))
        return said(entry.stream, pack, known[1], known[2])

    def rest(
        self,
        size: int,
        newest: Mapping[str, int],
        lost: int = 0,
        *,
        begin: int = 0,
        ends: Mapping[str, int] | None = None,
        own: Mapping[str, int] | None = None,
        until: int = 0,
    ) -> Rest:
        """What the log of `size` entries did not confirm, of which those from `begin` on were seen; `newest` is each stream's newest window, `ends`
        where its last one before `begin` ended, if that is known. The log before this one may have had `lost` entries,
        of windows up to `until`, and none of a window from each stream's first Release in this one on, which `own` has."""
        first = own or {}
        newer, before = 0, dict[Window, Seen]()
        earlier = dict[Window, int]()
        for window, seen in self.windows.items():
            if seen.log_index < begin and (ends is None or window.start < ends.get(window.stream, 0)):
                earlier[window] = seen.log_index
                continue
            in_time = window.start < until or window.start <= newest.get(window.stream, -1)
            if seen.log_index < lost and in_time and window.start < first.get(window.stream, window.start + 1):
                before[window] = seen
                continue
            if seen.log_index >= size and window.start > newest.get(window.stream, 0):
                newer += 1
                continue
            self.suspects[window] = "the log does not hold it"
            self._findings.add(
                Kind.NOT_IN_LOG, f"received as entry {seen.log_index}", f"{window.stream} at {window.start}"
            )
        return Rest(newer, before, earlier)


def entries_of(line: Line, charges: Mapping[str, Iterable[Charge]]) -> Iterator[bytes]:
    """What the log's entry of a Release received can be. All but the charge came with it, if payload and signature were kept (`--raw`): nothing for a
    window without numbers, none without a guarantee, and else one of those that its stream is known to have been charged."""
    if line.payload is None or line.signature is None:
        return
    try:
        said = aggregate.decode(line.payload)
    except BadInput:
        return
    terms = said.terms
    if isinstance(terms.guarantee, NoGuarantee):
        able: Iterable[Charge | None] = (None,)
    else:
        able = (NOTHING,) if said.reason is not None else (*charges.get(terms.stream, ()), NOTHING)
    for charge in able:
        release = Release(
            terms.stream,
            said.window_start,
            terms.window_s,
            line.payload,
            line.signature,
            charge,
            terms.disclosure_digest,
        )
        yield release.encode()


def signed_by(line: Line, public_key: bytes) -> bool | None:
    """Does the unit's signature cover the payload received? None when the line holds not both."""
    if line.payload is None or line.signature is None:
        return None
    try:
        verify_detached(line.signature, public_key, line.payload)
    except (SignatureError, EncodingError, BadInput):
        return False
    return True
