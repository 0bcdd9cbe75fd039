"""What an audit is given, and what was received and read of it (OP-20 to OP-36 of SPEC.md)."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from agent.contracts.public import read_envelope
from agent.errors import EncodingError, StorageUnavailable
from agent.operations.log_copy import read_regular
from agent.operations.received import MAX_LINE_BYTES, Line, parse_line
from agent.policy.file import PolicyFile
from agent.policy.governance import TrustRoot
from agent.wire.cosignature import Witness

MAX_ENVELOPE_BYTES = 64 * 1024


@dataclass(slots=True)
class Inputs:
    """What is audited. `origin` is city/site/unit, `public_key` its present key and `previous` those before it, newest first: `seen` are checkpoints from before
    the copy was made, `earlier` older copies, `air` envelopes read over BLE, `policies` what the unit may have been under before the copy begins."""

    origin: str
    public_key: bytes
    log: Path | None = None
    received: tuple[Path, ...] = ()
    seen: tuple[Path, ...] = ()
    earlier: tuple[Path, ...] = ()
    air: tuple[Path, ...] = ()
    policies: tuple[PolicyFile, ...] = ()
    root: TrustRoot | None = None
    witnesses: tuple[Witness, ...] = ()
    previous: tuple[bytes, ...] = ()

    @property
    def given(self) -> tuple[bytes, ...]:
        """Every key of the unit that the auditor was given, the present one first."""
        return (self.public_key, *self.previous)

    def lines(self) -> Iterator[tuple[str, Line]]:
        """What was received, line by line, and where it stands. Raises BadInput, StorageUnavailable."""
        for path in self.received:
            try:
                with path.open("rb") as file:
                    number = 0
                    while line := file.readline(MAX_LINE_BYTES + 1):
                        number += 1
                        where = f"{path}:{number}"
                        yield where, parse_line(line, where, self.origin)
            except OSError as bad:
                raise StorageUnavailable(str(path), why=bad.strerror or "an error", remedy="name a file") from None

    def shown(self) -> list[bytes]:
        """The disclosures, in their compact form, that the unit showed over the air or on the broker; none is verified."""
        found: dict[bytes, None] = {}
        for path in self.air:
            found[read_regular(path, MAX_ENVELOPE_BYTES)] = None
        found.update((line.shown.envelope, None) for _, line in self.lines() if line.shown and line.shown.envelope)
        shown = []
        for message in found:
            try:
                shown.append(read_envelope(message).disclosure)
            except EncodingError:
                continue
        return shown
