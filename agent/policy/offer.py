"""What may get in: policies, stop orders and trust roots as they are offered to a unit. Pure.

Invariant: only what `judge` returns is written to the log, and it returns only what was signed by enough, for this unit, higher than any seen,
within its dates, enforceable and encodable (I7). What it refuses changes nothing.
"""

from collections.abc import Callable

from agent.contracts.log import MAX_SIGNED_BYTES, GovernanceTaken, PolicyOffered, StopTaken
from agent.errors import PolicyError
from agent.policy.adopt import Adoption, notice_owed, payload_digest
from agent.policy.enforcement import enforceable
from agent.policy.governance import TrustRoot, compile_governance
from agent.policy.model import Policy, Unit
from agent.policy.signed import Kind, SignedPolicy, read_signed, verify_governance, verify_policy, verify_stop
from agent.policy.stop import StopOrder
from agent.policy.words import time_words

DAY_S = 86_400
"""Dates are days of a city; somewhere it is already tomorrow."""


def judge(
    message: bytes,
    adoption: Adoption,
    *,
    installed: TrustRoot,
    unit: Unit | None,
    now_s: int,
    disclose: Callable[[Policy], bytes],
    encodable: Callable[[Policy], None],
) -> PolicyOffered | StopTaken | GovernanceTaken | None:
    """What to log for a signed file offered at `now_s` (Unix seconds); None when it is known already. Raises PolicyError or SignatureError.

    `installed` is the trust root of commissioning, `unit` whose log it is (None before the first policy), `disclose` gives a policy's
    disclosure digest and refuses one that cannot be disclosed, `encodable` refuses one of which a window could not be written.
    """
    root = adoption.trust_root(installed)
    kind, payload = read_signed(message)
    match kind:
        case Kind.POLICY:
            signed = verify_policy(message, root, now_s)
            if not judge_policy(signed, message, adoption, unit, now_s):
                return None
            encodable(signed.policy)
            return PolicyOffered(message, disclose(signed.policy), now_s)
        case Kind.STOP:
            order = verify_stop(message, root, now_s)
            new = judge_stop(order, message, adoption, unit, now_s)
            return StopTaken(message, order.signers, now_s) if new else None
        case Kind.GOVERNANCE:
            if payload == compile_governance(root):
                return None
            verify_governance(message, root, now_s)
            _check_length(message, "governance")
            return GovernanceTaken(message, now_s)
        case Kind.UNITS:
            raise PolicyError(
                "offer",
                expected="a policy, a stop order or a trust root",
                got="a units file",
                remedy="it is for those who read what units publish",
            )


def judge_policy(signed: SignedPolicy, message: bytes, adoption: Adoption, unit: Unit | None, now_s: int) -> bool:
    """May this verified policy be put on notice? False when it is on notice or in force already; raises PolicyError.

    `unit` is whose log it is, None for a unit without one. Signatures, the trust root's date and its city were checked before (agent.policy.signed).
    """
    policy = signed.policy
    where = f"policy version {policy.version}"
    if any(
        known is not None and payload_digest(known.message) == signed.digest
        for known in (adoption.upcoming, adoption.latest)
    ):
        return False
    if unit is not None and policy.unit != unit:
        raise PolicyError(where, expected=f"a policy for {unit.path}", got=f"one for {policy.unit.path}")
    if policy.version <= adoption.highest:
        raise PolicyError(
            where,
            expected=f"a version higher than any seen here, {adoption.highest + 1} or more",
            got=str(policy.version),
            remedy="raise version and sign again; a unit never goes back",
        )
    if policy.issued > now_s + DAY_S:
        raise PolicyError(
            where, expected="one issued by now", got="one issued later", remedy="is the unit's clock right?"
        )
    owed_s = notice_owed(adoption.latest.policy if adoption.latest else None, policy)
    if policy.expires <= now_s:
        raise PolicyError(
            where, expected="one that has not expired", got="an expired one", remedy="issue a new version"
        )
    if policy.expires <= now_s + owed_s:
        raise PolicyError(
            where,
            expected=f"one that ends later than its notice of {time_words(owed_s)}",
            got="one that ends before it could begin",
            remedy="choose a later expires",
        )
    _check_length(message, where)
    enforceable(policy)
    return True


def judge_stop(order: StopOrder, message: bytes, adoption: Adoption, unit: Unit | None, now_s: int) -> bool:
    """Must this verified stop order be obeyed at `now_s`? False when it is in force already; raises PolicyError."""
    if unit is None or not order.covers(unit):
        for_whom = unit.path if unit is not None else "a unit that has a policy to stop"
        raise PolicyError("stop order", expected=f"one for {for_whom}", got=f"one for {order.unit or order.city}")
    if payload_digest(message) in adoption.seen:
        if adoption.stopped(now_s) is not None:
            return False
        raise PolicyError(
            "stop order",
            expected="one that is new",
            got="one that was obeyed before and then lifted",
            remedy="sign it again",
        )
    in_force = adoption.in_force(now_s)
    if in_force is not None and order.issued < in_force.policy.issued:
        raise PolicyError(
            "stop order",
            expected="one issued after the policy that it stops",
            got="an older one, which that policy has lifted",
            remedy="sign a new one",
        )
    _check_length(message, "stop order")
    return True


def _check_length(message: bytes, what: str) -> None:
    if len(message) > MAX_SIGNED_BYTES:
        raise PolicyError(what, expected=f"at most {MAX_SIGNED_BYTES} bytes", got=str(len(message)))
