"""What the unit says of itself in /run/dtpr-public: `state`, `envelope` and `upcoming`, read again when a file is replaced
(PB-3, PB-4, PB-18).

The last good content stays in use while a file is absent or damaged, so that a restart of the anonymizer changes nothing; only an upcoming
disclosure ends with its file. The one
exception is a policy that demands TLS of a publisher without it: then there is no unit to publish for (PB-17).
"""

from pathlib import Path

from agent.contracts.public import (
    ENVELOPE,
    MAX_ENVELOPE_BYTES,
    MAX_STATE_BYTES,
    MAX_UPCOMING_BYTES,
    STATE,
    UPCOMING,
    State,
    decode_state,
    read_envelope,
)
from agent.disclosure.datachain import Disclosure, decode_disclosure
from agent.errors import BadInput, MessageError, StorageUnavailable
from agent.local.files import file_stamp, read_capped
from agent.publisher.faults import BrokerFault, Code
from agent.publisher.message import (
    MAX_EXPIRY_S,
    Message,
    checkpoint_message,
    disclosure_message,
    state_message,
    upcoming_message,
)
from agent.publisher.topics import Topics, unit_topics


class Unit:
    """Reads the folder on `look`. `fault` names the last file that could not be used; `tls` is the device's setting."""

    def __init__(self, folder: Path, root: str, *, tls: bool) -> None:
        self.state: State | None = None
        self.disclosure: Disclosure | None = None
        """The one in force; there is one whenever there are `topics`."""
        self.fault: BadInput | StorageUnavailable | BrokerFault | None = None
        self._envelope: bytes | None = None
        self._upcoming: bytes | None = None
        self._announcement: Message | None = None
        self._folder = folder
        self._root = root
        self._tls = tls
        self._stamps: dict[str, tuple[int, int, int]] = {}
        self._faults: dict[str, BadInput | StorageUnavailable | BrokerFault] = {}

    @property
    def topics(self) -> Topics | None:
        """The unit's topics, once its disclosure is known too."""
        if self.state is None or self._announcement is None:
            return None
        return Topics(self._root, self.state.city, self.state.site, self.state.unit)

    def look(self) -> None:
        """Read what was replaced since the last look."""
        for name, cap in _CAPS.items():
            path = self._folder / name
            try:
                stamp = file_stamp(path)
                if stamp is None and name == UPCOMING:
                    self._upcoming = None
                    self._stamps.pop(name, None)
                    self._faults.pop(name, None)
                if stamp is None or stamp == self._stamps.get(name):
                    continue
                content = read_capped(path, cap)
                if content is None:
                    continue
                self._stamps[name] = stamp
                self._faults.pop(name, None)
                self._take(name, content)
            except (BadInput, StorageUnavailable, BrokerFault) as bad:
                self._faults[name] = bad
            except OSError as bad:
                self._stamps.pop(name, None)  # read it again once that is over
                self._faults[name] = StorageUnavailable(
                    str(path), why=bad.strerror or "an error", remedy="check the folder's owner and mode"
                )
        self.fault = next(iter(self._faults.values()), None)

    def announcements(
        self, topics: Topics, *, session: str, publisher: str, backlog: bool, note: bytes | None
    ) -> list[Message]:
        """Everything retained, in the order in which a connection begins: state, disclosure, upcoming (empty when there is none),
        checkpoint (if there is one)."""
        messages = [
            self.state_message(topics, session=session, connection="online", publisher=publisher, backlog=backlog)
        ]
        if self._envelope is not None:
            if self._announcement is None or self._announcement.topic != topics.disclosure:
                self._announcement = disclosure_message(topics, self._envelope)
            messages += [self._announcement, upcoming_message(topics, self._upcoming)]
        if note is not None:
            messages.append(checkpoint_message(topics, note))
        return messages

    def state_message(self, topics: Topics, *, session: str, connection: str, publisher: str, backlog: bool) -> Message:
        """The state, online, or offline for the will and for the goodbye."""
        assert self.state is not None
        return state_message(
            topics, self.state, session=session, connection=connection, publisher=publisher, backlog=backlog
        )

    def _take(self, name: str, content: bytes) -> None:
        if name == STATE:
            state = decode_state(content)
            if state.policy_version:  # without a policy the unit has no name yet
                self.state = self._publishable(state)
        elif name == UPCOMING:
            self._upcoming = None
            upcoming_message(Topics(self._root, "", "", ""), content)
            self._upcoming = content
        else:
            message = disclosure_message(Topics(self._root, "", "", ""), content)
            disclosure = decode_disclosure(read_envelope(content).disclosure)
            if disclosure.policy.transport == "tls" and not self._tls:
                self._announcement = None
                raise BrokerFault(
                    Code.BROKER_TLS,
                    "of agent.toml",
                    why='the policy says transport = "tls" and agent.toml says tls = false',
                    remedy="set tls = true in [mqtt]; no device setting relaxes a policy",
                )
            self._announcement = message
            self._envelope = content
            self.disclosure = disclosure

    def _publishable(self, state: State) -> State:
        """`state`, if every message of this unit can be made from it; raise MessageError."""
        topics = unit_topics(self._root, state)
        state_message(topics, state, session="", connection="online", publisher="ok", backlog=False)
        if not 0 <= state.collect_within_s <= MAX_EXPIRY_S:
            raise MessageError(
                "state collect_within_s", expected=f"0 to {MAX_EXPIRY_S} seconds", got=str(state.collect_within_s)[:20]
            )
        return state


_CAPS = {STATE: MAX_STATE_BYTES, ENVELOPE: MAX_ENVELOPE_BYTES, UPCOMING: MAX_UPCOMING_BYTES}
