"""Advanced SIMD: two registers, extraction, table lookup, duplication (DDI 0406C, A7.4 and A7.4.5)."""

from __future__ import annotations

import frontends.arm.ops_float_vector
import frontends.arm.ops_neon  # noqa: F401  (declares rows)
from frontends.arm import fpcodes as fc
from frontends.arm import state as st
from frontends.arm.lift import Insn
from frontends.arm.lift_neon import Lift, Vector, vector
from frontends.arm.patterns import Fields
from frontends.arm.simd import double, half, neon, odd, scratch


def misc(a: str, b: str, name: str, sizes: str, lift: Lift) -> None:
    """Two registers of the same length; ``b`` are bits 10 to 7."""
    allowed, unaligned = {int(c) for c in sizes}, odd("d", "m")
    neon(f"1111 0011 1D11 zz{a} dddd 0{b}QM0 mmmm", name,
         bad=lambda f: f["z"] not in allowed or unaligned(f))(lambda i: lift(vector(i)))  # fmt: skip


def _row(name: str) -> Lift:
    return lambda v: v.emit(name, v.d, v.m)


def _whole(name: str) -> Lift:
    return lambda v: v.whole(name, v.d, v.m)


def _pairs(s: str, accumulates: bool) -> Lift:
    """VPADDL and VPADAL."""

    def lift(v: Vector) -> None:
        target = scratch(0) if accumulates else v.d
        v.i.emit(f"arm_vpaddl{s}{v.k}_{v.w}", target, v.m)
        if accumulates:
            v.i.emit(f"arm_vadd{2 * v.k}_{v.w}", v.d, v.d, target)

    return lift


for _code, _group in enumerate((64, 32, 16)):
    misc("00", f"00{_code:02b}", f"vrev{_group}", "012"[: _group.bit_length() - 4], _row(f"vrev{_group}_"))
for _u, _s in enumerate("su"):
    misc("00", f"010{_u}", f"vpaddl_{_s}", "012", _pairs(_s, False))
    misc("00", f"110{_u}", f"vpadal_{_s}", "012", _pairs(_s, True))
misc("00", "1000", "vcls", "012", _row("vcls"))
misc("00", "1001", "vclz", "012", _row("vclz"))
misc("00", "1010", "vcnt", "0", _row("vcnt"))
misc("00", "1011", "vmvn_reg", "0", _whole("vmvn"))
misc("00", "1110", "vqabs", "012", _row("vqabs"))
misc("00", "1111", "vqneg", "012", _row("vqneg"))


def _with_zero(name: str, swapped: bool) -> Lift:
    """A comparison of Vm with 0, or of 0 with Vm."""

    def lift(v: Vector) -> None:
        v.i.emit("arm_vsplat128", scratch(0), imm=0)
        operands = (scratch(0), v.m) if swapped else (v.m, scratch(0))
        if name.startswith("vf"):
            v.whole(name, v.d, *operands)
        else:
            v.emit(name, v.d, *operands)

    return lift


for _code, (_name, _integer, _number, _swapped) in enumerate((
    ("vcgt", "vcgts", "vfcgt_", False), ("vcge", "vcges", "vfcge_", False), ("vceq", "vceq", "vfceq_", False),
    ("vcle", "vcges", "vfcge_", True), ("vclt", "vcgts", "vfcgt_", True),
)):  # fmt: skip
    misc("01", f"0{_code:03b}", f"{_name}_zero", "012", _with_zero(_integer, _swapped))
    misc("01", f"1{_code:03b}", f"{_name}_zero_f32", "2", _with_zero(_number, _swapped))
misc("01", "0110", "vabs_int", "012", _row("vabs"))
misc("01", "0111", "vneg_int", "012", _row("vneg"))
misc("01", "1110", "vabs_f32", "2", _whole("vfabs_"))
misc("01", "1111", "vneg_f32", "2", _whole("vfneg_"))


def _swap(v: Vector) -> None:
    zero = scratch(0)
    v.whole("vorr", zero, v.m, v.m)
    v.whole("vorr", v.m, v.d, v.d)
    v.whole("vorr", v.d, zero, zero)


def _permuted(name: str) -> Lift:
    """VTRN, VZIP, VUZP: both registers are written. (Of a register with itself, the second result stays.)"""

    def lift(v: Vector) -> None:
        v.emit(f"{name}0_", scratch(0), v.d, v.m)
        v.emit(f"{name}1_", v.m, v.d, v.m)
        v.whole("vorr", v.d, scratch(0), scratch(0))

    return lift


misc("10", "0000", "vswp", "0", _swap)
misc("10", "0001", "vtrn", "012", _permuted("vtrn"))


def _permutation(b: str, name: str) -> None:
    """VUZP, VZIP; on doublewords of two words they are VTRN, and have no encoding."""
    unaligned = odd("d", "m")
    neon(f"1111 0011 1D11 zz10 dddd 0{b}QM0 mmmm", name,
         bad=lambda f: f["z"] == 3 or (f["z"] == 2 and not f["Q"]) or unaligned(f))(
             lambda i: _permuted(name)(vector(i)))  # fmt: skip


_permutation("0010", "vuzp")
_permutation("0011", "vzip")


def _narrow(b: str, q: int, name: str, row: str) -> None:
    """VMOVN and its saturating kin."""

    def register(i: Insn) -> None:
        i.emit(f"arm_{row}{8 << i['z']}", st.d(double(i, "d")), st.d(double(i, "m")))

    neon(f"1111 0011 1D11 zz10 dddd 0{b}{q}M0 mmmm", name, bad=lambda f: f["z"] == 3 or f["m"] & 1)(register)


_narrow("0100", 0, "vmovn", "vmovn")
_narrow("0100", 1, "vqmovun", "vqmovun")
_narrow("0101", 0, "vqmovn_s", "vqmovns")
_narrow("0101", 1, "vqmovn_u", "vqmovnu")


@neon("1111 0011 1D11 zz10 dddd 0011 00M0 mmmm", "vshll_max", bad=lambda f: f["z"] == 3 or f["d"] & 1)
def vshll_max(i: Insn) -> None:
    """By as many bits as a lane has."""
    k, d = 8 << i["z"], st.d(double(i, "d"))
    i.emit(f"arm_vmovlu{k}", d, st.d(double(i, "m")))
    i.emit(f"arm_vshl{2 * k}_128", d, d, imm=k)


@neon("1111 0011 1D11 0110 dddd 0110 00M0 mmmm", "vcvt_f16_f32", bad=lambda f: f["m"] & 1)
def vcvt_f16_f32(i: Insn) -> None:
    i.emit("arm_vfnarrow", st.d(double(i, "d")), st.d(double(i, "m")))


@neon("1111 0011 1D11 0110 dddd 0111 00M0 mmmm", "vcvt_f32_f16", bad=lambda f: f["d"] & 1)
def vcvt_f32_f16(i: Insn) -> None:
    i.emit("arm_vfwiden", st.d(double(i, "d")), st.d(double(i, "m")))


def _integer_estimate(root: int) -> Lift:
    def lift(v: Vector) -> None:
        for at in range(0, v.w // 8, 8):
            v.i.emit("arm_vestimate", v.d + at, v.m + at, imm=root)

    return lift


def _estimate(code: int) -> Lift:
    return lambda v: v.i.emit(f"arm_vf1_{v.w}_any", v.d, v.m, imm=code)


misc("11", "1000", "vrecpe", "2", _integer_estimate(0))
misc("11", "1001", "vrsqrte", "2", _integer_estimate(1))
misc("11", "1010", "vrecpe_f32", "2", _estimate(fc.RECPE))
misc("11", "1011", "vrsqrte_f32", "2", _estimate(fc.RSQRTE))
for _code, _name in enumerate(("vfs32_", "vfu32_", "vf_s32_", "vf_u32_")):
    misc("11", f"11{_code:02b}", f"vcvt_{_code}", "2", _whole(_name))


# -- extraction, lookup, duplication ---------------------------------------------------------------------------------


def _ext_bad(f: Fields) -> bool:
    return bool(f["i"] > 7 if not f["Q"] else (f["d"] | f["n"] | f["m"]) & 1)


@neon("1111 0010 1D11 nnnn dddd iiii NQM0 mmmm", "vext", bad=_ext_bad)
def vext(i: Insn) -> None:
    v = vector(i)
    if i["i"]:
        i.emit(f"arm_vext{i['i']}_{v.w}", v.d, v.n, v.m)
    else:
        v.whole("vorr", v.d, v.n, v.n)


@neon("1111 0011 1D11 nnnn dddd 10ll NoM0 mmmm", "vtbl", capstone="vtbl vtbx",
      bad=lambda f: (f["N"] << 4 | f["n"]) + f["l"] > 31)  # fmt: skip
def vtbl(i: Insn) -> None:
    """VTBX (``o``) keeps the bytes whose index is outside."""
    d, n, m = (st.d(double(i, letter)) for letter in "dnm")
    kept = d
    if not i["o"]:
        kept = half(0)
        i.emit("movi64", kept, imm=0)
    i.emit("arm_vtbl", d, m, kept, imm=n << 8 | 8 * (i["l"] + 1))


@neon("1111 0011 1D11 iiii dddd 1100 0QM0 mmmm", "vdup_lane", capstone="vdup",
      bad=lambda f: not f["i"] & 7 or (f["Q"] and f["d"] & 1))  # fmt: skip
def vdup_lane(i: Insn) -> None:
    """The lowest bit set of ``iiii`` gives the lane's size, those above it its number."""
    size = (i["i"] & -i["i"]).bit_length() - 1
    lane = i["i"] >> size + 1
    i.emit(f"arm_vdup{8 << size}_{128 if i['Q'] else 64}", st.d(double(i, "d")), st.d(double(i, "m")) + (lane << size))
