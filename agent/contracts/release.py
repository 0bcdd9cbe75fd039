"""A Release and the Aggregate in it, seen together: what an auditor reads from the log, and what a sealer may write. Pure."""

from agent.contracts import aggregate
from agent.contracts.aggregate import Aggregate
from agent.contracts.guarantee import NoGuarantee
from agent.contracts.log import Charge, Release
from agent.errors import EncodingError, LogDamaged


def governed(release: Release) -> Aggregate:
    """The Aggregate of a logged Release; raise LogDamaged when it is none, is another window's or disclosure's, or claims a guarantee that was
    not charged (DESIGN.md I4)."""
    where = f"release of {release.stream[:40]} from {release.window_start}"
    try:
        window = aggregate.decode(release.payload)
    except EncodingError as bad:
        raise LogDamaged(where, expected="a pack", got=str(bad)) from None
    terms = window.terms
    named = (terms.stream, window.window_start, terms.window_s, terms.disclosure_digest)
    if named != (release.stream, release.window_start, release.window_s, release.disclosure_digest):
        raise LogDamaged(where, expected="the stream, window and disclosure of its entry", got="another's")
    if not charged(window, release.charge):
        raise LogDamaged(where, expected="a charge, as its pack claims a guarantee", got="null")
    return window


def charged(window: Aggregate, charge: Charge | None) -> bool:
    """May this window have this charge? None only without a guarantee, and zero only when no number leaves under one."""
    if isinstance(window.terms.guarantee, NoGuarantee):
        return True
    return charge is not None and (charge.rho > 0 or window.reason is not None)
