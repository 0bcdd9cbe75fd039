"""`dtpr-agent policy keygen | sign | verify | stop`: what the people who decide do, each on an own machine, without a network.

`add_actions` mounts the four below `dtpr-agent policy`. Nothing is signed that cannot be read: the words printed are made from the
decompiled bytes, the same that are signed.
"""

import argparse
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agent.cli.key import write_new_key
from agent.errors import BadInput, PolicyError, SettingsError
from agent.local.clock import OPERATOR, Clock
from agent.local.credentials import load_signing_key
from agent.local.files import read_given, write_atomic
from agent.policy.compile import compile_policy, decompile_policy
from agent.policy.file import governance_of, is_compiled
from agent.policy.governance import TrustRoot, compile_governance, decompile_governance, parse_governance
from agent.policy.parse import parse_policy
from agent.policy.signed import (
    SUFFIX,
    Kind,
    read_signed,
    read_standing,
    verify_first_governance,
    verify_governance,
    verify_policy,
    verify_stop,
    verify_units,
)
from agent.policy.standing import Standing
from agent.policy.stop import compile_stop, decompile_stop, stop_order
from agent.policy.units import compile_units, decompile_units, parse_units
from agent.policy.words import day_words
from agent.wire import cose, cose_sign, toml

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    Actions = argparse._SubParsersAction[argparse.ArgumentParser]

_COSE_SIGN = b"\xd8\x62"
"""Tag 98; no UTF-8 text begins so."""


def add_actions(actions: "Actions") -> None:
    """Mount keygen, sign, verify and stop; each sets `run`."""
    keygen = actions.add_parser("keygen", help="make a signer's key, and print its public half")
    keygen.add_argument("file", type=Path, metavar="FILE", help="the key file to make; never overwritten")
    keygen.set_defaults(run=run_keygen)

    sign = actions.add_parser("sign", help="sign a policy, a trust root, a list of units or a stop order")
    sign.add_argument(
        "file", type=Path, metavar="FILE", help="a TOML or compiled file, or a signed one to sign as well"
    )
    sign.add_argument("--key", type=Path, required=True, metavar="KEY", help="your key, made with keygen")
    sign.add_argument(
        "--as", dest="kind", choices=[*Kind], default=Kind.POLICY.value, help="what it is (default: policy)"
    )
    sign.add_argument(
        "--governance", type=Path, metavar="ROOT", help="the trust root: name who signed and who is missing"
    )
    sign.add_argument(
        "--out", type=Path, metavar="F", help="where to write (default: beside FILE as .cose; a signed FILE itself)"
    )
    sign.set_defaults(run=run_sign)

    verify = actions.add_parser("verify", help="who signed this file, and is it enough?")
    verify.add_argument("file", type=Path, metavar="FILE", help="a signed file, .cose")
    verify.add_argument(
        "--governance", type=Path, required=True, metavar="ROOT", help="the trust root: .toml, compiled or .cose"
    )
    verify.set_defaults(run=run_verify)

    stop = actions.add_parser("stop", help="order one unit, or all of a city, to stop collecting")
    stop.add_argument("--reason", required=True, help="why, in words for residents: it is aired and published")
    stop.add_argument("--city", required=True, help="the city of the trust root")
    stop.add_argument("--unit", default="", help="NAME or SITE/NAME of one unit (default: every unit of the city)")
    stop.add_argument("--key", type=Path, required=True, metavar="KEY", help="your key, made with keygen")
    stop.add_argument("--out", type=Path, required=True, metavar="F", help="where to write the signed order")
    stop.set_defaults(run=run_stop)


def run_keygen(args: argparse.Namespace) -> int:
    """Make the key (mode 0600) and print its public half in hex; raises SettingsError."""
    write_new_key(args.file)
    print(cose.public_bytes(load_signing_key(args.file)).hex())
    return 0


def run_sign(args: argparse.Namespace) -> int:
    """Sign once, or once more; raises PolicyError, SignatureError, SettingsError."""
    kind = Kind(args.kind)
    data = _read(args.file)
    root = None if args.governance is None else _load_root(args.governance)
    key = load_signing_key(args.key)
    again = data.startswith(_COSE_SIGN)
    with _named(args.file):
        found, payload = read_signed(data) if again else (kind, _compiled(kind, data, str(args.file)))
        if found is not kind:
            raise PolicyError("signed file", expected=f"{kind}, as --as says", got=str(found), remedy=f"--as {found}")
        report = _signed_words(kind, payload)
        message = (
            cose_sign.add_signatures(data, [key])
            if again
            else cose_sign.sign(payload, [key], content_type=kind.content_type)
        )
        judge = decompile_governance(payload) if root is None and kind is Kind.GOVERNANCE else root
        report += _signatures(message, kind, judge, key)
    out = args.out or (args.file if again else args.file.with_suffix(SUFFIX))
    _write(out, message, replaces=args.file if again else None)
    print("\n".join([*report, f"    written    {out}"]))
    return 0


def run_verify(args: argparse.Namespace) -> int:
    """Print who signed and what is missing; raises SignatureError (exit status 2) when that is not enough."""
    root = _load_root(args.governance)
    message = _read(args.file)
    now_s = _now_s()
    with _named(args.file):
        kind, payload = read_signed(message)
        current = kind is not Kind.GOVERNANCE or payload == compile_governance(root)
        print("\n".join([f"{args.file}: {_words(kind, payload)}", _digest(payload), *_signers(message, root, kind)]))
        if not current:
            print("\n".join(_signers(message, decompile_governance(payload), kind)))
        match kind:
            case Kind.POLICY:
                verify_policy(message, root, now_s)
            case Kind.UNITS:
                verify_units(message, root, now_s)
            case Kind.STOP:
                verify_stop(message, root, now_s)
            case Kind.GOVERNANCE if current:
                verify_first_governance(message)
            case Kind.GOVERNANCE:
                verify_governance(message, root, now_s)
    print("OK")
    return 0


def run_stop(args: argparse.Namespace) -> int:
    """Write a signed stop order, dated now; raises PolicyError, SettingsError."""
    payload = compile_stop(stop_order(args.city, args.unit, args.reason, _now_s()))
    key = load_signing_key(args.key)
    message = cose_sign.sign(payload, [key], content_type=Kind.STOP.content_type)
    _write(args.out, message, replaces=None)
    report = [*_signed_words(Kind.STOP, payload), *_signatures(message, Kind.STOP, None, key)]
    print("\n".join([*report, f"    written    {args.out}"]))
    return 0


def _compiled(kind: Kind, data: bytes, name: str) -> bytes:
    """The bytes to sign: compiled from a text, or those given when they are compiled already (a CBOR map, which is no UTF-8)."""
    if is_compiled(data):
        return data
    match kind:
        case Kind.POLICY:
            try:
                return compile_policy(parse_policy(data, name))
            except PolicyError as bad:
                if "[unit]" not in bad.expected:
                    raise
                remedy = "what is no policy is signed --as governance, units or stop"
                raise PolicyError(bad.where, expected=bad.expected, got=bad.got, remedy=remedy) from None
        case Kind.GOVERNANCE:
            return compile_governance(parse_governance(data, name))
        case Kind.UNITS:
            return compile_units(parse_units(data, name))
        case Kind.STOP:
            raise PolicyError(
                name, expected="a signed stop order", got="something else", remedy="`dtpr-agent policy stop` writes one"
            )


def _words(kind: Kind, payload: bytes) -> str:
    """What the payload says, in one line; raises PolicyError when it is not what `kind` names."""
    match kind:
        case Kind.POLICY:
            policy = decompile_policy(payload)
            unit = policy.unit.path
            return f"policy version {policy.version}, {policy.title} ({unit}), {day_words(policy.effective)} to {day_words(policy.expires)}"
        case Kind.GOVERNANCE:
            root = decompile_governance(payload)
            roles = "; ".join(
                f"{role.name}: {', '.join(signer.name for signer in role.signers)}" for role in root.roles
            )
            needed = f"{root.threshold} must sign" + (", one of each role" if root.each_role else "")
            return (
                f"governance version {root.version} of {root.city}, until {day_words(root.expires)}; {roles}; {needed}"
            )
        case Kind.UNITS:
            units = decompile_units(payload)
            names = ", ".join(f"{unit.site}/{unit.name}" for unit in units.units)
            return f"units version {units.version} of {units.city}, {len(units.units)} in all: {names}"
        case Kind.STOP:
            order = decompile_stop(payload)
            which = f"unit {order.unit}" if order.unit else "every unit"
            return f"stop order of {day_words(order.issued)} for {which} of {order.city}: {order.reason}"


def _digest(payload: bytes) -> str:
    return f"    digest     {hashlib.sha256(payload).hexdigest()}"


def _signed_words(kind: Kind, payload: bytes) -> list[str]:
    return [f"Signed: {_words(kind, payload)}", _digest(payload)]


def _signatures(message: bytes, kind: Kind, judge: TrustRoot | None, key: "Ed25519PrivateKey") -> list[str]:
    """Who signed so far: verified under `judge` where there is one, else by key only."""
    standing = None if judge is None else read_standing(message, judge, kind)
    names = {} if judge is None else judge.signer_names()
    lines = []
    for part in cose_sign.decode_sign(message).signatures:
        note = (
            ""
            if part.kid in names
            else ", not checked"
            if judge is None
            else ", not in the trust root: it does not count"
        )
        mine = part.kid == cose.key_id(cose.public_bytes(key))
        if mine and judge is None:
            note = ""
        lines.append(f"    signed by  {_signer(part.kid, names)}{note}{' ← this signature' if mine else ''}")
    if judge is None or standing is None:
        return [*lines, "    needed     not known here: name the trust root with --governance"]
    return [*lines, *_standing_words(standing, judge)]


def _signers(message: bytes, root: TrustRoot, kind: Kind) -> list[str]:
    """Who of each role of `root` signed, who else did, and what is missing."""
    found = read_standing(message, root, kind)
    lines = [f"  under governance version {root.version} of {root.city}:"]
    for role in root.roles:
        signed = [name.partition("/")[2] for name in found.signers if name.startswith(f"{role.name}/")]
        may = any(name.startswith(f"{role.name}/") for name in found.candidates)
        lines.append(f"    {role.name:<10} {', '.join(signed) or ('nobody' if may else 'does not sign this')}")
    keys = root.public_keys()
    for kid in dict.fromkeys(part.kid for part in cose_sign.decode_sign(message).signatures):
        if kid not in keys:
            lines.append(f"    ignored    {_signer(kid, {})}: not in this trust root")
    return [*lines, *_standing_words(found, root)]


def _standing_words(found: Standing, root: TrustRoot) -> list[str]:
    needed = f"    needed     {found.needed_words()}, of governance version {root.version}"
    if found.enough:
        return [needed, "    missing    nothing"]
    still = max(found.needed - len(found.signers), len(found.missing_roles))
    waiting = ", ".join(name for name in found.candidates if name not in found.signers)
    roles = f", of each of {', '.join(found.missing_roles)}" if found.missing_roles else ""
    return [needed, f"    missing    {still} more{roles}; not signed yet: {waiting}"]


def _signer(kid: bytes, names: Mapping[bytes, str]) -> str:
    return f"{names[kid]} (key {kid.hex()})" if kid in names else f"key {kid.hex() or 'without a name'}"


def _load_root(path: Path) -> TrustRoot:
    """A trust root from its text, compiled, or from its signed form, which must be signed by its own threshold."""
    return governance_of(_read(path), str(path))


def _read(path: Path) -> bytes:
    """A file of at most what a text may have; raises PolicyError."""
    return read_given(path, toml.MAX_BYTES, "a readable file", PolicyError)


def _write(path: Path, data: bytes, *, replaces: Path | None) -> None:
    """Write a file that does not exist yet, or replace the one that is being signed as well."""
    if path.exists() and path != replaces:
        raise SettingsError(
            str(path),
            expected="a path that does not exist yet",
            got="an existing file, which may hold signatures",
            remedy="sign that file to add a signature to it, or remove it",
        )
    write_atomic(path, data, durable=True)


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Put the file's name in front of errors of modules that see only its bytes."""
    try:
        yield
    except BadInput as bad:
        if bad.where.startswith(str(path)):
            raise
        raise type(bad)(f"{path}: {bad.where}", expected=bad.expected, got=bad.got, remedy=bad.remedy) from None


def _now_s() -> int:
    return Clock(OPERATOR).utc_ns() // 1_000_000_000
