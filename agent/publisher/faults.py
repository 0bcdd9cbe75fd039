"""What can be wrong on the way to the broker, by code. Pure."""

import enum

from agent.errors import BrokerUnavailable


class Code(enum.StrEnum):
    """The status's code; of several, the first in this order is shown (PB-13)."""

    OK = "ok"
    WAITING_FOR_UNIT = "waiting_for_unit"
    PUBLIC_DAMAGED = "public_damaged"
    BROKER_ABSENT = "broker_absent"
    BROKER_TLS = "broker_tls"
    BROKER_REFUSED = "broker_refused"
    BROKER_LIMIT = "broker_limit"
    BROKER_LOST = "broker_lost"
    BROKER_PROTOCOL = "broker_protocol"
    CONNECTING = "connecting"
    LOG_DAMAGED = "log_damaged"
    CURSOR_DAMAGED = "cursor_damaged"
    CURSOR_UNWRITABLE = "cursor_unwritable"
    WAITING_FOR_LOG = "waiting_for_log"
    OFFER_UNWRITABLE = "offer_unwritable"
    SUBSCRIPTION_REFUSED = "subscription_refused"
    DISCOVERY_UNWRITABLE = "discovery_unwritable"
    DISCOVERY_REFUSED = "discovery_refused"


class BrokerFault(BrokerUnavailable):
    """BrokerUnavailable with the code that the status shows; `before_answer` when the broker never answered our CONNECT."""

    def __init__(self, code: Code, broker: str, *, why: str, remedy: str, before_answer: bool = False) -> None:
        super().__init__(f"MQTT broker {broker}", why=why, remedy=remedy)
        self.code = code
        self.before_answer = before_answer


class VersionRefused(BrokerFault):
    """The broker does not speak the version of MQTT that was tried."""

    def __init__(self, broker: str) -> None:
        super().__init__(
            Code.BROKER_REFUSED,
            broker,
            why="it does not speak this version of MQTT",
            remedy="use a broker for MQTT 5 or 3.1.1",
        )
