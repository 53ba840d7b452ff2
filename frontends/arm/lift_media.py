"""Multiplies, divides, saturation, parallel arithmetic, bit fields, extensions (DDI 0406C, A5.2.5, A5.2.7, A5.4,
A6.3.12-17)."""

from __future__ import annotations

from collections.abc import Callable

import frontends.arm.ops_media  # noqa: F401  (declares rows)
from frontends.arm import state as st
from frontends.arm.lift import PC, SP, Insn
from frontends.arm.lift_data import shifted
from frontends.arm.ops_media import PARALLEL, PREFIXES
from frontends.arm.patterns import Fields, a32, t32

Lift = Callable[[Insn], None]


def _bad(f: Fields) -> bool:
    """A32: no operand is the PC."""
    return any(f.get(name) == PC for name in "dnmahl")


def _bad_t(f: Fields) -> bool:
    """T32: nor the SP."""
    return any(f.get(name) in (SP, PC) for name in "dnmahl")


def both(
    arm: str, thumb: str, name: str, *, bad: Callable[[Fields], bool] | None = None, capstone: str = ""
) -> Callable[[Lift], Lift]:
    """Register a lifter in both instruction sets; ``bad``: what else is UNPREDICTABLE."""
    extra = bad or (lambda f: False)

    def register(lifter: Lift) -> Lift:
        if arm:
            a32(arm, name, bad=lambda f: _bad(f) or extra(f), capstone=capstone)(lifter)
        if thumb:
            t32(thumb, name, bad=lambda f: _bad_t(f) or extra(f), capstone=capstone)(lifter)
        return lifter

    return register


def three(i: Insn, name: str) -> None:
    """Rd := Rn op Rm."""
    i.emit(name, st.gpr(i["d"]), st.gpr(i["n"]), st.gpr(i["m"]))


# -- multiplies -------------------------------------------------------------------------------------------------------
@t32("010000 1101 nnn ddd", "mul_low", capstone="mul")
def mul_low(i: Insn) -> None:
    """MUL of low registers."""
    i.emit("mul32", st.gpr(i["d"]), st.gpr(i["d"]), st.gpr(i["n"]))
    if not i.in_it:
        i.emit("arm_nz", 0, st.gpr(i["d"]))


@both("cccc 0000000 S dddd 0000 mmmm 1001 nnnn", "11111011 0000 nnnn 1111 dddd 0000 mmmm", "mul")
def mul(i: Insn) -> None:
    """MUL; flags in A32 only."""
    three(i, "mul32")
    if i.fields.get("S"):
        i.emit("arm_nz", 0, st.gpr(i["d"]))


@both("cccc 0000001 S dddd aaaa mmmm 1001 nnnn", "11111011 0000 nnnn aaaa dddd 0000 mmmm", "mla")
def mla(i: Insn) -> None:
    """MLA."""
    i.emit("arm_mla", st.gpr(i["d"]), st.gpr(i["n"]), st.gpr(i["m"]), st.gpr(i["a"]))
    if i.fields.get("S"):
        i.emit("arm_nz", 0, st.gpr(i["d"]))


@both("cccc 00000110 dddd aaaa mmmm 1001 nnnn", "11111011 0000 nnnn aaaa dddd 0001 mmmm", "mls")
def mls(i: Insn) -> None:
    """MLS."""
    i.emit("arm_mls", st.gpr(i["d"]), st.gpr(i["n"]), st.gpr(i["m"]), st.gpr(i["a"]))


def long_result(i: Insn, t: int) -> None:
    """RdHi : RdLo := a scratch register."""
    i.emit("arm_low", st.gpr(i["l"]), t)
    i.emit("arm_high", st.gpr(i["h"]), t)
    if i.fields.get("S"):
        i.emit("arm_nz64", 0, t)


def accumulator(i: Insn) -> int:
    """RdHi : RdLo in a scratch register."""
    t = i.temp()
    i.emit("arm_pair", t, st.gpr(i["l"]), st.gpr(i["h"]))
    return t


def _same_halves(f: Fields) -> bool:
    return f["h"] == f["l"]


def _long(name: str, arm: str, thumb: str) -> None:
    @both(f"cccc 0000 {arm} S hhhh llll mmmm 1001 nnnn", f"11111011 1 {thumb} nnnn llll hhhh 0000 mmmm", name,
          bad=_same_halves)  # fmt: skip
    def lift(i: Insn) -> None:
        """UMULL, UMLAL, SMULL, SMLAL."""
        t = i.temp()
        more = accumulator(i) if name.endswith("mlal") else 0
        i.emit(f"arm_{name}", t, st.gpr(i["n"]), st.gpr(i["m"]), more)
        long_result(i, t)


for _name, _arm, _thumb in (("umull", "100", "010"), ("umlal", "101", "110"), ("smull", "110", "000"),
                            ("smlal", "111", "100")):  # fmt: skip
    _long(_name, _arm, _thumb)


@both("cccc 00000100 hhhh llll mmmm 1001 nnnn", "11111011 1110 nnnn llll hhhh 0110 mmmm", "umaal", bad=_same_halves)
def umaal(i: Insn) -> None:
    """UMAAL: Rn * Rm + RdHi + RdLo."""
    t = i.temp()
    i.emit("arm_umull", t, st.gpr(i["n"]), st.gpr(i["m"]))
    i.emit("arm_add_word64", t, t, st.gpr(i["l"]))
    i.emit("arm_add_word64", t, t, st.gpr(i["h"]))
    long_result(i, t)


def _halves(x: str, y: str) -> None:
    """SMULxy, SMLAxy, SMLALxy."""
    xy = x + y
    bits = f"{int(y == 't')}{int(x == 't')}"
    bits_t = f"{int(x == 't')}{int(y == 't')}"

    @both(f"cccc 00010110 dddd 0000 mmmm 1{bits}0 nnnn", f"11111011 0001 nnnn 1111 dddd 00{bits_t} mmmm", f"smul{xy}")
    def smul(i: Insn) -> None:
        """SMULBB, SMULBT, SMULTB, SMULTT."""
        three(i, f"arm_smul{xy}")

    @both(f"cccc 00010000 dddd aaaa mmmm 1{bits}0 nnnn", f"11111011 0001 nnnn aaaa dddd 00{bits_t} mmmm", f"smla{xy}")
    def smla(i: Insn) -> None:
        """SMLABB, SMLABT, SMLATB, SMLATT."""
        t = i.temp()
        i.emit(f"arm_smul{xy}", t, st.gpr(i["n"]), st.gpr(i["m"]))
        i.emit("arm_addq", st.gpr(i["d"]), t, st.gpr(i["a"]))

    @both(f"cccc 00010100 hhhh llll mmmm 1{bits}0 nnnn", f"11111011 1100 nnnn llll hhhh 10{bits_t} mmmm", f"smlal{xy}",
          bad=_same_halves)  # fmt: skip
    def smlal(i: Insn) -> None:
        """SMLALBB, SMLALBT, SMLALTB, SMLALTT."""
        t = i.temp()
        i.emit(f"arm_smul{xy}", t, st.gpr(i["n"]), st.gpr(i["m"]))
        i.emit("arm_sxt64", t, t)
        i.emit("add64", t, t, accumulator(i))
        long_result(i, t)


for _x in "bt":
    for _y in "bt":
        _halves(_x, _y)


def _wide_half(y: str) -> None:
    bit = int(y == "t")

    @both(f"cccc 00010010 dddd 0000 mmmm 1{bit}10 nnnn", f"11111011 0011 nnnn 1111 dddd 000{bit} mmmm", f"smulw{y}")
    def smulw(i: Insn) -> None:
        """SMULWB, SMULWT."""
        three(i, f"arm_smulw{y}")

    @both(f"cccc 00010010 dddd aaaa mmmm 1{bit}00 nnnn", f"11111011 0011 nnnn aaaa dddd 000{bit} mmmm", f"smlaw{y}")
    def smlaw(i: Insn) -> None:
        """SMLAWB, SMLAWT."""
        t = i.temp()
        i.emit(f"arm_smulw{y}", t, st.gpr(i["n"]), st.gpr(i["m"]))
        i.emit("arm_addq", st.gpr(i["d"]), t, st.gpr(i["a"]))


_wide_half("b")
_wide_half("t")


def exchanged(i: Insn) -> int:
    """Rm, its halves exchanged if the instruction says X."""
    if not i["X"]:
        return st.gpr(i["m"])
    t = i.temp()
    i.emit("arm_rori", t, st.gpr(i["m"]), imm=16)
    return t


def _dual(name: str, bit: int, thumb: str) -> None:
    """SMUAD and SMLAD, SMUSD and SMLSD, SMLALD, SMLSLD."""

    @both(f"cccc 01110000 dddd 1111 mmmm 0{bit}X1 nnnn", f"11111011 0{thumb} nnnn 1111 dddd 000X mmmm", f"smu{name}",
          capstone=f"smu{name} smu{name}x")  # fmt: skip
    def smu(i: Insn) -> None:
        """SMUAD, SMUSD."""
        i.emit(f"arm_smu{name}", st.gpr(i["d"]), st.gpr(i["n"]), exchanged(i))

    @both(f"cccc 01110000 dddd aaaa mmmm 0{bit}X1 nnnn", f"11111011 0{thumb} nnnn aaaa dddd 000X mmmm", f"sml{name}",
          capstone=f"sml{name} sml{name}x")  # fmt: skip
    def sml(i: Insn) -> None:
        """SMLAD, SMLSD."""
        i.emit(f"arm_sml{name}", st.gpr(i["d"]), st.gpr(i["n"]), exchanged(i), st.gpr(i["a"]))

    long = f"sml{name[0]}ld" if name == "sd" else "smlald"

    @both(f"cccc 01110100 hhhh llll mmmm 0{bit}X1 nnnn", f"11111011 110{bit} nnnn llll hhhh 110X mmmm", long,
          bad=_same_halves, capstone=f"{long} {long}x")  # fmt: skip
    def smlal(i: Insn) -> None:
        """SMLALD, SMLSLD."""
        t = i.temp()
        i.emit(f"arm_dual{name}", t, st.gpr(i["n"]), exchanged(i))
        i.emit("add64", t, t, accumulator(i))
        long_result(i, t)


_dual("ad", 0, "010")
_dual("sd", 1, "100")


@both("cccc 01110101 dddd 1111 mmmm 00R1 nnnn", "11111011 0101 nnnn 1111 dddd 000R mmmm", "smmul",
      capstone="smmul smmulr")  # fmt: skip
def smmul(i: Insn) -> None:
    """SMMUL."""
    three(i, "arm_smmulr" if i["R"] else "arm_smmul")


def _most(i: Insn, name: str) -> None:
    i.emit(f"arm_{name}{'r' if i['R'] else ''}", st.gpr(i["d"]), st.gpr(i["n"]), st.gpr(i["m"]), st.gpr(i["a"]))


@both("cccc 01110101 dddd aaaa mmmm 00R1 nnnn", "11111011 0101 nnnn aaaa dddd 000R mmmm", "smmla",
      capstone="smmla smmlar")  # fmt: skip
def smmla(i: Insn) -> None:
    """SMMLA."""
    _most(i, "smmla")


@both("cccc 01110101 dddd aaaa mmmm 11R1 nnnn", "11111011 0110 nnnn aaaa dddd 000R mmmm", "smmls",
      capstone="smmls smmlsr")  # fmt: skip
def smmls(i: Insn) -> None:
    """SMMLS."""
    _most(i, "smmls")


@both("cccc 01111000 dddd 1111 mmmm 0001 nnnn", "11111011 0111 nnnn 1111 dddd 0000 mmmm", "usad8")
def usad8(i: Insn) -> None:
    """USAD8."""
    three(i, "arm_usad8")


@both("cccc 01111000 dddd aaaa mmmm 0001 nnnn", "11111011 0111 nnnn aaaa dddd 0000 mmmm", "usada8")
def usada8(i: Insn) -> None:
    """USADA8."""
    t = i.temp()
    i.emit("arm_usad8", t, st.gpr(i["n"]), st.gpr(i["m"]))
    i.emit("arm_add", st.gpr(i["d"]), t, st.gpr(i["a"]))


@both("cccc 01110001 dddd 1111 mmmm 0001 nnnn", "11111011 1001 nnnn 1111 dddd 1111 mmmm", "sdiv")
def sdiv(i: Insn) -> None:
    """SDIV."""
    three(i, "arm_sdiv")


@both("cccc 01110011 dddd 1111 mmmm 0001 nnnn", "11111011 1011 nnnn 1111 dddd 1111 mmmm", "udiv")
def udiv(i: Insn) -> None:
    """UDIV."""
    three(i, "arm_udiv")


# -- saturation, parallel arithmetic ----------------------------------------------------------------------------------
def _saturating(number: int, name: str, thumb: int) -> None:
    @both(
        f"cccc 00010 {number:02b} 0 nnnn dddd 0000 0101 mmmm", f"11111010 1000 nnnn 1111 dddd 10{thumb:02b} mmmm", name
    )
    def lift(i: Insn) -> None:
        """QADD, QSUB, QDADD, QDSUB: Rm op Rn."""
        i.emit(f"arm_{name}", st.gpr(i["d"]), st.gpr(i["m"]), st.gpr(i["n"]))


for _number, (_name, _thumb_number) in enumerate((("qadd", 0), ("qsub", 2), ("qdadd", 1), ("qdsub", 3))):
    _saturating(_number, _name, _thumb_number)


def _parallel(prefix: str, number: int, name: str, op: int, thumb: int, thumb_op: int) -> None:
    both(f"cccc 01100 {number:03b} nnnn dddd 1111 {op:03b}1 mmmm",
         f"11111010 1{thumb_op:03b} nnnn 1111 dddd 0{thumb:03b} mmmm", prefix + name)(
        lambda i: three(i, f"arm_{prefix}{name}"))  # fmt: skip


for _number, _prefix in enumerate(PREFIXES):
    for _name, _op, _thumb_op in zip(PARALLEL, (0, 1, 2, 3, 4, 7), (1, 2, 6, 5, 0, 4), strict=True):
        _parallel(_prefix, _number + 1 + _number // 3, _name, _op, _number % 3 + 4 * (_number // 3), _thumb_op)


@both("cccc 01101000 nnnn dddd 1111 1011 mmmm", "11111010 1010 nnnn 1111 dddd 1000 mmmm", "sel")
def sel(i: Insn) -> None:
    """SEL."""
    three(i, "arm_sel")


def _sat(i: Insn, name: str, kind: int, amount: int) -> None:
    limit = i["s"] + (1 if name[0] == "s" else 0)
    i.emit(f"arm_{name}", st.gpr(i["d"]), shifted(i, i["n"], kind, amount), imm=limit)


def _saturate(name: str, bits: str, thumb: str) -> None:
    @both(f"cccc 01101{bits}1 sssss dddd iiiii y01 nnnn", "", name)
    def arm(i: Insn) -> None:
        """SSAT, USAT."""
        _sat(i, name, 2 * i["y"], i["i"])

    @both("", f"11110011 {thumb}0y0 nnnn 0 iii dddd ii 0 sssss", name, bad=lambda f: bool(f["y"] and not f["i"]))
    def thumb_form(i: Insn) -> None:
        """SSAT, USAT. A shift right of 0 bits: SSAT16, USAT16 with a should-be-zero bit set."""
        _sat(i, name, 2 * i["y"], i["i"])

    @both(f"cccc 01101{bits}10 ssss dddd 1111 0011 nnnn", f"11110011 {thumb}010 nnnn 0 000 dddd 0000 ssss", f"{name}16")
    def sixteen(i: Insn) -> None:
        """SSAT16, USAT16."""
        _sat(i, f"{name}16", 0, 0)


_saturate("ssat", "0", "0")
_saturate("usat", "1", "1")


# -- parts of registers -----------------------------------------------------------------------------------------------
@both("cccc 01101000 nnnn dddd iiiii t01 mmmm", "11101010 1100 nnnn 0 iii dddd ii t 0 mmmm", "pkh",
      capstone="pkhbt pkhtb")  # fmt: skip
def pkh(i: Insn) -> None:
    """PKHBT, PKHTB."""
    other, n = shifted(i, i["m"], 2 * i["t"], i["i"]), st.gpr(i["n"])
    i.emit("arm_pkh", st.gpr(i["d"]), other if i["t"] else n, n if i["t"] else other)


def _extend(name: str, number: int, thumb: int) -> None:
    """SXTB and the like, and the ones that add."""
    first, last = name[:3], name[3:]

    def extended(i: Insn, at: int) -> None:
        i.emit(f"arm_{name}", at, st.gpr(i["m"]), imm=8 * i.fields.get("r", 0))

    @both(f"cccc 01101{number:03b} 1111 dddd rr00 0111 mmmm", f"11111010 0{thumb:03b} 1111 1111 dddd 10rr mmmm", name)
    def plain(i: Insn) -> None:
        """SXTB, SXTB16, SXTH, UXTB, UXTB16, UXTH."""
        extended(i, st.gpr(i["d"]))

    @both(f"cccc 01101{number:03b} nnnn dddd rr00 0111 mmmm", f"11111010 0{thumb:03b} nnnn 1111 dddd 10rr mmmm",
          f"{first[:2]}ta{last}")  # fmt: skip
    def adding(i: Insn) -> None:
        """SXTAB, SXTAB16, SXTAH, UXTAB, UXTAB16, UXTAH."""
        t = i.temp()
        extended(i, t)
        i.emit("arm_addhalves" if last == "b16" else "arm_add", st.gpr(i["d"]), st.gpr(i["n"]), t)


for _name, _number, _thumb_number in (("sxtb16", 0, 2), ("sxtb", 2, 4), ("sxth", 3, 0), ("uxtb16", 4, 3),
                                      ("uxtb", 6, 5), ("uxth", 7, 1)):  # fmt: skip
    _extend(_name, _number, _thumb_number)
for _number, _name in enumerate(("sxth", "sxtb", "uxth", "uxtb")):
    t32(f"10110010 {_number:02b} mmm ddd", f"{_name}_low")(
        lambda i, name=_name: i.emit(f"arm_{name}", st.gpr(i["d"]), st.gpr(i["m"]))
    )


def _unary(name: str, arm: str, thumb: str, low: str) -> None:
    def lift(i: Insn) -> None:
        i.emit(f"arm_{name}", st.gpr(i["d"]), st.gpr(i["m"]))

    a32(f"cccc {arm} mmmm", name, bad=_bad)(lift)
    # The source is there twice.
    t32(f"11111010 {thumb} nnnn 1111 dddd {low} mmmm", name, bad=lambda f: _bad_t(f) or f["n"] != f["m"])(lift)


_unary("rev", "01101011 1111 dddd 1111 0011", "1001", "1000")
_unary("rev16", "01101011 1111 dddd 1111 1011", "1001", "1001")
_unary("rbit", "01101111 1111 dddd 1111 0011", "1001", "1010")
_unary("revsh", "01101111 1111 dddd 1111 1011", "1001", "1011")
_unary("clz", "00010110 1111 dddd 1111 0001", "1011", "1000")
for _number, _name in ((0, "rev"), (1, "rev16"), (3, "revsh")):
    t32(f"10111010 {_number:02b} mmm ddd", f"{_name}_low")(
        lambda i, name=_name: i.emit(f"arm_{name}", st.gpr(i["d"]), st.gpr(i["m"]))
    )


@both("cccc 0111110 sssss dddd iiiii 001 nnnn", "11110011 0110 nnnn 0 iii dddd ii 0 sssss", "bfi",
      bad=lambda f: f["s"] < f["i"])  # fmt: skip
def bfi(i: Insn) -> None:
    """BFI; ``s`` is the last bit."""
    _insert(i, st.gpr(i["n"]))


@both("cccc 0111110 sssss dddd iiiii 001 1111", "11110011 0110 1111 0 iii dddd ii 0 sssss", "bfc",
      bad=lambda f: f["s"] < f["i"])  # fmt: skip
def bfc(i: Insn) -> None:
    """BFC."""
    t = i.temp()
    i.emit("movi32", t, imm=0)
    _insert(i, t)


def _insert(i: Insn, source: int) -> None:
    first, last = i["i"], i["s"]
    mask = (2 << last) - (1 << first)
    i.emit("arm_bfi", st.gpr(i["d"]), st.gpr(i["d"]), source, imm=mask << 32 | first)


def _extract(name: str, arm: str, thumb: str) -> None:
    @both(f"cccc 01111{arm} sssss dddd iiiii 101 nnnn", f"11110011 {thumb} nnnn 0 iii dddd ii 0 sssss", name,
          bad=lambda f: f["i"] + f["s"] > 31)  # fmt: skip
    def lift(i: Insn) -> None:
        """SBFX, UBFX; ``s`` is the width - 1."""
        i.emit(f"arm_{name}", st.gpr(i["d"]), st.gpr(i["n"]), imm=(31 - i["s"]) << 8 | i["i"])


_extract("sbfx", "01", "0100")
_extract("ubfx", "11", "1100")
