"""The numbers of a run and the verdict over them: pure.

The keys are fixed (they are read by tools); a run passes only when `failures` finds nothing.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass

MIN_READINGS = 1000
MIN_WINDOWS = 8
MIN_CANARIES = 5
MAX_GATE_CLOSED_S = 25.0


@dataclass(frozen=True, slots=True)
class Report:
    """One run. Counts by stream are objects; `readings_discarded` is by reason; `max_pss_mib` by daemon.

    `counted_before_notice` is how many governed windows lie before the moment at which, by the beacon's own account of when
    it came on air and not by the gate's, the notice can have been served; `sent_before_notice` is what the board had sent by
    then, all of which must have been discarded.
    """

    seconds: float
    broker: str
    readings_sent: int
    readings_bridged: int
    readings_counted: int
    readings_discarded: Mapping[str, int]
    windows_closed: Mapping[str, int]
    windows_published: Mapping[str, int]
    windows_suppressed: Mapping[str, int]
    windows_not_collected: Mapping[str, int]
    releases_logged: int
    releases_received: int
    releases_verified: int
    releases_in_log_order: bool
    conflicts: int
    disclosure_digest_ble: str
    disclosure_digest_mqtt: str
    gate_closed_seconds: float
    counted_before_notice: int
    sent_before_notice: int
    canaries_planted: int
    canary_hits: int
    canary_search_works: bool
    seconds_to_first_aggregate: float
    max_pss_mib: Mapping[str, float]
    restarts: Mapping[str, int]
    street: bool = True
    """Was the board's street counted? It is known to have hours with many and with few; what a policy of `--policy` measures
    is not, nor how long the street was counted when something was offered: a stricter policy leaves no budget until its first period is over."""

    def failures(self) -> list[str]:
        """What is wrong with this run, in words; empty when it passes."""
        discarded = sum(self.readings_discarded.values())
        wrong = []

        def expect(holds: bool, words: str) -> None:
            if not holds:
                wrong.append(words)

        expect(self.readings_sent >= MIN_READINGS, f"at least {MIN_READINGS} readings sent, got {self.readings_sent}")
        expect(
            self.readings_bridged == self.readings_sent,
            f"all {self.readings_sent} readings bridged, got {self.readings_bridged}",
        )
        expect(
            self.readings_sent == self.readings_counted + discarded,
            f"sent = counted + discarded, got {self.readings_sent} and {self.readings_counted} + {discarded}",
        )
        expect(bool(self.windows_closed), "windows of at least one stream, got none")
        for stream, closed in self.windows_closed.items():
            expect(closed >= MIN_WINDOWS, f"{stream}: at least {MIN_WINDOWS} windows closed, got {closed}")
            expect(self.windows_published.get(stream, 0) >= 1, f"{stream}: a window with a published cell, got none")
            expect(
                not self.street or self.windows_suppressed.get(stream, 0) >= 1,
                f"{stream}: a window with a suppressed cell, got none",
            )
        expect(
            self.releases_received == self.releases_logged,
            f"every logged release received, got {self.releases_received} of {self.releases_logged}",
        )
        expect(
            self.releases_verified == self.releases_received,
            f"every received release verified, got {self.releases_verified} of {self.releases_received}",
        )
        expect(self.releases_in_log_order, "releases arriving in log order, got another")
        expect(self.conflicts == 0, f"no window with two payloads, got {self.conflicts}")
        expect(self.disclosure_digest_ble != "", "a disclosure read by radio, got none")
        expect(
            self.disclosure_digest_ble == self.disclosure_digest_mqtt,
            f"one disclosure by radio and by MQTT, got {self.disclosure_digest_ble[:16]}… and {self.disclosure_digest_mqtt[:16]}…",
        )
        expect(
            self.gate_closed_seconds <= MAX_GATE_CLOSED_S,
            f"the gate closed for at most {MAX_GATE_CLOSED_S:g} s, got {self.gate_closed_seconds:g}",
        )
        expect(
            self.counted_before_notice == 0,
            f"no window counted before the notice was served, got {self.counted_before_notice}",
        )
        expect(
            discarded >= self.sent_before_notice,
            f"the {self.sent_before_notice} readings sent before the notice was served all discarded, got {discarded}",
        )
        expect(
            self.canaries_planted >= MIN_CANARIES,
            f"at least {MIN_CANARIES} canaries planted, got {self.canaries_planted}",
        )
        expect(self.canary_search_works, "a search that finds a planted canary, got one that does not")
        expect(self.canary_hits == 0, f"no canary found outside, got {self.canary_hits}")
        return wrong

    def as_json(self) -> dict[str, object]:
        """The report file's object, with the verdict."""
        wrong = self.failures()
        return {**asdict(self), "passed": not wrong, "failures": wrong}
