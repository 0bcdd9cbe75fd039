"""Is this an Ed25519 public key? Pure arithmetic on the curve of RFC 8032 section 5.1; it signs and verifies nothing.

A key that somebody typed is checked before it is trusted: of 32 bytes at random one sixteenth are a key, so fifteen slips of sixteen
are found; and a key of small order, by which a signature over one text also verifies over others, is never one that was made.
No secret passes through here, so time may depend on the value. About 2 ms a key on a desktop.
"""

PUBLIC_KEY_BYTES = 32

_P = 2**255 - 19
_D = -121665 * pow(121666, -1, _P) % _P
_ORDER = 2**252 + 27742317777372353535851937790883648493

_Point = tuple[int, int, int, int]
"""Extended homogeneous coordinates (X, Y, Z, T): x = X/Z, y = Y/Z, x*y = T/Z."""

_NEUTRAL: _Point = (0, 1, 1, 0)


def is_public_key(key: bytes) -> bool:
    """Is `key` the one encoding of a point of prime order, as every key made by RFC 8032 section 5.1.5 is?"""
    point = _decompress(key)
    return point is not None and not _is_neutral(point) and _is_neutral(_times(_ORDER, point))


def _decompress(key: bytes) -> _Point | None:
    """RFC 8032 section 5.1.3, but for the sign of x = 0: both such points have small order and are refused for that."""
    if len(key) != PUBLIC_KEY_BYTES:
        return None
    number = int.from_bytes(key, "little")
    sign, y = number >> 255, number & (2**255 - 1)
    if y >= _P:
        return None
    u, v = (y * y - 1) % _P, (_D * y * y + 1) % _P
    x = u * pow(v, 3, _P) * pow(u * pow(v, 7, _P), (_P - 5) // 8, _P) % _P
    if (v * x * x - u) % _P:
        x = x * pow(2, (_P - 1) // 4, _P) % _P
        if (v * x * x - u) % _P:
            return None
    if x & 1 != sign:
        x = _P - x
    return x, y, 1, x * y % _P


def _plus(one: _Point, other: _Point) -> _Point:
    """RFC 8032 section 5.1.4; complete, so it also doubles."""
    x1, y1, z1, t1 = one
    x2, y2, z2, t2 = other
    a, b = (y1 - x1) * (y2 - x2) % _P, (y1 + x1) * (y2 + x2) % _P
    c, d = 2 * t1 * t2 * _D % _P, 2 * z1 * z2 % _P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % _P, g * h % _P, f * g % _P, e * h % _P


def _times(factor: int, point: _Point) -> _Point:
    total = _NEUTRAL
    while factor:
        if factor & 1:
            total = _plus(total, point)
        point = _plus(point, point)
        factor >>= 1
    return total


def _is_neutral(point: _Point) -> bool:
    x, y, z, _ = point
    return x % _P == 0 and (y - z) % _P == 0
