"""Bytes of the serial line to a governed Release, against the line of JSON and the dict that everyone writes first.

Both see the same crossings, both end with the same true counts (asserted); ours also checks CRC and sequence, and adds exact noise,
threshold, pack and signature for each window. `make bench` prints readings a second and the ratio.
"""

import json
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

import numpy as np
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from agent.anonymizer import batch
from agent.anonymizer.kinds import terms_for
from agent.anonymizer.rows import Columns
from agent.anonymizer.seal import seal
from agent.anonymizer.window import NS, StreamWindows
from agent.cli.demo.stage import policy_text
from agent.contracts.board import Board, Channel
from agent.contracts.log import NOTHING, Charge
from agent.contracts.reading import HEADER as MESSAGE_HEADER
from agent.contracts.reading import Header, Kind
from agent.local.randomness import fill_random, random_bytes
from agent.policy.parse import parse_policy
from firmware_bridge.frame import Decoder, Frame, Type, encode
from firmware_bridge.schema import SCHEMA_HASH
from firmware_bridge.simulator.batch import pack
from firmware_bridge.simulator.timeline import Crossing
from tests.anonymizer.one_window import govern
from tests.bench.record import best_of, record

CLASSES = ("bike", "person", "vehicle")
WINDOWS = 60
READINGS_A_WINDOW = 1000
CHUNK_BYTES = 4096
START = 1_790_000_000


def batches(readings_a_frame: int) -> Iterator[list[int]]:
    """Class numbers of each frame, the same for both sides; a fixed pattern without randomness."""
    for window in range(WINDOWS):
        classes = [(reading * 7 + window) % len(CLASSES) for reading in range(READINGS_A_WINDOW)]
        for at in range(0, READINGS_A_WINDOW, readings_a_frame):
            yield classes[at : at + readings_a_frame]


def serial_bytes(readings_a_frame: int) -> bytes:
    """What a board sends."""
    line = bytearray()
    for number, classes in enumerate(batches(readings_a_frame)):
        crossings = [Crossing(class_index=c, before_ms=1 + 17 * place) for place, c in enumerate(classes)]
        packed = pack(crossings, 1.0, None, random_bytes)
        line += encode(Frame(Type.READINGS, number, number * 10, len(classes), packed.body, b""), SCHEMA_HASH)
    return bytes(line)


def json_bytes() -> bytes:
    """What a hobby board sends: a line a reading."""
    return b"".join(
        json.dumps({"t": START, "class": CLASSES[c]}).encode() + b"\n" for classes in batches(256) for c in classes
    )


POLICY = parse_policy(policy_text(CLASSES, START), "bench")
TERMS = terms_for(POLICY, POLICY.streams[0], bytes(32))
KEY = Ed25519PrivateKey.from_private_bytes(bytes(32))


def ours(line: bytes, readings_a_frame: int) -> Counter[str]:
    """Decode, window, count, noise, threshold, pack, sign; returns the true counts, which otherwise never leave."""
    stream = POLICY.streams[0]
    board = Board("bench", "1", bytes(32), SCHEMA_HASH, (Channel(stream.channel, "count", CLASSES),))
    table = batch.class_table(board, stream)
    assert table is not None
    windows = StreamWindows(stream, START, fill_random)
    decoder = Decoder(SCHEMA_HASH)
    buffer = memoryview(bytearray(16 * 1024))
    true: Counter[str] = Counter()
    frames_a_window = -(-READINGS_A_WINDOW // readings_a_frame)
    frames = 0
    view = memoryview(line)
    for at in range(0, len(view), CHUNK_BYTES):
        for frame in decoder.feed(view[at : at + CHUNK_BYTES]):
            taken_ns = (START + (frames // frames_a_window + 1) * stream.window_s) * NS - 1
            header = Header(
                Kind.READINGS, frame.reading_count, frame.sequence, frame.board_ms, taken_ns, len(frame.body)
            )
            length = MESSAGE_HEADER.size + len(frame.body)
            buffer[: MESSAGE_HEADER.size] = header.pack()
            buffer[MESSAGE_HEADER.size : length] = frame.body
            decoded = batch.decode(header, buffer[:length])
            windows.count(
                decoded.times_boot_ns,
                Columns(table[1][decoded.classes], decoded.values, decoded.identifiers, decoded.width),
                taken_ns + NS,
                oldest_utc_ns=decoded.oldest_boot_ns,
                newest_utc_ns=decoded.newest_boot_ns,
            )
            frames += 1
            if frames % frames_a_window == 0:
                closed = windows.close()
                true.update(dict(zip(CLASSES, closed.counts.tolist(), strict=True)))
                governed = govern(closed, TERMS, Charge(Fraction(1, 32)), None, 0, random_bytes)
                seal(governed, NOTHING, KEY)
    return true


def json_and_dict(text: bytes) -> Counter[str]:
    """The usual beginning: json, dict, and float noise that is not safe."""
    true: Counter[str] = Counter()
    counts: dict[str, int] = {}
    noise = np.random.default_rng()  # noqa: TID251  # the opponent's, as it is met
    for number, line in enumerate(text.splitlines(), 1):
        reading = json.loads(line)
        counts[reading["class"]] = counts.get(reading["class"], 0) + 1
        if number % READINGS_A_WINDOW == 0:
            true.update(counts)
            json.dumps({name: round(count + noise.laplace(0, 4)) for name, count in counts.items()})
            counts = {}
    return true


def test_serial_line_to_release() -> None:
    text = json_bytes()
    total = WINDOWS * READINGS_A_WINDOW
    rows: dict[str, float] = {}
    json_s = best_of(3, lambda: json_and_dict(text))
    rows["json + dict, readings/s"] = total / json_s
    for readings_a_frame in (256, 16):
        line = serial_bytes(readings_a_frame)
        assert ours(line, readings_a_frame) == json_and_dict(text)
        ours_s = best_of(3, lambda: ours(line, readings_a_frame))  # noqa: B023  # called at once
        rows[f"frames of {readings_a_frame}, readings/s"] = total / ours_s
        rows[f"ratio_frames_of_{readings_a_frame}_to_json_dict"] = json_s / ours_s
    record(rows)
