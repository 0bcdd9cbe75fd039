"""agent.toml: nothing in it can weaken the policy, plain MQTT needs a reason, and every mistake is named with its line."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import SettingsError
from agent.local import settings

MINIMAL = """\
schema = 1
[clock]
trusted_when = "operator"
[mqtt]
host = "localhost"
tls = false
[radio]
backend = "bluez"
"""
EXAMPLE = Path(__file__).parents[2] / "config/agent.toml"


def changed(old: str, new: str) -> str:
    assert MINIMAL.count(old) == 1
    return MINIMAL.replace(old, new)


def test_minimal() -> None:
    """Only what has no sensible default must be written."""
    found = settings.parse(MINIMAL, "agent.toml")
    assert found.paths.signing_key == Path("/etc/dtpr/unit-key")
    assert found.paths.governance == Path("/etc/dtpr/governance.toml")
    assert found.paths.offer == Path("/var/lib/dtpr-offer")
    assert (found.mqtt.port, found.mqtt.root, found.mqtt.keepalive_s) == (1883, "dtpr", 30)
    assert (found.radio.adapter, found.radio.transport) == ("hci0", "")
    assert dict(found.boards) == {}


def test_the_example_is_the_default() -> None:
    """config/agent.toml works, and what its comments call defaults are the defaults."""
    example = settings.load(EXAMPLE)
    bare = settings.parse(MINIMAL, "agent.toml")
    assert example.paths == bare.paths
    assert example.mqtt.tls
    assert example.mqtt.port == settings.parse(changed("tls = false\n", ""), "agent.toml").mqtt.port == 8883
    assert example.mqtt.keepalive_s == bare.mqtt.keepalive_s
    assert example.mqtt.root == bare.mqtt.root
    assert example.radio == bare.radio
    assert example.boards["street"].baud == 115200


def test_home_assistant_is_told_nothing_unless_somebody_says_so() -> None:
    """PB-43: off by default; outside our own topics; of packs in JSON alone."""
    assert settings.load(EXAMPLE).mqtt.home_assistant is None
    assert settings.parse(MINIMAL, "agent.toml").mqtt.home_assistant is None
    for prefix in ("homeassistant", "city/ha_2"):
        text = changed("tls = false", f'tls = false\nhome_assistant = "{prefix}"')
        assert settings.parse(text, "agent.toml").mqtt.home_assistant == prefix
        with pytest.raises(SettingsError, match=r":7: mqtt\.home_assistant.*json"):
            settings.parse(f'{text}[release]\nencoding = "cbor"\n', "agent.toml")
    for wrong in ('"dtpr"', '"dtpr/ha"', '"a/"', '"/a"', '"a//b"', '"a/+"', '"#"', '""', "true", f'"{"a" * 65}"'):
        with pytest.raises(SettingsError, match=r":7: mqtt\.home_assistant"):
            settings.parse(changed("tls = false", f"tls = false\nhome_assistant = {wrong}"), "agent.toml")


def test_releases_are_json_unless_somebody_says_otherwise() -> None:
    """DESIGN.md 5; config/agent.toml has the default."""
    assert not settings.load(EXAMPLE).release_cbor
    assert not settings.parse(MINIMAL, "agent.toml").release_cbor
    assert not settings.parse(f'{MINIMAL}[release]\nencoding = "json"\n', "agent.toml").release_cbor
    assert settings.parse(f'{MINIMAL}[release]\nencoding = "cbor"\n', "agent.toml").release_cbor
    for wrong in ('encoding = "xml"', "encoding = true", 'format = "cbor"'):
        with pytest.raises(SettingsError):
            settings.parse(f"{MINIMAL}[release]\n{wrong}\n", "agent.toml")


def test_the_copy_of_the_checkpoint_lies_outside_the_log() -> None:
    """By default beside the log's folder, wherever that is; never in it, where a backup would take both."""
    paths = changed('backend = "bluez"', 'backend = "bluez"\n[paths]\nlog = "/data/log"')
    assert settings.parse(paths, "agent.toml").paths.checkpoint_copy == Path("/data/checkpoint")
    for inside in ("/data/log", "/data/log/checkpoint", "/data/log/a/b"):
        with pytest.raises(SettingsError, match="checkpoint_copy: expected a file outside the log's folder"):
            settings.parse(f'{paths}checkpoint_copy = "{inside}"\n', "agent.toml")


def test_the_example_explains_every_key() -> None:
    """Every key that the parser knows stands in config/agent.toml, in use or in a comment."""
    text = EXAMPLE.read_text()
    fields = {
        name
        for kind in (settings.Paths, settings.Mqtt, settings.Radio, settings.BoardPort)
        for name in kind.__dataclass_fields__
    }
    for name in (fields - {"name"}) | {"schema", "trusted_when", "plain_text_exception"}:
        assert any(line.lstrip("# ").startswith(f"{name} = ") for line in text.splitlines()), name


def test_commented_keys_of_the_example_work() -> None:
    """Every commented key of the example is accepted once it is uncommented (bumble's transport with bumble, BlueZ's witness with BlueZ)."""
    lines = EXAMPLE.read_text().splitlines()
    text = "\n".join(line[2:] if line.startswith("# ") and " = " in line.split("#")[1] else line for line in lines)
    with_bluez = "\n".join(line for line in text.splitlines() if not line.startswith("transport"))
    assert settings.parse(with_bluez, "agent.toml").radio.witness == "hci1"
    text = "\n".join(line for line in text.splitlines() if not line.startswith("witness"))
    found = settings.parse(text.replace('backend = "bluez"', 'backend = "bumble"'), "agent.toml")
    assert found.mqtt.client_key == Path("/etc/dtpr/tls-key.pem")
    assert found.mqtt.username == "bridge-01"
    assert found.radio.transport == "usb:0"
    assert found.boards["street"].board_id is not None


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.9.9.9", "::1"])
def test_plain_mqtt_on_this_machine(host: str) -> None:
    """Loopback needs no exception."""
    assert not settings.parse(changed('"localhost"', f'"{host}"'), "agent.toml").mqtt.tls


@pytest.mark.parametrize(
    "host",
    ["broker.example", "10.0.0.1", "8.8.8.8", "192.168.1.2", "localhost.example", "127.0.0.1.example", "2001:db8::1"],
)
def test_plain_mqtt_elsewhere_is_refused(host: str) -> None:
    """Plain MQTT to another machine is refused without a written reason, at the line that turns TLS off."""
    text = changed('"localhost"', f'"{host}"')
    with pytest.raises(SettingsError, match=r"agent\.toml:6: mqtt\.tls: expected true for .*plain_text_exception"):
        settings.parse(text, "agent.toml")
    reason = text.replace("tls = false", 'tls = false\nplain_text_exception = "a VPN carries it"')
    assert not settings.parse(reason, "agent.toml").mqtt.tls


def test_an_empty_reason_is_no_reason() -> None:
    """The exception must say something."""
    text = changed('"localhost"\ntls = false', '"broker.example"\ntls = false\nplain_text_exception = " "')
    with pytest.raises(SettingsError, match="plain_text_exception"):
        settings.parse(text, "agent.toml")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "agent.toml:1: schema: expected 1, the version of this file's form, got 2"),
        ("schema = 1\n", "", "agent.toml:1: schema: expected 1"),
        ("trusted_when", "trust_when", "is 'trust_when' at agent.toml:3 meant to be 'trusted_when'?"),
        ('"operator"', '"ntp"', "agent.toml:3: clock.trusted_when"),
        ("tls = false", "tls = false\nkeepalive = 3", "did you mean 'keepalive_s'?"),
        (
            "tls = false",
            "tls = false\nkeepalive_s = 4",
            "agent.toml:7: mqtt.keepalive_s: expected a whole number from 5 to 600, got 4",
        ),
        ("tls = false", "tls = false\nport = 0", "agent.toml:7: mqtt.port"),
        ("tls = false", 'tls = false\nroot = "a/b"', "agent.toml:7: mqtt.root"),
        ("tls = false", 'tls = false\nroot = "#"', "agent.toml:7: mqtt.root"),
        ("tls = false", 'tls = "no"', "agent.toml:6: mqtt.tls: expected true or false, got 'no'"),
        (
            "tls = false",
            'tls = false\nca_file = "/x"',
            "agent.toml:6: mqtt.tls: expected true when certificates are given",
        ),
        ("tls = false", 'tls = true\nclient_key = "/x"', "client_certificate and client_key together"),
        (
            "tls = false",
            'tls = true\nca_file = "x.pem"',
            "agent.toml:7: mqtt.ca_file: expected an absolute path, got 'x.pem'",
        ),
        ('host = "localhost"\n', "", "agent.toml:4: mqtt.host: expected a host name or address, got nothing"),
        ('"localhost"', '"mqtt://x"', "agent.toml:5: mqtt.host"),
        (
            '"bluez"',
            '"blues"',
            "agent.toml:8: radio.backend: expected one of bluez, bumble, got 'blues'; did you mean 'bluez'?",
        ),
        (
            '"bluez"',
            '"bumble"',
            "agent.toml:7: radio.transport: expected a Bumble transport such as usb:0, got nothing",
        ),
        ('"bluez"', '"bluez"\nadapter = "wlan0"', "agent.toml:9: radio.adapter"),
        ('"bluez"', '"bluez"\nwitness = "wlan0"', "agent.toml:9: radio.witness"),
        ('"bluez"', '"bluez"\nwitness = "hci0"', "agent.toml:9: radio.witness: expected another adapter"),
        ("[radio]", "[radios]", "is 'radios' at agent.toml:7 meant to be 'radio'?"),
        (
            'backend = "bluez"',
            'backend = "bluez"\n[boards.a]\nbaud = 9600',
            "agent.toml:9: boards.a.port: expected an absolute path",
        ),
        (
            'backend = "bluez"',
            'backend = "bluez"\n[boards.a]\nport = "/dev/x"\nbaud = 1',
            "agent.toml:11: boards.a.baud",
        ),
        (
            'backend = "bluez"',
            'backend = "bluez"\n[boards.a]\nport = "/dev/x"\nspeed = 1',
            "agent.toml:11: boards.a.speed: expected a known key, got 'speed'",
        ),
        (
            'backend = "bluez"',
            'backend = "bluez"\n[paths]\nlogs = "/x"',
            "agent.toml:10: paths.logs: expected a known key, got 'logs'; did you mean 'log'?",
        ),
        (
            'backend = "bluez"',
            'backend = "bluez"\n[noise]\nrho = 9',
            "agent.toml:9: noise: expected a known key, got 'noise'",
        ),
        (
            'backend = "bluez"',
            'backend = "bluez"\n[policy]\nnotice = "0 seconds"',
            "agent.toml:10: policy.notice: expected a known key",
        ),
    ],
)
def test_mistakes(old: str, new: str, message: str) -> None:
    """File, line, expected, got and the nearest word; and no key exists that reaches the policy."""
    with pytest.raises(SettingsError) as caught:
        settings.parse(changed(old, new), "agent.toml")
    assert message in str(caught.value)
    assert caught.value.exit_code == 2


def test_absent_file(tmp_path: Path) -> None:
    """An absent file is a SettingsError that names it and where an example is."""
    with pytest.raises(SettingsError, match="config/agent"):
        settings.load(tmp_path / "agent.toml")


@given(st.binary(max_size=80))
def test_only_the_documented_error_escapes(text: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(SettingsError):
        settings.parse(text, "agent.toml")


PIN = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08"


@pytest.mark.parametrize("spelled", [PIN, PIN.upper(), bytes.fromhex(PIN).hex(":").upper()])
def test_a_fingerprint_as_openssl_prints_it_or_bare(spelled: str) -> None:
    """PB-50."""
    text = changed("tls = false", f'pin_sha256 = ["{spelled}", "{"00" * 32}"]')
    assert settings.parse(text, "agent.toml").mqtt.pin_sha256 == (bytes.fromhex(PIN), bytes(32))


@pytest.mark.parametrize(
    "wrong",
    [
        f'"{PIN}"',
        "[]",
        '[""]',
        f'["{PIN[:-1]}"]',
        f'["{PIN[:40]}"]',
        f'["{PIN}:"]',
        f'["sha256 Fingerprint={PIN}"]',
        f'["{PIN}", "{PIN}"]',
        f"[{', '.join(f'{chr(34)}{number:064x}{chr(34)}' for number in range(9))}]",
        "[1]",
    ],
)
def test_what_is_no_fingerprint_is_refused_with_its_line(wrong: str) -> None:
    """PB-50: nothing that was meant to pin is read as no pin."""
    with pytest.raises(SettingsError, match=r"agent\.toml:6: mqtt\.pin_sha256.*fingerprints"):
        settings.parse(changed("tls = false", f"pin_sha256 = {wrong}"), "agent.toml")


def test_a_fingerprint_without_tls_is_refused() -> None:
    """PB-50: it would pin nothing."""
    with pytest.raises(SettingsError, match=r"mqtt\.tls: expected true when certificates are given or pinned"):
        settings.parse(changed("tls = false", f'tls = false\npin_sha256 = ["{PIN}"]'), "agent.toml")
