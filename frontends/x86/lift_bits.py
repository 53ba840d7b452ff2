"""Single bits, bit scans, counts and CRC32: BT, BTS, BTR, BTC, BSF, BSR, POPCNT, CRC32."""

from __future__ import annotations

from typing import Any

from frontends.x86.flags import any_of, arithmetic, set_bits, set_logic, stored
from frontends.x86.lift import Insn, lifts
from frontends.x86.state import ARITH, CF, ZF
from jitrr.microops.table import Imm, rows

WIDE = (16, 32, 64)


# -- rows ------------------------------------------------------------------------------------------------------------


def _mask(e: Any, w: int, n: str) -> str:
    """The bit that an operand selects, modulo the width."""
    return e.bin("shl", w, 1, e.bin("and", w, n, w - 1))


#: name -> the operand with that bit changed.
BIT_OPERATIONS = {
    "bts": lambda e, w, a, n: e.bin("or", w, a, _mask(e, w, n)),
    "btr": lambda e, w, a, n: e.bin("and", w, a, e.bin("xor", w, _mask(e, w, n), -1)),
    "btc": lambda e, w, a, n: e.bin("xor", w, a, _mask(e, w, n)),
}


def _bit_flags(e: Any, w: int, a: str, n: str, res: str = "") -> None:
    """CF is the bit; the others stay (SDM leaves all but ZF undefined)."""
    bit = e.bin("lshr", w, a, e.bin("and", w, n, w - 1))
    kept = e.bin("and", 64, arithmetic(e), ARITH & ~CF)
    set_bits(e, any_of(e, kept, e.bin("and", 64, e.zext(w, bit), CF)))


def _changed(result: Any) -> Any:
    def body(e: Any, w: int, a: str, n: str) -> str:
        res: str = result(e, w, a, n)
        _bit_flags(e, w, a, n)
        return res

    return body


rows("x86_bt{w}", WIDE, "a{w} b{w}", _bit_flags)
rows("x86_bt{w}i", WIDE, "a{w} i{w}", _bit_flags)
for _name, _result in BIT_OPERATIONS.items():
    rows(f"x86_{_name}{{w}}", WIDE, "d{w} <- a{w} b{w}", _changed(_result))
    rows(f"x86_{_name}{{w}}i", WIDE, "d{w} <- a{w} i{w}", _changed(_result))
    rows(f"x86_{_name}st{{w}}", WIDE, "a64 b{w} c{w} i64", stored(_result, _bit_flags))


def _bit_string(e: Any, w: int, n: str) -> str:
    """Bytes from a bit string's start to the operand that holds bit ``n`` (signed)."""
    log = w.bit_length() - 1
    return e.bin("shl", 64, e.sext(w, e.bin("ashr", w, n, log)), log - 3)


rows("x86_bitstring{w}", WIDE, "d64 <- a{w}", _bit_string)


def _scan(name: str) -> Any:
    """BSF and BSR: ZF tells a source of 0, which leaves the destination alone, its upper half too."""

    def body(e: Any, w: int, a: str, old: str) -> str:
        found = e.intrinsic(name, w, a, "i1 false")
        if name == "ctlz":
            found = e.bin("xor", w, found, w - 1)
        set_logic(e, w, a)
        to = max(w, 64) if w > 16 else 16
        return e.select(e.icmp("eq", w, a, 0), to, old, e.zext(w, found, to))

    return body


for _name, _of in (("bsf", "cttz"), ("bsr", "ctlz")):
    rows(f"x86_{_name}{{w}}", (16,), "d16 <- a16 b16", _scan(_of))
    rows(f"x86_{_name}{{w}}", (32, 64), "d64 <- a{w} b64", _scan(_of))


def _popcnt(e: Any, w: int, a: str) -> str:
    set_bits(e, e.select(e.icmp("eq", w, a, 0), 64, ZF, 0))
    return str(e.intrinsic("ctpop", w, a))


rows("x86_popcnt{w}", WIDE, "d{w} <- a{w}", _popcnt)


def _crc32(e: Any, w: int, a: str, b: str) -> str:
    """The host's own instruction: no plain operation computes it."""
    if w == 64:
        return str(e.let(f'call i64 asm "crc32q $1, $0", "=r,r,0"(i64 {b}, i64 {a})'))
    suffix = {8: "b", 16: "w", 32: "l"}[w]
    narrow = e.trunc(64, a, 32)
    return e.zext(32, e.let(f'call i32 asm "crc32{suffix} $1, $0", "=r,r,0"(i{w} {b}, i32 {narrow})'))


rows("x86_crc32_{w}", (8, 16, 32, 64), "d64 <- a64 b{w}", _crc32)

# -- lifters ----------------------------------------------------------------------------------------------------------


@lifts("bt")
def bt(i: Insn) -> None:
    """BT."""
    w = i.width(0)
    if i.is_imm(1):
        i.emit(f"x86_bt{w}i", 0, i.read(0), imm=i.value())
    elif i.is_reg(0):
        i.emit(f"x86_bt{w}", 0, i.reg(0), i.reg(1))
    else:
        t = i.temp()
        base, disp = bit_string(i, w, False)
        i.emit(f"ld{w}", t, base, imm=disp)
        i.emit(f"x86_bt{w}", 0, t, i.reg(1))


def bit_string(i: Insn, w: int, write: bool) -> tuple[int, Imm]:
    """Linear address of the word that holds the bit a register selects: it may be far from the operand."""
    offset, t = i.temp(), i.temp()
    i.emit(f"x86_bitstring{w}", offset, i.reg(1))
    base, disp = i.effective(0)
    i.emit(f"ea{i.address_bits}s0", t, base, offset, imm=disp)
    return i.segmented(i.segment_of(0), t, Imm(), w // 8, write)


@lifts("bts", "btr", "btc", lockable=True)
def change_bit(i: Insn) -> None:
    """BTS, BTR, BTC."""
    w, name = i.width(0), f"x86_{i.name}"
    if i.is_reg(0):
        if i.is_imm(1):
            i.emit(f"{name}{w}i", i.reg(0), i.reg(0), imm=i.value())
        else:
            i.emit(f"{name}{w}", i.reg(0), i.reg(0), i.reg(1))
        return
    t = i.temp()
    if i.is_imm(1):
        number = i.read(1, w)
        base, disp = i.address(0, write=True)
    else:
        number = i.reg(1)
        base, disp = bit_string(i, w, True)
    i.emit(f"ldrmw{w}", t, base, imm=disp)
    i.emit(f"{name}st{w}", 0, base, t, number, imm=disp)


@lifts("bsf", "bsr", "tzcnt", "lzcnt")
def scan(i: Insn) -> None:
    """BSF, BSR; TZCNT and LZCNT are not announced, so their F3 prefix is ignored."""
    name, w = {"tzcnt": "bsf", "lzcnt": "bsr"}.get(i.name, i.name), i.operand_bits
    i.emit(f"x86_{name}{w}", i.reg(0), i.read(1, w), i.reg(0))


@lifts("popcnt")
def popcnt(i: Insn) -> None:
    """POPCNT (Capstone's sizes are wrong beside a second prefix)."""
    w = i.operand_bits
    i.emit(f"x86_popcnt{w}", i.reg(0), i.read(1, w))


@lifts("crc32")
def crc32(i: Insn) -> None:
    """CRC32 (Castagnoli) of 8 to 64 bits into a register whose upper half becomes 0."""
    w = i.operand_bits if i.cs.opcode[1] == 0xF1 else 8
    i.emit(f"x86_crc32_{w}", i.reg(0), i.reg(0), i.read(1, w))
