"""Writes fremont-01.json, SPEC.md's example whole: `python -m tests.beacon.vectors.generate`. The key is a test's, worthless elsewhere."""

import json
from pathlib import Path

from agent.beacon.broadcast import compile_broadcast
from tests.beacon.stage import PUBLIC_KEY, disclosure, envelope

FILE = Path(__file__).parent / "fremont-01.json"
SEQUENCE = 3


def main() -> None:
    """Overwrite the file."""
    shown = compile_broadcast(envelope(), SEQUENCE)
    vector = {
        "unit": shown.unit,
        "colour": disclosure().colour,
        "sequence": SEQUENCE,
        "public_key": PUBLIC_KEY.hex(),
        "disclosure_digest": shown.digest.hex(),
        "name": shown.name,
        "advertisement": shown.advertisement.hex(),
        "scan_response": shown.scan_response.hex(),
        "envelope": envelope().hex(),
        "header": shown.attributes[0].value.hex(),
        "chunks": [attribute.value.hex() for attribute in shown.attributes[1:9]],
    }
    FILE.write_text(json.dumps(vector, indent=2) + "\n")


if __name__ == "__main__":
    main()
