"""Whose signature counts for which unit (OP-1, OP-9). Pure.

Keys come without a name (`--key`, a folder of key files: any of them may have signed) or with one (a directory that `dtpr-agent fleet keys` wrote:
then only a unit's own key counts for it). Work for one message does not grow with the number of keys.
"""

import base64
import binascii
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from agent.errors import EncodingError, SignatureError
from agent.wire import cose
from agent.wire.detached import DetachedVerifier, named_kid

MAX_KEYS = 200_000
"""Twice the largest city."""

MAX_READY = 20_000
"""Keys kept ready to verify with; about 1 kB each."""

NO_KEY = "no key is known for this unit"
NONE_OF_THEM = "signed by none of the given keys"


class Keyring:
    """`keys` without a name, `units` by `city/site/unit`; 32-byte Ed25519 public keys."""

    def __init__(self, keys: Iterable[bytes] = (), units: Mapping[str, bytes] | None = None) -> None:
        self._units = dict(units or {})
        self._keys = tuple(dict.fromkeys(keys))
        self._by_kid: dict[bytes, list[bytes]] = {}
        for key in self._keys:
            self._by_kid.setdefault(cose.key_id(key), []).append(key)
        self._ready: OrderedDict[bytes, DetachedVerifier] = OrderedDict()
        self._last: OrderedDict[str, bytes] = OrderedDict()

    def __bool__(self) -> bool:
        """Is there any key?"""
        return bool(self._keys or self._units)

    def release(self, unit: str, payload: bytes, signature: str | None) -> tuple[bool | None, list[str]]:
        """Did the key of `unit` (city/site/unit) sign `payload`? None without any key. `signature` is base64 of a detached COSE_Sign1."""
        if not self:
            return None, []
        if signature is None:
            return False, ["no signature"]
        try:
            message = base64.b64decode(signature, validate=True)
        except (binascii.Error, ValueError):
            return False, ["the signature is not base64"]
        kid = named_kid(message)
        if kid is not None:
            for key in self._candidates(unit, kid):
                if self._verifier(key).verify(message, payload):
                    return True, []
            return False, [self._refusal(unit)]
        try:
            kid = cose.decode_sign1(message).kid
        except (EncodingError, SignatureError) as bad:
            return False, [f"the signature is not a COSE_Sign1: {bad}"]
        for key in self._candidates(unit, kid):
            try:
                cose.verify1(message, key, detached_payload=payload)
            except SignatureError:
                continue
            except EncodingError as bad:
                return False, [f"the signature is not a COSE_Sign1: {bad}"]
            return True, []
        return False, [self._refusal(unit)]

    def opened(self, unit: str, attempt: Callable[[bytes], bool]) -> tuple[bool | None, list[str]]:
        """Does `attempt(key)` succeed with the key of `unit`, or with one of those without a name? The one that did is tried first next time."""
        if not self:
            return None, []
        last = self._last.get(unit)
        own = self._units.get(unit)
        keys = (own,) if own is not None else self._keys if last is None else (last, *self._keys)
        for key in keys:
            if attempt(key):
                _remember(self._last, unit, key, MAX_KEYS)
                return True, []
        return False, [self._refusal(unit)]

    def _candidates(self, unit: str, kid: bytes) -> Iterable[bytes]:
        own = self._units.get(unit)
        return self._by_kid.get(kid, ()) if own is None else (own,)

    def _refusal(self, unit: str) -> str:
        return NONE_OF_THEM if self._keys or unit in self._units else NO_KEY

    def _verifier(self, key: bytes) -> DetachedVerifier:
        found = self._ready.get(key)
        if found is None:
            found = DetachedVerifier(key)
            _remember(self._ready, key, found, MAX_READY)
        return found


def _remember(memory: "OrderedDict[Any, Any]", key: object, value: object, cap: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > cap:
        memory.popitem(last=False)
