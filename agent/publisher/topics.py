"""Topic names: `<root>/v1/<city>/<site>/<unit>/{agg/<stream>[/sig],state,disclosure[/upcoming],checkpoint,health,policy,log/…}` (PB-1). Pure."""

import re
from dataclasses import dataclass

from agent.contracts.public import TOPIC_NAME, State
from agent.errors import MessageError
from agent.wire.tiles import Tile, topic_of

VERSION = "v1"

_STREAM = re.compile(r"[a-z0-9](?:[a-z0-9_-]{0,30}[a-z0-9])?")
"""As contracts/aggregate, whose module the publisher does not load; no `/`, `+`, `#` or blank can get into a topic."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The topics of one unit. The root was checked by the settings, the other levels are by `unit_topics`."""

    root: str
    city: str
    site: str
    unit: str

    @property
    def base(self) -> str:
        """What all topics of this unit begin with, without the last slash."""
        return f"{self.root}/{VERSION}/{self.city}/{self.site}/{self.unit}"

    @property
    def state(self) -> str:
        """Retained; the will's topic too."""
        return f"{self.base}/state"

    @property
    def disclosure(self) -> str:
        """Retained."""
        return f"{self.base}/disclosure"

    @property
    def upcoming(self) -> str:
        """Retained; empty when no policy is on notice."""
        return f"{self.base}/disclosure/upcoming"

    @property
    def checkpoint(self) -> str:
        """Retained."""
        return f"{self.base}/checkpoint"

    @property
    def health(self) -> str:
        """Retained, with an expiry."""
        return f"{self.base}/health"

    @property
    def policy(self) -> str:
        """Where a city may leave a signed policy or stop order: the only topic that a unit subscribes to, if at all."""
        return f"{self.base}/policy"

    def tile(self, tile: Tile) -> str:
        """Where a whole tile or bundle of the log goes, once (PB-30)."""
        return f"{self.base}/{topic_of(tile)}"

    def data(self, stream: str) -> str:
        """Where a stream's Releases go; raise MessageError for a name that is not one topic level."""
        if not is_stream(stream):
            raise MessageError("stream name", expected="one lower-case topic level", got=ascii(stream)[:40])
        return f"{self.base}/agg/{stream}"

    def signature(self, stream: str) -> str:
        """Where a Release's signature follows on an MQTT 3.1.1 connection (PB-6)."""
        return f"{self.data(stream)}/sig"


def is_stream(name: str) -> bool:
    """Can this stream be a topic level?"""
    return _STREAM.fullmatch(name) is not None


def unit_topics(root: str, state: State) -> Topics:
    """The topics of the unit that `state` names; raise MessageError for a name that is not one topic level."""
    for field, name in (("city", state.city), ("site", state.site), ("unit", state.unit)):
        if not TOPIC_NAME.fullmatch(name):
            raise MessageError(f"state {field}", expected="one lower-case topic level", got=ascii(name)[:40])
    return Topics(root, state.city, state.site, state.unit)
