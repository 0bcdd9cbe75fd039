"""What the browser tests share: a site built by the command with the tests' own trust root, served; and a browser with a radio to emulate."""

import base64
import shutil
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Page, Playwright

from agent.beacon import gatt
from agent.beacon.advertisement import SERVICE
from agent.cli.main import main
from agent.policy.signed import Kind
from agent.policy.units import Units, VouchedUnit, compile_units
from agent.wire import cose_sign
from tests.beacon.vectors.generate_compact import PUBLIC_KEY
from tests.fuzz.seeds import GOVERNANCE, KEYS

ROOT = Path(__file__).parents[2]
SHOTS = ROOT / "build" / "screenshots"
UNITS = Units(7, "springfield", (VouchedUnit("river-bridge", "bridge-01", PUBLIC_KEY),))
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync"),
)
RADIO = "--enable-blink-features=WebBluetooth"
ADDRESS = "09:09:09:09:09:09"


def build(folder: Path, listed: Units = UNITS) -> Path:
    """The site, built by the command, with the tests' own module beside it."""
    (folder / "governance.toml").write_bytes(GOVERNANCE)
    signed = cose_sign.sign(compile_units(listed), [KEYS[0], KEYS[2]], content_type=Kind.UNITS.content_type)
    (folder / "units.cose").write_bytes(signed)
    where = ["--governance", str(folder / "governance.toml"), "--units", str(folder / "units.cose")]
    assert main(["reader", "build", str(folder / "site"), *where, "--taxonomy", str(folder / "none")]) == 0
    shutil.copy(Path(__file__).parent / "vectors.js", folder / "site" / "vectors.js")
    return folder / "site"


class _Quiet(SimpleHTTPRequestHandler):
    extensions_map = {**SimpleHTTPRequestHandler.extensions_map, ".webmanifest": "application/manifest+json"}  # noqa: RUF012 - the base class's own form

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing, remember what was asked for."""
        self.server.asked.append(self.path)  # type: ignore[attr-defined]


@contextmanager
def served(site: Path) -> Iterator[tuple[str, list[str], ThreadingHTTPServer]]:
    """The site on localhost: its address, every path that was asked for, and the server, to be shut down at will."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Quiet, directory=str(site)))
    asked: list[str] = []
    server.asked = asked  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://localhost:{server.server_address[1]}/", asked, server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextmanager
def browser(playwright: Playwright, *flags: str) -> Iterator[Browser]:
    """Debian's Chromium, headless."""
    found = shutil.which("chromium")
    assert found, "make browser installs chromium"
    chromium = playwright.chromium.launch(executable_path=found, args=[*FLAGS, *flags])
    try:
        yield chromium
    finally:
        chromium.close()


class Radio:
    """One emulated unit (Chromium's BluetoothEmulation): `values` are its characteristics by place, `silent_after` reads it stops answering."""

    def __init__(self, chromium: Browser, page: Page, attributes: Sequence[gatt.Attribute]) -> None:
        self.reads = 0
        self.silent_after: int | None = None
        self.attributes = list(attributes)
        self.swap: tuple[int, Sequence[gatt.Attribute]] | None = None
        self._session = chromium.new_browser_cdp_session()
        self._places: dict[str, int] = {}
        send = self._session.send
        send("BluetoothEmulation.enable", {"state": "powered-on", "leSupported": True})
        self._session.on("BluetoothEmulation.gattOperationReceived", self._gatt)
        self._session.on("BluetoothEmulation.characteristicOperationReceived", self._read)
        peripheral = {"address": ADDRESS, "name": "bridge-01", "manufacturerData": []}
        send("BluetoothEmulation.simulatePreconnectedPeripheral", {**peripheral, "knownServiceUuids": [str(SERVICE)]})
        service = send("BluetoothEmulation.addService", {"address": ADDRESS, "serviceUuid": str(SERVICE)})["serviceId"]
        for place, attribute in enumerate(self.attributes):
            added = {"serviceId": service, "characteristicUuid": str(attribute.uuid), "properties": {"read": True}}
            made = send("BluetoothEmulation.addCharacteristic", added)
            self._places[made["characteristicId"]] = place
        chooser = page.context.new_cdp_session(page)
        chooser.send("DeviceAccess.enable")
        chosen: set[str] = set()

        def choose(prompt: dict[str, Any]) -> None:
            if prompt["devices"] and prompt["id"] not in chosen:
                chosen.add(prompt["id"])
                chooser.send("DeviceAccess.selectPrompt", {"id": prompt["id"], "deviceId": prompt["devices"][0]["id"]})

        chooser.on("DeviceAccess.deviceRequestPrompted", choose)

    def _gatt(self, event: dict[str, Any]) -> None:
        answer = {"address": event["address"], "type": event["type"], "code": 0}
        self._session.send("BluetoothEmulation.simulateGATTOperationResponse", answer)

    def _read(self, event: dict[str, Any]) -> None:
        self.reads += 1
        if self.silent_after is not None and self.reads > self.silent_after:
            return
        if self.swap is not None and self.reads > self.swap[0]:
            self.attributes, self.swap = list(self.swap[1]), None
        value = self.attributes[self._places[event["characteristicId"]]].value
        answer = {"characteristicId": event["characteristicId"], "type": "read", "code": 0}
        sent = {**answer, "data": base64.b64encode(value).decode()}
        self._session.send("BluetoothEmulation.simulateCharacteristicOperationResponse", sent)

    def close(self) -> None:
        """Switch the emulation off."""
        self._session.send("BluetoothEmulation.disable")
