"""Keeps the unit's session with its broker: connects, announces, publishes the backlog, comes back after every fault (PB-2 to PB-13).

One thread, one `step` at a time. On every connection the retained messages go out before the first datum; retransmission is
by the cursor alone, with the log's own bytes.
"""

import logging
import time
from ssl import SSLContext

from agent.contracts.log import LOGGED
from agent.local.randomness import random_bytes
from agent.local.settings import Settings
from agent.publisher.backlog import Backlog
from agent.publisher.connection import Connection, Login
from agent.publisher.faults import BrokerFault, Code, VersionRefused, backoff_s
from agent.publisher.follow import POLL_S
from agent.publisher.log_tiles import LogTiles
from agent.publisher.message import Message, release_messages
from agent.publisher.topics import Topics
from agent.publisher.unit import Unit

GOODBYE_S = 1.0
SETTLE_S = 1.0
"""Between the announcements and the first datum of a connection: after a broker's restart its other clients come back too (PB-7)."""

PROVEN_S = 1.0
"""A connection that ends sooner does not clear the fault before it: a broker may let us in and then refuse every topic."""

LASTING_S = 10.0
"""After a connection that lasted so long, the first attempt to come back is fast again."""

_log = logging.getLogger(__name__)


class Session:
    """`step` until told to stop, then `stop`. `condition` and the properties are for the status and the demo's counters."""

    def __init__(self, settings: Settings, context: SSLContext | None, login: Login) -> None:
        self.unit = Unit(settings.paths.public, settings.mqtt.root, tls=settings.mqtt.tls)
        shown = settings.paths.public / LOGGED
        self.backlog = Backlog(settings.paths.log, shown, settings.paths.cursor)
        self.tiles = LogTiles(settings.paths.log, shown, settings.paths.cursor.with_name("tiles"))
        self.connecting = False
        self.stopping = False
        self._mqtt = settings.mqtt
        self._context = context
        self._login = login
        self._connection: Connection | None = None
        self._topics: Topics | None = None
        self._session = ""
        self._announced: dict[str, bytes] = {}
        self._mids: set[int] = set()
        self._mqtt5 = True
        self._version_guessed = False
        self._failures = 0
        self._retry_at = 0.0
        self._fault: BrokerFault | None = None
        self._connected_at = 0.0

    @property
    def connected(self) -> bool:
        """Has the broker let us in, and is it still there as far as we know?"""
        return self._connection is not None

    def condition(self) -> tuple[Code, str]:
        """The code for the status, and its words (PB-13)."""
        if self.unit.topics is None and self.unit.fault is None:
            return Code.WAITING_FOR_UNIT, "no state and envelope in the public folder yet; is the anonymizer running?"
        if isinstance(self.unit.fault, BrokerFault):
            return self.unit.fault.code, str(self.unit.fault)
        if self.unit.fault is not None:
            return Code.PUBLIC_DAMAGED, str(self.unit.fault)
        if self._connection is None or (self._fault and self._connected_for_s() < PROVEN_S):
            return (self._fault.code, str(self._fault)) if self._fault else (Code.CONNECTING, "")
        return self.backlog.condition()

    def step(self, wait_s: float = POLL_S) -> None:
        """Do what there is to do, waiting at most `wait_s` for the broker (a connection attempt may take longer)."""
        self.unit.look()
        self.backlog.look()
        topics = self.unit.topics
        if topics is None:
            if self._connection is not None:  # a policy that demands TLS came while we spoke without it
                self._end(None)
            time.sleep(wait_s)
        elif self._connection is None:
            rest_s = self._retry_at - time.monotonic()
            if rest_s > 0:
                time.sleep(min(rest_s, wait_s))
            else:
                self._connect(topics)
        elif topics != self._topics:
            self._goodbye(self._connection)  # the unit has another name: the old one goes offline
            self._end(None)
        else:
            self._serve(self._connection, topics, wait_s)
        self.backlog.store()

    def stop(self) -> None:
        """Go offline in order, with the cursor written; takes at most GOODBYE_S and a little."""
        if self._connection is not None and not self.connecting:
            self._goodbye(self._connection)
            self._end(None)
        self.backlog.store(at_once=True)

    def _connect(self, topics: Topics) -> None:
        self._session = random_bytes(8).hex()
        client_id = f"dtpr-{topics.city}-{topics.site}-{topics.unit}"
        connection = Connection(self._mqtt, self._context, self._login, client_id, mqtt5=self._mqtt5)
        will = self.unit.state_message(topics, session=self._session, connection="offline", publisher="ok")
        self.connecting = True
        try:
            if self.stopping:  # told so after the caller last looked; from here on a signal interrupts
                return
            connection.open(will)
        except VersionRefused as refused:
            connection.drop()
            if self._mqtt5:
                self._mqtt5, self._version_guessed = False, False
                _log.warning("%s; falling back to MQTT 3.1.1", refused)
            else:
                self._mqtt5 = True
                self._failed(refused)
            return
        except BrokerFault as fault:
            connection.drop()
            if fault.before_answer:  # some brokers refuse a version by hanging up: try the other one next
                self._mqtt5, self._version_guessed = not self._mqtt5, True
            elif self._version_guessed:
                self._mqtt5, self._version_guessed = True, False
            self._failed(fault)
            return
        finally:
            self.connecting = False
        self._connection, self._topics = connection, topics
        self._announced = {}
        self._connected_at = time.monotonic()
        _log.info("connected to the MQTT broker, MQTT %s", "5" if connection.mqtt5 else "3.1.1")

    def _serve(self, connection: Connection, topics: Topics, wait_s: float) -> None:
        try:
            self._announce(connection, topics)
            self._send(connection, topics)
            connection.turn(wait_s)
        except BrokerFault as fault:
            self._take_acknowledged(connection)
            self._end(fault)
        else:
            self._take_acknowledged(connection)

    def _announce(self, connection: Connection, topics: Topics) -> None:
        head = self.backlog.head
        code = self.backlog.condition()[0]
        publisher = code.value if code in (Code.LOG_DAMAGED, Code.CURSOR_DAMAGED, Code.CURSOR_UNWRITABLE) else "ok"
        for message in self.unit.announcements(
            topics, session=self._session, publisher=publisher, note=head.note if head else None
        ):
            if self._announced.get(message.topic) == message.payload:
                continue
            if message.topic == topics.checkpoint and message.topic in self._announced and not self.backlog.caught_up:
                continue  # one checkpoint at the end of a backlog, not one an entry
            if len(self._mids) >= connection.window:
                return
            self._mids.add(connection.publish(message))
            self._announced[message.topic] = message.payload

    def _send(self, connection: Connection, topics: Topics) -> None:
        announced = {topics.state, topics.disclosure, topics.upcoming, topics.checkpoint} <= self._announced.keys()
        if not announced or self._connected_for_s() < SETTLE_S:
            return
        while (messages := self._next_messages(connection, topics)) is not None:
            mids = [connection.publish(message) for message in messages]
            self._mids.update(mids)
            self.backlog.sent(mids)
        self._send_tiles(connection, topics)

    def _send_tiles(self, connection: Connection, topics: Topics) -> None:
        """The log's whole tiles, once everything else is on its way; they take half of the window at most (PB-30)."""
        state = self.unit.state
        while self.backlog.caught_up and state is not None and len(self._mids) < max(1, connection.window // 2):
            message = self.tiles.next_message(topics, state.collect_within_s, connection.max_packet_bytes)
            if message is None:
                return
            mid = connection.publish(message)
            self._mids.add(mid)
            self.tiles.sent(mid)

    def _next_messages(self, connection: Connection, topics: Topics) -> tuple[Message, ...] | None:
        ready = self.backlog.ready()
        if ready is None or len(self._mids) + (1 if connection.mqtt5 else 2) > connection.window:
            return None
        state = self.unit.state
        assert state is not None
        return release_messages(
            topics,
            ready[1],
            log_index=ready[0],
            expiry_s=state.collect_within_s,
            mqtt5=connection.mqtt5,
        )

    def _take_acknowledged(self, connection: Connection) -> None:
        for mid in connection.acknowledged:
            self._mids.discard(mid)
            self.backlog.acknowledge(mid)
            self.tiles.acknowledge(mid)
        connection.acknowledged.clear()

    def _goodbye(self, connection: Connection) -> None:
        assert self._topics is not None
        deadline = time.monotonic() + GOODBYE_S
        try:
            farewell = self.unit.state_message(
                self._topics, session=self._session, connection="offline", publisher="ok"
            )
            self._mids.add(connection.publish(farewell))
            while self._mids and time.monotonic() < deadline:
                connection.turn(0.1)
                self._take_acknowledged(connection)
            connection.close()
        except BrokerFault:
            connection.drop()  # it went away first; its will says the same

    def _end(self, fault: BrokerFault | None) -> None:
        if self._connection is not None:
            self._connection.drop()
            if self._connected_for_s() > LASTING_S:
                self._failures = 0
        if self._version_guessed:
            self._mqtt5 = True
        self._connection = self._topics = None
        self._mids.clear()
        self.backlog.rewind()
        self.tiles.rewind()
        if fault is not None:
            self._failed(fault)

    def _connected_for_s(self) -> float:
        return time.monotonic() - self._connected_at

    def _failed(self, fault: BrokerFault) -> None:
        self._failures += 1
        self._retry_at = time.monotonic() + backoff_s(self._failures, random_bytes(1)[0])
        self._fault = fault
