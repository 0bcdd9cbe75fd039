"""Whose signature counts for which unit (OP-1, OP-9). Pure.

Keys come without a name (`--key`, a folder of key files: any of them may have signed) or with one (a directory that `dtpr-agent fleet keys` wrote:
then only a unit's own key counts for it, and those before it until the unit is known to have rotated). Work for one message does not grow with the
number of keys.
"""

import base64
import binascii
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from agent.errors import EncodingError, SignatureError
from agent.operations.signatures import verify_ed25519
from agent.wire import cose
from agent.wire.detached import DetachedVerifier, named_kid, verify_detached

MAX_KEYS = 200_000
"""Twice the largest city."""

MAX_READY = 20_000
"""Keys kept ready to verify with; about 1 kB each."""

NO_KEY = "no key is known for this unit"
GIVEN_UP = "signed by a previous key of this unit, given up"
"""So begins the note of what a previous key signed."""
NONE_OF_THEM = "signed by none of the given keys"


class Superseded(NamedTuple):
    """A key that a unit had before; it is given up in the units file of version `until`."""

    public_key: bytes
    until: int


class Keyring:
    """`keys` without a name, `units` by `city/site/unit`, `previous` the keys that those units had before; 32-byte Ed25519 public keys."""

    def __init__(
        self,
        keys: Iterable[bytes] = (),
        units: Mapping[str, bytes] | None = None,
        previous: Mapping[str, Sequence[Superseded]] | None = None,
    ) -> None:
        self._units = dict(units or {})
        self._previous = dict(previous or {})
        self._rotated: OrderedDict[str, int] = OrderedDict()
        self._keys = tuple(dict.fromkeys(keys))
        self._by_kid: dict[bytes, list[bytes]] = {}
        for key in self._keys:
            self._by_kid.setdefault(cose.key_id(key), []).append(key)
        self._ready: OrderedDict[bytes, DetachedVerifier] = OrderedDict()
        self._last: OrderedDict[str, bytes] = OrderedDict()

    def __bool__(self) -> bool:
        """Is there any key?"""
        return bool(self._keys or self._units)

    def release(
        self, unit: str, payload: bytes, signature: str | None, log_index: int = 0
    ) -> tuple[bool | None, list[str]]:
        """Did the key of `unit` (city/site/unit) sign `payload`, which is entry `log_index` of its log? None without any key. `signature` is base64 of
        a detached COSE_Sign1. True with a note when a previous key did, and nothing seen so far says that it no longer may."""
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
                    self._seen(unit, log_index)
                    return True, []
            for given_up in self._previous.get(unit, ()):
                if self._verifier(given_up.public_key).verify(message, payload):
                    return self._by_previous(unit, given_up, log_index)
            return False, [self._refusal(unit)]
        try:
            kid = cose.decode_sign1(message).kid
        except (EncodingError, SignatureError) as bad:
            return False, [f"the signature is not a COSE_Sign1: {bad}"]
        for key in self._candidates(unit, kid):
            try:
                verify_detached(message, key, payload)
            except SignatureError:
                continue
            except EncodingError as bad:
                return False, [f"the signature is not a COSE_Sign1: {bad}"]
            self._seen(unit, log_index)
            return True, []
        for given_up in self._previous.get(unit, ()):
            with contextlib.suppress(SignatureError):
                verify_detached(message, given_up.public_key, payload)
                return self._by_previous(unit, given_up, log_index)
        return False, [self._refusal(unit)]

    def opened(
        self, unit: str, attempt: Callable[[bytes], bool], log_index: int | None = None
    ) -> tuple[bool | None, list[str]]:
        """Does `attempt(key)` succeed with the key of `unit`, or with one of those without a name? The one that did is tried first next time.
        `log_index` is that of the newest entry that what was signed covers, where it says."""
        if not self:
            return None, []
        last = self._last.get(unit)
        own = self._units.get(unit)
        keys = (own,) if own is not None else self._keys if last is None else (last, *self._keys)
        for key in keys:
            if attempt(key):
                _remember(self._last, unit, key, MAX_KEYS)
                if log_index is not None:
                    self._seen(unit, log_index)
                return True, []
        for given_up in self._previous.get(unit, ()):
            if attempt(given_up.public_key):
                return self._by_previous(unit, given_up, log_index)
        return False, [self._refusal(unit)]

    def _seen(self, unit: str, log_index: int) -> None:
        """The present key signed entry `log_index`, or a log that has it: where that is known, the rotation stands no later."""
        if unit in self._previous:
            _remember(self._rotated, unit, min(log_index, self._rotated.get(unit, log_index)), MAX_KEYS)

    def _by_previous(self, unit: str, given_up: Superseded, log_index: int | None) -> tuple[bool, list[str]]:
        """Only what may have been signed before the rotation: what says no index is signed anew at every start."""
        rotated = self._rotated.get(unit)
        if rotated is not None and (log_index is None or log_index >= rotated):
            return False, [
                f"{GIVEN_UP} although the unit signs with the present one since entry {rotated} at the latest"
            ]
        return True, [f"{GIVEN_UP} in version {given_up.until} of the units file"]

    def _candidates(self, unit: str, kid: bytes) -> Iterable[bytes]:
        own = self._units.get(unit)
        return self._by_kid.get(kid, ()) if own is None else (own,)

    def _refusal(self, unit: str) -> str:
        return NONE_OF_THEM if self._keys or unit in self._units else NO_KEY

    def _verifier(self, key: bytes) -> DetachedVerifier:
        found = self._ready.get(key)
        if found is None:
            found = DetachedVerifier(key, verify_ed25519)
            _remember(self._ready, key, found, MAX_READY)
        return found


def _remember(memory: "OrderedDict[Any, Any]", key: object, value: object, cap: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > cap:
        memory.popitem(last=False)
