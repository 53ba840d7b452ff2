"""What instructions of any group may need first: segment limits, privilege, #UD; and the next pc."""

from __future__ import annotations

from typing import Any

from frontends.x86 import state as st
from frontends.x86.lift import Insn, Undefined
from jitrr.microops.table import row

UD, SS_FAULT, GP = 6, 12, 13
SS = st.SS
#: Bytes of the memory operands that segment limits are checked for.
SIZES = (1, 2, 4, 6, 8, 10, 14, 16, 28, 94, 108, 512)


def current_level(e: Any) -> str:
    """CPL, the DPL of SS."""
    return e.bin("and", 64, e.bin("lshr", 64, e.get("seg_attr", index=SS), 5), 3)


def _privileged(e: Any) -> None:
    e.raise_if(e.icmp("ne", 64, current_level(e), 0), GP, 0)


def _io_privileged(e: Any) -> None:
    """CPL <= IOPL."""
    iopl = e.bin("and", 64, e.bin("lshr", 64, e.get("eflags"), 12), 3)
    e.raise_if(e.icmp("ugt", 64, current_level(e), iopl), GP, 0)


def _limit(write: bool, size: int) -> Any:
    def body(e: Any, offset: str, limit: str, attr: str, segment: str) -> None:
        last = e.bin("add", 64, offset, size - 1)
        above = e.icmp("ugt", 64, last, limit)
        top = e.select(e.icmp("ne", 64, e.bin("and", 64, attr, 1 << 14), 0), 64, 0xFFFFFFFF, 0xFFFF)
        outside = e.bin("or", 1, e.icmp("ule", 64, offset, limit), e.icmp("ugt", 64, last, top))
        down = e.icmp("eq", 64, e.bin("and", 64, attr, 12), 4)
        if write:
            refused = e.icmp("ne", 64, e.bin("and", 64, attr, 0x8A), 0x82)
        else:
            execute_only = e.icmp("eq", 64, e.bin("and", 64, attr, 10), 8)
            refused = e.bin("or", 1, execute_only, e.icmp("eq", 64, e.bin("and", 64, attr, 0x80), 0))
        bad = e.bin("or", 1, refused, e.select(down, 1, outside, above))
        stack = e.icmp("eq", 64, segment, SS)
        e.raise_if(e.bin("and", 1, bad, stack), SS_FAULT, 0)
        e.raise_if(e.bin("and", 1, bad, e.bin("xor", 1, stack, 1)), GP, 0)

    return body


#: Segment rules where segments are not flat: a = offset, b = limit, c = attributes, imm = the segment's number.
for _size in SIZES:
    row(f"x86_seglimit{_size}", "a64 b64 c64 i64", _limit(False, _size))
    row(f"x86_seglimit{_size}w", "a64 b64 c64 i64", _limit(True, _size))
row("x86_undefined", "", lambda e: e.raise_if("true", UD), cold=True)
row("x86_gp", "", lambda e: e.raise_if("true", GP, 0), cold=True)
row("x86_privileged", "", _privileged)
row("x86_io_privileged", "", _io_privileged)


def privileged(i: Insn) -> None:
    """#GP(0) unless CPL is 0."""
    if i.user:
        i.emit("x86_gp")
    elif not i.real:
        i.emit("x86_privileged")


def protected(i: Insn) -> None:
    """#UD in real and virtual-8086 mode."""
    if i.real:
        raise Undefined


def next_pc(i: Insn) -> int:
    """Scratch register that holds the address of the next instruction."""
    t = i.temp()
    i.emit({64: "pcrel", 32: "pcrel32", 16: "pcrel16"}[i.bits], t, imm=i.next())
    return t
