"""Why readings are discarded. Pure."""

import enum


class Discard(enum.StrEnum):
    """Why readings were discarded before their window closed; afterwards a NotCollected reason or STORAGE is the reason."""

    MALFORMED = "malformed"
    NO_BOARD = "no_board"
    UNKNOWN_CHANNEL = "unknown_channel"
    UNKNOWN_CLASS = "unknown_class"
    GATE = "gate"
    LATE = "late"
    FUTURE = "future"
    OVER_RATE = "over_rate"
    STORAGE = "storage"
