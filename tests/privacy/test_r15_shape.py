"""R15: what do presence, size, order, topic and time of messages tell of a crowd?"""

from collections.abc import Callable

from agent.contracts.log import Release
from agent.publisher.message import release_messages
from agent.publisher.topics import Topics
from tests.anonymizer.stage import BIKE, FOOT
from tests.anonymizer.test_collection import TWO_STREAMS
from tests.anonymizer.worlds import World
from tests.privacy.table import Record

SECONDS = 120

Seen = list[tuple[int, str, int, tuple[tuple[str, int], ...]]]
"""(second, topic, bytes of payload, bytes of each property): what somebody on the wire sees of encrypted messages, and more."""

CROWDS: dict[str, Callable[[int], list[int]]] = {
    "nobody": lambda second: [],
    "one": lambda second: [BIKE] * (second == 60),
    "few, all suppressed": lambda second: [FOOT],
    "one class only": lambda second: [BIKE] * 100,
    "full": lambda second: [BIKE] * 2000 + [FOOT] * 2000,
    "by turns": lambda second: [FOOT] * 1500 * (second // 20 % 2),
}


def topics() -> Topics:
    unit = TWO_STREAMS.unit
    return Topics("dtpr", unit.city, unit.site, unit.name)


def seen(
    crowd: Callable[[int], list[int]], variant: Callable[[Release], Release | None] = lambda release: release
) -> Seen:
    """The messages of a unit that meets this crowd; `variant` is what a broken unit does with a Release."""
    world, messages = World(TWO_STREAMS), []
    world.run(10, step=1)
    for second in range(SECONDS):
        before = len(world.entries)
        world.count(crowd(second))
        world.tick(1)
        for index, entry in enumerate(world.entries[before:], before):
            release = variant(entry) if isinstance(entry, Release) else None
            if release is None:
                continue
            for message in release_messages(topics(), release, log_index=index, expiry_s=604_800, mqtt5=True):
                properties = tuple((name, len(text)) for name, text in message.user_properties)
                messages.append((second, message.topic, len(message.payload), properties))
    return messages


def without_numbers(release: Release) -> bool:
    return b'"u":"count","v":' not in release.payload[release.payload.find(b'{"n":"cell/') :]


def unpadded(release: Release) -> Release:
    return Release(
        release.stream,
        release.window_start,
        release.window_s,
        release.payload.replace(b" ", b""),
        release.signature,
        release.charge,
        release.disclosure_digest,
    )


def told_apart(variant: Callable[[Release], Release | None] = lambda release: release) -> int:
    """How many crowds look different from nobody at all."""
    nobody, *others = (seen(crowd, variant) for crowd in CROWDS.values())
    return sum(other != nobody for other in others)


def test_every_crowd_looks_the_same_from_outside(record: Record) -> None:
    """I6, AN-44: one message a stream and window, in one order, of one length, at one instant, whoever passes.
    False alarms: none; no length depends on a draw, and crowds of hundreds tell the controls apart whatever is drawn."""
    messages = seen(CROWDS["nobody"])
    assert len(messages) == SECONDS // 5 + SECONDS // 10
    assert told_apart() == 0
    on_data = told_apart(lambda release: None if without_numbers(release) else release)
    natural = told_apart(unpadded)
    assert on_data >= 2
    assert natural >= 2
    record(
        "R15",
        f"presence, topic, size, order, time of messages, {len(CROWDS)} crowds",
        measured=f"0 of {len(CROWDS) - 1} told from an empty street",
        claim="0",
        caught=[f"sent on data only ({on_data})", f"numbers of natural length ({natural})"],
    )
