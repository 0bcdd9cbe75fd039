"""Keys and bitmaps of unique visitors when a window can have no number any more."""

import pytest

from agent.anonymizer import distinct
from agent.contracts.aggregate import NotCollected
from tests.anonymizer.test_kinds import Life, brought


@pytest.mark.parametrize("ahead", [False, True])
@pytest.mark.parametrize("how", ["back", "forward", "untrusted", "unvouched", "stop"])
def test_keys_do_not_outlive_a_window_that_can_have_no_number(
    monkeypatch: pytest.MonkeyPatch, how: str, ahead: bool
) -> None:
    """AN-4, AN-25, AN-412: after a step of the clock, the loss of its trust or a stop order key and bitmap are overwritten at once, also those of a reading that
    was a little ahead; the readings are discarded for it, and the window closes without numbers when its time comes."""
    opened: list[distinct.Sightings] = []
    made = distinct.Sightings.__init__

    def note(self: distinct.Sightings, widths: frozenset[int], fill: object) -> None:
        made(self, widths, fill)  # type: ignore[arg-type]  # handed on
        opened.append(self)

    monkeypatch.setattr(distinct.Sightings, "__init__", note)

    def kept() -> list[distinct.Sightings]:
        return [each for each in opened if each._open or each._cells.any() or each._hash._key.any()]

    life = Life("visitors")
    while life.utc_s % 10 != 9 or life.now.utc_ns % 10**9 < 5 * 10**8:
        life.on(0.5)
    life.bring("visitors", identifiers=[bytes((2, 0, 0, 0, 0, number)) for number in range(40)])
    if ahead:
        packet = brought(0, life.boot_ns + 10**9, identifiers=[bytes((2, 0, 0, 0, 1, 7))])
        life.sent += 1
        life.deliver(packet)
    assert len(kept()) == 1 + ahead  # the control: there is something to overwrite
    before, last = life.utc_s, life.of("visitors")[-1].window_start
    if how == "stop":
        life.stop("complaint")
    else:
        life.clock_trusted = how not in ("untrusted", "unvouched")
        life.offset_ns += {"forward": 60, "unvouched": 0}.get(how, -3600) * 10**9
        life.look()
    assert kept() == []
    reason = NotCollected.STOPPED if how == "stop" else NotCollected.CLOCK
    assert life.collection.tally.discarded == {reason.value: 40 + ahead}
    assert life.sent == life.accounted
    if how in ("back", "untrusted"):
        life.clock_trusted = True
        life.on(30)
        assert kept() == []
        assert life.of("visitors")[-1].window_start == last
        life.offset_ns += 3600 * 10**9
    if how == "unvouched":
        life.on(60)
        assert kept() == []
        assert life.of("visitors")[-1].window_start == last
        life.clock_trusted = True
    life.on(20)
    pack = next(pack for pack in life.of("visitors") if pack.window_start == before // 10 * 10)
    assert pack.reason is reason
    assert life.sent == life.accounted
