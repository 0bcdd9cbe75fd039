"""Reading a file of counts from the disk."""

from pathlib import Path

from agent.errors import ReplayError
from firmware_bridge.simulator import replay


def load_replay(path: Path) -> replay.Replay:
    """Read and check a CSV of counts; raise ReplayError."""
    try:
        with path.open("rb") as file:
            text = file.read(replay.MAX_FILE_BYTES + 1)
    except OSError as bad:
        raise ReplayError(str(path), expected="a readable file", got=bad.strerror or "an error") from None
    return replay.parse(text, str(path))
