"""SSE integer instructions on XMM registers, and the logic, shuffle and blend instructions of the floating-point
sets."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import frontends.x86.ops_simd  # noqa: F401  (its rows are what is emitted here)
from frontends.x86 import state as st
from frontends.x86.simd import Simd, define
from jitrr.microops.table import row


def binary(name: str, bits: int = 128) -> Callable[[Simd], None]:
    """reg := reg op source, by the 128-bit row of that name."""
    return lambda s: s.emit(f"x86_{name}128", s.xreg, s.xreg, s.source(bits))


def unary(row_name: str, bits: int = 128) -> Callable[[Simd], None]:
    """reg := op source."""
    return lambda s: s.emit(row_name, s.xreg, s.source(bits))


#: Opcode (0F xx) -> name, of the two-operand instructions that MMX has too.
BINARY = {
    0x60: "punpcklbw", 0x61: "punpcklwd", 0x62: "punpckldq", 0x63: "packsswb", 0x64: "pcmpgtb", 0x65: "pcmpgtw",
    0x66: "pcmpgtd", 0x67: "packuswb", 0x68: "punpckhbw", 0x69: "punpckhwd", 0x6A: "punpckhdq", 0x6B: "packssdw",
    0x74: "pcmpeqb", 0x75: "pcmpeqw", 0x76: "pcmpeqd", 0xD4: "paddq", 0xD5: "pmullw", 0xD8: "psubusb", 0xD9: "psubusw",
    0xDA: "pminub", 0xDB: "pand", 0xDC: "paddusb", 0xDD: "paddusw", 0xDE: "pmaxub", 0xDF: "pandn", 0xE0: "pavgb",
    0xE3: "pavgw", 0xE4: "pmulhuw", 0xE5: "pmulhw", 0xE8: "psubsb", 0xE9: "psubsw", 0xEA: "pminsw", 0xEB: "por",
    0xEC: "paddsb", 0xED: "paddsw", 0xEE: "pmaxsw", 0xEF: "pxor", 0xF4: "pmuludq", 0xF5: "pmaddwd", 0xF6: "psadbw",
    0xF8: "psubb", 0xF9: "psubw", 0xFA: "psubd", 0xFB: "psubq", 0xFC: "paddb", 0xFD: "paddw", 0xFE: "paddd",
}  # fmt: skip
#: The same for 0F 38 xx.
BINARY_38 = {
    0x00: "pshufb", 0x01: "phaddw", 0x02: "phaddd", 0x03: "phaddsw", 0x04: "pmaddubsw", 0x05: "phsubw", 0x06: "phsubd",
    0x07: "phsubsw", 0x08: "psignb", 0x09: "psignw", 0x0A: "psignd", 0x0B: "pmulhrsw",
}  # fmt: skip
UNARY_38 = {0x1C: "pabsb", 0x1D: "pabsw", 0x1E: "pabsd"}
#: Of SSE4 alone (66 0F 38 xx).
_SSE4 = {
    0x28: "pmuldq", 0x29: "pcmpeqq", 0x2B: "packusdw", 0x37: "pcmpgtq", 0x38: "pminsb", 0x39: "pminsd", 0x3A: "pminuw",
    0x3B: "pminud", 0x3C: "pmaxsb", 0x3D: "pmaxsd", 0x3E: "pmaxuw", 0x3F: "pmaxud", 0x40: "pmulld",
}  # fmt: skip

for _op, _name in BINARY.items():
    define(_name, f"66 0f {_op:02x}", binary(_name))
for _op, _name in (BINARY_38 | _SSE4).items():
    define(_name, f"66 0f 38 {_op:02x}", binary(_name))
for _op, _name in UNARY_38.items():
    define(_name, f"66 0f 38 {_op:02x}", unary(f"x86_{_name}128"))
define("punpcklqdq", "66 0f 6c", binary("punpcklqdq"))
define("punpckhqdq", "66 0f 6d", binary("punpckhqdq"))
define("phminposuw", "66 0f 38 41", unary("x86_phminposuw"))

#: The floating-point sets' names of what are integer operations.
for _op, _ps, _pd in ((0x54, "pand", "pand"), (0x55, "pandn", "pandn"), (0x56, "por", "por"), (0x57, "pxor", "pxor"),
                      (0x14, "punpckldq", "punpcklqdq"), (0x15, "punpckhdq", "punpckhqdq")):  # fmt: skip
    _named = {0x54: "and", 0x55: "andn", 0x56: "or", 0x57: "xor", 0x14: "unpckl", 0x15: "unpckh"}[_op]
    define(f"{_named}ps", f"0f {_op:02x}", binary(_ps))
    define(f"{_named}pd", f"66 0f {_op:02x}", binary(_pd))

_WIDEN = (("bw", 64), ("bd", 32), ("bq", 16), ("wd", 64), ("wq", 32), ("dq", 64))
for _n, (_letters, _bits) in enumerate(_WIDEN):
    define(f"pmovsx{_letters}", f"66 0f 38 {0x20 + _n:02x}", unary(f"x86_pmovsx{_letters}", _bits))
    define(f"pmovzx{_letters}", f"66 0f 38 {0x30 + _n:02x}", unary(f"x86_pmovzx{_letters}", _bits))

# -- shifts -----------------------------------------------------------------------------------------------------------

#: (name, opcode of the register form, opcode and /reg of the immediate form)
SHIFTS = (
    ("psrlw", 0xD1, "71/2"), ("psrld", 0xD2, "72/2"), ("psrlq", 0xD3, "73/2"), ("psraw", 0xE1, "71/4"),
    ("psrad", 0xE2, "72/4"), ("psllw", 0xF1, "71/6"), ("pslld", 0xF2, "72/6"), ("psllq", 0xF3, "73/6"),
)  # fmt: skip


def _shift_by_immediate(name: str) -> Callable[[Simd], None]:
    return lambda s: s.emit(f"x86_{name}128i", s.xrm, s.xrm, imm=s.imm8)


for _name, _op, _group in SHIFTS:
    define(_name, f"66 0f {_op:02x}", binary(_name))
    define(_name, f"66 0f {_group}", _shift_by_immediate(_name), memory=False)


def zero_vector(s: Simd) -> int:
    """A scratch vector that holds 0."""
    zero = s.vector()
    s.emit("x86_pxor128", zero, zero, zero)
    return zero


def _pslldq(s: Simd) -> None:
    s.emit("x86_palignr128", s.xrm, s.xrm, zero_vector(s), imm=16 - min(s.imm8, 16))


def _psrldq(s: Simd) -> None:
    s.emit("x86_palignr128", s.xrm, zero_vector(s), s.xrm, imm=min(s.imm8, 16))


define("psrldq", "66 0f 73/3", _psrldq, memory=False)
define("pslldq", "66 0f 73/7", _pslldq, memory=False)
define("palignr", "66 0f 3a 0f",
       lambda s: s.emit("x86_palignr128", s.xreg, s.xreg, s.source(), imm=min(s.imm8, 32)))  # fmt: skip


# -- shuffles and blends by immediate --------------------------------------------------------------------------------


def nibbles(lanes: list[int], lane_bytes: int) -> int:
    """The immediate of ``x86_shuffle*``: source lane by destination lane, as a signed 64-bit number."""
    value = 0
    for n, lane in enumerate(lanes):
        for j in range(lane_bytes):
            value |= (lane * lane_bytes + j) << 4 * (n * lane_bytes + j)
    return value - (1 << 64) if value >> 63 else value


def fields(imm8: int) -> list[int]:
    """Four 2-bit lane numbers."""
    return [imm8 >> 2 * n & 3 for n in range(4)]


def _shuffle(lanes: Callable[[int], list[int]], lane_bytes: int) -> Callable[[Simd], None]:
    return lambda s: s.emit("x86_shuffle128", s.xreg, s.source(), imm=nibbles(lanes(s.imm8), lane_bytes))


def _shuffle_two(lanes: Callable[[int], list[int]], lane_bytes: int) -> Callable[[Simd], None]:
    return lambda s: s.emit("x86_shuffle_two", s.xreg, s.xreg, s.source(), imm=nibbles(lanes(s.imm8), lane_bytes))


define("pshufd", "66 0f 70", _shuffle(fields, 4))
define("pshuflw", "f2 0f 70", _shuffle(lambda imm: [*fields(imm), 4, 5, 6, 7], 2))
define("pshufhw", "f3 0f 70", _shuffle(lambda imm: [0, 1, 2, 3, *(4 + n for n in fields(imm))], 2))
define("shufps", "0f c6", _shuffle_two(fields, 4))
define("shufpd", "66 0f c6", _shuffle_two(lambda imm: [imm & 1, imm >> 1 & 1], 8))


def byte_mask(lanes: int, lane_bytes: int) -> int:
    """A bit per lane to a bit per byte."""
    ones = (1 << lane_bytes) - 1
    return sum(ones << n * lane_bytes for n in range(16 // lane_bytes) if lanes >> n & 1)


def _blend(lane_bytes: int) -> Callable[[Simd], None]:
    return lambda s: s.emit("x86_blend", s.xreg, s.xreg, s.source(), imm=byte_mask(s.imm8, lane_bytes))


define("blendps", "66 0f 3a 0c", _blend(4))
define("blendpd", "66 0f 3a 0d", _blend(8))
define("pblendw", "66 0f 3a 0e", _blend(2))


def _blend_by_xmm0(name: str) -> Callable[[Simd], None]:
    return lambda s: s.emit(f"x86_{name}", s.xreg, s.xreg, s.source(), st.xmm(0))


for _name, _op in (("pblendvb", 0x10), ("blendvps", 0x14), ("blendvpd", 0x15)):
    define(_name, f"66 0f 38 {_op:02x}", _blend_by_xmm0(_name))


def _insertps(s: Simd) -> None:
    source = s.load(32) if s.is_mem else s.xrm + 4 * (s.imm8 >> 6)
    s.emit("x86_insert32", s.xreg, s.xreg, source, imm=s.imm8 >> 4 & 3)
    if s.imm8 & 15:
        s.emit("x86_keep", s.xreg, s.xreg, imm=byte_mask(~s.imm8 & 15, 4))


define("insertps", "66 0f 3a 21", _insertps)


def _mpsadbw(s: Simd) -> None:
    left, right = s.vector(), s.vector()
    run, block = (s.imm8 >> 2 & 1) * 4, (s.imm8 & 3) * 4
    source = s.source()
    s.emit("x86_palignr128", left, s.xreg, s.xreg, imm=run)
    s.emit("x86_palignr128", right, source, source, imm=block)
    s.emit("x86_mpsadbw", s.xreg, left, right)


define("mpsadbw", "66 0f 3a 42", _mpsadbw)
define("ptest", "66 0f 38 17", lambda s: s.emit("x86_ptest", 0, s.xreg, s.source()))


# -- string comparison (SSE4.2) --------------------------------------------------------------------------------------

#: Operand lengths: EAX and EDX (RAX and RDX), or by a zero element.
_IMPLICIT, _EXPLICIT_32, _EXPLICIT_64 = 0, 1, 2


def _string(explicit: bool, index: bool) -> Callable[[Simd], None]:
    """PCMPxSTRx: ECX := index, or XMM0 := mask; and flags."""

    def lift(s: Simd) -> None:
        kind = _IMPLICIT if not explicit else (_EXPLICIT_64 if s.wide else _EXPLICIT_32)
        source = s.source(128, False)
        s.emit("x86_pcmpstri" if index else "x86_pcmpstrm", 0, s.xreg, source, imm=s.imm8 | kind << 8)

    return lift


def _compare_strings(e: Any, index: bool, a: str, b: str, i: str) -> None:
    halves = [e.let(f"extractelement <2 x i64> {x}, i64 {n}") for x in (a, b) for n in (0, 1)]
    e.helper("pcmpstr", *halves, i, int(index))


row("x86_pcmpstri", "a128 b128 i64", lambda e, a, b, i: _compare_strings(e, True, a, b, i), cold=True)
row("x86_pcmpstrm", "a128 b128 i64", lambda e, a, b, i: _compare_strings(e, False, a, b, i), cold=True)
for _name, _op, _explicit, _index in (("pcmpestrm", 0x60, True, False), ("pcmpestri", 0x61, True, True),
                                      ("pcmpistrm", 0x62, False, False), ("pcmpistri", 0x63, False, True)):  # fmt: skip
    define(_name, f"66 0f 3a {_op:02x}", _string(_explicit, _index))
