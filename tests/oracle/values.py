"""Random values that lean to the edges: integers, floating point of all three widths, vectors, control words."""

from __future__ import annotations

from random import Random

_M64 = (1 << 64) - 1

_INTEGERS = sorted({
    (value + delta) & _M64
    for width in (4, 7, 8, 15, 16, 31, 32, 63, 64)
    for value in (1 << width, -(1 << width), 0)
    for delta in (-2, -1, 0, 1, 2)
})  # fmt: skip


def integer(rng: Random) -> int:
    """A 64-bit pattern: an edge of some width, halves of two edges, a power of two, or random bits."""
    kind = rng.random()
    if kind < 0.4:
        return rng.choice(_INTEGERS)
    if kind < 0.55:
        return rng.choice(_INTEGERS) & 0xFFFFFFFF | (rng.choice(_INTEGERS) << 32 & _M64)
    if kind < 0.65:
        return (1 << rng.randrange(64)) - rng.randrange(2)
    return rng.getrandbits(64) >> rng.choice((0, 0, 0, 32, 48, 56))


def _edges(exponent_bits: int, fraction_bits: int) -> list[int]:
    """Positive edge patterns of an IEEE format: zero, denormals, around one, halves, integers, limits, infinity,
    NaNs.
    """
    top, bias, one = (1 << exponent_bits) - 1, (1 << exponent_bits - 1) - 1, 1 << fraction_bits
    near_one = [bias * one + delta for delta in (-1, 0, 1, one >> 1, one, one + (one >> 1))]
    halves = [(bias - 1) * one, (bias + 1) * one + (one >> 2), (bias + 2) * one + (one >> 3), (bias - 1) * one - 1]
    integer_limits = [(bias + n) * one + delta for n in (7, 15, 16, 31, 32, 52, 53, 62, 63, 64) for delta in (-1, 0)]
    nans = [top * one + (one >> 1), top * one + (one >> 1) + 0x155, top * one + 1, top * one + (one >> 2) + 3]
    limits = [0, 1, 2, one >> 1, one - 1, one, one + 1, 2 * one, (top - 1) * one, top * one - 1, top * one]
    return limits + near_one + halves + [edge for edge in integer_limits if edge < top * one] + nans


_F32, _F64 = _edges(8, 23), _edges(11, 52)
_ONE80 = 1 << 64
_F80 = [
    0, 1, 1 << 62, (1 << 63) - 1, 1 << 63,  # zero, denormals, pseudo-denormal
    _ONE80 | 1 << 63, _ONE80, 1 << 78,  # the smallest normal, unnormals
    *(e << 64 | 1 << 63 for e in (1, 2, 0x3FFE, 0x3FFF, 0x4000, 0x4001, 0x400E, 0x401E, 0x403D)),
    *(e << 64 | 1 << 63 for e in (0x403E, 0x7FFD, 0x7FFE)),
    *(e << 64 | _M64 for e in (1, 0x3FFE, 0x3FFF, 0x400D, 0x401D, 0x403D, 0x403E, 0x7FFE)),
    0x3FFF << 64 | 3 << 62, 0x4000 << 64 | 5 << 61,  # 1.5, 2.5
    0x3FFD << 64 | 1 << 63, 0x3FBE << 64 | 1 << 63, 0x3FC0 << 64 | 1 << 63,
    0x7FFF << 64, 0x7FFF << 64 | 1, 0x7FFF << 64 | 1 << 62,  # pseudo-infinity, pseudo-NaNs
    0x7FFF << 64 | 1 << 63, 0x7FFF << 64 | 3 << 62, 0x7FFF << 64 | 3 << 62 | 0x1234, 0x7FFF << 64 | 1 << 63 | 5,
]  # fmt: skip


def float32(rng: Random) -> int:
    """A 32-bit floating point pattern."""
    return _floating(rng, _F32, 8, 23)


def float64(rng: Random) -> int:
    """A 64-bit floating point pattern."""
    return _floating(rng, _F64, 11, 52)


def _floating(rng: Random, edges: list[int], exponent_bits: int, fraction_bits: int) -> int:
    sign = rng.getrandbits(1) << exponent_bits + fraction_bits
    kind = rng.random()
    if kind < 0.5:
        return sign | rng.choice(edges)
    if kind < 0.85:
        exponent = (1 << exponent_bits - 1) - 1 + rng.randint(-12, 12)
        return sign | exponent << fraction_bits | rng.getrandbits(fraction_bits) & -(1 << rng.choice((0, 0, 16)))
    return sign | rng.getrandbits(exponent_bits + fraction_bits)


def float80(rng: Random) -> int:
    """An 80-bit register image: mostly numbers, sometimes the formats that the processor rejects."""
    sign, kind = rng.getrandbits(1) << 79, rng.random()
    if kind < 0.45:
        return sign | rng.choice(_F80)
    if kind < 0.85:
        exponent = 0x3FFF + rng.choice((rng.randint(-3, 3), rng.randint(-70, 70), rng.randint(-70, 70)))
        return sign | exponent << 64 | 1 << 63 | rng.getrandbits(63) & -(1 << rng.choice((0, 0, 40, 60)))
    if kind < 0.95:
        return sign | rng.getrandbits(15) << 64 | 1 << 63 | rng.getrandbits(63)
    return rng.getrandbits(80)


def decimal(rng: Random) -> bytes:
    """An 80-bit packed decimal (SDM vol. 1, 4.7): 18 digits and a sign."""
    digits = rng.choice((rng.randrange(10**18), rng.randrange(1000), 0, 10**18 - 1))
    return bytes.fromhex(f"{digits:018d}")[::-1] + bytes([rng.choice((0, 0x80))])


def vector(rng: Random) -> int:
    """A 128-bit pattern of one of the element types, all elements drawn alike."""
    kind = rng.randrange(6)
    if kind == 0:
        return _join(32, [float32(rng) for _ in range(4)])
    if kind == 1:
        return _join(64, [float64(rng) for _ in range(2)])
    if kind == 2:
        return _join(64, [integer(rng), integer(rng)])
    if kind == 3:
        return _join(16, [integer(rng) & 0xFFFF for _ in range(8)])
    if kind == 4:
        return _join(8, [rng.choice((0, 1, 2, 0x7F, 0x80, 0xFF)) for _ in range(16)])
    return rng.getrandbits(128)


def _join(width: int, elements: list[int]) -> int:
    return sum(element << i * width for i, element in enumerate(elements))


def memory(rng: Random, size: int) -> bytes:
    """`size` bytes (a multiple of 16) of vectors, or of 80-bit numbers at the start."""
    data = b"".join(vector(rng).to_bytes(16, "little") for _ in range(size // 16))
    return float80(rng).to_bytes(10, "little") + data[10:] if rng.random() < 0.2 else data


def mxcsr(rng: Random) -> int:
    """All rounding modes; DAZ and FTZ now and then; exceptions mostly masked; some flags already set."""
    value = 0x1F80 | rng.getrandbits(2) << 13
    if rng.random() < 0.15:
        value ^= 1 << rng.randint(7, 12)
    if rng.random() < 0.3:
        value |= rng.getrandbits(1) << 6 | rng.getrandbits(1) << 15
    return value | (rng.getrandbits(6) if rng.random() < 0.3 else 0)


def x87_control(rng: Random) -> int:
    """All rounding modes and the three defined precisions, mostly extended; exceptions mostly masked."""
    value = 0x7F | rng.getrandbits(2) << 10 | rng.choice((3, 3, 3, 2, 0)) << 8
    return value ^ (1 << rng.randrange(6)) if rng.random() < 0.15 else value


def x87_status(rng: Random, control: int) -> int:
    """Any TOP and condition codes, sometimes exception flags, with ES and B as `control` makes them."""
    value = rng.getrandbits(3) << 11 | rng.getrandbits(3) << 8 | rng.getrandbits(1) << 14
    if rng.random() < 0.3:
        value |= rng.getrandbits(6)
    return value | (0x8080 if value & ~control & 0x3F else 0)


def x87_tags(rng: Random, status: int) -> int:
    """The abridged tag byte: mostly a stack of some depth from the TOP of `status` on, sometimes anything."""
    if rng.random() < 0.15:
        return rng.getrandbits(8)
    filled, top = (1 << rng.choice((8, 8, 8, 7, 7, 6, 4, 2, 1, 0))) - 1, status >> 11 & 7
    return (filled << top | filled >> 8 - top) & 0xFF
