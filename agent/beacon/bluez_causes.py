"""Why BlueZ keeps us off air, each cause with what to do about it (SPEC.md, BE-10, BE-11, BE-39, BE-41)."""

import logging
from collections.abc import Mapping

from dbus_fast import Variant

from agent.beacon.bluez_calls import Refusal, switches
from agent.beacon.bluez_settings import MAIN_CONF, MAX_BYTES, off_remedy, pairing_prompts
from agent.beacon.bluez_witness import Witness
from agent.beacon.radio import Cause, RadioDown

BLUEZ = "org.bluez"
_SLOTS_FULL = "org.bluez.Error.NotPermitted"

_log = logging.getLogger(__name__)


def off(adapter: str, properties: Mapping[str, Variant]) -> RadioDown:
    """The adapter has no power: Adapter1's properties, as far as told, and the kernel say why."""
    state = properties.get("PowerState")
    soft, hard = switches(adapter.rpartition("/")[2])
    power_state = str(state.value) if state is not None else ""
    why, remedy = off_remedy(power_state=power_state, soft=soft, hard=hard)
    blocked = soft or hard or power_state == "off-blocked"
    return RadioDown(Cause.BLOCKED if blocked else Cause.POWERED_OFF, adapter, why=why, remedy=remedy)


def refused(adapter: str, refusal: Refusal) -> RadioDown:
    """An error reply."""
    match refusal.name:
        case "org.freedesktop.DBus.Error.NameHasNoOwner" | "org.freedesktop.DBus.Error.ServiceUnknown":
            return RadioDown(Cause.BLUEZ_GONE, BLUEZ, why="bluetoothd ended or was restarted")
        case "org.freedesktop.DBus.Error.UnknownObject":
            return RadioDown(Cause.NO_ADAPTER, adapter, why="the adapter went away", remedy="plug it in")
        case name if name == _SLOTS_FULL:
            return RadioDown(
                Cause.SLOTS_FULL,
                adapter,
                why="other programs advertise on this adapter and leave no place",
                remedy="stop them, or give the unit an adapter of its own (radio.adapter in agent.toml)",
            )
    return RadioDown(Cause.REFUSED, adapter, why=str(refusal), remedy="see journalctl -u bluetooth; it is tried again")


def unheard(adapter: str, witness: Witness | None) -> RadioDown:
    """It advertises, as BlueZ has it, and the other adapter hears nothing."""
    return RadioDown(
        Cause.NOT_HEARD,
        adapter,
        why=f"BlueZ says that it advertises, but {witness.adapter if witness else 'nobody'} does not hear it",
        remedy="look at the antennas; restart bluetooth.service",
    )


def advise() -> None:
    """Say which settings make phones ask to pair."""
    try:
        with open(MAIN_CONF, "rb") as file:
            text = file.read(MAX_BYTES).decode(errors="replace")
    except OSError:
        return  # BlueZ may be configured elsewhere
    missing = pairing_prompts(text)
    if missing:
        _log.warning("phones may be asked to pair; under [General] of %s set: %s", MAIN_CONF, "; ".join(missing))
