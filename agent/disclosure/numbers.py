"""DTPR elements by number, for the compact disclosure (agent/beacon/SPEC.md, BE-29). Append only: a number never changes its meaning. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from agent.disclosure.rules import RULES, Category, Mark
from agent.disclosure.taxonomy import used_elements

ELEMENTS = (
    *("institution", "organization"),
    *("accessibility", "agency_interaction", "arts_culture", "commerce", "connectivity", "dining", "ecology"),
    *("energy_efficiency", "enforcement", "entry", "fire_emergency", "health", "inform", "logistics", "mobility"),
    *("planning_decision_making", "research_development", "safety_security", "social", "switch", "waste_management"),
    *("water_efficiency", "wayfinding_services"),
    *("air_quality", "de_identified_image", "de_identified_video", "electric_vehicle_charger", "identifiable_image"),
    *("identifiable_nfc", "identifiable_rfid", "identifiable_video", "identifiable_wifi_sensor", "inclinometer"),
    *("induction_loop", "li_dar", "microphone", "motion_detector", "non_identifiable_video"),
    *("passive_infrared_sensor", "piezoelectric_sensor", "radar", "soil_moisture_sensor", "sound_level_meter"),
    *("thermometer", "ultrasonic_level_sensor", "water_quality", "weather_station", "weighing_scale"),
    *("values_time", "personal"),
    *("differential_privacy", "aggregated", "de_identified", "raw_data", "transport_layer_security"),
    *("backed_up_internationally", "backed_up_locally", "shared_storage_and_governance", "stored_locally"),
    *("stored_on_3rd_party_cloud", "stored_primarily_internationally", "stored_primarily_locally"),
    *("available_for_resale", "available_to_3rd_parties", "available_to_download"),
    *("available_to_the_accountable_organization", "available_to_vendor", "not_available_to_me"),
    *("not_available_to_the_accountable_organization", "not_available_to_vendor"),
    "data_retained",
    "de_identified promised",
)
"""An entry's number is its place, counted from 1; 0 and 255 are none. An element that can also be a promise has a second entry."""

_PROMISED = " promised"
MAX_NUMBER = 254


@dataclass(frozen=True, slots=True)
class Numbered:
    """One line of the registry: what a reader needs to show an element that it knows by number only."""

    number: int
    id: str
    category: Category
    mark: Mark


def _registry() -> Iterator[Numbered]:
    categories = used_elements()
    chosen = {rule.category: rule.mark for rule in RULES if rule.gives.startswith("the same")}
    derived = {rule.gives.split(",")[0]: rule.mark for rule in reversed(RULES)}
    for number, entry in enumerate(ELEMENTS, 1):
        element = entry.removesuffix(_PROMISED)
        category = categories[element]
        mark = Mark.PROMISED if entry.endswith(_PROMISED) else derived.get(element) or chosen[category]
        yield Numbered(number, element, category, mark)


REGISTRY: tuple[Numbered, ...] = tuple(_registry())
"""In the order of the numbers; categories and marks are those of agent/disclosure/rules."""

NUMBERS: Mapping[tuple[str, Mark], int] = {(one.id, one.mark): one.number for one in REGISTRY}

assert len(NUMBERS) == len(ELEMENTS) <= MAX_NUMBER
