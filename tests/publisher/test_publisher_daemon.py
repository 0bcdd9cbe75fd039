"""The publisher as a process against a real mosquitto. Rules PB-n are those of agent/publisher/SPEC.md."""

import contextlib
import dataclasses
import json
import os
import socket
import stat
import threading
import time
from pathlib import Path

import pytest

from agent.contracts.log import Gap, NoticeServed, PolicyTaken
from agent.contracts.public import ENVELOPE, UPCOMING, Envelope, Reason, seal_envelope
from agent.disclosure.datachain import compile_disclosure
from agent.local.files import write_atomic
from tests.brokers import Mosquitto
from tests.publisher.listeners import Listener
from tests.publisher.unit_folders import FIRST_START, KEY, STREAM, TIMEOUT_S, PublisherProcess, UnitFolder, wait_until

DATA = f"agg/{STREAM}"


def distinct_in_order(payloads: list[bytes]) -> list[bytes]:
    return list(dict.fromkeys(payloads))


def test_a_connection_begins_with_the_retained_ones_then_the_log_in_order(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-1 to PB-8: topics, order, properties, exact payloads; entries that are not Releases are not published."""
    unit.append(PolicyTaken(b"policy", unit.disclosure.digest, 1, 1), NoticeServed(unit.disclosure.digest, 5, 2))
    first = unit.release_windows(0, 30)
    unit.append(Gap(STREAM, 1_800_000_000, 300, 2, None))
    first += unit.release_windows(40, 5)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: len(city.heard(DATA)) >= 35, "the backlog")
            live = unit.release_windows(50, 3)
            wait_until(lambda: len(city.heard(DATA)) >= 38, "live releases")
            wait_until(lambda: city.payloads("/checkpoint")[-1].split(b"\n")[1] == b"41", "the last checkpoint")
        assert city.payloads(DATA) == first + live
        assert [h.topic.removeprefix(f"{unit.base}/") for h in city.heard()[:6]] == [
            "state",
            "disclosure",
            "disclosure/upcoming",
            "checkpoint",
            "health",
            DATA,
        ]
        assert {h.topic.removeprefix(f"{unit.base}/") for h in city.heard()} == {
            "state",
            "disclosure",
            "disclosure/upcoming",
            "checkpoint",
            "health",
            DATA,
        }
        datum = city.heard(DATA)[0]
        assert datum.qos == 1
        assert not datum.retain
        assert datum.content_type == "application/senml+json"
        assert datum.expiry_s == unit.state.collect_within_s
        assert datum.user_properties["log-index"] == "2"
        assert datum.user_properties["disclosure"] == unit.disclosure.digest.hex()
        with Listener(broker.port) as late:
            wait_until(lambda: len(late.heard()) >= 4, "what is retained")
            assert {h.topic.rsplit("/", 1)[1] for h in late.heard()} == {"state", "disclosure", "checkpoint", "health"}
            assert all(h.retain for h in late.heard())


def test_an_upcoming_disclosure_is_retained_beside_the_other_and_then_cleared(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-18: while its file is there; a bad one is `public_damaged` and is not published; gone, the broker keeps nothing of it."""
    unit.release_windows(0, 1)
    upcoming = compile_disclosure(dataclasses.replace(unit.disclosure.policy, version=2))
    sealed = seal_envelope(Envelope(upcoming.cbor, FIRST_START, FIRST_START + 900), KEY)
    end = "/disclosure/upcoming"
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: city.payloads(end) == [b""], "nothing upcoming")
            write_atomic(unit.public / UPCOMING, sealed)
            wait_until(lambda: len(city.payloads(end)) == 2, "the upcoming disclosure")
            item = json.loads(city.payloads(end)[1])
            assert (item["digest"], item["not_before"]) == (upcoming.digest.hex(), FIRST_START + 900)
            assert city.payloads("/disclosure")[-1] != city.payloads(end)[1]
            with Listener(broker.port) as late:
                wait_until(lambda: late.payloads(end) == city.payloads(end)[1:], "what is retained")
            write_atomic(unit.public / UPCOMING, (unit.public / ENVELOPE).read_bytes())
            wait_until(lambda: "public_damaged" in unit.status(), "the fault")
            wait_until(lambda: len(city.payloads(end)) == 3, "cleared")
            (unit.public / UPCOMING).unlink()
            wait_until(lambda: '"ok": true' in unit.status(), "no fault")
        assert city.payloads(end)[2:] == [b""]
        with Listener(broker.port) as late:
            wait_until(lambda: len(late.heard()) >= 3, "what is retained")
            assert late.payloads(end) == []


NO_POLICY: dict[str, object] = {"policy_version": 0, "disclosure": "", "collect_within_s": 0}


def test_a_unit_without_a_policy_is_waited_for(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-1: it has no name yet; its first policy gives it one."""
    policy = {name: getattr(unit.state, name) for name in NO_POLICY}
    unit.announce(unit="", site="", reason=Reason.NO_POLICY, gate="closed", **NO_POLICY)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: "waiting_for_unit" in unit.status(), "waiting")
            unit.announce(unit=unit.name, site=unit.site, **policy)
            wait_until(lambda: bool(city.heard("/state")), "the state")
            assert city.heard()[0].topic == f"{unit.base}/state"


def test_a_checkpoint_limits_what_is_published(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-8: a record on the disk that no checkpoint covers yet is not sent."""
    covered = unit.release_windows(0, 2)
    entries, size = unit.head.size, unit.bytes
    uncovered = unit.release_windows(2, 1)
    unit.checkpoint(entries=entries, bytes=size)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: len(city.heard(DATA)) >= 2, "what is covered")
            with pytest.raises(AssertionError, match="timed out"):
                wait_until(lambda: len(city.heard(DATA)) > 2, "more", 1.5)
            unit.checkpoint()
            wait_until(lambda: len(city.heard(DATA)) > 2, "what is covered now")
        assert city.payloads(DATA) == covered + uncovered


def test_broker_gone_for_some_seconds_loses_nothing(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-7, PB-9: every release arrives after the return, in log order, with retained messages before the first datum."""
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        expected = unit.release_windows(0, 10)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: len(city.heard(DATA)) >= 10, "before the outage")
            broker.kill()
            expected += unit.release_windows(10, 40)
            wait_until(lambda: '"broker_' in unit.status(), "the named fault in the status")
            expected += unit.release_windows(50, 40)
            before, subscriptions = len(city.heard()), city.subscriptions
            with (
                publisher.standing_still()
            ):  # what a broker forgets while nobody listens is not the publisher's to keep
                broker.start()
                wait_until(lambda: city.subscriptions > subscriptions, "the city")
            wait_until(lambda: len(distinct_in_order(city.payloads(DATA))) >= 90, "everything")
            assert distinct_in_order(city.payloads(DATA)) == expected
            after = [h.topic.rsplit("/", 1)[1] for h in city.heard()[before:]]
            first = set(after[: after.index(STREAM)]) - {
                "upcoming"
            }  # empty, so a broker tells only who is there already
            assert first == {"state", "disclosure", "checkpoint", "health"}
            wait_until(lambda: '"ok": true' in unit.status(), "recovery in the status")
            assert "BrokerUnavailable" not in publisher.log
        assert len(sessions(city, "online")) == 2


def sessions(city: Listener, connection: str) -> set[str]:
    """Of the states so far that say `connection`."""
    states = [json.loads(payload) for payload in city.payloads("/state")]
    return {state["session"] for state in states if state["connection"] == connection}


def test_killed_in_the_middle_loses_nothing_and_repeats_only_bytes(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-9, PB-10: SIGKILL between PUBLISH and the cursor; duplicates are byte-identical."""
    expected = unit.release_windows(0, 400)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit) as publisher:
            for life, threshold in enumerate((40, 150, 300), 1):
                wait_until(lambda at=threshold: len(set(city.payloads(DATA))) >= at, f"{threshold} releases")  # type: ignore[misc]  # mypy cannot type a lambda's default
                wait_until(lambda life=life: len(sessions(city, "online")) >= life, "this life's connection")  # type: ignore[misc]  # as above
                publisher.kill()
                publisher.start()
            wait_until(lambda: len(set(city.payloads(DATA))) >= 400, "everything")
        heard = city.payloads(DATA)
        assert distinct_in_order(heard) == expected
        wait_until(lambda: len(sessions(city, "offline")) >= 3, "the will of each killed process")
        assert sessions(city, "offline") <= sessions(city, "online")


def test_a_clean_stop_says_offline_and_repeats_nothing(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-3, PB-14: SIGTERM ends with exit 0, retained state offline, and the cursor at the end."""
    unit.release_windows(0, 20)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: len(city.heard(DATA)) >= 20, "releases")
            assert publisher.stop() == 0
            wait_until(lambda: b'"offline"' in city.payloads("/state")[-1], "the goodbye")
            publisher.start()
            live = unit.release_windows(30, 1)
            wait_until(lambda: len(city.heard(DATA)) >= 21, "the next one")
        assert len(city.heard(DATA)) == 21
        assert city.payloads(DATA)[-1:] == live
        assert stat.S_IMODE(os.stat(unit.cursor).st_mode) == 0o600


def test_wiped_broker_gets_the_retained_messages_again_before_the_next_datum(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-7: nothing relies on what a broker remembers."""
    unit.release_windows(0, 3)
    with Mosquitto(tmp_path, persistence=True) as broker:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            with Listener(broker.port) as city:
                wait_until(lambda: len(city.heard(DATA)) >= 3, "releases")
            broker.stop()
            broker.wipe()
            unit.release_windows(3, 1)
            broker.start()
            with Listener(broker.port) as city:
                wait_until(lambda: len(city.heard(DATA)) >= 1, "the next datum")
                kinds = [h.topic.rsplit("/", 1)[1] for h in city.heard()]
                first = [
                    kind for kind in kinds[: kinds.index(STREAM)] if kind != "upcoming"
                ]  # empty: a broker keeps nothing of it
                assert sorted(first) == ["checkpoint", "disclosure", "health", "state"]


def test_state_changes_are_published_within_half_a_second(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-3: measured from the file's replacement to a subscriber; x5 for a busy machine."""
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: bool(city.heard("/state")), "the first state")
            unit.announce(gate="closed", reason="no_lease")
            wait_until(lambda: b'"reason":"no_lease"' in city.payloads("/state")[-1], "the change", 2.5)


def test_a_unit_that_changes_its_name_leaves_the_old_one_offline(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-3: topics follow the state file; the old name does not stay online."""
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        unit.configure(broker.port)
        with PublisherProcess(unit):
            wait_until(lambda: bool(city.heard("/disclosure")), "the first name")
            unit.announce(unit="bridge-02")
            wait_until(lambda: bool(city.heard("bridge-02/disclosure")), "the second name")
        assert b'"offline"' in city.payloads("bridge-01/state")[-1]


def test_starts_before_everything_else(tmp_path: Path) -> None:
    """PB-8, PB-13: no folders, no broker, then one after another; each wait has its name, and nothing is lost."""
    with Mosquitto(tmp_path) as broker:
        broker.stop()
        unit = UnitFolder(tmp_path / "unit")
        unit.configure(broker.port)
        unit.log.rmdir()
        unit.public.rmdir()
        with PublisherProcess(unit):
            wait_until(lambda: '"waiting_for_unit"' in unit.status(), "waiting for the unit")
            unit.public.mkdir()
            unit.announce()
            wait_until(lambda: '"broker_absent"' in unit.status(), "no broker")
            broker.start()
            wait_until(lambda: '"waiting_for_log"' in unit.status(), "no log")
            with Listener(broker.port) as city:
                unit.log.mkdir()
                expected = unit.release_windows(0, 3)
                wait_until(lambda: len(city.heard(DATA)) >= 3, "the log", TIMEOUT_S)
                assert sorted(city.payloads(DATA)) == sorted(expected)  # the first may be late, and the others live
            wait_until(lambda: '"ok": true' in unit.status(), "all well")


class Leak:
    """In front of a real broker: what a client sends after `limit` bytes of its connection is swallowed, unless `mended`."""

    def __init__(self, broker_port: int, limit: int) -> None:
        self._broker_port = broker_port
        self._limit = limit
        self.mended = False
        self.swallowed = 0
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Break every connection."""
        for end in self._ends:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self._listener.close()
        self.cut()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                broker = socket.create_connection(("127.0.0.1", self._broker_port))
                self._ends += [client, broker]
                limit = None if self.mended else self._limit
                threading.Thread(target=self._pipe, args=(client, broker, limit), daemon=True).start()
                threading.Thread(target=self._pipe, args=(broker, client, None), daemon=True).start()

    def _pipe(self, source: socket.socket, sink: socket.socket, limit: int | None) -> None:
        passed = 0
        with source, sink, contextlib.suppress(OSError):
            while octets := source.recv(65536):
                through = octets if limit is None else octets[: max(0, limit - passed)]
                passed += len(octets)
                self.swallowed += len(octets) - len(through)
                sink.sendall(through)


@pytest.mark.parametrize("end", ["cut", "kill"])
def test_what_was_sent_but_never_arrived_is_sent_again(tmp_path: Path, unit: UnitFolder, end: str) -> None:
    """PB-9: the cursor moves by PUBACK alone, over a lost connection and over SIGKILL."""
    expected = unit.release_windows(0, 60)
    with Mosquitto(tmp_path) as broker, Listener(broker.port) as city:
        leak = Leak(broker.port, 24_000)  # the announcements and some data
        unit.configure(leak.port)
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: leak.swallowed > 0, "messages to be lost")
            wait_until(unit.cursor.exists, "the cursor of what arrived")
            time.sleep(0.5)
            assert 0 < len(city.heard(DATA)) < 60
            leak.mended = True
            if end == "kill":
                publisher.kill()
                publisher.start()
            else:
                leak.cut()
            wait_until(lambda: len(set(city.payloads(DATA))) == 60, "every release")
        leak.close()
        assert distinct_in_order(city.payloads(DATA)) == expected
