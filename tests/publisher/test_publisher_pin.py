"""PB-50: the broker's certificate by its fingerprint, with a real mosquitto; to any other nothing is said."""

import datetime
import subprocess
from pathlib import Path

import pytest

from agent.errors import BrokerUnavailable
from agent.local import settings as agent_settings
from agent.operations.broker import context_for
from agent.operations.reception import receive
from agent.publisher.connection import Login
from tests.brokers import Mosquitto, TlsFiles
from tests.publisher.certificates import Authority, Issued
from tests.publisher.unit_folders import PublisherProcess, UnitFolder, wait_until

EXPIRED = datetime.datetime(2021, 1, 1, tzinfo=datetime.UTC)


@pytest.fixture
def unit(tmp_path: Path) -> UnitFolder:
    folder = UnitFolder(tmp_path / "unit")
    folder.announce()
    folder.release_windows(0, 3)
    return folder


def fingerprint(issued: Issued) -> str:
    """As config/agent.toml tells the broker's operator to print it."""
    command = ["openssl", "x509", "-in", str(issued.certificate), "-noout", "-fingerprint", "-sha256"]
    printed = subprocess.run(command, check=True, capture_output=True, text=True, timeout=20).stdout
    return printed.strip().partition("=")[2]


def pins(*texts: str) -> str:
    return f"pin_sha256 = [{', '.join(f'{chr(34)}{text}{chr(34)}' for text in texts)}]\n"


def served(authority: Authority, issued: Issued) -> TlsFiles:
    return TlsFiles(authority.certificate, issued.certificate, issued.key)


@pytest.mark.parametrize("until", [None, EXPIRED])
def test_the_fingerprint_alone_is_enough(tmp_path: Path, unit: UnitFolder, until: datetime.datetime | None) -> None:
    """PB-50: neither an authority, nor the name, nor the dates of the certificate are asked for."""
    authority = Authority(tmp_path / "ca")
    own = authority.issue("elsewhere.example", **({} if until is None else {"until": until}))
    with Mosquitto(tmp_path, tls=served(authority, own)) as broker:
        unit.configure(broker.port, pins(fingerprint(own)))
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: unit.passed() == 3, "delivery")
            wait_until(lambda: '"ok": true' in unit.status(), "all well")
            assert publisher.stop() == 0


def test_another_certificate_gets_nothing(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-50: no CONNECT, so no name and no password, although its authority and name are right; the fingerprint that it has is named."""
    authority = Authority(tmp_path / "ca")
    known, impostor = authority.issue("localhost"), Authority(tmp_path / "other").issue("localhost")
    secret = tmp_path / "password"
    secret.write_text("right\n")
    secret.chmod(0o600)
    login = f'username = "unit"\npassword_file = "{secret}"\n'
    with Mosquitto(tmp_path, login=("unit", "right"), tls=served(authority, impostor)) as broker:
        unit.configure(broker.port, login + pins(fingerprint(known)))
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: '"broker_tls"' in unit.status(), "the fault")
            wait_until(lambda: broker.log.count("New connection") > 2, "further attempts")
            assert publisher.process is not None
            assert publisher.process.poll() is None
            assert f"the fingerprint {fingerprint(impostor)}" in unit.status()
            assert fingerprint(impostor) in publisher.log
            assert "pin_sha256" in unit.status()
            unit.configure(broker.port, login + pins(fingerprint(known), fingerprint(impostor)))
        assert not unit.cursor.exists()
        assert "dtpr-springfield" not in broker.log
        assert "CONN" not in broker.log.replace("New connection", "")
        with PublisherProcess(unit):  # the same login, where it may be said: the log above would have shown it
            wait_until(lambda: unit.passed() == 3, "delivery")
        assert "dtpr-springfield" in broker.log


def test_the_broker_changes_its_certificate(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-50: two fingerprints lead over the change; with the old one alone the unit stays out."""
    authority = Authority(tmp_path / "ca")
    old = authority.issue("localhost")
    now = tmp_path / "now"
    present = Issued(now.with_suffix(".pem"), now.with_suffix(".key"))
    for source, target in ((old.certificate, present.certificate), (old.key, present.key)):
        target.write_bytes(source.read_bytes())
    following = Authority(tmp_path / "next").issue("localhost")
    with Mosquitto(tmp_path, tls=served(authority, present)) as broker:
        unit.configure(broker.port, pins(fingerprint(old), fingerprint(following)))
        with PublisherProcess(unit) as publisher:
            wait_until(lambda: unit.passed() == 3, "delivery")
            broker.stop()
            for source, target in ((following.certificate, present.certificate), (following.key, present.key)):
                target.write_bytes(source.read_bytes())
            unit.release_windows(3, 2)
            broker.start()
            wait_until(lambda: unit.passed() == 5, "delivery after the change")
            assert publisher.stop() == 0
            unit.configure(broker.port, pins(fingerprint(old)))
            publisher.start()
            wait_until(lambda: '"broker_tls"' in unit.status(), "the fault")
            assert fingerprint(following) in unit.status()


@pytest.mark.parametrize("wrong", ["expired", "name", "authority", "fingerprint"])
def test_with_an_authority_both_must_hold(tmp_path: Path, unit: UnitFolder, wrong: str) -> None:
    """PB-50: `ca_file` beside the fingerprint keeps chain, name and dates; each alone is not enough."""
    authority = Authority(tmp_path / "ca")
    own = {
        "expired": lambda: authority.issue("localhost", until=EXPIRED),
        "name": lambda: authority.issue("elsewhere.example"),
        "authority": lambda: Authority(tmp_path / "other").issue("localhost"),
        "fingerprint": lambda: authority.issue("localhost"),
    }[wrong]()
    pin = "00" * 32 if wrong == "fingerprint" else fingerprint(own)
    with Mosquitto(tmp_path, tls=served(authority, own)) as broker:
        unit.configure(broker.port, f'ca_file = "{authority.certificate}"\n{pins(pin)}')
        with PublisherProcess(unit):
            wait_until(lambda: '"broker_tls"' in unit.status(), "the fault")
        assert not unit.cursor.exists()
        assert "dtpr-springfield" not in broker.log


def test_with_an_authority_and_both_right(tmp_path: Path, unit: UnitFolder) -> None:
    """PB-50: the honest twin of the above."""
    authority = Authority(tmp_path / "ca")
    own = authority.issue("localhost")
    with Mosquitto(tmp_path, tls=served(authority, own)) as broker:
        unit.configure(broker.port, f'ca_file = "{authority.certificate}"\n{pins(fingerprint(own))}')
        with PublisherProcess(unit):
            wait_until(lambda: unit.passed() == 3, "delivery")


@pytest.mark.parametrize("right", [True, False])
def test_the_citys_commands_pin_too(tmp_path: Path, unit: UnitFolder, right: bool) -> None:
    """PB-50: what reads `[mqtt]` of an agent.toml on the city's side goes by the same fingerprints."""
    authority = Authority(tmp_path / "ca")
    own = authority.issue("elsewhere.example")
    with Mosquitto(tmp_path, tls=served(authority, own)) as broker:
        unit.configure(broker.port, pins(fingerprint(own) if right else "00" * 32))
        mqtt = agent_settings.load(unit.config).mqtt
        messages = receive(mqtt, ("#",), context_for(mqtt), Login(None, None))
        if right:
            with PublisherProcess(unit):
                wait_until(lambda: next(messages) is not None, "a message")
        else:
            with pytest.raises(BrokerUnavailable, match="fingerprint"):
                next(messages)
        messages.close()
