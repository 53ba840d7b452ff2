"""SSE moves: registers, memory, halves, elements, and MXCSR (SDM volume 1, chapters 10 to 12)."""

from __future__ import annotations

from typing import Any

from frontends.x86.simd import GP, Simd, alias, define, field_from_live, live_from_field
from jitrr.microops.table import row


def _full_store(aligned: bool) -> Any:
    """128 bits from ModRM.reg."""

    def lift(s: Simd) -> None:
        if s.is_mem:
            s.store(128, s.xreg, aligned)
        else:
            s.emit("mov128", s.xrm, s.xreg)

    return lift


def _full_load(aligned: bool) -> Any:
    """128 bits into ModRM.reg."""

    def lift(s: Simd) -> None:
        if not s.is_mem:
            s.emit("mov128", s.xreg, s.xrm)
            return
        base, disp = s.address(16)
        s.emit("x86_ld128a" if aligned else "ld128", s.xreg, base, imm=disp)

    return lift


for _name, _load, _store, _aligned in (
    ("movups", "0f 10", "0f 11", False), ("movupd", "66 0f 10", "66 0f 11", False),
    ("movaps", "0f 28", "0f 29", True), ("movapd", "66 0f 28", "66 0f 29", True),
    ("movdqa", "66 0f 6f", "66 0f 7f", True), ("movdqu", "f3 0f 6f", "f3 0f 7f", False),
):  # fmt: skip
    define(_name, _load, _full_load(_aligned))
    define(_name, _store, _full_store(_aligned))
define("lddqu", "f2 0f f0", _full_load(False), memory=True)
define("movntdqa", "66 0f 38 2a", _full_load(True), memory=True)
for _name, _key in (("movntps", "0f 2b"), ("movntpd", "66 0f 2b"), ("movntdq", "66 0f e7")):
    define(_name, _key, _full_store(True), memory=True)


def _movss_load(s: Simd) -> None:
    if s.is_mem:
        s.emit("x86_zero32", s.xreg, s.load(32))
    else:
        s.emit("x86_low32", s.xreg, s.xreg, s.xrm)


def _movss_store(s: Simd) -> None:
    if s.is_mem:
        s.store(32, s.xreg)
    else:
        s.emit("x86_low32", s.xrm, s.xrm, s.xreg)


def _movsd_load(s: Simd) -> None:
    if s.is_mem:
        s.emit("x86_zero64", s.xreg, s.load(64))
    else:
        s.emit("mov64", s.xreg, s.xrm)


def _movsd_store(s: Simd) -> None:
    if s.is_mem:
        s.store(64, s.xreg)
    else:
        s.emit("mov64", s.xrm, s.xreg)


define("movss", "f3 0f 10", _movss_load)
define("movss", "f3 0f 11", _movss_store)
define("movsd", "f2 0f 10", _movsd_load)
define("movsd", "f2 0f 11", _movsd_store)


def _load_half(half: int) -> Any:
    """MOVLPS, MOVHPS and kin; between registers MOVHLPS and MOVLHPS, which take the other half."""

    def lift(s: Simd) -> None:
        target = s.xreg + 8 * half
        if s.is_mem:
            base, disp = s.address(8)
            s.emit("ld64", target, base, imm=disp)
        else:
            s.emit("mov64", target, s.xrm + 8 * (1 - half))

    return lift


def _store_half(half: int) -> Any:
    return lambda s: s.store(64, s.xreg + 8 * half)


for _half, _op, _one in ((0, 0x12, "movl"), (1, 0x16, "movh")):
    define(f"{_one}ps", f"0f {_op:02x}", _load_half(_half))
    define(f"{_one}pd", f"66 0f {_op:02x}", _load_half(_half), memory=True)
    define(f"{_one}ps", f"0f {_op + 1:02x}", _store_half(_half), memory=True)
    define(f"{_one}pd", f"66 0f {_op + 1:02x}", _store_half(_half), memory=True)

alias("movhlps", "movlhps")
define("movddup", "f2 0f 12", lambda s: s.emit("x86_twice64", s.xreg, s.source(64)))
define("movsldup", "f3 0f 12", lambda s: s.emit("x86_shuffle128", s.xreg, s.source(), imm=_signed(0xBA98BA9832103210)))
define("movshdup", "f3 0f 16", lambda s: s.emit("x86_shuffle128", s.xreg, s.source(), imm=_signed(0xFEDCFEDC76547654)))


def _signed(value: int) -> int:
    """A 64-bit pattern as a cell's immediate."""
    return value - (1 << 64) if value >> 63 else value


# -- general registers -----------------------------------------------------------------------------------------------


def _movd_load(s: Simd) -> None:
    w = 64 if s.wide else 32
    s.emit(f"x86_zero{w}", s.xreg, s.integer_source(w))


def _movd_store(s: Simd) -> None:
    w = 64 if s.wide else 32
    if s.is_mem:
        s.store(w, s.xreg)
    else:
        s.emit(f"mov{w}", s.grm, s.xreg)


define("movd", "66 0f 6e", _movd_load)
define("movd", "66 0f 7e", _movd_store)
define("movq", "f3 0f 7e", lambda s: s.emit("x86_zero64", s.xreg, s.source(64)))


def _movq_store(s: Simd) -> None:
    if s.is_mem:
        s.store(64, s.xreg)
    else:
        s.emit("x86_zero64", s.xrm, s.xreg)


define("movq", "66 0f d6", _movq_store)


def _movmsk(row_name: str) -> Any:
    return lambda s: s.emit(row_name, s.greg, s.xrm)


define("movmskps", "0f 50", _movmsk("x86_movmskps"), memory=False)
define("movmskpd", "66 0f 50", _movmsk("x86_movmskpd"), memory=False)
define("pmovmskb", "66 0f d7", _movmsk("x86_pmovmskb128"), memory=False)


def _insert(w: int) -> Any:
    """PINSRB, PINSRW, PINSRD and PINSRQ."""

    def lift(s: Simd) -> None:
        k = 64 if w == 32 and s.wide else w
        lane = s.imm8 & (128 // k - 1)
        source = s.integer_source(k)
        if k == 32:
            s.emit("x86_insert32", s.xreg, s.xreg, source, imm=lane)
        else:
            s.emit(f"mov{k}", s.xreg + lane * k // 8, source)

    return lift


def _extract(w: int) -> Any:
    """PEXTRB, PEXTRW, PEXTRD, PEXTRQ and EXTRACTPS to ModRM.rm."""

    def lift(s: Simd) -> None:
        k = 64 if w == 32 and s.wide else w
        source = s.xreg + (s.imm8 & (128 // k - 1)) * k // 8
        if s.is_mem:
            s.store(k, source)
        else:
            s.emit(f"zx{k}_32" if k < 32 else f"mov{k}", s.grm, source)

    return lift


define("pinsrw", "66 0f c4", _insert(16))
define("pinsrb", "66 0f 3a 20", _insert(8))
define("pinsrd", "66 0f 3a 22", _insert(32))
define("pextrw", "66 0f c5", lambda s: s.emit("zx16_32", s.greg, s.xrm + 2 * (s.imm8 & 7)), memory=False)
define("pextrb", "66 0f 3a 14", _extract(8))
define("pextrw", "66 0f 3a 15", _extract(16))
define("pextrd", "66 0f 3a 16", _extract(32))
define("extractps", "66 0f 3a 17", _extract(32))
alias("pinsrq", "pextrq")


def _maskmovdqu(s: Simd) -> None:
    base, disp = s.data_pointer(16)
    s.emit("x86_maskmovdqu", 0, base, s.xreg, s.xrm, imm=disp)


def _masked_store(e: Any, address: str, value: str, mask: str) -> None:
    halves = [e.let(f"extractelement <2 x i64> {x}, i64 {n}") for x in (value, mask) for n in (0, 1)]
    e.helper("masked_store", address, 16, *halves)


def _masked_store_8(e: Any, base: str, value: str, mask: str, disp: str) -> None:
    e.helper("masked_store", e.bin("add", 64, base, disp), 8, value, 0, mask, 0)


row(
    "x86_maskmovdqu",
    "a64 b128 c128 i64",
    lambda e, a, b, c, i: _masked_store(e, e.bin("add", 64, a, i), b, c),
    cold=True,
)
row("x86_maskmovq", "a64 b64 c64 i64", _masked_store_8, cold=True)
define("maskmovdqu", "66 0f f7", _maskmovdqu, memory=False)


# -- MXCSR -----------------------------------------------------------------------------------------------------------


def _ldmxcsr(e: Any, a: str) -> None:
    e.raise_if(e.icmp("ugt", 32, a, 0xFFFF), GP, 0)
    value = e.zext(32, a)
    unmasked = e.bin("and", 64, e.bin("xor", 64, e.bin("lshr", 64, value, 7), 63), 63)
    e.set("mxcsr", e.bin("or", 64, e.bin("or", 64, value, 0x1F80), e.bin("shl", 64, unmasked, 32)))
    live_from_field(e)


def _stmxcsr(e: Any) -> str:
    field_from_live(e)
    value = e.get("mxcsr")
    return e.trunc(64, e.bin("xor", 64, value, e.bin("shl", 64, e.bin("lshr", 64, value, 32), 7)), 32)


row("x86_ldmxcsr", "a32", _ldmxcsr, cold=True)
row("x86_stmxcsr", "d32 <-", _stmxcsr, cold=True)


def _lift_ldmxcsr(s: Simd) -> None:
    s.emit("x86_ldmxcsr", 0, s.load(32))
    s.emit("x86_fpu_mode")
    s.i.sync()


def _lift_stmxcsr(s: Simd) -> None:
    value = s.i.temp()
    s.emit("x86_stmxcsr", value)
    s.store(32, value)


define("ldmxcsr", "0f ae/2", _lift_ldmxcsr, memory=True)
define("stmxcsr", "0f ae/3", _lift_stmxcsr, memory=True)
#: The translation mode depends on what MXCSR unmasks.
row("x86_fpu_mode", "", lambda e: e.helper("fpu_mode") and None, cold=True)
