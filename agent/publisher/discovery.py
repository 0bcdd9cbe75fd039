"""Keeps what Home Assistant is told at the broker in step with the disclosure in force (PB-44 to PB-46).

The file `home-assistant` beside the cursor names every discovery topic that may be retained: it is on the disk before a topic is first published
to, and forgets one once its empty message was acknowledged. So what a stream, a name or the setting itself leaves behind is cleared, by the next process too.
"""

import logging
import time
from collections.abc import Iterable
from pathlib import Path

from agent.disclosure.datachain import Disclosure
from agent.errors import BadInput, StorageUnavailable
from agent.local.files import read_capped, write_atomic
from agent.publisher.home_assistant import MAX_TOPICS_BYTES, cleared, decode_topics, encode_topics, entities
from agent.publisher.message import Message
from agent.publisher.topics import Topics

RETRY_S = 10.0
"""After the file could not be written."""

_log = logging.getLogger(__name__)


class Discovery:
    """`messages` again and again, `sent` and `acknowledge` for each; `rewind` when a connection ends. Without `prefix` it only clears."""

    def __init__(self, prefix: str | None, file: Path) -> None:
        self.fault: StorageUnavailable | None = None
        self._prefix = prefix
        self._file = file
        self._known = self._load()
        self._made: tuple[Message, ...] = ()
        self._made_for: tuple[Topics, bytes] | None = None
        self.refusal = ""
        """Why the broker took none of it on this connection."""
        self._mids: set[int] = set()
        self._clearing: dict[int, str] = {}
        self._retry_at = 0.0

    def messages(self, topics: Topics, disclosure: Disclosure) -> tuple[Message, ...]:
        """What has to be retained now: an entity a cell, and an empty message for each that is no more. None while the file cannot be written."""
        if self._prefix is None and not self._known:
            return ()
        if self._made_for != (topics, disclosure.digest):
            wanted = () if self._prefix is None else entities(topics, disclosure, self._prefix)
            gone = self._known - _topics(wanted)
            if not self._remember(self._known | _topics(wanted)):
                return ()
            self._made = (*map(cleared, sorted(gone)), *wanted)
            self._made_for = topics, disclosure.digest
        elif self.fault is not None:
            self._remember(_topics(self._made))
        return self._made

    def sent(self, mid: int, message: Message) -> None:
        """This message is on its way under that identifier."""
        self._mids.add(mid)
        if not message.payload:
            self._clearing[mid] = message.topic

    def acknowledge(self, mid: int) -> None:
        """The broker took this message; others' identifiers are ignored."""
        self._mids.discard(mid)
        topic = self._clearing.pop(mid, None)
        if topic is None:
            return
        self._made = tuple(message for message in self._made if message.payload or message.topic != topic)
        if all(message.payload for message in self._made):
            self._remember(_topics(self._made))

    def refuse(self, mid: int, words: str) -> None:
        """The broker did not take it: it is tried again on the next connection. Others' identifiers are ignored."""
        if mid in self._mids:
            self._mids.discard(mid)
            self._clearing.pop(mid, None)
            self.refusal = words

    def rewind(self) -> None:
        """Nothing is in flight any more."""
        self._clearing.clear()
        self._mids.clear()
        self.refusal = ""

    def _remember(self, topics: frozenset[str]) -> bool:
        """Bring the file in step; False when that failed."""
        if topics != self._known:
            if time.monotonic() < self._retry_at:
                return False
            try:
                write_atomic(self._file, encode_topics(topics), durable=True)
            except StorageUnavailable as bad:
                if self.fault is None:
                    _log.warning("%s", bad)
                self.fault, self._retry_at = bad, time.monotonic() + RETRY_S
                return False
            self._known = topics
        self.fault = None
        return True

    def _load(self) -> frozenset[str]:
        try:
            data = read_capped(self._file, MAX_TOPICS_BYTES)
            return frozenset() if data is None else decode_topics(data)
        except (BadInput, OSError) as bad:
            _log.warning("%s: %s; what it named is not cleared", self._file, bad)
            return frozenset()


def _topics(messages: Iterable[Message]) -> frozenset[str]:
    return frozenset(message.topic for message in messages)
