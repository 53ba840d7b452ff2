"""SSE floating point: arithmetic, comparisons, conversions, rounding, dot products (SDM volume 1, chapters 10 to
12)."""

from __future__ import annotations

from collections.abc import Callable

from frontends.x86 import ops_estimate  # noqa: F401  (declares rows)
from frontends.x86 import state as st
from frontends.x86.lift_sse_int import byte_mask
from frontends.x86.ops_float import SOURCE_BITS
from frontends.x86.simd import Simd, alias, define

PREFIX = {"ps": "", "pd": "66 ", "ss": "f3 ", "sd": "f2 "}


def computed(s: Simd, row_name: str, target: int, *sources: int, kind: str = "") -> None:
    """Emit a floating-point row whose result goes to ``target``; where the guest has unmasked exceptions, look for them
    before the target is written. ``kind``: format of a result that can be tiny (a suffix of the rows
    ``x86_xm_end_*``)."""
    if not s.i.mode & st.MODE_NOFPU:
        s.emit(row_name, target, *sources)
        return
    saved, result = s.i.temp(), s.vector()
    s.emit("x86_xm_begin", saved)
    s.emit(row_name, result, *sources)
    s.emit(f"x86_xm_end_{kind}" if kind else "x86_xm_end", 0, saved, result)
    s.emit("mov128" if st.XMM <= target < st.XMM + 256 or target in VECTORS else "mov64", target, result)


VECTORS = range(st.V, st.V + 128)


def _merged(name: str, suffix: str, kind: str = "") -> Callable[[Simd], None]:
    """reg := reg op source."""
    return lambda s: computed(s, f"x86_{name}", s.xreg, s.xreg, s.source(SOURCE_BITS[suffix]), kind=kind)


def _converted(name: str, bits: int = 128, kind: str = "") -> Callable[[Simd], None]:
    """reg := op source."""
    return lambda s: computed(s, f"x86_{name}", s.xreg, s.source(bits), kind=kind)


_ARITHMETIC = (("add", 0x58), ("mul", 0x59), ("sub", 0x5C), ("min", 0x5D), ("div", 0x5E), ("max", 0x5F))
for _suffix, _prefix in PREFIX.items():
    for _name, _op in _ARITHMETIC:
        _kind = "" if _name in ("min", "max") else _suffix
        define(_name + _suffix, f"{_prefix}0f {_op:02x}", _merged(_name + _suffix, _suffix, _kind))
    _root = _converted if _suffix in ("ps", "pd") else None
    define(
        f"sqrt{_suffix}", f"{_prefix}0f 51", _root(f"sqrt{_suffix}") if _root else _merged(f"sqrt{_suffix}", _suffix)
    )
for _name, _op in (("rsqrt", 0x52), ("rcp", 0x53)):
    define(f"{_name}ps", f"0f {_op:02x}", _converted(f"{_name}ps"))
    define(f"{_name}ss", f"f3 0f {_op:02x}", _merged(f"{_name}ss", "ss"))
for _name, _op in (("hadd", 0x7C), ("hsub", 0x7D), ("addsub", 0xD0)):
    define(f"{_name}pd", f"66 0f {_op:02x}", _merged(f"{_name}pd", "pd", "pd"))
    define(f"{_name}ps", f"f2 0f {_op:02x}", _merged(f"{_name}ps", "ps", "ps"))


def _compare(suffix: str) -> Callable[[Simd], None]:
    bits = SOURCE_BITS[suffix]
    return lambda s: computed(s, f"x86_cmp{suffix}{s.imm8 & 7}", s.xreg, s.xreg, s.source(bits))


for _suffix, _prefix in PREFIX.items():
    define(f"cmp{_suffix}", f"{_prefix}0f c2", _compare(_suffix))
for _condition in ("eq", "lt", "le", "unord", "neq", "nlt", "nle", "ord"):
    alias(*(f"cmp{_condition}{_suffix}" for _suffix in PREFIX))


def _ordering(name: str, bits: int) -> Callable[[Simd], None]:
    def lift(s: Simd) -> None:
        source = s.source(bits)
        if s.i.mode & st.MODE_NOFPU:
            saved, flags = s.i.temp(), s.i.temp()
            s.emit("x86_xm_begin", saved)
            s.emit(f"x86_{name}", flags, s.xreg, source)
            s.emit("x86_xm_end", 0, saved)
            s.emit("x86_comis_flags", 0, flags)
        else:
            s.emit(f"x86_{name}_flags", 0, s.xreg, source)

    return lift


for _name, _key, _bits in (("ucomiss", "0f 2e", 32), ("ucomisd", "66 0f 2e", 64), ("comiss", "0f 2f", 32),
                           ("comisd", "66 0f 2f", 64)):  # fmt: skip
    define(_name, _key, _ordering(_name, _bits))


def _round(suffix: str) -> Callable[[Simd], None]:
    def lift(s: Simd) -> None:
        mode = s.imm8 & (12 if s.imm8 & 4 else 11)
        source = s.source(SOURCE_BITS[suffix])
        merged = (s.xreg,) if suffix in ("ss", "sd") else ()
        computed(s, f"x86_round{suffix}{mode}", s.xreg, *merged, source)

    return lift


for _n, _suffix in enumerate(PREFIX):
    define(f"round{_suffix}", f"66 0f 3a {8 + _n:02x}", _round(_suffix))


def _dot_product(suffix: str, lane_bytes: int) -> Callable[[Simd], None]:
    """A product and sums of neighbours, each with its own exceptions. Lanes that the immediate leaves out are zero in
    both factors, which makes their terms +0, as the instruction has it."""

    def lift(s: Simd) -> None:
        taken, given = byte_mask(s.imm8 >> 4, lane_bytes), byte_mask(s.imm8 & 15, lane_bytes)
        left, right = s.vector(), s.vector()
        source = s.source()
        s.emit("x86_keep", left, s.xreg, imm=taken)
        s.emit("x86_keep", right, source, imm=taken)
        computed(s, f"x86_mul{suffix}", left, left, right, kind=suffix)
        for _ in range(8 // lane_bytes):
            computed(s, f"x86_hadd{suffix}", left, left, left, kind=suffix)
        s.emit("x86_keep", s.xreg, left, imm=given)

    return lift


define("dpps", "66 0f 3a 40", _dot_product("ps", 4))
define("dppd", "66 0f 3a 41", _dot_product("pd", 8))


# -- conversions -----------------------------------------------------------------------------------------------------

define("cvtdq2ps", "0f 5b", _converted("cvtdq2ps"))
define("cvtps2dq", "66 0f 5b", _converted("cvtps2dq"))
define("cvttps2dq", "f3 0f 5b", _converted("cvttps2dq"))
define("cvttpd2dq", "66 0f e6", _converted("cvttpd2dq"))
define("cvtpd2dq", "f2 0f e6", _converted("cvtpd2dq"))
define("cvtdq2pd", "f3 0f e6", _converted("cvtdq2pd", 64))
define("cvtps2pd", "0f 5a", _converted("cvtps2pd", 64))
define("cvtpd2ps", "66 0f 5a", _converted("cvtpd2ps", 128, "ps2"))
define("cvtss2sd", "f3 0f 5a", _merged("cvtss2sd", "ss"))
define("cvtsd2ss", "f2 0f 5a", _merged("cvtsd2ss", "sd", "ss"))


def _from_general(suffix: str) -> Callable[[Simd], None]:
    def lift(s: Simd) -> None:
        w = 64 if s.wide else 32
        computed(s, f"x86_cvtsi2{suffix}{w}", s.xreg, s.xreg, s.integer_source(w))

    return lift


def _to_general(name: str, bits: int) -> Callable[[Simd], None]:
    def lift(s: Simd) -> None:
        computed(s, f"x86_{name}{64 if s.wide else 32}", s.greg, s.source(bits))

    return lift


for _suffix in ("ss", "sd"):
    define(f"cvtsi2{_suffix}", f"{PREFIX[_suffix]}0f 2a", _from_general(_suffix))
    define(f"cvtt{_suffix}2si", f"{PREFIX[_suffix]}0f 2c", _to_general(f"cvtt{_suffix}2si", SOURCE_BITS[_suffix]))
    define(f"cvt{_suffix}2si", f"{PREFIX[_suffix]}0f 2d", _to_general(f"cvt{_suffix}2si", SOURCE_BITS[_suffix]))


def _from_mmx(s: Simd) -> None:
    """Only with an MMX register as the source are these MMX instructions."""
    if not s.is_mem:
        s.emit("x87_wait")
        s.enter_mmx()


def _cvtpi2ps(s: Simd) -> None:
    """Two integers to the lower half; the zeros above them raise nothing."""
    both, result = s.vector(), s.vector()
    _from_mmx(s)
    s.emit("x86_zero64", both, s.mmx_source())
    computed(s, "x86_cvtdq2ps", result, both)
    s.emit("mov64", s.xreg, result)


def _cvtpi2pd(s: Simd) -> None:
    _from_mmx(s)
    computed(s, "x86_cvtdq2pd", s.xreg, s.mmx_source())


def _to_mmx(name: str, bits: int) -> Callable[[Simd], None]:
    """CVT(T)PS2PI and CVT(T)PD2PI: the XMM instruction's lower half. The x87 state has changed already when it raises
    #XM."""

    def lift(s: Simd) -> None:
        source, result = s.source(bits), s.vector()
        if bits == 64:
            wide = s.vector()
            s.emit("x86_zero64", wide, source)
            source = wide
        s.enter_mmx()
        computed(s, f"x86_{name}", result, source)
        s.emit("mov64", s.mreg, result)
        s.emit("movi64", s.mreg + 8, imm=0xFFFF)

    return lift


define("cvtpi2ps", "0f 2a", _cvtpi2ps)
define("cvtpi2pd", "66 0f 2a", _cvtpi2pd)
for _name, _op in (("cvttps2", 0x2C), ("cvtps2", 0x2D)):
    define(f"{_name}pi", f"0f {_op:02x}", _to_mmx(f"{_name}dq", 64), mmx=True, gate="x86_sse_gate")
for _name, _op in (("cvttpd2", 0x2C), ("cvtpd2", 0x2D)):
    define(f"{_name}pi", f"66 0f {_op:02x}", _to_mmx(f"{_name}dq", 128), mmx=True, gate="x86_sse_gate")
