"""agent/policy/parse and rules: every broken policy is refused at its own line with its own message, and none escapes otherwise."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.errors import PolicyError
from agent.policy.file import load_policy
from agent.policy.model import Policy
from agent.policy.modes import CountPrivacy, Threshold
from agent.policy.parse import parse_policy
from tests.vectors.policy import generate as vectors

FOLDER = Path(__file__).parent.parent / "vectors/policy"
CONFIG = Path(__file__).parents[2] / "config"
EXAMPLES = (CONFIG / "policy.toml", *sorted((CONFIG / "examples").glob("*.toml")))
GOOD = vectors.GOOD

DEMO = """\
schema = 1
version = 1
demo = true
transport = "any"

[unit]
city = "demo"
site = "street"
name = "demo-01"
title = "Demonstration counter"

[location]
text = "nowhere"
precision = "street"

[accountable]
name = "Nobody: this is a demonstration"
vendors = []

[contact]
address = "whoever started it"
feedback = ["address"]

[purpose]
elements = ["research_development"]

[[audience]]
name = "city"
access = "available_to_the_accountable_organization"
storage = ["stored_locally"]
kept = "1 day"

[access]
denied = []

[data]
licence = "CC-BY-4.0"
community_labels = []
collect_within = "10 minutes"

[dates]
issued = 2026-11-21T12:00:00Z
effective = 2026-11-21T12:00:00Z
expires = 2026-11-22T12:00:00Z
notice = "5 seconds"

[budget]
period = "10 minutes"
cap_rho = "1/8"

[[stream]]
name = "crossings"
channel = "crossings"
kind = "count"
technology = "induction_loop"
classes = ["fremont_bridge_total", "west_sidewalk", "east_sidewalk"]
window = "5 seconds"
grace = "0.5 seconds"
receivers = ["city"]

[stream.privacy]
mode = "dp"
rho = "1/8"
m = 4
c = 1
k = 5
z = "3/2"
max_count = 100000
totals = "none"
"""


def changed(old: str, new: str, text: str = GOOD) -> str:
    assert old in text
    return text.replace(old, new, 1)


@pytest.mark.parametrize("name", sorted(path.name for path in FOLDER.glob("*.toml") if path.name != "good.toml"))
def test_broken_policy(name: str) -> None:
    """The error names the line and says what the first line of the file says it does."""
    text = (FOLDER / name).read_text()
    found = re.match(r"# expect: (\d+): (.+)", text)
    assert found is not None
    with pytest.raises(PolicyError) as caught:
        parse_policy(text, name)
    assert re.match(rf"{re.escape(name)}:{found[1]}\b", str(caught.value)), str(caught.value)
    assert found[2] in str(caught.value)
    assert caught.value.exit_code == 2


def test_the_files_are_what_the_generator_writes() -> None:
    """The vectors and their generator do not drift apart, and there are enough of them."""
    wanted = vectors.texts()
    assert {path.name: path.read_text() for path in FOLDER.glob("*.toml")} == wanted
    assert len(wanted) > 30


def test_good_policy() -> None:
    """The policy that all broken ones are made from is itself accepted, with exact values."""
    policy = parse_policy(GOOD, "good.toml")
    assert (policy.version, policy.unit.name, policy.demo) == (3, "bridge-01", False)
    assert (policy.issued, policy.effective, policy.expires) == (1788220800, 1789430400, 1852588800)
    assert (policy.notice_s, policy.period_s, policy.retention_days) == (14 * 86_400, 86_400, 730)
    assert (policy.collect_within_s, policy.cap_rho) == (7 * 86_400, Fraction(1, 8))
    (stream,) = policy.streams
    assert (stream.window_s, stream.grace_s) == (900, Fraction(10))
    assert stream.privacy == CountPrivacy(Fraction(1, 8), 4, 1, Threshold(5, Fraction(2)), 5000)
    assert (stream.privacy.sigma_squared, stream.privacy.tau, stream.privacy.charge) == (
        Fraction(16),
        13,
        Fraction(1, 32),
    )


def test_the_example_is_a_good_policy() -> None:
    """config/policy.toml is accepted as it stands: a bike and foot counter of a real unit."""
    policy = load_policy(EXAMPLES[0])
    assert not policy.demo
    assert policy.notice_s == 14 * 86_400
    (stream,) = policy.streams
    assert stream.window_s == 900
    assert stream.privacy == CountPrivacy(Fraction(1, 8), 4, 1, Threshold(5, Fraction(2)), 5000)


def test_the_demo_is_expressible() -> None:
    """Five-second windows, a period of ten minutes, five seconds of notice, half a second of grace."""
    policy = parse_policy(DEMO, "demo.toml")
    assert (policy.demo, policy.notice_s, policy.period_s) == (True, 5, 600)
    assert (policy.streams[0].window_s, policy.streams[0].grace_s) == (5, Fraction(1, 2))
    assert policy.streams[0].privacy == CountPrivacy(Fraction(1, 8), 4, 1, Threshold(5, Fraction(3, 2)), 100000)


@pytest.mark.parametrize(("was", "named"), [('notice = "5 seconds"', "notice"), ('period = "10 minutes"', "period")])
def test_what_only_a_demonstration_may(was: str, named: str) -> None:
    """Without `demo = true`, the demo's notice and period are refused."""
    text = changed("demo = true", "demo = false", DEMO)
    other = {
        "notice": ('period = "10 minutes"', 'period = "24 hours"'),
        "period": ('notice = "5 seconds"', 'notice = "1 day"'),
    }
    with pytest.raises(PolicyError, match=rf"{named}: .*only a demonstration"):
        parse_policy(changed(*other[named], text), "p")


def test_windows_divide_a_short_period_too() -> None:
    """Four minutes divide a day but not ten minutes."""
    text = changed('window = "5 seconds"', 'window = "4 minutes"', DEMO)
    with pytest.raises(
        PolicyError, match=r"window: expected a window that divides the period of 10 minutes without rest"
    ):
        parse_policy(text, "p")


@pytest.mark.parametrize(
    "line",
    [
        *('rho = 0.125\nm', 'm = 4', 'c = 1', 'k = 5', 'z = 2', 'max_count = 5000', 'totals = "none"', 'mode = "dp"'),
        *('period = "24 hours"', 'cap_rho = 0.125', 'notice = "14 days"', 'window = "15 minutes"'),
    ],
)  # fmt: skip
def test_no_privacy_parameter_has_a_default(line: str) -> None:
    """Each must be stated: without its line the policy is refused."""
    assert parse_policy(GOOD, "p")
    with pytest.raises(PolicyError, match="got nothing"):
        parse_policy(changed(line, "m" if line.endswith("\nm") else ""), "p")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("expires = 2028-09-15", "expires = 2031-09-02"),
        ('notice = "14 days"', 'notice = "1 day"'),
        ("effective = 2026-09-15", "effective = 2026-09-01"),
        ("expires = 2028-09-15", "expires = 2026-09-15T00:00:01Z"),
        ("issued = 2026-09-01", "issued = 2026-09-01T02:00:00+02:00"),
        ("m = 4", "m = 96"),
        ("c = 1", "c = 4"),
        ("\nrho = 0.125", "\nrho = 0.000002"),
        ("cap_rho = 0.125", "cap_rho = 10"),
        ("max_count = 5000", "max_count = 13"),
        ("z = 2", "z = 0"),
        ("k = 5", "k = 1"),
        ('"15 minutes"', '"1 day"'),
        ('"10 seconds"', '"0 seconds"'),
        ('"10 seconds"', '"899.999 seconds"'),
        ('name = "bridge-01"', 'name = "bridge-number-001"'),
        ('"730 days"', '"1 day"'),
        ('["bike", "foot"]', str([f"c{i}" for i in range(64)])),
    ],
)
def test_the_edge_of_each_rule_is_inside(old: str, new: str) -> None:
    """The last allowed value is allowed (its neighbour beyond is among the broken policies)."""
    text = changed(old, new)
    if old == '"15 minutes"':
        text = changed("m = 4", "m = 1", text)
    assert parse_policy(text, "p")


BINS = str([f"{hour} hours" for hour in range(1, 32)])


@pytest.mark.parametrize(
    ("stream", "old", "new"),
    [
        (vectors.SOUND, "low = 30", "low = -30"),
        (vectors.SOUND, "step = 0.1", "step = 0.01"),
        (vectors.SOUND, "m = 60", "m = 1440"),
        (vectors.SOUND, "samples = 3600", "samples = 60"),
        (vectors.COARSE, "min_samples = 600", "min_samples = 3600"),
        (vectors.COARSE, '"mean"', '"median"'),
        (vectors.UNIQUE, "m = 4", "m = 4\n# as many as the windows would cost more"),
        (vectors.UNIQUE, "epsilon = 0.25\nm = 4", 'epsilon = "1/40"\nm = 288'),
        (vectors.UNIQUE, "addresses = 2", "addresses = 1"),
        (vectors.UNIQUE, "k = 5", "k = 65513"),
        (vectors.DURATION, '["5 minutes", "1 hour"]', BINS),
        (vectors.DURATION, '["5 minutes", "1 hour"]', '["1 second", "7 days"]'),
        (vectors.THRESHOLD_ONLY, "max_count = 5000", "max_count = 10"),
        (vectors.NONE, '"pm2_5"', '"co2_outdoor"'),
        (vectors.COARSE, '"sound_level_meter"', '"microphone"'),
    ],
)
def test_the_edge_of_each_rule_of_other_kinds_is_inside(stream: str, old: str, new: str) -> None:
    """The same for scalars, uniques, durations and thresholds without noise."""
    assert parse_policy(GOOD.replace(*vectors.instead(stream, old, new)), "p")


@pytest.mark.parametrize(
    ("window", "m", "c"),
    [("15 minutes", 48, 1), ("15 minutes", 96, 2), ("12 hours", 1, 1), ("6 seconds", 4, 1)],
)
def test_the_edge_of_running_totals_is_inside(window: str, m: int, c: int) -> None:
    """Half of the windows, two windows, the shortest windows of a day."""
    text = changed('totals = "none"', 'totals = "period"').replace("max_count = 5000", "max_count = 500000")
    text = text.replace('"15 minutes"', f'"{window}"').replace('"10 seconds"', '"5 seconds"')
    privacy = parse_policy(text.replace("m = 4", f"m = {m}").replace("c = 1", f"c = {c}"), "p").streams[0].privacy
    assert isinstance(privacy, CountPrivacy)
    assert privacy.totals == {"15 minutes": 96, "12 hours": 2, "6 seconds": 14_400}[window]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('vendors = ["Kerbside Sensors Ltd"]', 'vendors = ["A", "B", "C", "D", "E"]'),
        ('vendors = ["Kerbside Sensors Ltd"]', "vendors = []"),
        ('phone = "+1 555 0100"\n', 'phone = "911"\n'),
        ("CC-BY-4.0", "LicenseRef-a-nation.s-own"),
        ("community_labels = []", 'community_labels = ["tk-attribution", "bc-provenance"]'),
        ('feedback = ["url", "phone"]', 'feedback = ["address", "email", "url", "phone"]'),
        ('precision = "street"', 'precision = "exact"'),
        ('transport = "tls"', 'transport = "any"'),
    ],
)
def test_what_an_institution_may_say_of_itself(old: str, new: str) -> None:
    """Other good values of the tables that nobody enforces."""
    assert parse_policy(changed(old, new), "p")


def test_feedback_keeps_its_order() -> None:
    """The preferred channel first, each with where it leads; channels that are not given are left out."""
    contact = parse_policy(changed('email = "data@springfield.example"\n', ""), "p").contact
    assert contact.feedback_channels == (("url", "https://springfield.example/sensors"), ("phone", "+1 555 0100"))
    assert [name for name, _ in contact.channels] == ["address", "phone", "url"]


def test_six_audiences_and_no_more() -> None:
    """Each with a name of its own, and each receives something."""
    first = GOOD[GOOD.index("[[audience]]") : GOOD.index("[access]")]
    names = [f"a{i}" for i in range(7)]

    def text(count: int) -> str:
        several = "".join(
            f'[[audience]]\nname = "{name}"\naccess = "available_to_3rd_parties"\nstorage = ["stored_locally"]\n'
            f'kept = "{i + 1} days"\n'
            for i, name in enumerate(names[:count])
        )
        return GOOD.replace(first, several).replace('["city", "public"]', str(names[:count]))

    policy = parse_policy(text(6), "p")
    assert (policy.access, policy.storage, policy.retention_days) == (
        ("available_to_3rd_parties",),
        ("stored_locally",),
        6,
    )
    with pytest.raises(PolicyError, match=r"1 to 6 tables \[\[audience\]\], got 7 values"):
        parse_policy(text(7), "p")


def test_eight_streams_and_no_more() -> None:
    """At most eight, each under a name of its own; their costs add up against the cap."""
    stream = GOOD[GOOD.index("[[stream]]") :]
    head = GOOD[: GOOD.index("[[stream]]")].replace("cap_rho = 0.125", "cap_rho = 1")
    named = [stream.replace('name = "crossings"', f'name = "s{i}"') for i in range(9)]
    policy = parse_policy(head + "\n".join(named[:8]), "p")
    assert len(policy.streams) == 8
    with pytest.raises(PolicyError, match=r"1 to 8 tables \[\[stream\]\], got 9 values"):
        parse_policy(head + "\n".join(named), "p")
    with pytest.raises(PolicyError, match=r"the sum of rho over all streams, 1, got 0\.999"):
        parse_policy(head.replace("cap_rho = 1", "cap_rho = 0.999") + "\n".join(named[:8]), "p")


def test_messages_show_no_more_than_is_needed() -> None:
    """A message stays on one line and short, however long the wrong value is."""
    for old, new in [
        ("mobility", "x" * 3000),
        ('"730 days"', '"' + "9" * 900 + ' days"'),
        ("version = 3", "v" * 3000 + " = 3"),
    ]:
        with pytest.raises(PolicyError) as caught:
            parse_policy(changed(old, new), "p")
        assert len(str(caught.value)) < 1200
        assert "\n" not in str(caught.value)


def test_absent_file(tmp_path: Path) -> None:
    """An unreadable file is a PolicyError that names it."""
    with pytest.raises(PolicyError, match=r"absent\.toml: expected a readable policy, got No such file"):
        load_policy(tmp_path / "absent.toml")


def test_endless_file(tmp_path: Path) -> None:
    """What is no file is refused before it is read, a file of 10 MB by its size."""
    with pytest.raises(PolicyError, match="something that is no file"):
        load_policy(Path("/dev/zero"))
    large = tmp_path / "large.toml"
    large.write_bytes(b"#" * 10_000_000)
    with pytest.raises(PolicyError, match="at most 262,144 bytes, got 10,000,000"):
        load_policy(large)


LINES = GOOD.splitlines()


@given(st.data())
def test_only_the_documented_error_escapes(data: st.DataObject) -> None:
    """A good policy with some lines removed, repeated, exchanged or damaged is accepted or refused with PolicyError."""
    lines = list(LINES)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(lines) - 1))
        match data.draw(st.sampled_from(["drop", "copy", "value", "cut"])):
            case "drop":
                lines[at] = ""
            case "copy":
                lines.insert(data.draw(st.integers(0, len(lines))), lines[at])
            case "value":
                key = lines[at].split(" = ")[0]
                value = data.draw(
                    st.sampled_from(
                        ["0", "-1", "1e9", "nan", '""', '"x"', "[]", "{}", "true", "2026-09-01", "9" * 30, "[[1]]"]
                    )
                )
                lines[at] = f"{key} = {value}"
            case _:
                lines[at] = lines[at][: data.draw(st.integers(0, len(lines[at])))]
    try:
        policy = parse_policy("\n".join(lines), "p")
    except PolicyError as bad:
        assert bad.where.startswith("p:")  # noqa: PT017  # most damaged policies are refused, a few are still good
        return
    assert isinstance(policy, Policy)


@given(st.binary(max_size=100))
def test_any_bytes(text: bytes) -> None:
    """Whatever the bytes."""
    with pytest.raises(PolicyError):
        parse_policy(text, "p")
