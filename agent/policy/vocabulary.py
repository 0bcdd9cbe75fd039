"""The words that a policy may use, as facts: DTPR element ids (`device` taxonomy, schema 0.2, as of 2026-08-21), licences, labels, quantities.

Only what this unit can honestly disclose is here. Process and data elements are absent on purpose: they are derived from what the
code does (agent/disclosure/rules), never chosen. The taxonomy's texts and icons are imported at set-up time, not kept here.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

PURPOSES = (
    "accessibility",
    "agency_interaction",
    "arts_culture",
    "commerce",
    "connectivity",
    "dining",
    "ecology",
    "energy_efficiency",
    "enforcement",
    "entry",
    "fire_emergency",
    "health",
    "inform",
    "logistics",
    "mobility",
    "planning_decision_making",
    "research_development",
    "safety_security",
    "social",
    "switch",
    "waste_management",
    "water_efficiency",
    "wayfinding_services",
)

# Not here: available_to_me. Nobody can be shown the numbers about themselves: there are none.
GIVEN = (
    "available_for_resale",
    "available_to_3rd_parties",
    "available_to_download",
    "available_to_the_accountable_organization",
    "available_to_vendor",
)
"""Who may receive numbers: one for each audience."""

DENIED = (
    "not_available_to_me",
    "not_available_to_the_accountable_organization",
    "not_available_to_vendor",
)
"""Who is said to receive none."""

ACCESS = (*GIVEN, *DENIED)

STORAGE = (
    "backed_up_internationally",
    "backed_up_locally",
    "shared_storage_and_governance",
    "stored_locally",
    "stored_on_3rd_party_cloud",
    "stored_primarily_internationally",
    "stored_primarily_locally",
)


PRECISIONS = ("exact", "street", "neighbourhood", "city")
"""How closely a policy says where its unit stands, the closest first."""

TRANSPORTS = ("tls", "any")


class Identifiability(StrEnum):
    """What a technology can learn about a person before the unit counts (the context of a DTPR technology element)."""

    IDENTIFIABLE = "identifiable"
    DE_IDENTIFIED = "de_identified"
    NON_IDENTIFIABLE = "non_identifiable"


TECHNOLOGIES: Mapping[str, Identifiability] = {
    "air_quality": Identifiability.NON_IDENTIFIABLE,
    "de_identified_image": Identifiability.DE_IDENTIFIED,
    "de_identified_video": Identifiability.DE_IDENTIFIED,
    "electric_vehicle_charger": Identifiability.NON_IDENTIFIABLE,
    "identifiable_image": Identifiability.IDENTIFIABLE,
    "identifiable_nfc": Identifiability.IDENTIFIABLE,
    "identifiable_rfid": Identifiability.IDENTIFIABLE,
    "identifiable_video": Identifiability.IDENTIFIABLE,
    "identifiable_wifi_sensor": Identifiability.IDENTIFIABLE,
    "inclinometer": Identifiability.NON_IDENTIFIABLE,
    "induction_loop": Identifiability.NON_IDENTIFIABLE,
    "li_dar": Identifiability.NON_IDENTIFIABLE,
    "microphone": Identifiability.IDENTIFIABLE,
    "motion_detector": Identifiability.NON_IDENTIFIABLE,
    "non_identifiable_video": Identifiability.NON_IDENTIFIABLE,
    "passive_infrared_sensor": Identifiability.NON_IDENTIFIABLE,
    "piezoelectric_sensor": Identifiability.NON_IDENTIFIABLE,
    "radar": Identifiability.NON_IDENTIFIABLE,
    "soil_moisture_sensor": Identifiability.NON_IDENTIFIABLE,
    "sound_level_meter": Identifiability.NON_IDENTIFIABLE,
    "thermometer": Identifiability.NON_IDENTIFIABLE,
    "ultrasonic_level_sensor": Identifiability.NON_IDENTIFIABLE,
    "water_quality": Identifiability.NON_IDENTIFIABLE,
    "weather_station": Identifiability.NON_IDENTIFIABLE,
    "weighing_scale": Identifiability.NON_IDENTIFIABLE,
}
"""Each sensor with what it can learn about a person by itself; the streams it feeds may change that (agent/disclosure/rules)."""

_PASSING = (
    "de_identified_image",
    "de_identified_video",
    "identifiable_image",
    "identifiable_video",
    "induction_loop",
    "li_dar",
    "motion_detector",
    "non_identifiable_video",
    "passive_infrared_sensor",
    "piezoelectric_sensor",
    "radar",
    "ultrasonic_level_sensor",
    "weighing_scale",
)

KIND_TECHNOLOGIES: Mapping[str, tuple[str, ...]] = {
    "count": _PASSING,
    "duration": (*_PASSING, "electric_vehicle_charger"),
    "scalar": (
        "air_quality",
        "electric_vehicle_charger",
        "inclinometer",
        "li_dar",
        "microphone",
        "piezoelectric_sensor",
        "radar",
        "soil_moisture_sensor",
        "sound_level_meter",
        "thermometer",
        "ultrasonic_level_sensor",
        "water_quality",
        "weather_station",
        "weighing_scale",
    ),
    "unique": ("identifiable_nfc", "identifiable_rfid", "identifiable_wifi_sensor"),
}
"""Which sensors can feed a stream of each kind. A Bluetooth counter is an identifiable_wifi_sensor too: DTPR has no nearer element."""

KIND_MODES: Mapping[str, tuple[str, ...]] = {
    "count": ("dp", "threshold-only"),
    "duration": ("dp", "threshold-only"),
    "scalar": ("dp", "coarse", "none"),
    "unique": ("dp",),
}
"""Which privacy modes a stream of each kind may have (PRIVACY.md 0 and 4.1)."""


@dataclass(frozen=True, slots=True)
class Quantity:
    """What a scalar stream measures: its SenML unit (RFC 8428, RFC 8798), and whether persons cause it.

    `private` means that it is only about few persons, as in a room: then nothing but mode dp is allowed (PRIVACY.md 1.6).
    """

    unit: str
    person_derived: bool = False
    private: bool = False


QUANTITIES: Mapping[str, Quantity] = {
    "air_humidity": Quantity("%RH"),
    "air_pressure": Quantity("hPa"),
    "air_temperature": Quantity("Cel"),
    "co2_indoor": Quantity("ppm", person_derived=True, private=True),
    "co2_outdoor": Quantity("ppm"),
    "carbon_monoxide": Quantity("ppm"),
    "distance": Quantity("m"),
    "fill_level": Quantity("/"),
    "fill_level_household": Quantity("/", person_derived=True, private=True),
    "illuminance": Quantity("lx"),
    "nitrogen_dioxide": Quantity("ug/m3"),
    "ozone": Quantity("ug/m3"),
    "pm1": Quantity("ug/m3"),
    "pm10": Quantity("ug/m3"),
    "pm2_5": Quantity("ug/m3"),
    "power_indoor": Quantity("W", person_derived=True, private=True),
    "power_street": Quantity("W"),
    "rainfall": Quantity("mm"),
    "soil_moisture": Quantity("/"),
    "sound_level": Quantity("dB", person_derived=True),
    "sound_level_indoor": Quantity("dB", person_derived=True, private=True),
    "sulphur_dioxide": Quantity("ug/m3"),
    "tilt": Quantity("deg"),
    "water_conductivity": Quantity("S/m"),
    "water_level": Quantity("m"),
    "water_ph": Quantity("pH"),
    "water_temperature": Quantity("Cel"),
    "weight": Quantity("kg"),
    "wind_direction": Quantity("deg"),
    "wind_speed": Quantity("m/s"),
}

LICENCES = (
    *("C-UDA-1.0", "CC-BY-3.0", "CC-BY-4.0", "CC-BY-NC-4.0", "CC-BY-NC-ND-4.0", "CC-BY-NC-SA-4.0", "CC-BY-ND-4.0"),
    *("CC-BY-SA-3.0", "CC-BY-SA-4.0", "CC-PDDC", "CC0-1.0", "CDLA-Permissive-1.0", "CDLA-Permissive-2.0"),
    *("CDLA-Sharing-1.0", "DL-DE-BY-2.0", "DL-DE-ZERO-2.0", "NLOD-1.0", "NLOD-2.0", "O-UDA-1.0", "ODC-By-1.0"),
    *("ODbL-1.0", "OGDL-Taiwan-1.0", "OGL-Canada-2.0", "OGL-UK-1.0", "OGL-UK-2.0", "OGL-UK-3.0", "PDDL-1.0"),
    "etalab-2.0",
)
"""SPDX ids of licences made for data or content."""

LICENCE_REF = re.compile(r"LicenseRef-[A-Za-z0-9.-]{1,48}")
"""SPDX's form for terms that are in no list, such as a community's own (SPDX 2.3, Annex D)."""

COMMUNITY_LABELS = (
    *("bc-clan", "bc-consent-non-verified", "bc-consent-verified", "bc-multiple-communities", "bc-non-commercial"),
    *("bc-open-to-collaboration", "bc-open-to-commercialization", "bc-outreach", "bc-provenance", "bc-research-use"),
    *("tk-attribution", "tk-clan", "tk-commercial", "tk-community-use-only", "tk-community-voice", "tk-creative"),
    *("tk-culturally-sensitive", "tk-family", "tk-men-general", "tk-men-restricted", "tk-multiple-communities"),
    *("tk-non-commercial", "tk-non-verified", "tk-open-to-collaboration"),
    *("tk-outreach", "tk-seasonal", "tk-secret-sacred", "tk-verified", "tk-women-general", "tk-women-restricted"),
)
"""Local Contexts' Traditional Knowledge and Biocultural Labels, by the last part of their web addresses."""
