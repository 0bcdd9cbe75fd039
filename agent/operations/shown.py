"""Disclosures that people were shown, on air or at the broker, held against the log: OP-47 of SPEC.md. Pure."""

from collections.abc import Sequence
from typing import NamedTuple

from agent.contracts.public import Envelope, open_envelope
from agent.disclosure.datachain import decode_disclosure
from agent.errors import DisclosureError, EncodingError, MessageError, SignatureError
from agent.operations.findings import Findings, Kind
from agent.operations.history import History
from agent.policy.compile import compile_policy


class Shown(NamedTuple):
    """Its digest, when it was issued (Unix seconds), and its signed envelope where that was kept."""

    digest: bytes
    issued_at: int
    envelope: bytes | None = None


def judge_shown(
    shown: Shown, where: str, keys: Sequence[bytes], history: History, findings: Findings, *, absent: bool = False
) -> str | None:
    """Does the log have it, and is it of the policy that the log has under its digest? Returns in words what could not be judged. `keys` are those that the
    unit had; `absent`: decisions of before the copy are not known.

    An envelope that the unit did not sign is nobody's word; of one without envelope only the digest is judged.
    """
    envelope: Envelope | None = None
    if shown.envelope is not None:
        envelope = next(filter(None, (_opened(shown.envelope, key) for key in keys)), None)
        if envelope is None:
            return None
        shown = Shown(envelope.digest, envelope.issued_at)
    compiled = history.policies.disclosures.get(shown.digest)
    if compiled is None and shown.issued_at > history.newest:
        return f"{where}: a disclosure newer than the log copy"
    if compiled is None and absent:
        return f"{where}: a disclosure that only the entries before the copy can name"
    if compiled is None:
        findings.add(Kind.AIR_NOT_IN_LOG, where, f"disclosure {shown.digest.hex()}")
    elif envelope is not None and not _discloses(envelope.disclosure, compiled):
        findings.add(Kind.OTHER_DISCLOSURE, where, f"disclosure {shown.digest.hex()}")
    return None


def _opened(envelope: bytes, key: bytes) -> Envelope | None:
    try:
        return open_envelope(envelope, key)
    except (SignatureError, EncodingError, MessageError):
        return None


def _discloses(disclosure: bytes, compiled: bytes) -> bool:
    try:
        return compile_policy(decode_disclosure(disclosure).policy) == compiled
    except DisclosureError:
        return False
