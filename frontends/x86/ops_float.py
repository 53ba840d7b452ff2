"""SSE floating-point micro-ops: the host's own instructions, by inline assembly.

The guest's MXCSR is the host's while they run, so rounding, DAZ, FTZ, NaNs and the sticky flags are right by
construction. The assembly has side effects (the flags): LLVM neither moves nor merges nor drops it.
"""

from __future__ import annotations

from typing import Any

from frontends.x86.flags import set_bits
from frontends.x86.simd import UD, XM, bit_set, field_from_live, live_from_field
from jitrr.microops.emit import llvm_type
from jitrr.microops.table import row

#: How a value of so many bits is passed in an XMM register.
_FLOAT = {32: "float", 64: "double"}
_INVALID, _DENORMAL, _DIVIDE, _UNDERFLOW = 1, 2, 4, 16
_PRECOMPUTATION = _INVALID | _DENORMAL | _DIVIDE
_FTZ = 1 << 15


def _argument(e: Any, bits: int, value: str) -> str:
    """An argument ``type value`` for the constraint x."""
    if bits == 128:
        return f"<2 x i64> {value}"
    return f"{_FLOAT[bits]} {e.let(f'bitcast {llvm_type(bits)} {value} to {_FLOAT[bits]}')}"


def _asm(e: Any, result: str, text: str, constraints: str, *args: str) -> str:
    return e.let(f'call {result} asm sideeffect "{text}", "{constraints}"({", ".join(args)})')


def merge(name: str, text: str, bits: int = 128) -> None:
    """``x86_<name>``: d = a changed by an instruction whose source is b (``bits`` of it)."""
    row(f"x86_{name}", f"d128 <- a128 b{bits}",
        lambda e, a, b: _asm(e, "<2 x i64>", text, "=x,0,x", f"<2 x i64> {a}", _argument(e, bits, b)))  # fmt: skip


def convert(name: str, text: str, bits: int = 128) -> None:
    """``x86_<name>``: d = an instruction of a alone."""
    row(f"x86_{name}", f"d128 <- a{bits}",
        lambda e, a: _asm(e, "<2 x i64>", text, "=x,x", _argument(e, bits, a)))  # fmt: skip


#: Suffix -> bits of a source.
SOURCE_BITS = {"ps": 128, "pd": 128, "ss": 32, "sd": 64}

for _suffix, _bits in SOURCE_BITS.items():
    for _name in ("add", "mul", "sub", "min", "div", "max"):
        merge(_name + _suffix, f"{_name}{_suffix} $2, $0", _bits)
    for _predicate in range(8):
        merge(f"cmp{_suffix}{_predicate}", f"cmp{_suffix} $${_predicate}, $2, $0", _bits)
    #: The rounding field in the immediate, or (bit 2) MXCSR's; bit 3: no precision exception.
    for _mode in (0, 1, 2, 3, 4, 8, 9, 10, 11, 12):
        if _bits == 128:
            convert(f"round{_suffix}{_mode}", f"round{_suffix} $${_mode}, $1, $0")
        else:
            merge(f"round{_suffix}{_mode}", f"round{_suffix} $${_mode}, $2, $0", _bits)
for _suffix in ("ps", "pd"):
    for _name in ("hadd", "hsub", "addsub"):
        merge(_name + _suffix, f"{_name}{_suffix} $2, $0")
    convert(f"sqrt{_suffix}", f"sqrt{_suffix} $1, $0")
merge("sqrtss", "sqrtss $2, $0", 32)
merge("sqrtsd", "sqrtsd $2, $0", 64)
for _name in ("cvtdq2ps", "cvtps2dq", "cvttps2dq", "cvtpd2ps", "cvttpd2dq", "cvtpd2dq"):
    convert(_name, f"{_name} $1, $0")
for _name in ("cvtps2pd", "cvtdq2pd"):
    convert(_name, f"{_name} $1, $0", 64)
merge("cvtss2sd", "cvtss2sd $2, $0", 32)
merge("cvtsd2ss", "cvtsd2ss $2, $0", 64)


def _from_integer(name: str, bits: int) -> None:
    text = f"{name}{'l' if bits == 32 else 'q'} $2, $0"
    row(f"x86_{name}{bits}", f"d128 <- a128 b{bits}",
        lambda e, a, b: _asm(e, "<2 x i64>", text, "=x,0,r", f"<2 x i64> {a}", f"i{bits} {b}"))  # fmt: skip


def _to_integer(name: str, bits: int, source: int) -> None:
    size = "l" if bits == 32 else "q"
    register = "${0:k}" if bits == 32 else "$0"
    row(f"x86_{name}{bits}", f"d{bits} <- a{source}",
        lambda e, a: _asm(e, f"i{bits}", f"{name}{size} $1, {register}", "=r,x", _argument(e, source, a)))  # fmt: skip


for _bits in (32, 64):
    for _suffix in ("ss", "sd"):
        _from_integer(f"cvtsi2{_suffix}", _bits)
        _to_integer(f"cvt{_suffix}2si", _bits, SOURCE_BITS[_suffix])
        _to_integer(f"cvtt{_suffix}2si", _bits, SOURCE_BITS[_suffix])


def _ordering(name: str, bits: int) -> None:
    """COMISx and UCOMISx: ZF, PF and CF as an i64 (OF, SF and AF are cleared)."""

    def body(e: Any, a: str, b: str) -> str:
        text = f"{name} $2, $1\\0Alahf\\0Amovzbl %ah, %eax"
        found = _asm(e, "i32", text, "={eax},x,x,~{flags}", _argument(e, bits, a), _argument(e, bits, b))
        return e.bin("and", 64, e.zext(32, found), 0x45)

    row(f"x86_{name}", f"d64 <- a{bits} b{bits}", body)
    row(f"x86_{name}_flags", f"a{bits} b{bits}", lambda e, a, b: set_bits(e, body(e, a, b)))


for _name, _bits in (("ucomiss", 32), ("ucomisd", 64), ("comiss", 32), ("comisd", 64)):
    _ordering(_name, _bits)


# -- unmasked exceptions ---------------------------------------------------------------------------------------------


def _begin(e: Any) -> str:
    """Clear the live flags, so that what the next micro-op raises can be seen; the result is the MXCSR to go back to.
    With underflow unmasked FTZ has no effect (SDM volume 1, 10.2.3.3)."""
    field_from_live(e)
    field = e.get("mxcsr")
    underflow = bit_set(e, e.bin("lshr", 64, field, 32), _UNDERFLOW)
    clear = e.select(underflow, 64, 0x3F | _FTZ, 0x3F)
    e.set("mxcsr", e.bin("and", 64, field, e.bin("xor", 64, clear, -1)))
    live_from_field(e)
    return field


def _tiny(e: Any, lanes: int, k: int, result: str) -> str:
    """i1: a denormal is among the low ``lanes`` lanes: an exact tiny result sets UE only where it is unmasked."""
    t, n = f"<{128 // k} x i{k}>", 128 // k
    fraction = {32: 23, 64: 52}[k]
    x = e.let(f"bitcast <2 x i64> {result} to {t}")
    ones = ", ".join([f"i{k} {(1 << k - 1) - 1}"] * n)
    magnitude = e.let(f"and {t} {x}, <{ones}>")
    below = e.let(f"sub {t} {magnitude}, <{', '.join([f'i{k} 1'] * n)}>")
    small = e.let(f"icmp ult {t} {below}, <{', '.join([f'i{k} {(1 << fraction) - 1}'] * n)}>")
    bits = e.let(f"bitcast <{n} x i1> {small} to i{n}")
    return e.icmp("ne", n, e.bin("and", n, bits, (1 << lanes) - 1 if lanes < n else -1), 0)


def _end(e: Any, saved: str, result: str | None, lanes: int, k: int) -> None:
    """Raise #XM (#UD without CR4.OSXMMEXCPT) if what happened since ``_begin`` is unmasked; the flags are set in any
    case."""
    field_from_live(e)
    raised = e.bin("and", 64, e.get("mxcsr"), 0x3F)
    unmasked = e.bin("lshr", 64, saved, 32)
    if result is not None:
        watched = bit_set(e, unmasked, _UNDERFLOW)
        tiny = e.bin("and", 1, watched, _tiny(e, lanes, k, result))
        raised = e.bin("or", 64, raised, e.select(tiny, 64, _UNDERFLOW, 0))
    early = bit_set(e, e.bin("and", 64, raised, unmasked), _PRECOMPUTATION)
    raised = e.bin("and", 64, raised, e.select(early, 64, _PRECOMPUTATION, 0x3F))
    e.set("mxcsr", e.bin("or", 64, saved, raised))
    live_from_field(e)
    hit = bit_set(e, raised, unmasked)
    allowed = bit_set(e, e.get("cr4"), 1 << 10)
    e.raise_if(e.bin("and", 1, hit, e.bin("xor", 1, allowed, 1)), UD)
    e.raise_if(hit, XM)


row("x86_xm_begin", "d64 <-", _begin, cold=True)
row("x86_xm_end", "a64", lambda e, a: _end(e, a, None, 0, 0), cold=True)
#: By what the result in b is: the packed and scalar formats, and two single-precision numbers.
for _name, _lanes, _k in (("ps", 4, 32), ("pd", 2, 64), ("ss", 1, 32), ("sd", 1, 64), ("ps2", 2, 32)):
    row(f"x86_xm_end_{_name}", "a64 b128", lambda e, a, b, n=_lanes, k=_k: _end(e, a, b, n, k), cold=True)
row("x86_comis_flags", "a64", lambda e, a: set_bits(e, a))
