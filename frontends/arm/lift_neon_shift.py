"""Advanced SIMD: shifts by an immediate, and modified immediates (DDI 0406C, A7.4.4 and A7.4.6)."""

from __future__ import annotations

from collections.abc import Callable

import frontends.arm.ops_float_vector
import frontends.arm.ops_neon  # noqa: F401  (declares rows)
from frontends.arm import fpcodes as fc
from frontends.arm import state as st
from frontends.arm.lift import Insn
from frontends.arm.lift_neon import Vector, vector
from frontends.arm.patterns import Fields
from frontends.arm.simd import double, expanded, neon, odd, scratch

#: ``lift(vector, bits to shift by)``.
Shift = Callable[[Vector, int], None]


def signed(bits: int) -> int:
    """64 bits as a signed number."""
    return bits - (bits >> 63 << 64)


def spread(value: int, k: int) -> int:
    """A value in lanes of ``k`` bits, as a constant of 64."""
    return signed(sum((value & (1 << k) - 1) << at for at in range(0, 64, k)))


def constant(v: Vector, register: int, value: int) -> int:
    """Load 64 bits, given as a signed number, into both halves of a scratch register."""
    v.i.emit("arm_vsplat128", register, imm=value)
    return register


def lane_bits(f: Fields) -> int:
    """Lanes of a shift: by the highest bit of ``L:iiiiii``, of which there is one from bit 3 on."""
    return 64 if f.get("L") else 1 << f["i"].bit_length() - 1


def _vector(i: Insn) -> Vector:
    v = vector(i)
    v.k = lane_bits(i.fields)
    return v


def _number(i: Insn, k: int, left: bool) -> int:
    """Bits to shift by, 0..k-1 to the left or 1..k to the right."""
    coded = i["i"] if k == 64 else i["i"] & k - 1
    return coded if left else k - coded


def shift(u: str, a: str, name: str, left: bool, lift: Shift) -> None:
    """A shift within lanes of 8 to 64 bits."""
    unaligned = odd("d", "m")

    def register(i: Insn) -> None:
        v = _vector(i)
        lift(v, _number(i, v.k, left))

    # Without bit 7 and the upper half of imm6 it is a modified immediate, which has more fixed bits.
    neon(f"1111 001{u} 1Diiiiii dddd {a} LQM1 mmmm", name,
         bad=lambda f: unaligned(f) or (not f["L"] and f["i"] < 8))(register)  # fmt: skip


def to_right(v: Vector, n: int, d: int) -> None:
    """d = m >> n, 1..k."""
    if n < v.k:
        v.emit(f"vshr{v.s}", d, v.m, imm=n)
    elif v.s == "s":
        v.emit("vshrs", d, v.m, imm=n - 1)
    else:
        v.whole("veor", d, v.m, v.m)


def by_constant(v: Vector, name: str, n: int, d: int) -> None:
    """A shift that there is by register only."""
    v.emit(name + v.s, d, v.m, constant(v, scratch(1), spread(n, v.k)))


def _then_add(lift: Callable[[Vector, int, int], None]) -> Shift:
    def both(v: Vector, n: int) -> None:
        lift(v, n, scratch(0))
        v.emit("vadd", v.d, v.d, scratch(0))

    return both


def _insert(v: Vector, n: int, left: bool) -> None:
    """VSLI and VSRI: the bits that a shift would clear stay."""
    ones = (1 << v.k) - 1
    if left:
        v.emit("vshl", scratch(0), v.m, imm=n)
        keep = spread(ones << n, v.k)
    elif n == v.k:
        return
    else:
        v.emit("vshru", scratch(0), v.m, imm=n)
        keep = spread(ones >> n, v.k)
    v.whole("vbsl", v.d, scratch(0), v.d, constant(v, scratch(1), keep))


def _rounding(v: Vector, n: int, d: int) -> None:
    by_constant(v, "vrshl", -n, d)


shift("U", "0000", "vshr", False, lambda v, n: to_right(v, n, v.d))
shift("U", "0001", "vsra", False, _then_add(to_right))
shift("U", "0010", "vrshr", False, lambda v, n: _rounding(v, n, v.d))
shift("U", "0011", "vrsra", False, _then_add(_rounding))
shift("1", "0100", "vsri", False, lambda v, n: _insert(v, n, False))
shift("0", "0101", "vshl_imm", True, lambda v, n: v.emit("vshl", v.d, v.m, imm=n))
shift("1", "0101", "vsli", True, lambda v, n: _insert(v, n, True))
shift("1", "0110", "vqshlu", True, lambda v, n: v.emit("vqshlun", v.d, v.m, imm=n))
shift("U", "0111", "vqshl_imm", True, lambda v, n: by_constant(v, "vqshl", n, v.d))


# -- narrow and long -------------------------------------------------------------------------------------------------


def narrowing(u: int, a: str, rounding: int, name: str, narrow: str, s: str) -> None:
    """Shift a quadword's lanes to the right, as ``s`` says, and make them half as wide by the row ``narrow``."""

    def register(i: Insn) -> None:
        v = vector(i)
        k = lane_bits(i.fields)
        v.w, v.k, v.s = 128, 2 * k, s
        n = _number(i, k, False)
        if rounding:
            _rounding(v, n, scratch(0))
        else:
            to_right(v, n, scratch(0))
        v.i.emit(f"arm_{narrow}{k}", v.d, scratch(0))

    neon(f"1111 001{u} 1Diiiiii dddd {a} 0{rounding}M1 mmmm", name, bad=lambda f: f["i"] < 8 or f["m"] & 1)(register)


for _r in (0, 1):
    _vq, _v = ("vqr", "vr") if _r else ("vq", "v")
    narrowing(0, "1000", _r, f"{_v}shrn", "vmovn", "u")
    narrowing(1, "1000", _r, f"{_vq}shrun", "vqmovun", "s")
    narrowing(0, "1001", _r, f"{_vq}shrn", "vqmovns", "s")
    narrowing(1, "1001", _r, f"{_vq}shrn_u", "vqmovnu", "u")


@neon("1111 001U 1Diiiiii dddd 1010 00M1 mmmm", "vshll", capstone="vshll vmovl", bad=lambda f: f["i"] < 8 or f["d"] & 1)
def vshll(i: Insn) -> None:
    """By 0: VMOVL."""
    v = vector(i)
    k = lane_bits(i.fields)
    n = _number(i, k, True)
    i.emit(f"arm_vmovl{v.s}{k}", v.d, v.m)
    if n:
        i.emit(f"arm_vshl{2 * k}_128", v.d, v.d, imm=n)


@neon("1111 001U 1Diiiiii dddd 111o 0QM1 mmmm", "vcvt_fixed_neon", capstone="vcvt",
      bad=lambda f: f["i"] < 32 or (f["Q"] and (f["d"] | f["m"]) & 1))  # fmt: skip
def vcvt_fixed_neon(i: Insn) -> None:
    """Words to (``o``) or from fixed point."""
    v = vector(i)
    code = fc.TO_FIXED if i["o"] else fc.FROM_FIXED
    v.i.emit(f"arm_vf1_{v.w}_any", v.d, v.m, imm=fc.fixed(code, 64 - i["i"], v.s == "u", 32, True))


# -- modified immediates ---------------------------------------------------------------------------------------------


@neon("1111 001j 1D00 0jjj dddd kkkk 0Qo1 jjjj", "modified_immediate", capstone="vmov vmvn vorr vbic",
      bad=lambda f: (f["Q"] and f["d"] & 1) or (f["k"] == 15 and f["o"]))  # fmt: skip
def modified_immediate(i: Insn) -> None:
    """VMOV and VMVN; VORR and VBIC where the lowest bit of cmode is set."""
    d, kind, w = st.d(double(i, "d")), i["k"], 128 if i["Q"] else 64
    value = expanded(kind, i["o"], i["j"])
    combines = kind & 1 and kind < 12
    if i["o"] and kind != 14:
        value ^= (1 << 64) - 1
    if not combines:
        i.emit("arm_vsplat128" if w == 128 else "movi64", d, imm=signed(value))
        return
    i.emit("arm_vsplat128", scratch(0), imm=signed(value))
    i.emit(f"arm_v{'and' if i['o'] else 'orr'}{w}", d, d, scratch(0))
