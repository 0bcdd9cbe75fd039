"""The schema hash: SHA-256 of `reading.cddl`, which says what the bodies of frames mean.

A board built against another `reading.cddl` fails every CRC of READINGS and HEARTBEAT, and its hello says why (SPEC.md FB-6).
"""

import hashlib
import pkgutil


def _schema() -> bytes:
    text = pkgutil.get_data(__package__, "reading.cddl")
    assert text is not None  # package data; get_data raises when the file is absent
    return text


SCHEMA_HASH = hashlib.sha256(_schema()).digest()
"""32 bytes."""
