"""Keeps the unit's session with its broker: connects, announces, publishes the backlog, comes back after every fault (PB-2 to PB-13).

One thread, one `step` at a time. On every connection the retained messages go out before the first datum; retransmission is
by the cursor alone, with the log's own bytes.
"""

import logging
import time
from collections.abc import Callable
from ssl import SSLContext

from agent.contracts.health import Report
from agent.contracts.log_file import LOGGED
from agent.contracts.status import bucket
from agent.errors import SettingsError
from agent.local.clock import Clock
from agent.local.randomness import random_bytes
from agent.local.settings import Settings
from agent.local.watch import FolderWatch
from agent.publisher.attempts import Attempts
from agent.publisher.backlog import Backlog, Due
from agent.publisher.connection import Connection, Login
from agent.publisher.discovery import Discovery
from agent.publisher.faults import BrokerFault, Code, VersionRefused
from agent.publisher.follow import POLL_S
from agent.publisher.health import Wellbeing
from agent.publisher.log_tiles import LogTiles
from agent.publisher.message import Message, expiry_s, health_message, release_messages
from agent.publisher.offers import OfferBox
from agent.publisher.pace import Pace
from agent.publisher.topics import Topics
from agent.publisher.unit import Unit

GOODBYE_S = 1.0
SETTLE_S = 1.0
"""Between the announcements and the first datum of a connection: after a broker's restart its other clients come back too (PB-7)."""

PROVEN_S = 1.0
"""A connection that ends sooner does not clear the fault before it: a broker may let us in and then refuse every topic."""

LASTING_S = 10.0
"""After a connection that lasted so long, the first attempt to come back is fast again."""

_REMEDY_ACL = "let the unit read its topic `policy` at the broker, or set [policy] subscribe = false"

_REMEDY_DISCOVERY = "let the unit write below its own name at Home Assistant's prefix (config/home-assistant.md), or leave [mqtt] home_assistant out"

_REMEDY_CLEARING = "[mqtt] home_assistant is left out: let the unit clear what it once wrote there, or remove the file home-assistant beside the cursor"

_log = logging.getLogger(__name__)


class Session:
    """`step` until told to stop, then `stop`. `condition` and the properties are for the status and the demo's counters."""

    def __init__(self, settings: Settings, credentials: Callable[[], tuple[SSLContext | None, Login]]) -> None:
        self.unit = Unit(settings.paths.public, settings.mqtt.root, tls=settings.mqtt.tls)
        shown = settings.paths.public / LOGGED
        self.backlog = Backlog(settings.paths.log, shown, settings.paths.cursor)
        self.tiles = LogTiles(settings.paths.log, shown, settings.paths.cursor.with_name("tiles"))
        self.discovery = Discovery(settings.mqtt.home_assistant, settings.paths.cursor.with_name("home-assistant"))
        self.connecting = False
        self.stopping = False
        self.too_old = 0
        """Releases that were not sent, since this process began."""
        self._mqtt = settings.mqtt
        self._clock = Clock(settings.clock_trusted_when)
        self.health = Wellbeing(settings.paths.status, sorted(settings.boards), self._utc_s)
        self._pace = Pace(settings.mqtt.backlog_per_s)
        self.offers = OfferBox(settings.paths.offer) if settings.policy_subscribe else None
        self._watch = FolderWatch((settings.paths.public,))
        self._credentials = credentials
        self._connection: Connection | None = None
        self._topics: Topics | None = None
        self._session = ""
        self._announced: dict[str, bytes] = {}
        self._mids: set[int] = set()
        self._attempts = Attempts()
        self._connected_at = 0.0

    @property
    def connected(self) -> bool:
        """Has the broker let us in, and is it still there as far as we know?"""
        return self._connection is not None

    def counters(self) -> dict[str, str]:
        """For the status and for health: how many entries wait, and how many were too old, as buckets."""
        return {"backlog": bucket(self.backlog.length), "too_old": bucket(self.too_old)}

    def condition(self) -> tuple[Code, str]:
        """The code for the status, and its words (PB-13)."""
        if self.unit.topics is None and self.unit.fault is None:
            return Code.WAITING_FOR_UNIT, "no state and envelope in the public folder yet; is the anonymizer running?"
        if isinstance(self.unit.fault, BrokerFault):
            return self.unit.fault.code, str(self.unit.fault)
        if self.unit.fault is not None:
            return Code.PUBLIC_DAMAGED, str(self.unit.fault)
        fault = self._attempts.fault
        if fault is not None and (self._connection is None or self._connected_for_s() < PROVEN_S):
            return fault.code, str(fault)
        if self._connection is None:
            return Code.CONNECTING, "a connection to the broker is being made"
        code, words = self.backlog.condition()
        if code is Code.OK and self.offers is not None:
            if self.offers.fault is not None:
                return Code.OFFER_UNWRITABLE, str(self.offers.fault)
            if self._connection.subscription_refused:
                return Code.SUBSCRIPTION_REFUSED, f"{self._connection.subscription_refused}; {_REMEDY_ACL}"
        if code is Code.OK and self.discovery.fault is not None:
            return Code.DISCOVERY_UNWRITABLE, str(self.discovery.fault)
        if code is Code.OK and self.discovery.refusal:
            remedy = _REMEDY_CLEARING if self._mqtt.home_assistant is None else _REMEDY_DISCOVERY
            return Code.DISCOVERY_REFUSED, f"{self.discovery.refusal}; {remedy}"
        return code, words

    def step(self, wait_s: float = POLL_S) -> None:
        """Do what there is to do, waiting at most `wait_s` for the broker (a connection attempt may take longer)."""
        self._watch.drain()
        self.unit.look()
        self.backlog.look()
        topics = self.unit.topics
        if topics is None:
            if self._connection is not None:  # a policy that demands TLS came while we spoke without it
                self._end(None)
            time.sleep(wait_s)
        elif self._connection is None:
            rest_s = self._attempts.wait_s(time.monotonic())
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
        try:
            context, login = self._credentials()  # read anew: somebody may have replaced what had expired
        except SettingsError as bad:
            where = f"{self._mqtt.host}:{self._mqtt.port}"
            self._failed(BrokerFault(Code.BROKER_REFUSED, where, why=str(bad), remedy="put the right files in place"))
            return
        connection = Connection(
            self._mqtt,
            context,
            login,
            client_id,
            mqtt5=self._attempts.mqtt5,
            offers_from=topics.policy if self.offers is not None else None,
        )
        will = self._offline(topics, backlog=True)
        self.connecting = True
        try:
            if self.stopping:  # told so after the caller last looked; from here on a signal interrupts
                return
            connection.open(will)
        except BrokerFault as fault:
            connection.drop()
            self._attempts.not_connected(fault, time.monotonic(), random_bytes(1)[0])
            if isinstance(fault, VersionRefused) and not self._attempts.mqtt5:
                _log.warning("%s; falling back to MQTT 3.1.1", fault)
            return
        finally:
            self.connecting = False
        self._connection, self._topics = connection, topics
        self._announced = {}
        self._connected_at = time.monotonic()
        self.backlog.rewind()
        self.backlog.look()
        _log.info("connected to the MQTT broker, MQTT %s", "5" if connection.mqtt5 else "3.1.1")

    def _serve(self, connection: Connection, topics: Topics, wait_s: float) -> None:
        try:
            if self._announce(connection, topics):
                self._send(connection, topics)
            pace_s = self._pace.wait_s(time.monotonic()) if self.backlog.behind else 0.0
            connection.turn(min(wait_s, pace_s or wait_s), self._watch.fd)
        except BrokerFault as fault:
            self._take_acknowledged(connection)
            self._end(fault)
        else:
            self._take_acknowledged(connection)
        self._take_offers(connection)

    def _take_offers(self, connection: Connection) -> None:
        if self.offers is not None:
            for offer in connection.offers:
                self.offers.take(offer)
            connection.offers.clear()
            self.offers.look()

    def _announce(self, connection: Connection, topics: Topics) -> bool:
        """Everything retained that is new on this connection; False while the window is too full for all of it."""
        assert self.unit.disclosure is not None
        head = self.backlog.head
        code = self.backlog.condition()[0]
        self.health.look(Report(code is Code.OK, True, self.counters()))
        publisher = code.value if code in (Code.LOG_DAMAGED, Code.CURSOR_DAMAGED, Code.CURSOR_UNWRITABLE) else "ok"
        messages = self.unit.announcements(
            topics,
            session=self._session,
            publisher=publisher,
            backlog=self.backlog.behind,
            note=head.note if head else None,
        )
        messages += self.discovery.messages(topics, self.unit.disclosure)
        if self.health.latest is not None:
            messages.append(health_message(topics, self.health.latest))
        for message in messages:
            if self._announced.get(message.topic) == message.payload:
                continue
            if message.topic == topics.checkpoint and message.topic in self._announced and not self.backlog.caught_up:
                continue  # one checkpoint at the end of a backlog, not one an entry
            if len(self._mids) >= connection.window:
                return False
            mid = connection.publish(message)
            self._mids.add(mid)
            if message.spare:
                self.discovery.sent(mid, message)
            self._announced[message.topic] = message.payload
        return True

    def _send(self, connection: Connection, topics: Topics) -> None:
        announced = {topics.state, topics.disclosure, topics.upcoming, topics.checkpoint} <= self._announced.keys()
        if not announced or self._connected_for_s() < SETTLE_S:
            return
        while (due := self.backlog.due()) is not None and self._may_go(connection, due):
            mids = [connection.publish(message) for message in self._messages(connection, topics, due)]
            self._mids.update(mids)
            self.backlog.sent(due, mids)
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

    def _may_go(self, connection: Connection, due: Due) -> bool:
        """Is there room for this Release? A backlog leaves a quarter of the window to what is live, and keeps its pace."""
        room = connection.window
        if due.late:
            if self._pace.wait_s(time.monotonic()):
                return False
            room -= room // 4
        return len(self._mids) + (1 if connection.mqtt5 else 2) <= room

    def _messages(self, connection: Connection, topics: Topics, due: Due) -> tuple[Message, ...]:
        """What carries this Release; nothing when it is too old to be sent (PB-20)."""
        state = self.unit.state
        assert state is not None
        now_s = self._utc_s() if state.clock_trusted and self._clock.trusted() else None
        left_s = expiry_s(due.release, collect_within_s=state.collect_within_s, late=due.late, now_s=now_s)
        if left_s <= 0:
            self.too_old += 1
            return ()
        if due.late:
            self._pace.spend(time.monotonic(), random_bytes(1)[0])
        return release_messages(
            topics, due.release, log_index=due.index, expiry_s=left_s, late=due.late, mqtt5=connection.mqtt5
        )

    def _take_acknowledged(self, connection: Connection) -> None:
        for mid in connection.acknowledged:
            self._mids.discard(mid)
            self.backlog.acknowledge(mid)
            self.tiles.acknowledge(mid)
            self.discovery.acknowledge(mid)
        connection.acknowledged.clear()
        for mid, words in connection.refused:
            self._mids.discard(mid)
            self.discovery.refuse(mid, words)
            self.tiles.refuse(mid, words)
        connection.refused.clear()

    def _goodbye(self, connection: Connection) -> None:
        assert self._topics is not None
        deadline = time.monotonic() + GOODBYE_S
        try:
            self._turn_until(connection, connection.window - 1, deadline)
            if len(self._mids) >= connection.window:
                connection.drop()  # the broker takes no more: its will says the same
                return
            self._mids.add(connection.publish(self._offline(self._topics, backlog=self.backlog.behind)))
            self._turn_until(connection, 0, deadline)
            connection.close()
        except BrokerFault:
            connection.drop()  # it went away first; its will says the same

    def _turn_until(self, connection: Connection, in_flight: int, deadline: float) -> None:
        """Wait until no more than so many are unacknowledged, or the deadline (monotonic); raise BrokerFault."""
        while len(self._mids) > in_flight and time.monotonic() < deadline:
            connection.turn(0.1)
            self._take_acknowledged(connection)

    def _offline(self, topics: Topics, *, backlog: bool) -> Message:
        return self.unit.state_message(
            topics, session=self._session, connection="offline", publisher="ok", backlog=backlog
        )

    def _end(self, fault: BrokerFault | None) -> None:
        if self._connection is not None:
            self._connection.drop()
        self._attempts.ended(lasted=self._connection is not None and self._connected_for_s() > LASTING_S)
        self._connection = self._topics = None
        self._mids.clear()
        self.backlog.rewind()
        self.tiles.rewind()
        self.discovery.rewind()
        if fault is not None:
            self._failed(fault)

    def _utc_s(self) -> int:
        return self._clock.utc_ns() // 1_000_000_000

    def _connected_for_s(self) -> float:
        return time.monotonic() - self._connected_at

    def _failed(self, fault: BrokerFault) -> None:
        self._attempts.failed(fault, time.monotonic(), random_bytes(1)[0])
