"""A Bluetooth 5 controller in software: several advertising sets, legacy and extended PDUs, extended scanning. For tests and the demo.

What it is like: a USB dongle. Bumble 0.0.236's own, beyond what `virtual_controller` repairs (SPEC.md, BE-25): a set with legacy PDUs is
reported as an extended one and without its scan response, a set may be changed while it advertises, and the commands that tell how
many sets and bytes there are are not announced.
"""

import asyncio
from typing import Any

from bumble import hci
from bumble.controller import AdvertisingSet

from agent.beacon.virtual_controller import MAX_BACKLOG_BYTES, Said, VirtualController

SETS = 4
MAX_DATA_BYTES = 251
"""What one HCI command carries; longer data come in pieces, which nothing here sends."""

MAX_LEGACY_BYTES = 31
_UNIT_S = 0.000_625
_SHORTEST_INTERVAL_S = 0.02
_RSSI_DBM = -50

_Properties = hci.HCI_LE_Set_Extended_Advertising_Parameters_Command.AdvertisingProperties
_Kind = hci.HCI_LE_Advertising_Report_Event.EventType
_Extended = hci.HCI_LE_Extended_Advertising_Report_Event
_LEGACY_TYPES = {
    _Kind.ADV_IND: 0b10011,
    _Kind.ADV_SCAN_IND: 0b10010,
    _Kind.ADV_NONCONN_IND: 0b10000,
    _Kind.SCAN_RSP: 0b11011,
}


class _Set(AdvertisingSet):
    """One advertising set that says what it is."""

    @property
    def properties(self) -> int:
        """Its event properties (Core 5.4, vol. 4, part E, 7.8.53)."""
        return int(self.parameters.advertising_event_properties) if self.parameters else 0

    @property
    def is_legacy(self) -> bool:
        """Does it send legacy PDUs?"""
        return bool(self.properties & _Properties.USE_LEGACY_ADVERTISING_PDUS)

    def start(self) -> None:
        """Advertise now, and again after each interval."""
        self.stop()
        self.enabled = True
        self.timer_handle = asyncio.get_running_loop().call_soon(self._fire)

    def _fire(self) -> None:
        if not self.enabled or self.address is None or self.parameters is None:
            return
        assert isinstance(self.controller, ExtendedController)
        self.controller.shout_to_all(self._said(self.address), lambda: self.enabled)
        if self.enabled:  # nobody connected
            interval_s = max(self.parameters.primary_advertising_interval_min * _UNIT_S, _SHORTEST_INTERVAL_S)
            self.timer_handle = asyncio.get_running_loop().call_later(interval_s, self._fire)

    def _said(self, address: hci.Address) -> Said:
        kind = _Kind.ADV_NONCONN_IND
        if self.properties & _Properties.CONNECTABLE_ADVERTISING:
            kind = _Kind.ADV_IND
        elif self.properties & _Properties.SCANNABLE_ADVERTISING:
            kind = _Kind.ADV_SCAN_IND
        sid = None if self.is_legacy or self.parameters is None else self.parameters.advertising_sid
        return Said(kind, address, bytes(self.data), bytes(self.scan_response_data), self.stop, self.handle, sid)


class ExtendedController(VirtualController):
    """One such controller on the same air as those of Bluetooth 4.2, which do not hear its extended PDUs."""

    supported_commands = VirtualController.supported_commands | {
        hci.HCI_LE_READ_NUMBER_OF_SUPPORTED_ADVERTISING_SETS_COMMAND,
        hci.HCI_LE_READ_MAXIMUM_ADVERTISING_DATA_LENGTH_COMMAND,
    }
    le_features = VirtualController.le_features | hci.LeFeatureMask.LE_EXTENDED_ADVERTISING

    def reset(self) -> None:
        """The sets are gone too."""
        super().reset()
        for one in self.advertising_sets.values():
            one.stop()
        self.advertising_sets.clear()

    def _set(self, handle: int) -> AdvertisingSet | None:
        """The set, made when there is room."""
        if handle not in self.advertising_sets and len(self.advertising_sets) < SETS:
            self.advertising_sets[handle] = _Set(controller=self, handle=handle)
        return self.advertising_sets.get(handle)

    def on_hci_le_set_advertising_set_random_address_command(
        self, command: hci.HCI_LE_Set_Advertising_Set_Random_Address_Command
    ) -> hci.HCI_StatusReturnParameters:
        """Core 5.4, vol. 4, part E, 7.8.52: refused while the set is enabled."""
        one = self._set(command.advertising_handle)
        if one is None:
            return _status(hci.HCI_ErrorCode.UNKNOWN_ADVERTISING_IDENTIFIER_ERROR)
        if one.enabled:
            return _status(hci.HCI_ErrorCode.COMMAND_DISALLOWED_ERROR)
        return super().on_hci_le_set_advertising_set_random_address_command(command)

    def on_hci_le_set_extended_advertising_parameters_command(
        self, command: hci.HCI_LE_Set_Extended_Advertising_Parameters_Command
    ) -> hci.HCI_LE_Set_Extended_Advertising_Parameters_ReturnParameters:
        """7.8.53: no more sets than there are."""
        if self._set(command.advertising_handle) is None:
            return hci.HCI_LE_Set_Extended_Advertising_Parameters_ReturnParameters(
                status=hci.HCI_ErrorCode.MEMORY_CAPACITY_EXCEEDED_ERROR, selected_tx_power=0
            )
        return super().on_hci_le_set_extended_advertising_parameters_command(command)

    def on_hci_le_set_extended_advertising_data_command(
        self, command: hci.HCI_LE_Set_Extended_Advertising_Data_Command
    ) -> hci.HCI_StatusReturnParameters:
        """7.8.54: 31 bytes for a set with legacy PDUs, as every chip has it."""
        one = self.advertising_sets.get(command.advertising_handle)
        limit = MAX_LEGACY_BYTES if isinstance(one, _Set) and one.is_legacy else MAX_DATA_BYTES
        if len(command.advertising_data) > limit:
            return _status(hci.HCI_ErrorCode.INVALID_COMMAND_PARAMETERS_ERROR)
        return super().on_hci_le_set_extended_advertising_data_command(command)

    def on_hci_le_read_number_of_supported_advertising_sets_command(
        self, _command: Any
    ) -> hci.HCI_LE_Read_Number_Of_Supported_Advertising_Sets_ReturnParameters:
        """As many as this one has."""
        return hci.HCI_LE_Read_Number_Of_Supported_Advertising_Sets_ReturnParameters(
            status=hci.HCI_ErrorCode.SUCCESS, num_supported_advertising_sets=SETS
        )

    def on_hci_le_set_extended_scan_enable_command(
        self, command: hci.HCI_LE_Set_Extended_Scan_Enable_Command
    ) -> hci.HCI_StatusReturnParameters:
        """A new scan reports everyone anew; it is active, as every scan here."""
        self._reported.clear()
        self.le_scan_type = 1
        return super().on_hci_le_set_extended_scan_enable_command(command)

    def hear(self, speaker: VirtualController, said: Said) -> None:
        """Extended PDUs too."""
        super().hear(speaker, said)
        if said.sid is not None and self.le_scan_enable and self._backlog() < MAX_BACKLOG_BYTES:
            self._report_extended(0, said.address, said.data, said.sid)

    def _report(self, kind: hci.HCI_LE_Advertising_Report_Event.EventType, address: hci.Address, data: bytes) -> None:
        self._report_extended(_LEGACY_TYPES[kind], address, data, _Extended.NO_ADI_FIELD_PROVIDED)

    def _report_extended(self, event_type: int, address: hci.Address, data: bytes, sid: int) -> None:
        if not self._is_news(event_type, address, data):
            return
        one = _Extended.Report(
            event_type=event_type,
            address_type=address.address_type,
            address=address,
            primary_phy=hci.Phy.LE_1M,
            secondary_phy=0 if sid == _Extended.NO_ADI_FIELD_PROVIDED else hci.Phy.LE_1M,
            advertising_sid=sid,
            tx_power=_Extended.TX_POWER_INFORMATION_NOT_AVAILABLE,
            rssi=_RSSI_DBM,
            periodic_advertising_interval=0,
            direct_address_type=0,
            direct_address=hci.Address.ANY,
            data=data,
        )
        self.send_hci_packet(_Extended([one]))


def _status(code: hci.HCI_ErrorCode) -> hci.HCI_StatusReturnParameters:
    return hci.HCI_StatusReturnParameters(code)
