"""VFPv4: data processing, moves between registers, system registers (DDI 0406C, A7.5, A7.8, A7.9)."""

from __future__ import annotations

import frontends.arm.ops_float
import frontends.arm.ops_vfp  # noqa: F401  (declares rows)
from frontends.arm import fpcodes as fc
from frontends.arm import state as st
from frontends.arm.lift import PC, Insn
from frontends.arm.patterns import Fields
from frontends.arm.simd import double, half, single, undefined, vfp, vfp_immediate


def plain(i: Insn) -> bool:
    """FPSCR is known to ask for nothing special."""
    return bool(i.mode & st.MODE_DEFAULT_FP)


def bits(i: Insn) -> int:
    """The format, by the field ``z``."""
    return 64 if i["z"] else 32


def at(i: Insn, letter: str, n: int = 0) -> int:
    """CPU block offset of the register in a field."""
    n = n or bits(i)
    return st.d(double(i, letter)) if n == 64 else st.s(single(i, letter))


def two(i: Insn, name: str, d: int, a: int, b: int) -> None:
    """d = a <name> b in the instruction's format."""
    n = bits(i)
    if plain(i):
        i.emit(f"arm_f{name}{n}", d, a, b)
    else:
        i.emit(f"arm_fp2_{n}_any", d, a, b, imm=fc.__dict__[name.upper()])


def negated(i: Insn, source: int, number: int) -> int:
    """A scratch register with -source."""
    i.emit(f"arm_fneg{bits(i)}", half(number), source)
    return half(number)


# -- arithmetic ------------------------------------------------------------------------------------------------------


def _arithmetic(name: str, text: str, op: str, negate: bool = False) -> None:
    @vfp(f"cccc 1110 {text[:4]} nnnn dddd 101z {text[4:]} mmmm", name)
    def lift(i: Insn) -> None:
        two(i, op, at(i, "d"), at(i, "n"), at(i, "m"))
        if negate:
            i.emit(f"arm_fneg{bits(i)}", at(i, "d"), at(i, "d"))


_arithmetic("vmul", "0D10N0M0", "mul")
_arithmetic("vnmul", "0D10N1M0", "mul", True)
_arithmetic("vadd", "0D11N0M0", "add")
_arithmetic("vsub", "0D11N1M0", "sub")
_arithmetic("vdiv", "1D00N0M0", "div")


def _accumulating(name: str, text: str, negate_sum: bool, negate_product: bool) -> None:
    """VMLA and the like: the product is rounded by itself."""

    @vfp(f"cccc 1110 {text[:4]} nnnn dddd 101z {text[4:]} mmmm", name)
    def lift(i: Insn) -> None:
        d, product = at(i, "d"), half(0)
        two(i, "mul", product, at(i, "n"), at(i, "m"))
        if negate_product:
            product = negated(i, product, 1)
        two(i, "add", d, negated(i, d, 2) if negate_sum else d, product)


_accumulating("vmla", "0D00N0M0", False, False)
_accumulating("vmls", "0D00N1M0", False, True)
_accumulating("vnmls", "0D01N0M0", True, False)
_accumulating("vnmla", "0D01N1M0", True, True)


def _fused(name: str, text: str, negate_sum: bool, negate_product: bool) -> None:
    @vfp(f"cccc 1110 {text[:4]} nnnn dddd 101z {text[4:]} mmmm", name)
    def lift(i: Insn) -> None:
        d, n = at(i, "d"), at(i, "n")
        addend = negated(i, d, 0) if negate_sum else d
        factor = negated(i, n, 1) if negate_product else n
        name = f"arm_fma{bits(i)}" if plain(i) else f"arm_fp3_{bits(i)}_any"
        i.emit(name, d, addend, factor, at(i, "m"))


_fused("vfma", "1D10N0M0", False, False)
_fused("vfms", "1D10N1M0", False, True)
_fused("vfnms", "1D01N0M0", True, False)
_fused("vfnma", "1D01N1M0", True, True)


@vfp("cccc 1110 1D11 0000 dddd 101z 11M0 mmmm", "vabs")
def vabs(i: Insn) -> None:
    i.emit(f"arm_fabs{bits(i)}", at(i, "d"), at(i, "m"))


@vfp("cccc 1110 1D11 0001 dddd 101z 01M0 mmmm", "vneg")
def vneg(i: Insn) -> None:
    i.emit(f"arm_fneg{bits(i)}", at(i, "d"), at(i, "m"))


@vfp("cccc 1110 1D11 0001 dddd 101z 11M0 mmmm", "vsqrt")
def vsqrt(i: Insn) -> None:
    n = bits(i)
    if plain(i):
        i.emit(f"arm_fsqrt{n}", at(i, "d"), at(i, "m"))
    else:
        i.emit(f"arm_fp1_{n}_{n}_any", at(i, "d"), at(i, "m"), imm=fc.SQRT)


@vfp("cccc 1110 1D11 010o dddd 101z e1M0 mmmm", "vcmp", capstone="vcmp vcmpe", bad=lambda f: f["o"] and f["M"] | f["m"])
def vcmp(i: Insn) -> None:
    """With a register, or (``o``) with 0; ``e``: quiet NaNs are invalid too."""
    n, other = bits(i), at(i, "m")
    if i["o"]:
        other = half(0)
        i.emit("movi64", other, imm=0)
    if plain(i):
        i.emit(f"arm_fcmp{'e' if i['e'] else ''}{n}", st.FPCC, at(i, "d"), other)
    else:
        i.emit(f"arm_fcmp{n}_any", st.FPCC, at(i, "d"), other, imm=i["e"])


# -- conversions -----------------------------------------------------------------------------------------------------


@vfp("cccc 1110 1D11 0111 dddd 101z 11M0 mmmm", "vcvt_precision")
def vcvt_precision(i: Insn) -> None:
    """Single to double (z 0), double to single."""
    n = bits(i)
    d, m = at(i, "d", 96 - n), at(i, "m")
    if plain(i):
        i.emit("arm_fwiden" if n == 32 else "arm_fnarrow", d, m)
    else:
        i.emit(f"arm_fp1_{n}_{96 - n}_any", d, m, imm=fc.WIDEN if n == 32 else fc.NARROW)


@vfp("cccc 1110 1D11 001o dddd 1010 t1M0 mmmm", "vcvt_half", capstone="vcvtb vcvtt")
def vcvt_half(i: Insn) -> None:
    """VCVTB, VCVTT: the low or high half of a single-precision register."""
    d, m = st.s(single(i, "d")), st.s(single(i, "m"))
    if i["o"]:
        i.emit("arm_fp1_32_16_any", d + 2 * i["t"], m, imm=fc.NARROW)
    else:
        i.emit("arm_fp1_16_32_any", d, m + 2 * i["t"], imm=fc.WIDEN)


@vfp("cccc 1110 1D11 1000 dddd 101z s1M0 mmmm", "vcvt_from_integer", capstone="vcvt")
def vcvt_from_integer(i: Insn) -> None:
    n, m = bits(i), st.s(single(i, "m"))
    if n == 64 or plain(i):
        i.emit(f"arm_f{'s' if i['s'] else 'u'}32_{n}", at(i, "d"), m)
    else:
        i.emit("arm_fp1_32_32_any", at(i, "d"), m, imm=fc.fixed(fc.FROM_FIXED, 0, not i["s"], 32, False))


@vfp("cccc 1110 1D11 110s dddd 101z t1M0 mmmm", "vcvt_to_integer", capstone="vcvt vcvtr")
def vcvt_to_integer(i: Insn) -> None:
    """Rounding to zero (``t``), or VCVTR as FPSCR says."""
    n, d = bits(i), st.s(single(i, "d"))
    if plain(i) and i["t"]:
        i.emit(f"arm_f{n}_{'s' if i['s'] else 'u'}32", d, at(i, "m"))
    else:
        op = fc.fixed(fc.TO_FIXED, 0, not i["s"], 32, bool(i["t"]))
        i.emit(f"arm_fp1_{n}_32_any", d, at(i, "m"), imm=op)


def _too_long(f: Fields) -> bool:
    """More fraction bits than bits."""
    return (f["i"] << 1 | f["j"]) > (32 if f["x"] else 16)


@vfp("cccc 1110 1D11 1o1u dddd 101z x1j0 iiii", "vcvt_fixed", capstone="vcvt", bad=_too_long)
def vcvt_fixed(i: Insn) -> None:
    """To (``o``) or from fixed point, of 16 or 32 bits in the register's low end."""
    n, d, size = bits(i), at(i, "d"), 32 if i["x"] else 16
    fraction, unsigned = size - (i["i"] << 1 | i["j"]), bool(i["u"])
    if not i["o"]:
        i.emit(f"arm_fp1_{n}_{n}_any", d, d, imm=fc.fixed(fc.FROM_FIXED, fraction, unsigned, size, True))
        return
    i.emit(f"arm_fp1_{n}_32_any", half(0), d, imm=fc.fixed(fc.TO_FIXED, fraction, unsigned, size, True))
    i.emit(f"arm_f{'zx' if unsigned else 'sx'}{size}_{n}", d, half(0))


# -- moves -----------------------------------------------------------------------------------------------------------


@vfp("cccc 1110 1D11 iiii dddd 101z 0000 iiii", "vmov_imm", capstone="vmov fconsts fconstd")
def vmov_imm(i: Insn) -> None:
    value = vfp_immediate(bits(i), i["i"])
    i.emit("movi64" if i["z"] else "arm_movi32", at(i, "d"), imm=value - (value >> 63 << 64))


@vfp("cccc 1110 1D11 0000 dddd 101z 01M0 mmmm", "vmov_reg")
def vmov_reg(i: Insn) -> None:
    i.emit("mov64" if i["z"] else "arm_mov32", at(i, "d"), at(i, "m"))


def bad_core(f: Fields, *letters: str) -> bool:
    """The PC as a core register. (SP is allowed, also in T32, as ARMv8 has it.)"""
    return any(f[letter] == PC for letter in letters)


@vfp("cccc 1110 000o nnnn tttt 1010 N001 0000", "vmov_single", bad=lambda f: bad_core(f, "t"))
def vmov_single(i: Insn) -> None:
    s, t = st.s(single(i, "n")), st.gpr(i["t"])
    if i["o"]:
        i.emit("mov32", t, s)
    else:
        i.emit("arm_mov32", s, t)


def _pair_bad(f: Fields) -> bool:
    return bad_core(f, "t", "u") or bool(f["o"] and f["t"] == f["u"])


@vfp("cccc 1100 010o uuuu tttt 1010 00M1 mmmm", "vmov_singles", capstone="vmov",
     bad=lambda f: _pair_bad(f) or (f["m"] == 15 and f["M"] == 1))  # fmt: skip
def vmov_singles(i: Insn) -> None:
    """Two core registers and two consecutive single-precision ones."""
    for letter, s in (("t", single(i, "m")), ("u", single(i, "m") + 1)):
        if i["o"]:
            i.emit("mov32", st.gpr(i[letter]), st.s(s))
        else:
            i.emit("arm_mov32", st.s(s), st.gpr(i[letter]))


@vfp("cccc 1100 010o uuuu tttt 1011 00M1 mmmm", "vmov_double", capstone="vmov", bad=_pair_bad)
def vmov_double(i: Insn) -> None:
    d = st.d(double(i, "m"))
    for letter, at in (("t", d), ("u", d + 4)):
        if i["o"]:
            i.emit("mov32", st.gpr(i[letter]), at)
        else:
            i.emit("arm_mov32", at, st.gpr(i[letter]))


def lane(i: Insn) -> tuple[int, int]:
    """(bits, CPU block offset) of the scalar in ``oo`` and ``pp``."""
    which, d = i["o"] << 2 | i["p"], st.d(double(i, "n"))
    if which & 8:
        return 8, d + (which & 7)
    if which & 1:
        return 16, d + 2 * (which >> 1 & 3)
    return 32, d + 4 * (which >> 2)


def _bad_lane(f: Fields) -> bool:
    """UNDEFINED sizes; words have no sign to extend."""
    word = not f["o"] & 2 and not f["p"] & 1
    return bad_core(f, "t") or (word and bool(f["p"] & 2 or f.get("u")))


@vfp("cccc 1110 0oo0 nnnn tttt 1011 Npp1 0000", "vmov_to_lane", bad=_bad_lane)
def vmov_to_lane(i: Insn) -> None:
    size, at = lane(i)
    i.emit("arm_mov32" if size == 32 else f"mov{size}", at, st.gpr(i["t"]))


@vfp("cccc 1110 uoo1 nnnn tttt 1011 Npp1 0000", "vmov_from_lane", bad=_bad_lane)
def vmov_from_lane(i: Insn) -> None:
    size, at = lane(i)
    if size == 32:
        i.emit("mov32", st.gpr(i["t"]), at)
    else:
        i.emit(f"{'zx' if i['u'] else 'sx'}{size}_32", st.gpr(i["t"]), at)


@vfp("cccc 1110 1bQ0 dddd tttt 1011 D0e1 0000", "vdup_core",
     bad=lambda f: bad_core(f, "t") or (f["b"] and f["e"]) or (f["Q"] and f["d"] & 1))  # fmt: skip
def vdup_core(i: Insn) -> None:
    size = 8 if i["b"] else (16 if i["e"] else 32)
    i.emit(f"arm_vdup{size}_{128 if i['Q'] else 64}", st.d(double(i, "d")), st.gpr(i["t"]))


# -- system registers ------------------------------------------------------------------------------------------------

FPSID, FPSCR, MVFR1, MVFR0, FPEXC = 0, 1, 6, 7, 8
#: Of a Cortex-A15: VFPv4 and Advanced SIMDv2 with 32 doubleword registers, no short vectors, no traps.
IDENTITY = {FPSID: 0x410430F0, MVFR0: 0x10110222, MVFR1: 0x11111111}
READABLE = (*IDENTITY, FPSCR, FPEXC)


def _allowed(i: Insn) -> bool:
    """Whether the system register may be accessed: FPSID, FPEXC and MVFRx not in User mode, and only with access to the
    coprocessor (CPACR)."""
    if i["r"] == FPSCR:
        return bool(i.mode & st.MODE_FP)
    if not i.user:
        i.emit("arm_vfp_access")
    return not i.user


@vfp("cccc 1110 1111 rrrr tttt 1010 0001 0000", "vmrs", capstone="vmrs fmstat",
     bad=lambda f: f["r"] not in READABLE or (f["t"] == PC and f["r"] != FPSCR), gate=False)  # fmt: skip
def vmrs(i: Insn) -> None:
    t = i["t"]
    if not _allowed(i):
        undefined(i)
    elif i["r"] == FPSCR:
        i.emit("arm_vmrs_flags" if t == PC else "arm_vmrs", st.gpr(t) if t != PC else 0)
    elif i["r"] == FPEXC:
        i.emit("mov32", st.gpr(t), st.FPEXC)
    else:
        i.emit("movi32", st.gpr(t), imm=IDENTITY[i["r"]])


@vfp("cccc 1110 1110 rrrr tttt 1010 0001 0000", "vmsr",
     bad=lambda f: f["r"] not in (FPSID, FPSCR, FPEXC) or f["t"] == PC, gate=False)  # fmt: skip
def vmsr(i: Insn) -> None:
    """Writes to FPSID change nothing."""
    if not _allowed(i):
        undefined(i)
    elif i["r"] == FPSCR:
        i.emit("arm_vmsr", 0, st.gpr(i["t"]))
        i.sync()
    elif i["r"] == FPEXC:
        i.emit("arm_vmsr_fpexc", 0, st.gpr(i["t"]))
        i.sync()
