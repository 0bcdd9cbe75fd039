"""/run/dtpr-status/<daemon>/status: each daemon -> `status`, `doctor`, publisher. JSON, replaced atomically every 10 s.

Counters that grow with readings leave a process only as `bucket`s of the last day (I1); exact numbers exist only in the demo
(local/counters).
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

STATUS = "status"
MAX_STATUS_BYTES = 4096
WRITE_EVERY_S = 10

BUCKETS = ("0", "1+", "10+", "100+")


def bucket(count: int) -> str:
    """How often in the last day, no finer than a resident may know: "0", "1+", "10+" or "100+"."""
    return "100+" if count >= 100 else "10+" if count >= 10 else "1+" if count >= 1 else "0"


def worst(buckets: Iterable[str]) -> str:
    """The greatest of some buckets, "0" of none; ValueError for what is no bucket."""
    return BUCKETS[max((BUCKETS.index(one) for one in buckets), default=0)]


@dataclass(frozen=True, slots=True)
class Status:
    """A daemon's condition: `ok` or the code and words of what is wrong, and its named counters as buckets or flags.

    Words that would make the file longer than MAX_STATUS_BYTES are cut.
    """

    daemon: str
    ok: bool
    code: str
    words: str
    counters: Mapping[str, str]

    def encode(self) -> bytes:
        """The file's JSON."""
        text = self._json(self.words)
        length = len(self.words)
        while len(text) > MAX_STATUS_BYTES and length:
            length //= 2
            text = self._json(self.words[:length] + "…")
        return text

    def _json(self, words: str) -> bytes:
        item = {
            "v": 1,
            "daemon": self.daemon,
            "ok": self.ok,
            "code": self.code,
            "words": words,
            "counters": dict(self.counters),
        }
        return json.dumps(item, ensure_ascii=True).encode() + b"\n"
