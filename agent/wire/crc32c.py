"""CRC-32C (Castagnoli, RFC 3720 appendix B.4) over any buffer; the `crc32c` package does the work in C."""

import crc32c as _crc32c

from agent.wire.buffers import Buffer


def crc32c(data: Buffer, seed: int = 0) -> int:
    """Checksum of `data`, continuing from `seed` (0 for none); an unsigned 32-bit integer."""
    return _crc32c.crc32c(data, seed)
