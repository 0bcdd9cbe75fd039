"""Advertisements beside the connectable one, on controllers with advertising sets to spare (SPEC.md, BE-35 to BE-37).

Invariant: they are extra. None of them is evidence for a lease, and one that a controller refuses is left out, said once.
"""

import logging

from bumble import hci
from bumble.device import AdvertisingEventProperties, AdvertisingParameters, AdvertisingSet, Device

from agent.beacon.broadcast import Broadcast
from agent.beacon.radio import ADVERTISING_INTERVAL_MS

EXTENDED_SID = 1

_log = logging.getLogger(__name__)


class FurtherSets:
    """Those of one session with a controller."""

    def __init__(self) -> None:
        self._shown: dict[str, tuple[bytes, AdvertisingSet]] = {}
        self._refused: set[str] = set()

    async def show(self, device: Device, broadcast: Broadcast) -> None:
        """The signed compact disclosure in an extended PDU and the status in a legacy one, as far as there are sets."""
        if not device.supports_le_extended_advertising:
            return
        wanted = {"extended": broadcast.extended, "status": broadcast.status or None}
        spare = device.host.number_of_supported_advertising_sets - 1
        for kind, data in [(kind, data) for kind, data in wanted.items() if data is not None][: max(0, spare)]:
            known = self._shown.get(kind)
            if (known is None or known[0] != data) and kind not in self._refused:
                await self._replace(device, kind, data)
        for kind in [kind for kind in self._shown if wanted[kind] is None]:
            await self._end(kind)

    async def stop(self) -> None:
        """None of them is on air any more."""
        for kind in list(self._shown):
            await self._end(kind)

    async def _replace(self, device: Device, kind: str, data: bytes) -> None:
        await self._end(kind)
        legacy = kind == "status"
        parameters = AdvertisingParameters(
            advertising_event_properties=AdvertisingEventProperties(is_connectable=False, is_legacy=legacy),
            primary_advertising_interval_min=ADVERTISING_INTERVAL_MS,
            primary_advertising_interval_max=ADVERTISING_INTERVAL_MS,
            own_address_type=hci.OwnAddressType.RANDOM,
            advertising_sid=0 if legacy else EXTENDED_SID,
        )
        try:
            one = await device.create_advertising_set(
                advertising_parameters=parameters, random_address=device.random_address, advertising_data=data
            )
        except hci.HCI_Error as bad:
            self._refused.add(kind)
            _log.warning("no %s advertisement: the controller refused it: %s", kind, bad)
            return
        self._shown[kind] = (data, one)

    async def _end(self, kind: str) -> None:
        known = self._shown.pop(kind, None)
        if known is not None:
            if known[1].enabled:
                await known[1].stop()
            await known[1].remove()
