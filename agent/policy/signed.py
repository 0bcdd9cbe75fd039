"""What several people signed: policies, trust roots, units files, stop orders. Pure; `now_s` (Unix seconds, UTC) is an argument.

Each is a COSE_Sign (RFC 9052 section 4.1, wire/cose_sign) whose signed content type says what it is, so that no signature given for one
kind counts for another. Invariant: a value that a `verify_…` returns was signed by enough signers of the root it was given.

All raise SignatureError (not signed as it must be) or PolicyError (malformed, out of its dates, another city, not the next version),
and nothing else, whatever the bytes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import StrEnum

from agent.errors import EncodingError, PolicyError, SignatureError
from agent.policy.compile import decompile_policy
from agent.policy.governance import TrustRoot, decompile_governance
from agent.policy.model import Policy
from agent.policy.standing import Standing, standing, stop_standing
from agent.policy.stop import StopOrder, decompile_stop
from agent.policy.units import Units, VouchedUnit, decompile_units
from agent.policy.words import day_words
from agent.wire import cose_sign
from agent.wire.sha256 import sha256

__all__ = [
    "MAX_SIGNED_BYTES",
    "SUFFIX",
    "Kind",
    "SignedPolicy",
    "StopOrder",
    "Units",
    "VouchedUnit",
    "read_signed",
    "read_standing",
    "verify_first_governance",
    "verify_governance",
    "verify_policy",
    "verify_stop",
    "verify_units",
]

SUFFIX = ".cose"
MAX_SIGNED_BYTES = cose_sign.MAX_SIGN_BYTES

MAX_AHEAD_S = 86_400
"""How far a signer's clock may be ahead of the unit's: an order dated in a year must not outlive every policy until then."""


class Kind(StrEnum):
    """What a signed file is."""

    POLICY = "policy"
    GOVERNANCE = "governance"
    UNITS = "units"
    STOP = "stop"

    @property
    def content_type(self) -> str:
        """The media type in the signed header."""
        return f"application/vnd.dtpr.{self.value}+cbor"


@dataclass(frozen=True, slots=True)
class SignedPolicy:
    """A policy with its compiled bytes, their SHA-256 (the policy digest) and who signed ("role/name", in the root's order)."""

    policy: Policy
    compiled: bytes
    digest: bytes
    signers: tuple[str, ...]


def verify_policy(message: bytes, root: TrustRoot, now_s: int) -> SignedPolicy:
    """The policy, once enough signers of a root in its dates are verified. Its own dates and version are the adopter's to judge."""
    _check_dates(root, now_s)
    compiled, signers = _verified(message, root, Kind.POLICY, standing)
    policy = decompile_policy(compiled)
    _check_city(policy.unit.city, root, Kind.POLICY)
    return SignedPolicy(policy, compiled, sha256(compiled), signers)


def verify_units(message: bytes, root: TrustRoot, now_s: int) -> Units:
    """The vouched units, by the same rule as a policy."""
    _check_dates(root, now_s)
    compiled, _ = _verified(message, root, Kind.UNITS, standing)
    units = decompile_units(compiled)
    _check_city(units.city, root, Kind.UNITS)
    return units


def verify_stop(message: bytes, root: TrustRoot, now_s: int) -> StopOrder:
    """The stop order, once enough signers of the roles that may stop are verified.

    A root past its end still stops: nothing could lift the stop but a policy under a new root, and collecting on is the worse error.
    """
    compiled, signers = _verified(message, root, Kind.STOP, stop_standing)
    order = decompile_stop(compiled)
    _check_city(order.city, root, Kind.STOP)
    if order.issued > now_s + MAX_AHEAD_S:
        raise PolicyError(
            "stop order",
            expected=f"issued by {day_words(now_s)}, the time here, give or take a day",
            got=f"issued {day_words(order.issued)}",
            remedy="set the clock of the machine that signs, or of this one",
        )
    return replace(order, signers=signers)


def verify_governance(message: bytes, current: TrustRoot, now_s: int) -> TrustRoot:
    """The root that follows `current`: exactly the next version, signed by the threshold of both (TUF 5.3).

    Neither need be in its dates, so that a unit that slept through several versions can follow one by one; what the last of them may
    verify is judged when it does. A root that is not issued yet is refused.
    """
    compiled, _ = _verified(message, current, Kind.GOVERNANCE, standing)
    root = decompile_governance(compiled)
    _check_city(root.city, current, Kind.GOVERNANCE)
    if root.version != current.version + 1:
        raise PolicyError(
            "governance version",
            expected=f"{current.version + 1}, the one after the version in force",
            got=str(root.version),
            remedy="offer each version in between, in order"
            if root.version > current.version
            else "a root never goes back",
        )
    if root.issued > now_s + MAX_AHEAD_S:
        raise PolicyError(
            "governance", expected=f"a root issued by {day_words(now_s)}", got=f"issued {day_words(root.issued)}"
        )
    _verified(message, root, Kind.GOVERNANCE, standing)
    return root


def verify_first_governance(message: bytes) -> TrustRoot:
    """A root that its own signers signed by its own threshold. Whether to trust it is for whoever brought it: nothing older vouches."""
    kind, compiled = read_signed(message)
    if kind is not Kind.GOVERNANCE:
        raise SignatureError(
            "signed governance", expected=f"content type {Kind.GOVERNANCE.content_type}", got=kind.content_type
        )
    root = decompile_governance(compiled)
    _verified(message, root, Kind.GOVERNANCE, standing)
    return root


def read_signed(message: bytes) -> tuple[Kind, bytes]:
    """What a signed file says it is, and its payload, nothing of it verified."""
    try:
        signed = cose_sign.decode_sign(message, max_bytes=MAX_SIGNED_BYTES)
    except EncodingError as bad:
        raise PolicyError(
            "signed file", expected="a COSE_Sign as `dtpr-agent policy sign` writes", got=str(bad)
        ) from None
    for kind in Kind:
        if signed.content_type == kind.content_type:
            return kind, signed.payload
    raise SignatureError(
        "signed file", expected="the content type of a " + ", ".join(Kind), got=str(signed.content_type)[:80]
    )


def read_standing(message: bytes, root: TrustRoot, kind: Kind) -> Standing:
    """Whose signatures on a file of this kind verify under `root`, enough or not."""
    return _counted(message, root, kind, stop_standing if kind is Kind.STOP else standing)[1]


def _verified(
    message: bytes, root: TrustRoot, kind: Kind, count: Callable[[TrustRoot, frozenset[bytes]], Standing]
) -> tuple[bytes, tuple[str, ...]]:
    """The payload and its signers, who are enough."""
    payload, found = _counted(message, root, kind, count)
    if not found.enough:
        raise SignatureError(
            f"signatures of the {kind}",
            expected=f"{found.needed_words()}, of governance version {root.version}",
            got=found.words(),
            remedy=f"have the others sign the same file: dtpr-agent policy sign FILE.cose --as {kind} --key KEY",
        )
    return payload, found.signers


def _counted(
    message: bytes, root: TrustRoot, kind: Kind, count: Callable[[TrustRoot, frozenset[bytes]], Standing]
) -> tuple[bytes, Standing]:
    try:
        found = cose_sign.verify_sign(
            message, root.public_keys(), content_type=kind.content_type, max_bytes=MAX_SIGNED_BYTES
        )
    except EncodingError as bad:
        raise PolicyError(
            f"signed {kind}", expected="a COSE_Sign as `dtpr-agent policy sign` writes", got=str(bad)
        ) from None
    except SignatureError as bad:
        who = [name for kid, name in root.signer_names().items() if kid.hex() in bad.where]
        where = f"{bad.where} ({who[0]})" if who else bad.where
        raise SignatureError(where, expected=bad.expected, got=bad.got, remedy=bad.remedy) from None
    return found.payload, count(root, found.verified_kids)


def _check_dates(root: TrustRoot, now_s: int) -> None:
    if now_s >= root.expires:
        raise PolicyError(
            f"governance version {root.version}",
            expected="a trust root that has not ended",
            got=f"one that ended {day_words(root.expires)}",
            remedy="its signers sign the next version of governance.toml",
        )
    if now_s < root.issued:
        raise PolicyError(
            f"governance version {root.version}",
            expected=f"a time after it was issued, {day_words(root.issued)}",
            got=day_words(now_s),
            remedy="set the clock",
        )


def _check_city(city: str, root: TrustRoot, kind: Kind) -> None:
    if city != root.city:
        raise PolicyError(f"{kind} city", expected=f"{root.city}, the city of the trust root", got=city)
