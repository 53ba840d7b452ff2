"""The software floating point of ARM against the pseudocode in exact fractions, bits and flags."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from oracle import arm_float as ref

from frontends.arm import fpcodes as fc
from frontends.arm import state as st

MODES = [
    mode << 22 | (fc.FZ if fz else 0) | (fc.DN if dn else 0) for mode in range(4) for fz in (0, 1) for dn in (0, 1)
]


@pytest.fixture(scope="module")
def helpers() -> dict[str, Callable[..., int]]:
    """The compiled helpers, each called with a CPU block of its own kind (``block``)."""
    import frontends.arm.softconvert as soft  # noqa: F401
    from jitrr.engine.codegen import compile_ir
    from jitrr.engine.lower import to_ir
    from jitrr.engine.memory import CodeArena
    from jitrr.engine.native import FUNCTIONS, HELPERS, arity
    from jitrr.engine.object_file import link

    mine = {s: f for s, f in FUNCTIONS.items() if f.__module__.startswith("frontends.arm.soft")}
    texts = [text for item in mine.items() for text in to_ir(*item)]
    names = [name for name in HELPERS if name in mine]
    code, offsets = link(compile_ir("\n".join(dict.fromkeys(texts)), keep=names))
    arena = CodeArena(len(code))
    base = arena.add(code) or 0
    made: dict[str, Any] = {"arena": arena}
    for name in names:
        made[name] = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * arity(HELPERS[name]))(base + offsets[name])
    return made


class Block:
    """A CPU block that holds FPSCR, flags, and the upper half of a vector."""

    def __init__(self) -> None:
        self.words = (ctypes.c_uint64 * 2048)()
        self.address = ctypes.addressof(self.words)

    def run(self, function: Callable[..., int], fpscr: int, *args: int) -> tuple[int, int]:
        """(result, flags); arguments are taken modulo 2**64."""
        self.words[st.FPSCR // 8], self.words[st.FPFLAGS // 8] = fpscr, 0
        result = function(self.address, *args) & (1 << 64) - 1
        return result, int(self.words[st.FPFLAGS // 8])

    @property
    def high(self) -> int:
        return int(self.words[st.LAYOUT["value_hi"] // 8])


def edges(n: int) -> list[int]:
    """Zeros, the ends of denormals and normals, ones and their neighbours, infinities and NaNs, of both signs."""
    e_bits, f_bits = ref.SHAPE[n]
    bias, ones = (1 << (e_bits - 1)) - 1, (1 << f_bits) - 1
    top = (1 << e_bits) - 1
    plain = [
        0, 1, 2, ones >> 1, ones, 1 << f_bits, 1 << f_bits | 1, 1 << f_bits | ones, bias << f_bits, bias << f_bits | 1,
        bias - 1 << f_bits | ones, bias + 1 << f_bits, bias + 1 << f_bits | 1 << f_bits - 1, bias - f_bits << f_bits,
        bias - f_bits - 1 << f_bits, max(bias + f_bits << f_bits, 0), bias // 2 << f_bits, bias * 3 // 2 << f_bits | 5,
        top - 1 << f_bits, top - 1 << f_bits | ones, top << f_bits, top << f_bits | 1, top << f_bits | ones >> 1,
        top << f_bits | 1 << f_bits - 1, top << f_bits | ones, bias + 30 << f_bits | ones, bias + 31 << f_bits,
    ]  # fmt: skip
    mask = (1 << n) - 1
    return [x & mask for value in plain for x in (value, value | 1 << n - 1)]


def any_number(rng: random.Random, n: int) -> int:
    """Random bits, with exponents mostly near the middle or an end, and fractions often short."""
    e_bits, f_bits = ref.SHAPE[n]
    bias, top = (1 << (e_bits - 1)) - 1, (1 << e_bits) - 1
    exponent = rng.choice([rng.randrange(top + 1), bias + rng.randint(-3, 3), rng.randint(0, 3),
                           top - rng.randint(0, 3), bias + rng.randint(-f_bits - 2, f_bits + 2)])  # fmt: skip
    fraction = rng.choice([rng.getrandbits(f_bits), rng.getrandbits(5) << f_bits - 5, rng.getrandbits(4),
                           (1 << f_bits) - 1 - rng.getrandbits(3)])  # fmt: skip
    return rng.getrandbits(1) << n - 1 | max(0, min(exponent, top)) << f_bits | fraction


def pairs(seed: str, n: int, count: int) -> Iterator[tuple[int, int]]:
    """Edge cases by edge cases, then random numbers."""
    rng = random.Random(seed)
    some = edges(n)
    for x in some:
        for y in some:
            yield x, y
    for _ in range(count):
        x = any_number(rng, n)
        near = x ^ rng.getrandbits(3) ^ rng.getrandbits(1) << n - 1
        yield x, rng.choice([any_number(rng, n), any_number(rng, n), near])


def same(found: tuple[int, int], expected: tuple[int, int], text: str) -> None:
    assert found == expected, f"{text}: {found[0]:x} {found[1]:#x}, should be {expected[0]:x} {expected[1]:#x}"


TWO: dict[str, tuple[int, Callable[..., int]]] = {
    "add": (fc.ADD, ref.add), "sub": (fc.SUB, ref.sub), "mul": (fc.MUL, ref.mul), "div": (fc.DIV, ref.div),
}  # fmt: skip


@pytest.mark.parametrize("n", [32, 64])
@pytest.mark.parametrize("name", TWO)
def test_two_operands(helpers: dict[str, Any], name: str, n: int) -> None:
    code, function = TWO[name]
    block, rng = Block(), random.Random(f"{name}{n}")
    for x, y in pairs(f"{name}{n}", n, 3000):
        fpscr = rng.choice(MODES)
        control = ref.from_fpscr(fpscr)
        expected = function(control, n, x, y), control.flags
        same(block.run(helpers["arm_fp2"], fpscr, code, n, x, y), expected, f"{name}{n} {x:x} {y:x} {fpscr:#x}")


@pytest.mark.parametrize("n", [32, 64])
def test_fused(helpers: dict[str, Any], n: int) -> None:
    block, rng = Block(), random.Random(n)
    for x, y in pairs(f"fused{n}", n, 4000):
        fpscr = rng.choice(MODES)
        product = ref.mul(ref.Control(), n, x, y)
        near = product ^ rng.getrandbits(4) ^ 1 << n - 1
        a = rng.choice([any_number(rng, n), rng.choice(edges(n)), near, near & -32 & (1 << n) - 1])
        control = ref.from_fpscr(fpscr)
        expected = ref.muladd(control, n, a, x, y), control.flags
        same(block.run(helpers["arm_fp3"], fpscr, n, a, x, y), expected, f"{a:x} + {x:x} * {y:x} {fpscr:#x}")


@pytest.mark.parametrize("n", [32, 64])
def test_sqrt_and_conversions(helpers: dict[str, Any], n: int) -> None:
    block, rng = Block(), random.Random(n)
    for x in [*edges(n) * 8, *(any_number(rng, n) for _ in range(3000))]:
        fpscr = rng.choice(MODES)
        control = ref.from_fpscr(fpscr)
        expected = ref.sqrt(control, n, x), control.flags
        same(block.run(helpers["arm_fp1"], fpscr, fc.SQRT, n, x), expected, f"sqrt {x:x} {fpscr:#x}")
        control = ref.from_fpscr(fpscr)
        expected = ref.convert(control, n, 96 - n, x), control.flags
        code = fc.WIDEN if n == 32 else fc.NARROW
        same(block.run(helpers["arm_fp1"], fpscr, code, n, x), expected, f"convert {x:x} {fpscr:#x}")


def test_halves(helpers: dict[str, Any]) -> None:
    block, rng = Block(), random.Random(16)
    for x in range(0, 65536, 7):
        fpscr = rng.choice(MODES) | rng.choice((0, fc.AHP))
        control = ref.from_fpscr(fpscr)
        expected = ref.convert(control, 16, 32, x), control.flags
        same(block.run(helpers["arm_fp1"], fpscr, fc.WIDEN, 16, x), expected, f"half {x:x} {fpscr:#x}")
    for i in range(6000):
        fpscr = rng.choice(MODES) | rng.choice((0, fc.AHP))
        x = edges(32)[i % 54] if i < 1000 else rng.getrandbits(1) << 31 | rng.randint(0x32000000, 0x49000000)
        control = ref.from_fpscr(fpscr)
        expected = ref.convert(control, 32, 16, x), control.flags
        same(block.run(helpers["arm_fp1"], fpscr, fc.NARROW, 32, x), expected, f"to half {x:x} {fpscr:#x}")


@pytest.mark.parametrize("n", [32, 64])
def test_comparisons(helpers: dict[str, Any], n: int) -> None:
    block, rng = Block(), random.Random(n)
    for x, y in pairs(f"compare{n}", n, 500):
        fpscr, signal = rng.choice(MODES), rng.getrandbits(1)
        control = ref.from_fpscr(fpscr)
        expected = ref.compare(control, n, x, y, bool(signal)) << 28, control.flags
        same(block.run(helpers["arm_fpcmp"], fpscr, signal, n, x, y), expected, f"compare {x:x} {y:x} {fpscr:#x}")


@pytest.mark.parametrize("n", [32, 64])
def test_fixed_point(helpers: dict[str, Any], n: int) -> None:
    block, rng = Block(), random.Random(n)
    for i in range(6000):
        fpscr, unsigned, own = rng.choice(MODES), bool(rng.getrandbits(1)), bool(rng.getrandbits(1))
        bits = rng.choice((16, 32))
        fraction = rng.choice((0, 0, rng.randint(0, bits)))
        x = rng.choice(edges(n)) if i < 1500 else any_number(rng, n)
        control = ref.from_fpscr(fpscr)
        expected = ref.to_fixed(control, n, x, fraction, unsigned, bits, own), control.flags
        op = fc.fixed(fc.TO_FIXED, fraction, unsigned, bits, own)
        same(block.run(helpers["arm_fp1"], fpscr, op, n, x), expected, f"to fixed {x:x} {op:#x} {fpscr:#x}")
        integer = rng.choice((rng.getrandbits(32), rng.getrandbits(4), -rng.getrandbits(4), 1 << rng.randrange(32)))
        control = ref.from_fpscr(fpscr)
        expected = ref.from_fixed(control, n, integer, fraction, unsigned, bits, own), control.flags
        op = fc.fixed(fc.FROM_FIXED, fraction, unsigned, bits, own)
        same(block.run(helpers["arm_fp1"], fpscr, op, n, integer), expected, f"from fixed {integer:x} {op:#x}")


def _masks(relation: Callable[[int], bool], signal: bool, absolute: bool) -> Callable[..., int]:
    def function(c: ref.Control, n: int, x: int, y: int) -> int:
        keep = 0x7FFFFFFF if absolute else 0xFFFFFFFF
        return 0xFFFFFFFF if relation(ref.compare(c, n, x & keep, y & keep, signal)) else 0

    return function


VECTOR2: dict[str, tuple[int, Callable[..., int]]] = {
    **TWO,
    "max": (fc.MAX, ref.maximum),
    "min": (fc.MIN, ref.minimum),
    "recps": (fc.RECPS, lambda c, n, x, y: ref.recip_step(c, x, y)),
    "rsqrts": (fc.RSQRTS, lambda c, n, x, y: ref.rsqrt_step(c, x, y)),
    "ceq": (fc.CEQ, _masks(lambda f: f == 6, False, False)),
    "cge": (fc.CGE, _masks(lambda f: f in (2, 6), True, False)),
    "cgt": (fc.CGT, _masks(lambda f: f == 2, True, False)),
    "acge": (fc.ACGE, _masks(lambda f: f in (2, 6), True, True)),
    "acgt": (fc.ACGT, _masks(lambda f: f == 2, True, True)),
}


@pytest.mark.parametrize("name", [n for n in VECTOR2 if n != "div"])
def test_vectors_of_two_operands(helpers: dict[str, Any], name: str) -> None:
    code, function = VECTOR2[name]
    block, rng = Block(), random.Random(name)
    every = list(pairs(name, 32, 1500))
    for at in range(0, len(every) - 3, 4):
        lanes = every[at : at + 4]
        fpscr = rng.choice(MODES)
        control = ref.standard(fpscr)
        expected = [function(control, 32, x, y) for x, y in lanes]
        words = [lanes[i][0] | lanes[i + 1][0] << 32 for i in (0, 2)] + [
            lanes[i][1] | lanes[i + 1][1] << 32 for i in (0, 2)
        ]
        low, flags = block.run(helpers["arm_fp2v"], fpscr, code, 4, *words)
        same(
            (low | block.high << 64, flags),
            (sum(v << 32 * i for i, v in enumerate(expected)), control.flags),
            str(lanes),
        )


def test_estimates(helpers: dict[str, Any]) -> None:
    block, rng = Block(), random.Random(1)
    for x in [*edges(32), *(any_number(rng, 32) for _ in range(2000)), *range(0x3E800000, 0x40000000, 0x7FFF)]:
        for code, function in ((fc.RECPE, ref.recip_estimate), (fc.RSQRTE, ref.rsqrt_estimate)):
            control = ref.standard(0)
            expected = function(control, x), control.flags
            found = block.run(helpers["arm_fp1v"], 0, code, 2, x | 0x3F800000 << 32, 0)
            same((found[0] & 0xFFFFFFFF, found[1]), expected, f"estimate {code} {x:x}")
        for root, integers in ((0, ref.unsigned_recip_estimate), (1, ref.unsigned_rsqrt_estimate)):
            y = x ^ 0x80000000
            both = block.run(helpers["arm_estimate"], 0, root, x | y << 32)[0]
            assert both == integers(x) | integers(y) << 32, f"{x:x}"


def test_vectors_of_halves(helpers: dict[str, Any]) -> None:
    block, rng = Block(), random.Random(2)
    for _ in range(1000):
        halves = [any_number(rng, 16) for _ in range(4)]
        control = ref.standard(0)
        words = [ref.convert(control, 16, 32, h) for h in halves]
        low, flags = block.run(helpers["arm_fp_widen"], 0, sum(h << 16 * i for i, h in enumerate(halves)))
        same(
            (low | block.high << 64, flags), (sum(w << 32 * i for i, w in enumerate(words)), control.flags), str(halves)
        )
        words = [any_number(rng, 32) if rng.getrandbits(1) else rng.randint(0x32000000, 0x49000000) for _ in range(4)]
        control = ref.standard(0)
        halves = [ref.convert(control, 32, 16, w) for w in words]
        found = block.run(helpers["arm_fp_narrow"], 0, words[0] | words[1] << 32, words[2] | words[3] << 32)
        same(found, (sum(h << 16 * i for i, h in enumerate(halves)), control.flags), str(words))


def test_fused_vectors(helpers: dict[str, Any]) -> None:
    block, rng = Block(), random.Random(3)
    for _ in range(1000):
        lanes = [[any_number(rng, 32) for _ in range(4)] for _ in range(3)]
        control = ref.standard(0)
        expected = [ref.muladd(control, 32, *operands) for operands in zip(*lanes, strict=True)]
        words = [v[i] | v[i + 1] << 32 for v in lanes for i in (0, 2)]
        low, flags = block.run(helpers["arm_fp3v"], 0, 4, *words)
        same(
            (low | block.high << 64, flags),
            (sum(w << 32 * i for i, w in enumerate(expected)), control.flags),
            str(lanes),
        )
