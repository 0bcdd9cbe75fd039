"""PB-12: TLS with an own authority and a client certificate; whatever does not verify is not spoken to."""

import dataclasses
import time
from pathlib import Path

import pytest

from agent.disclosure.datachain import compile_disclosure
from tests.brokers import Mosquitto, TlsFiles
from tests.publisher.certificates import Authority, Issued
from tests.publisher.unit_folders import PublisherProcess, UnitFolder, wait_until


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    folder = UnitFolder(tmp_path / "unit")
    folder.announce()
    folder.release_windows(0, 3)
    return folder


def settings(ca: Path, client: Issued | None = None) -> str:
    lines = f'ca_file = "{ca}"'
    if client is not None:
        lines += f'\nclient_certificate = "{client.certificate}"\nclient_key = "{client.key}"'
    return lines


def files(authority: Authority, name: str = "localhost", *, require_client: bool = False) -> TlsFiles:
    server = authority.issue(name)
    return TlsFiles(authority.certificate, server.certificate, server.key, require_client)


def test_own_authority_and_client_certificate(tmp_path: Path, unit: UnitFolder) -> None:
    authority = Authority(tmp_path / "ca")
    with Mosquitto(tmp_path, tls=files(authority, require_client=True)) as broker:
        unit.configure(broker.port, settings(authority.certificate, authority.issue("unit")))
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: unit.passed() == 3, "delivery")
            wait_until(lambda: '"ok": true' in unit.status(), "all well")
            broker.kill()
            unit.release_windows(3, 2)
            broker.start()
            wait_until(lambda: unit.passed() == 5, "delivery after the outage")
            assert publisher.stop() == 0


@pytest.mark.parametrize("wrong", ["authority", "name", "plain", "no client certificate"])
def test_what_does_not_verify_is_named_and_nothing_is_sent(tmp_path: Path, unit: UnitFolder, wrong: str) -> None:
    authority, stranger = Authority(tmp_path / "ca"), Authority(tmp_path / "other", "stranger")
    served = {
        "authority": files(stranger),
        "name": files(authority, "elsewhere.example"),
        "plain": None,
        "no client certificate": files(authority, require_client=True),
    }[wrong]
    with Mosquitto(tmp_path, tls=served) as broker:
        unit.configure(broker.port, settings(authority.certificate))
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: '"broker_tls"' in unit.status(), "the fault")
            assert publisher.process is not None
            assert publisher.process.poll() is None
        assert not unit.cursor.exists()
        assert "dtpr-springfield" not in broker.log  # no CONNECT was read


def test_client_key_that_others_can_read_is_refused(tmp_path: Path, unit: UnitFolder) -> None:
    authority = Authority(tmp_path / "ca")
    client = authority.issue("unit")
    client.key.chmod(0o644)
    unit.configure(1024, settings(authority.certificate, client))
    with PublisherProcess(unit) as publisher:
        assert publisher.process is not None
        assert publisher.process.wait(25) == 2
        assert "chmod 600" in publisher.log


def test_a_policy_that_demands_tls_is_not_relaxed_by_a_setting(tmp_path: Path) -> None:
    """PB-17: under `transport = "tls"`, `tls = false` on a working broker connects to nobody and says why."""
    unit = UnitFolder(tmp_path / "unit", transport="tls")
    unit.announce()
    unit.release_windows(0, 3)
    with Mosquitto(tmp_path) as broker:
        unit.configure(broker.port, "tls = false")
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: '"broker_tls"' in unit.status(), "the fault")
            assert "no device setting relaxes a policy" in unit.status()
            assert publisher.stop() == 0
        assert not unit.cursor.exists()
        assert "dtpr-springfield" not in broker.log


def test_a_policy_that_comes_to_demand_tls_ends_a_plain_connection(tmp_path: Path) -> None:
    """PB-17: the connection that spoke without TLS is dropped, and what is logged from then on stays here."""
    unit = UnitFolder(tmp_path / "unit")
    unit.announce()
    unit.release_windows(0, 2)
    with Mosquitto(tmp_path) as broker:
        unit.configure(broker.port, "tls = false")
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: unit.passed() == 2, "delivery")
            unit.disclosure = compile_disclosure(dataclasses.replace(unit.disclosure.policy, transport="tls"))
            unit.announce(disclosure=unit.disclosure.digest.hex())
            wait_until(lambda: '"broker_tls"' in unit.status(), "the fault")
            unit.release_windows(2, 2)
            time.sleep(1.5)
            assert publisher.stop() == 0
        assert unit.passed() == 2
