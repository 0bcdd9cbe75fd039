"""When to connect again, and in which version of MQTT: 5 first, 3.1.1 after a broker refused it or hung up without an answer (PB-6). Pure."""

from agent.publisher.faults import BrokerFault, VersionRefused


class Attempts:
    """`fault` is the newest, None before the first. Instants are monotonic seconds, `jitter` is a random byte."""

    def __init__(self) -> None:
        self.mqtt5 = True
        self.fault: BrokerFault | None = None
        self._guessed = False
        self._failures = 0
        self._retry_at = 0.0

    def wait_s(self, now_s: float) -> float:
        """How long until the next attempt; zero or less: now."""
        return self._retry_at - now_s

    def failed(self, fault: BrokerFault, now_s: float, jitter: int) -> None:
        """A fault of any kind: what comes next waits."""
        self._failures += 1
        self._retry_at = now_s + backoff_s(self._failures, jitter)
        self.fault = fault

    def not_connected(self, fault: BrokerFault, now_s: float, jitter: int) -> None:
        """An attempt to connect that failed."""
        if isinstance(fault, VersionRefused):
            if self.mqtt5:
                self.mqtt5, self._guessed = False, False
                return  # the other version at once
            self.mqtt5 = True
        elif fault.before_answer:  # some brokers refuse a version by hanging up: try the other one next
            self.mqtt5, self._guessed = not self.mqtt5, True
        elif self._guessed:
            self.mqtt5, self._guessed = True, False
        self.failed(fault, now_s, jitter)

    def ended(self, *, lasted: bool) -> None:
        """A connection ended, after long enough for the next attempt to be fast again or not."""
        if lasted:
            self._failures = 0
        if self._guessed:
            self.mqtt5 = True


def backoff_s(failures: int, jitter: int) -> float:
    """How long to wait after so many failures in a row (>= 1); `jitter` is a random byte. First about 0.2 s, never over 5 s."""
    longest = min(5.0, 0.25 * float(1 << min(failures - 1, 8)))
    return longest * (0.5 + jitter / 510)
