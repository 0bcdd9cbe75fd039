"""A process that does with addresses what the anonymizer does: inbox, decoder, bitmap, noise; started by R16, with faults on demand.

    python -m tests.privacy.window_process SOCKET KEY_FD FAULT

Messages come through SOCKET as from the bridge; the window's key is read from KEY_FD straight into its place; a BOARD_GONE ends the window,
whereupon the noisy number of set cells is printed and the process waits for its end. FAULT is one of FAULTS, or "none".
"""

import hashlib
import os
import selectors
import socket
import sys
from fractions import Fraction

import cbor2
import numpy as np

from agent.anonymizer import batch, siphash
from agent.anonymizer.distinct import WIDTHS, Sightings, release
from agent.anonymizer.inbox import Inbox
from agent.anonymizer.noise import DiscreteLaplace
from agent.contracts.reading import HEADER, MAX_MESSAGE_BYTES, Kind, unpack_header
from agent.local.randomness import random_bytes

FAULTS = ("cbor2", "slices", "blake2b", "no wipe", "key kept")
"""Deliberately broken variants: identifiers as a CBOR byte string; as slices in a set; as digests in a set; buffers or key not overwritten."""


def main(path: str, key_fd: int, fault: str) -> None:
    """Serve one window."""
    if fault == "no wipe":
        siphash.SipHash.wipe = lambda self: None  # type: ignore[method-assign]
    if fault == "key kept":
        siphash.SipHash.forget = siphash.SipHash.wipe  # type: ignore[method-assign]
    law = DiscreteLaplace(Fraction(1))
    window = Sightings(WIDTHS["identifiable_wifi_sensor"], lambda buffer: _read_key(key_fd, buffer))
    seen: set[bytes] = set()
    selector = selectors.DefaultSelector()

    def on_message(number: int, message: memoryview) -> None:
        header = unpack_header(message)
        if header.kind is Kind.BOARD_GONE:
            seen.clear()
            print(release(window.close(), law, random_bytes), flush=True)
            return
        batch.decode(header, message)
        with message[HEADER.size + header.body_length :] as identifiers:
            belongs = np.ones(header.reading_count, dtype=np.bool_)
            match fault:
                case "cbor2":
                    item = cbor2.loads(b"\x59" + len(identifiers).to_bytes(2, "big") + identifiers)
                    window.add(memoryview(item), 6, belongs)
                case "slices":
                    seen.update(bytes(identifiers[at : at + 6]) for at in range(0, len(identifiers), 6))
                    window.add(identifiers, 6, belongs)
                case "blake2b":
                    for at in range(0, len(identifiers), 6):
                        seen.add(hashlib.blake2b(identifiers[at : at + 6], digest_size=8, key=bytes(16)).digest())
                case _:
                    window.add(identifiers, 6, belongs)

    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(path)
        listener.listen()
        Inbox(
            listener, selector, bytearray(MAX_MESSAGE_BYTES), on_message, lambda number: None
        )  # the selector holds it
        while True:
            for key, _ in selector.select():
                key.data[0].serve(key.data[1])


def _read_key(key_fd: int, buffer: memoryview) -> None:
    assert os.readv(key_fd, [buffer]) == len(buffer)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3])
