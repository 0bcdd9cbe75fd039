"""Run with build/home-assistant/bin/python: Home Assistant with its MQTT integration at a broker on loopback; says on standard output, a line of JSON
whenever it changes, what it shows: {unique id: [state, attributes]}.

    states.py FOLDER BROKER_PORT HTTP_PORT

Nothing of this project is imported here; it is Home Assistant's own core, registries, discovery and templates.
"""

import asyncio
import json
import signal
import sys
from pathlib import Path

from homeassistant import bootstrap, config, config_entries, core, loader  # type: ignore[import-not-found]  # in build/home-assistant alone
from homeassistant.helpers import entity_registry  # type: ignore[import-not-found]  # as above
from homeassistant.setup import async_setup_component  # type: ignore[import-not-found]  # as above

EVERY_S = 0.1


async def main(folder: Path, broker_port: int, http_port: int) -> None:
    """Until SIGTERM."""
    (folder / ".storage").mkdir(parents=True)
    (folder / "configuration.yaml").write_text("")
    data = {"broker": "127.0.0.1", "port": broker_port, "protocol": "5", "discovery": True}
    entry = {"entry_id": "1" * 32, "version": 1, "minor_version": 1, "domain": "mqtt", "title": "broker", "data": data}
    entry |= {"options": {}, "source": "user", "unique_id": None, "disabled_by": None}
    entry |= {"pref_disable_new_entities": False, "pref_disable_polling": False}
    stored = {"version": 1, "minor_version": 1, "key": "core.config_entries", "data": {"entries": [entry]}}
    (folder / ".storage" / "core.config_entries").write_text(json.dumps(stored))
    hass = core.HomeAssistant(str(folder))
    hass.config.skip_pip = True
    loader.async_setup(hass)
    hass.config_entries = config_entries.ConfigEntries(hass, {})
    await bootstrap.async_load_base_functionality(hass)
    await config.async_process_ha_core_config(hass, {"time_zone": "UTC"})
    settings = {"http": {"server_host": ["127.0.0.1"], "server_port": http_port}}
    for domain in ("homeassistant", "mqtt"):
        assert await async_setup_component(hass, domain, settings), domain
    await hass.async_start()
    over = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, over.set)
    registry = entity_registry.async_get(hass)
    before = ""
    while not over.is_set():
        shown = {}
        for state in hass.states.async_all("sensor"):
            known = registry.async_get(state.entity_id)
            shown[known.unique_id if known else state.entity_id] = [state.state, dict(state.attributes)]
        text = json.dumps(shown, default=str, sort_keys=True)
        if text != before:
            before = text
            print(text, flush=True)
        await asyncio.sleep(EVERY_S)
    await hass.async_stop()


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
