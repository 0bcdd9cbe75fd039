"""Consistent Overhead Byte Stuffing (Cheshire and Baker, SIGCOMM 1997): after encoding no byte is 0x00, so 0x00 ends a frame.

Ours, because library decoders return `bytes`: CPython frees those without clearing them, and a frame may carry identifiers.
`decode_in_place` moves bytes inside the caller's buffer. Slices are assigned from memoryview to memoryview only: that is a
memmove, while assigning to a `bytearray` slice makes a temporary copy that is freed uncleared (CPython bytearray_ass_subscript).
"""

from agent.wire.buffers import Buffer

BLOCK_BYTES = 254
"""The most data bytes behind one code byte (section 3 of the paper)."""


def max_encoded_bytes(length: int) -> int:
    """The longest encoding of `length` bytes, without the ending 0x00."""
    return length + max(1, -(-length // BLOCK_BYTES))


def encode(data: Buffer) -> bytearray:
    """The encoding of `data` without the ending 0x00; for a board's own bytes, which become `bytes` here."""
    encoded = bytearray()
    full = False  # did the last part end with a full block?
    for part in bytes(data).split(b"\0"):
        at = 0
        while len(part) - at >= BLOCK_BYTES:
            encoded.append(0xFF)
            encoded += part[at : at + BLOCK_BYTES]
            at += BLOCK_BYTES
        rest = part[at:]
        encoded.append(len(rest) + 1)
        encoded += rest
        full = at > 0 and not rest
    if full:
        del encoded[-1]  # the end of the data needs no code byte of its own behind a full block
    return encoded


def decode_in_place(encoded: memoryview) -> int | None:
    """Decode the whole of `encoded` (no 0x00 in it) into its own front; the decoded length, or None when it is not COBS."""
    end = len(encoded)
    read = write = 0
    while read < end:
        code = encoded[read]
        stop = read + code
        if code == 0 or stop > end:
            return None
        length = code - 1
        if length:
            encoded[write : write + length] = encoded[read + 1 : stop]
            write += length
        read = stop
        if code != 0xFF and read < end:
            encoded[write] = 0
            write += 1
    return write
