"""Who governs the demo's unit: three signers made for one run, two of them from different sides needed for a policy.

`OFFERS` are what `--offer` drops into the unit's offer folder while it runs, to see what becomes of it.
"""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.policy.compile import compile_policy
from agent.policy.governance import Role, Signer, TrustRoot, compile_governance
from agent.policy.model import Policy
from agent.policy.signed import Kind
from agent.policy.stop import compile_stop, stop_order
from agent.wire.cose import public_bytes
from agent.wire.cose_sign import sign

DAY_S = 86_400
STEWARD, DEPUTY, COMMUNITY = "steward", "deputy", "neighbours"
ENOUGH = (STEWARD, COMMUNITY)
OFFERS = ("laxer", "stricter", "ending", "unsigned", "stop")


class Council:
    """The signers' keys and the trust root that names them; `now` is Unix seconds."""

    def __init__(self, city: str, now: int) -> None:
        self._city = city
        self._now = now
        self._keys = {name: Ed25519PrivateKey.generate() for name in (STEWARD, DEPUTY, COMMUNITY)}
        roles = (
            Role("steward", (self._signer(STEWARD), self._signer(DEPUTY))),
            Role("community", (self._signer(COMMUNITY),)),
        )
        day = now - now % DAY_S
        self._root = TrustRoot(1, city, day, day + 30 * DAY_S, roles, 2, True, 1, ("steward", "community"))

    @property
    def trust_root(self) -> bytes:
        """As commissioning leaves it on a unit."""
        return compile_governance(self._root)

    def policy(self, policy: Policy, *signers: str) -> bytes:
        """A policy, compiled and signed."""
        return self._sign(Kind.POLICY, compile_policy(policy), signers or ENOUGH)

    def stop(self, reason: str, now: int) -> bytes:
        """An order to stop, by the community alone: one signature is enough for that."""
        return self._sign(Kind.STOP, compile_stop(stop_order(self._city, "", reason, now)), (COMMUNITY,))

    def _signer(self, name: str) -> Signer:
        return Signer(name, public_bytes(self._keys[name]))

    def _sign(self, kind: Kind, payload: bytes, signers: tuple[str, ...]) -> bytes:
        return sign(payload, [self._keys[name] for name in signers], content_type=kind.content_type)
