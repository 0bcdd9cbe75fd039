"""What in BlueZ's and the kernel's settings keeps a unit off air or makes phones ask to pair, in words with the remedy. Pure.

Options: main.conf of BlueZ 5.66. Measured effects: RADIO.md section 2.
"""

import configparser
from collections.abc import Mapping

MAIN_CONF = "/etc/bluetooth/main.conf"
MAX_BYTES = 64 * 1024

_WANTED = {"controllermode": ("ControllerMode", "le"), "reverseservicediscovery": ("ReverseServiceDiscovery", "false")}


def pairing_prompts(text: str) -> tuple[str, ...]:
    """The lines that main.conf lacks so that no phone is asked to pair; all of them when the text cannot be read as its format."""
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    try:
        parser.read_string(text)
        general: Mapping[str, str] = parser["General"] if parser.has_section("General") else {}
    except configparser.Error:
        general = {}
    return tuple(
        f"{name} = {value}"
        for key, (name, value) in _WANTED.items()
        if str(general.get(key, "")).strip().lower() != value
    )


def off_remedy(*, power_state: str, soft: bool, hard: bool) -> tuple[str, str]:
    """Why an adapter is off and what to do: `power_state` as BlueZ tells it ("" before 5.66), and the kernel's switches."""
    if hard:
        return "the adapter is switched off by a hardware switch", "switch it on at the device"
    if soft or power_state == "off-blocked":
        return "the adapter is blocked by rfkill", "rfkill unblock bluetooth"
    return "the adapter is off", "bluetoothctl power on; AutoEnable = true in BlueZ's main.conf keeps it on"
