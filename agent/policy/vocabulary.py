"""The DTPR element ids that a policy may use, as facts: DTPR `device` taxonomy, schema 0.2, as of 2026-08-21.

Only what this unit can honestly disclose is here. Process and data elements are absent on purpose: they are derived from what the
code does (agent/disclosure/rules), never chosen. The taxonomy's texts and icons are imported at set-up time, not kept here.
"""

from collections.abc import Mapping
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
ACCESS = (
    "available_for_resale",
    "available_to_3rd_parties",
    "available_to_download",
    "available_to_the_accountable_organization",
    "available_to_vendor",
    "not_available_to_me",
    "not_available_to_the_accountable_organization",
    "not_available_to_vendor",
)

STORAGE = (
    "backed_up_internationally",
    "backed_up_locally",
    "shared_storage_and_governance",
    "stored_locally",
    "stored_on_3rd_party_cloud",
    "stored_primarily_internationally",
    "stored_primarily_locally",
)


class Identifiability(StrEnum):
    """What a technology can learn about a person before the unit counts (the context of a DTPR technology element)."""

    IDENTIFIABLE = "identifiable"
    DE_IDENTIFIED = "de_identified"
    NON_IDENTIFIABLE = "non_identifiable"


TECHNOLOGIES: Mapping[str, Identifiability] = {
    "de_identified_image": Identifiability.DE_IDENTIFIED,
    "de_identified_video": Identifiability.DE_IDENTIFIED,
    "identifiable_image": Identifiability.IDENTIFIABLE,
    "identifiable_video": Identifiability.IDENTIFIABLE,
    "induction_loop": Identifiability.NON_IDENTIFIABLE,
    "li_dar": Identifiability.NON_IDENTIFIABLE,
    "motion_detector": Identifiability.NON_IDENTIFIABLE,
    "non_identifiable_video": Identifiability.NON_IDENTIFIABLE,
    "passive_infrared_sensor": Identifiability.NON_IDENTIFIABLE,
    "piezoelectric_sensor": Identifiability.NON_IDENTIFIABLE,
    "radar": Identifiability.NON_IDENTIFIABLE,
    "ultrasonic_level_sensor": Identifiability.NON_IDENTIFIABLE,
    "weighing_scale": Identifiability.NON_IDENTIFIABLE,
}
"""Sensors that can feed a stream of kind `count`, each with what it can learn about a person."""
