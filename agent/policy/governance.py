"""The trust root, governance.toml: who may sign for a city, and how many of them it takes. Text, values and CBOR. Pure.

Invariant: a `TrustRoot` that exists can be satisfied: enough signers exist for each threshold, no key stands twice, every key is one.
Threshold, expiry and rotation follow TUF (The Update Framework specification 1.0, section 5.3).

    compiled = {0: 1, 1: version, 2: city, 3: issued, 4: expires, 5: [signatures, each role], 6: [stop threshold, [role, …]],
                7: [[role, [[signer, public key], …]], …]}      deterministic CBOR; instants are Unix seconds
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from agent.errors import EncodingError, PolicyError
from agent.policy.fields import level, moment, public_key
from agent.policy.values import check_life, instant
from agent.wire import cbor, toml
from agent.wire.cose import key_id

MAX_ROLES = 8
MAX_SIGNERS = 32
"""Over all roles; bounds what one verification costs a unit (`wire.cose_sign.MAX_SIGNATURES` is twice this)."""

MAX_COMPILED_BYTES = 8 * 1024

_NAME = "compiled governance"


@dataclass(frozen=True, slots=True)
class Signer:
    """One person's or body's key: 32 bytes, Ed25519."""

    name: str
    public_key: bytes


@dataclass(frozen=True, slots=True)
class Role:
    """A side that signs, such as steward or community."""

    name: str
    signers: tuple[Signer, ...]


@dataclass(frozen=True, slots=True)
class TrustRoot:
    """Whose signatures count in `city` from `issued` until `expires` (Unix seconds).

    A policy, a units file and the next root need `threshold` signers, with `each_role` at least one of each role among them; a stop
    order needs `stop_threshold` signers of `stop_roles`.
    """

    version: int
    city: str
    issued: int
    expires: int
    roles: tuple[Role, ...]
    threshold: int
    each_role: bool
    stop_threshold: int
    stop_roles: tuple[str, ...]

    def signer_names(self) -> dict[bytes, str]:
        """Key identifier -> "role/name", in the order of the file."""
        return {
            key_id(signer.public_key): f"{role.name}/{signer.name}" for role in self.roles for signer in role.signers
        }

    def public_keys(self) -> dict[bytes, bytes]:
        """Key identifier -> public key."""
        return {key_id(signer.public_key): signer.public_key for role in self.roles for signer in role.signers}


def parse_governance(text: str | bytes, name: str) -> TrustRoot:
    """Read and check a governance.toml; `name` is what messages call the file. Raises PolicyError with file:line."""
    return _root_of(toml.parse(text, name, PolicyError))


def compile_governance(root: TrustRoot) -> bytes:
    """The one encoding of `root`."""
    return cbor.encode(
        {
            0: 1,
            1: root.version,
            2: root.city,
            3: root.issued,
            4: root.expires,
            5: [root.threshold, root.each_role],
            6: [root.stop_threshold, list(root.stop_roles)],
            7: [[role.name, [[signer.name, signer.public_key] for signer in role.signers]] for role in root.roles],
        }
    )


def decompile_governance(data: bytes) -> TrustRoot:
    """The root whose encoding is `data`, by the rules that a text must keep; raises PolicyError for anything else."""
    try:
        item = cbor.decode(data, max_bytes=MAX_COMPILED_BYTES, max_depth=6)
    except EncodingError as bad:
        raise PolicyError(_NAME, expected="deterministic CBOR", got=str(bad)) from None
    root = _root_of(toml.tree(_tree(item), _NAME, PolicyError))
    if compile_governance(root) != data:
        raise PolicyError(_NAME, expected="the one encoding of its values", got="another one")
    return root


def _root_of(top: toml.Table) -> TrustRoot:
    top.integer("schema", low=1, high=1, expected="1, the version of this file's form")
    dates, threshold, stop = top.table("dates"), top.table("threshold"), top.table("stop")
    tables = top.tables("role", high=MAX_ROLES)
    root = TrustRoot(
        version=top.integer("version", low=1, high=2**31 - 1),
        city=level(top, "city"),
        issued=instant(dates, "issued"),
        expires=instant(dates, "expires"),
        roles=_roles(tables),
        threshold=threshold.integer("signatures", low=1, high=MAX_SIGNERS),
        each_role=threshold.boolean("each_role"),
        stop_threshold=stop.integer("signatures", low=1, high=MAX_SIGNERS),
        stop_roles=stop.texts("roles", high=MAX_ROLES, expected="names of roles"),
    )
    for table in (dates, threshold, stop, top):
        table.done()
    _check_dates(root, dates)
    _check_threshold(root, threshold)
    _check_stop(root, stop)
    return root


def _roles(tables: Sequence[toml.Table]) -> tuple[Role, ...]:
    """The roles and their signers; one person has one key and stands in one role."""
    roles: dict[str, Role] = {}
    names: dict[str, str] = {}
    kids: dict[bytes, str] = {}
    for table in tables:
        role = level(table, "name")
        if role in roles:
            table.refuse(
                "name",
                expected="a role that is not above",
                got=f"{role!r} twice",
                remedy="put its signers under one [[role]]",
            )
        if not table.has("signer"):
            table.refuse(
                None,
                expected="at least one [[role.signer]]",
                got=f"the role {role!r} without a signer",
                remedy="name who signs in it, or remove it",
            )
        signers = []
        for place in table.tables("signer", high=MAX_SIGNERS):
            signer = Signer(
                level(place, "name"),
                public_key(place, "public_key"),
            )
            place.done()
            kid = key_id(signer.public_key)
            if signer.name in names:
                place.refuse(
                    "name",
                    expected="a name that no other signer has",
                    got=f"{names[signer.name]} above",
                    remedy="one person signs in one role, or the threshold counts them twice",
                )
            if kid in kids:
                place.refuse(
                    "public_key",
                    expected="a key that no other signer has",
                    got=f"the key of {kids[kid]} above",
                    remedy="each signer makes an own key with `dtpr-agent policy keygen`",
                )
            names[signer.name] = kids[kid] = f"{role}/{signer.name}"
            signers.append(signer)
        table.done()
        roles[role] = Role(role, tuple(signers))
        if len(kids) > MAX_SIGNERS:
            table.refuse("signer", expected=f"at most {MAX_SIGNERS} signers over all roles", got=str(len(kids)))
    return tuple(roles.values())


def _check_dates(root: TrustRoot, table: toml.Table) -> None:
    if root.expires <= root.issued:
        table.refuse("expires", expected="later than issued", got="the same or an earlier time")
    check_life(table, root.issued, root.expires, "sign a new version before it ends")


def _check_threshold(root: TrustRoot, table: toml.Table) -> None:
    count = sum(len(role.signers) for role in root.roles)
    if root.threshold > count:
        table.refuse(
            "signatures",
            expected=f"at most the number of signers, {count}",
            got=str(root.threshold),
            remedy="nothing could ever be signed: name more signers or ask for fewer",
        )
    if root.each_role and root.threshold < len(root.roles):
        table.refuse(
            "signatures",
            expected=f"at least {len(root.roles)}, one for each role",
            got=str(root.threshold),
            remedy="say what is really needed, or set each_role = false",
        )


def _check_stop(root: TrustRoot, table: toml.Table) -> None:
    known = {role.name: len(role.signers) for role in root.roles}
    for i, name in enumerate(root.stop_roles):
        if name not in known:
            table.refuse(
                "roles",
                item=i,
                expected="the name of a [[role]]",
                got=repr(name),
                remedy=toml.nearest(name, known) or "there are: " + ", ".join(known),
            )
    count = sum(known[name] for name in root.stop_roles)
    if root.stop_threshold > count:
        table.refuse(
            "signatures",
            expected=f"at most the number of signers who may stop, {count}",
            got=str(root.stop_threshold),
            remedy="nothing could ever be stopped: name more roles or ask for fewer",
        )
    if root.stop_threshold > root.threshold:
        table.refuse(
            "signatures",
            expected=f"at most what a policy needs, {root.threshold}",
            got=str(root.stop_threshold),
            remedy="stopping is never harder than starting",
        )


def _tree(item: Any) -> dict[str, Any]:
    """The tables of a governance.toml from decoded CBOR; only shapes are checked here, values by the parser."""
    match item:
        case {
            0: schema,
            1: version,
            2: city,
            3: issued,
            4: expires,
            5: [needed, each],
            6: [stop, list() as who],
            7: list() as roles,
        } if len(item) == 8:
            return {
                "schema": schema,
                "version": version,
                "city": city,
                "dates": {"issued": moment(issued), "expires": moment(expires)},
                "threshold": {"signatures": needed, "each_role": each},
                "stop": {"signatures": stop, "roles": who},
                "role": [_role_tree(role) for role in roles],
            }
    raise PolicyError(_NAME, expected="a map with the keys 0 to 7, of their shapes", got="another shape")


def _role_tree(item: Any) -> dict[str, Any]:
    match item:
        case [name, list() as signers]:
            return {"name": name, "signer": [_signer_tree(signer) for signer in signers]}
    raise PolicyError(_NAME, expected="[role, signers]", got="another shape")


def _signer_tree(item: Any) -> dict[str, Any]:
    match item:
        case [name, bytes() as key]:
            return {"name": name, "public_key": key.hex()}
    raise PolicyError(_NAME, expected="[signer, public key]", got="another shape")
