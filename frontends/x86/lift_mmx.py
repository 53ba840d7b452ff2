"""MMX instructions, on the low halves of the x87 registers (SDM volume 1, chapter 9; the SSE additions: volume 1,
10.4.4)."""

from __future__ import annotations

from collections.abc import Callable

from frontends.x86 import state as st
from frontends.x86.lift_sse_int import BINARY, BINARY_38, SHIFTS, UNARY_38, fields, nibbles
from frontends.x86.simd import Simd, define

#: Those of BINARY whose memory operand is 32 bits.
_HALF = frozenset(("punpcklbw", "punpcklwd", "punpckldq"))


def _binary(name: str) -> Callable[[Simd], None]:
    """reg := reg op source, by the 64-bit row of that name."""

    def lift(s: Simd) -> None:
        s.emit(f"x86_{name}64", s.mreg, s.mreg, s.mmx_source(32 if name in _HALF else 64))
        s.enter_mmx(s.mreg)

    return lift


def _unary(name: str) -> Callable[[Simd], None]:
    def lift(s: Simd) -> None:
        s.emit(f"x86_{name}64", s.mreg, s.mmx_source())
        s.enter_mmx(s.mreg)

    return lift


def _shift_by_immediate(name: str) -> Callable[[Simd], None]:
    def lift(s: Simd) -> None:
        s.emit(f"x86_{name}64i", s.mrm, s.mrm, imm=s.imm8)
        s.enter_mmx(s.mrm)

    return lift


for _op, _name in BINARY.items():
    define(_name, f"0f {_op:02x}", _binary(_name), mmx=True)
for _op, _name in BINARY_38.items():
    define(_name, f"0f 38 {_op:02x}", _binary(_name), mmx=True)
for _op, _name in UNARY_38.items():
    define(_name, f"0f 38 {_op:02x}", _unary(_name), mmx=True)
for _name, _op, _group in SHIFTS:
    define(_name, f"0f {_op:02x}", _binary(_name), mmx=True)
    define(_name, f"0f {_group}", _shift_by_immediate(_name), mmx=True, memory=False)


def _palignr(s: Simd) -> None:
    s.emit("x86_palignr64", s.mreg, s.mreg, s.mmx_source(), imm=min(s.imm8, 16))
    s.enter_mmx(s.mreg)


def _pshufw(s: Simd) -> None:
    s.emit("x86_shuffle64", s.mreg, s.mmx_source(), imm=nibbles(fields(s.imm8), 2))
    s.enter_mmx(s.mreg)


define("palignr", "0f 3a 0f", _palignr, mmx=True)
define("pshufw", "0f 70", _pshufw, mmx=True)


# -- moves -----------------------------------------------------------------------------------------------------------


def _movd_load(s: Simd) -> None:
    w = 64 if s.wide else 32
    s.emit(f"mov{w}", s.mreg, s.integer_source(w))  # 32 bits are zero-extended
    s.enter_mmx(s.mreg)


def _movd_store(s: Simd) -> None:
    w = 64 if s.wide else 32
    if s.is_mem:
        s.store(w, s.mreg)
    else:
        s.emit(f"mov{w}", s.grm, s.mreg)
    s.enter_mmx()


def _movq_load(s: Simd) -> None:
    s.emit("mov64", s.mreg, s.mmx_source())
    s.enter_mmx(s.mreg)


def _movq_store(s: Simd) -> None:
    if s.is_mem:
        s.store(64, s.mreg)
        s.enter_mmx()
    else:
        s.emit("mov64", s.mrm, s.mreg)
        s.enter_mmx(s.mrm)


define("movd", "0f 6e", _movd_load, mmx=True)
define("movd", "0f 7e", _movd_store, mmx=True)
define("movq", "0f 6f", _movq_load, mmx=True)
define("movq", "0f 7f", _movq_store, mmx=True)
define("movntq", "0f e7", _movq_store, mmx=True, memory=True)


def _movdq2q(s: Simd) -> None:
    s.emit("mov64", s.mreg, s.xrm)
    s.enter_mmx(s.mreg)


def _movq2dq(s: Simd) -> None:
    s.emit("x86_zero64", s.xreg, s.mrm)
    s.enter_mmx()


define("movdq2q", "f2 0f d6", _movdq2q, mmx=True, memory=False)
define("movq2dq", "f3 0f d6", _movq2dq, mmx=True, memory=False)


def _pinsrw(s: Simd) -> None:
    s.emit("mov16", s.mreg + 2 * (s.imm8 & 3), s.integer_source(16))
    s.enter_mmx(s.mreg)


def _pextrw(s: Simd) -> None:
    s.emit("zx16_32", s.greg, s.mrm + 2 * (s.imm8 & 3))
    s.enter_mmx()


def _pmovmskb(s: Simd) -> None:
    s.emit("x86_pmovmskb64", s.greg, s.mrm)
    s.enter_mmx()


define("pinsrw", "0f c4", _pinsrw, mmx=True)
define("pextrw", "0f c5", _pextrw, mmx=True, memory=False)
define("pmovmskb", "0f d7", _pmovmskb, mmx=True, memory=False)


def _maskmovq(s: Simd) -> None:
    s.enter_mmx()  # even if the store faults
    base, disp = s.data_pointer(8)
    s.emit("x86_maskmovq", 0, base, s.mreg, s.mrm, imm=disp)


define("maskmovq", "0f f7", _maskmovq, mmx=True, memory=False)


def _emms(s: Simd) -> None:
    s.emit("movi64", st.FTOP, imm=0)
    s.emit("movi64", st.FTAG, imm=255)


define("emms", "0f 77", _emms, mmx=True)
