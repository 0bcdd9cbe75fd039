"""Which published numbers can serve which of DTPR's purposes. Pure."""

from collections.abc import Mapping

from agent.policy.model import Stream
from agent.policy.vocabulary import QUANTITIES

_PEOPLE = ("count", "duration", "unique")
_AIR = (
    "carbon_monoxide",
    "co2_indoor",
    "co2_outdoor",
    "nitrogen_dioxide",
    "ozone",
    "pm1",
    "pm10",
    "pm2_5",
    "sulphur_dioxide",
)
_WEATHER = (
    "air_humidity",
    "air_pressure",
    "air_temperature",
    "illuminance",
    "rainfall",
    "wind_direction",
    "wind_speed",
)
_WATER = ("soil_moisture", "water_conductivity", "water_level", "water_ph", "water_temperature")
_SOUND = ("sound_level", "sound_level_indoor")
_FILL = ("distance", "fill_level", "fill_level_household", "weight")
_POWER = ("power_indoor", "power_street")
_ALL = (*_PEOPLE, *QUANTITIES)

SERVES: Mapping[str, tuple[str, ...]] = {
    "accessibility": (*_PEOPLE, "distance", "tilt"),
    "agency_interaction": (),
    "arts_culture": (*_PEOPLE, *_SOUND),
    "commerce": _PEOPLE,
    "connectivity": (),
    "dining": _PEOPLE,
    "ecology": (*_AIR, *_WEATHER, *_WATER, *_SOUND),
    "energy_efficiency": (*_PEOPLE, *_POWER, "illuminance", "air_temperature", "co2_indoor"),
    "enforcement": (),
    "entry": (),
    "fire_emergency": (*_PEOPLE, "air_temperature", "carbon_monoxide", "water_level", "tilt"),
    "health": (*_AIR, *_WEATHER, *_SOUND, "water_ph", "water_conductivity"),
    "inform": _ALL,
    "logistics": (*_PEOPLE, *_FILL),
    "mobility": (*_PEOPLE, *_WEATHER, "distance"),
    "planning_decision_making": _ALL,
    "research_development": _ALL,
    "safety_security": (
        *_PEOPLE,
        *_SOUND,
        "carbon_monoxide",
        "illuminance",
        "tilt",
        "water_level",
        "wind_speed",
        "distance",
    ),
    "social": (*_PEOPLE, *_SOUND),
    "switch": (),
    "waste_management": (*_FILL, "duration", "count"),
    "water_efficiency": (*_WATER, "rainfall"),
    "wayfinding_services": (*_PEOPLE, "distance"),
}
"""Purpose -> the kinds of stream and the quantities whose published numbers can serve it. Some purposes need single events, actions or a service:
numbers of this unit, published late, noisy and without anybody in them, can serve none of them."""


def serves(stream: Stream, purpose: str) -> bool:
    """Can the numbers of this stream serve that purpose?"""
    return (stream.quantity or stream.kind) in SERVES[purpose]
