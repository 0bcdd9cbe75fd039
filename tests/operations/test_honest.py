"""Whatever happens to an honest unit, its log is clean: the anonymizer's own code lives through restarts, silence, changes and stops."""

import contextlib

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from agent.errors import PolicyError
from agent.operations.findings import Findings
from agent.operations.history import History
from agent.operations.rotations import Course
from agent.policy.model import Policy
from agent.policy.parse import parse_policy
from tests.anonymizer.stage import ORIGIN, make_policy
from tests.anonymizer.test_kinds import text
from tests.anonymizer.worlds import World
from tests.operations.stories import KINDS, PUBLIC, Street
from tests.signing import signed_governance, trust_root

NS = 10**9

EVENTS = (
    "time",
    "readings",
    "restart",
    "absent",
    "off air",
    "on air",
    "no board",
    "board",
    "offer",
    "stop",
    "stand still",
    "clock untrusted",
    "step",
    "full disk",
    "new root",
)


def live(world: World, event: str, data: st.DataObject, version: int) -> int:
    """One event; returns the newest version offered."""
    if event in ("offer", "stop", "new root"):
        world.look()
        if not world.collection.clock_right:
            return version  # AN-72: the file waits
    match event:
        case "time":
            world.run(data.draw(st.integers(1, 12)))
        case "readings":
            world.count([0] * data.draw(st.integers(1, 40)))
        case "restart":
            world.restart()
            world.look()
        case "absent":
            world.boot_ns += data.draw(st.integers(1, 40)) * NS
            world.restart()
            world.look()
        case "off air" | "on air":
            world.on_air = event == "on air"
        case "no board" | "board":
            world.board = event == "board"
        case "offer":
            rho = data.draw(st.sampled_from(["0.125", "0.0625", "0.03125"]))
            window = data.draw(st.sampled_from([1, 2, 5]))
            with contextlib.suppress(PolicyError):
                world.offer(make_policy(version=version + 1, notice="3 seconds", rho=rho, window=window))
                return version + 1
        case "stop":
            with contextlib.suppress(PolicyError):
                world.stop("a pipe burst")
        case "stand still":
            world.boot_ns += data.draw(st.integers(3, 40)) * NS
        case "clock untrusted":
            world.clock_trusted = False
            world.run(3)
            world.clock_trusted = True
        case "step":
            world.offset_ns += data.draw(st.integers(-3, 30)) * NS
        case "full disk":
            world.fail_to_log(room=data.draw(st.booleans()))
        case "new root":
            root = trust_root(version=world.collection.ledger.adoption.trust_root(world.root).version + 1)
            world.drop(signed_governance(root))
    return version


def test_a_clock_corrected_backwards_while_notice_is_served() -> None:
    """Boot time served more than UTC shows: no finding."""
    world = World(make_policy(notice="5 seconds"))
    world.run(4)
    world.offset_ns -= 3 * NS
    world.run(12)
    findings = Findings()
    history = History(ORIGIN, Course(ORIGIN, (PUBLIC,)), trust_root(), findings)
    for entry in world.entries:
        history.add(entry.encode())
    assert findings.shown == []
    assert history.windows["complete"]


def test_windows_of_a_policy_that_ended_may_follow_the_first_of_the_next() -> None:
    """A unit that stood still over a change of policy: one stream's Gap under the new one is logged before the last windows of others under the old."""
    life = Street(*KINDS)
    life.offer(
        parse_policy(text("stays", version=2).replace('notice = "5 seconds"', 'notice = "3 seconds"'), "policy.toml")
    )
    life.on(1)
    life.busy(5)
    life.boot_ns += 500 * NS
    life.on(13)
    findings = Findings()
    history = History(ORIGIN, Course(ORIGIN, (PUBLIC,)), trust_root(), findings)
    for entry in life.entries:
        history.add(entry.encode())
    assert findings.shown == []


ALTERED = {
    "passing": ("rho = 0.125 -> rho = 0.0625", "m = 4 -> m = 9", 'totals = "period" -> totals = "none"', "rho = 0.125 -> rho = 0.5"),
    "stays": ("rho = 0.125 -> rho = 0.03125", "c = 1 -> c = 3"),
    "visitors": ("epsilon = 0.5 -> epsilon = 0.25", "addresses = 1 -> addresses = 2", "m = 2 -> m = 5"),
    "noise": ("rho = 0.125 -> rho = 0.0625", "high = 100 -> high = 90", "samples = 10 -> samples = 5"),
    "cars": ("k = 3 -> k = 7",),
    "leq": ("mean -> median",),
}  # fmt: skip
"""How the next policy may differ in a stream."""


def another(data: st.DataObject, version: int) -> Policy:
    """A policy of any kinds; a stream may have the name or the channel of another."""
    names = data.draw(st.lists(st.sampled_from(KINDS), min_size=1, max_size=4, unique=True))
    altered = {name: data.draw(st.sampled_from(ALTERED[name])) for name in names if name in ALTERED and data.draw(st.booleans())}  # fmt: skip
    words = text(*names, version=version, **altered)
    if data.draw(st.booleans()):
        what, old = data.draw(st.sampled_from(["name", "channel"])), data.draw(st.sampled_from(names))
        words = words.replace(f'\n{what} = "{old}"', f'\n{what} = "{data.draw(st.sampled_from(KINDS))}"')
    return parse_policy(words.replace('notice = "5 seconds"', 'notice = "3 seconds"'), "policy.toml")


def live_on_the_street(life: Street, event: str, data: st.DataObject, version: int) -> int:
    """One event of a unit that measures everything."""
    match event:
        case "readings":
            life.busy(data.draw(st.sampled_from([5, 10, 30])))
        case "a period":
            life.on(610)
        case "offer":
            with contextlib.suppress(PolicyError):
                life.offer(another(data, version + 1))
                return version + 1
        case "absent":
            life.boot_ns += data.draw(st.sampled_from([1, 15, 40, 700])) * NS
            life.restart()
        case "stand still":
            life.boot_ns += data.draw(st.sampled_from([5, 25, 500])) * NS
        case "full disk":
            life.on(1)
            life.fail_to_log(room=data.draw(st.booleans()))
    life.on(1)
    return version


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(
    st.lists(
        st.sampled_from(("readings", "offer", "a period", "absent", "stand still", "full disk")),
        min_size=3,
        max_size=8,
    ),
    st.data(),
)
def test_an_honest_life_of_all_kinds_is_clean(events: list[str], data: st.DataObject) -> None:
    """Every kind and mode, and changes after which a name stands for something else, noise must be larger, or numbers are withheld."""
    life = Street(*KINDS)
    version = 1
    for event in events:
        version = live_on_the_street(life, event, data, version)
    life.on(12)
    findings = Findings()
    history = History(ORIGIN, Course(ORIGIN, (PUBLIC,)), trust_root(), findings)
    for entry in life.entries:
        history.add(entry.encode())
    assert findings.shown == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
@given(st.lists(st.sampled_from(EVENTS), max_size=14), st.data())
def test_an_honest_life_is_clean(events: list[str], data: st.DataObject) -> None:
    """OP-24 to OP-27, negative control of every fraud in test_audit."""
    world = World(make_policy(notice="2 seconds"))
    version = 1
    for event in (*events, "time"):
        version = live(world, event, data, version)
        world.tick()
    findings = Findings()
    history = History(ORIGIN, Course(ORIGIN, (PUBLIC,)), trust_root(), findings)
    for entry in world.entries:
        history.add(entry.encode())
    assert findings.shown == []
