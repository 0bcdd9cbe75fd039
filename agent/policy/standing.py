"""Have enough of those who may sign signed? The one place that counts signers against a trust root. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from agent.policy.governance import TrustRoot


@dataclass(frozen=True, slots=True)
class Standing:
    """Who has signed ("role/name", in the order of the root) out of `candidates`, and what is still missing."""

    signers: tuple[str, ...]
    candidates: tuple[str, ...]
    needed: int
    each_of: tuple[str, ...]

    @property
    def missing_roles(self) -> tuple[str, ...]:
        """Roles of which one must sign and none has."""
        return tuple(role for role in self.each_of if not any(name.startswith(f"{role}/") for name in self.signers))

    @property
    def enough(self) -> bool:
        """Is the threshold reached, and every role that must sign among the signers?"""
        return len(self.signers) >= self.needed and not self.missing_roles

    def needed_words(self) -> str:
        """As in: 2 of the 3 signers, at least one of each role (steward, community)."""
        words = f"{self.needed} of the {len(self.candidates)} signers"
        return f"{words}, at least one of each role ({', '.join(self.each_of)})" if self.each_of else words

    def words(self) -> str:
        """As in: 1 (steward/ana), nobody of community."""
        words = f"{len(self.signers)} ({', '.join(self.signers)})" if self.signers else "none"
        return "".join([words, *(f", nobody of {role}" for role in self.missing_roles)])


def standing(root: TrustRoot, kids: Iterable[bytes]) -> Standing:
    """How far verified `kids` reach for a policy, a units file or a root."""
    return _standing(root, set(kids), [role.name for role in root.roles], root.threshold, each=root.each_role)


def stop_standing(root: TrustRoot, kids: Iterable[bytes]) -> Standing:
    """The same for a stop order: only the roles that may stop count."""
    return _standing(root, set(kids), root.stop_roles, root.stop_threshold, each=False)


def _standing(root: TrustRoot, kids: set[bytes], roles: Iterable[str], needed: int, *, each: bool) -> Standing:
    roles = tuple(roles)
    candidates = {kid: name for kid, name in root.signer_names().items() if name.partition("/")[0] in roles}
    signers = tuple(name for kid, name in candidates.items() if kid in kids)
    return Standing(signers, tuple(candidates.values()), needed, roles if each else ())
