"""How a Linux kernel's functions use the stack, as DWARF call frame information (DWARF 4, 6.4), so that gdb need not
guess: ``.debug_frame`` of the file that :mod:`runtime.debug.symbol_file` writes.

x86-64: out of the tables that the kernel itself unwinds with (ORC: arch/x86/include/asm/orc_types.h; entries as in
Linux 6.1, and as from 6.4 on, where the types have other numbers). i386: kernels with frame pointers; of a function
that begins as the compiler makes those begin (perhaps after ftrace's five bytes, which gdb does not look behind), the
frame is known without a table. ARM: gdb reads the functions' code, and finds what it needs.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise

import capstone
import numpy as np

from runtime.debug.kallsyms import Symbol
from runtime.debug.target import MemoryFault, Target

#: DWARF's numbers of registers (System V ABI of either processor).
_RBP, _RSP, _RIP = 6, 7, 16
_EBP, _ESP, _EIP = 5, 4, 8
_ADVANCE, _OFFSET, _RESTORE = 0x40, 0x80, 0xC0
_ADVANCE4, _OFFSET_SIGNED, _UNDEFINED, _SAME, _CFA, _CFA_EXPRESSION = 0x04, 0x11, 0x07, 0x08, 0x0C, 0x0F
_BREG, _DEREF, _PLUS_CONST = 0x70, 0x06, 0x23
#: ORC's registers that a frame is found by, in DWARF's numbers: DX, DI, BP, SP, R10, R13.
_ORC_REGISTERS = {2: 1, 3: 5, 4: _RBP, 5: _RSP, 6: 10, 7: 13}
_ORC_PREVIOUS, _ORC_BP_INDIRECT, _ORC_SP_INDIRECT = 1, 8, 9
#: What a row of the ORC tables says of a frame: a call, all registers saved, those of an interrupt, none further up.
_CALL, _REGS, _IRET, _END = "call", "regs", "iret", "end"
#: Where struct pt_regs of x86-64 has what, by DWARF's numbers, beginning with r15.
_PT_REGS = {15: 0, 14: 8, 13: 16, 12: 24, 6: 32, 3: 40, 11: 48, 10: 56, 9: 64, 8: 72, 0: 80, 2: 88, 1: 96, 4: 104,
            5: 112, _RIP: 128, _RSP: 152}  # fmt: skip
_IRET_FRAME = {_RIP: 0, _RSP: 24}
#: Saved by functions in places that ORC does not know: rbx, r12 to r15.
_LOST = (3, 12, 13, 14, 15)
_DECODER = capstone.Cs(capstone.CS_ARCH_X86, capstone.CS_MODE_32)
#: Bytes of a function in which its frame is made, and what cannot go before that.
_LOOK = 40
_STACK_OR_JUMP = re.compile(r"push|pop|call|ret|leave|enter|j|int|sys|iret|loop")


@dataclass(frozen=True)
class _Stretch:
    """Code from ``begin`` up to ``end`` that one entry describes; ``entry``: its number in the list of descriptions
    (CIE), ``code``: the rows, as instructions."""

    begin: int
    end: int
    entry: int
    code: bytes


def debug_frame(target: Target, symbols: list[Symbol]) -> bytes:
    """The contents of ``.debug_frame`` for the kernel with these ``symbols`` that is in a stopped machine; nothing
    where the kernel does not say, or gdb knows by itself."""
    if target.arch == "x86_64":
        try:
            return _section(8, _entries_64(), _orc(target, symbols))
        except (MemoryFault, KeyError):
            return b""
    if target.arch == "i386":
        return _section(4, [_description("", 4, _EIP, bytes((_CFA, _ESP, 4, _OFFSET | _EIP, 1)))],
                        _frame_pointers(target, symbols))  # fmt: skip
    return b""


# -- x86-64 ------------------------------------------------------------------------------------------------------------
def _entries_64() -> list[bytes]:
    """The descriptions: functions that were called, and frames of interrupts ("S": not behind a call)."""
    called = bytes((_CFA, _RSP, 8, _OFFSET | _RIP, 1)) + b"".join(bytes((_UNDEFINED, number)) for number in _LOST)
    return [_description("", 8, _RIP, called), _description("zS", 8, _RIP, bytes((_CFA, _RSP, 0)))]


def _orc(target: Target, symbols: list[Symbol]) -> Iterator[_Stretch]:
    """The kernel's table, a stretch for each function, and for each piece of entry code. KeyError, MemoryFault: it has
    none."""
    named = {symbol.name: symbol.address for symbol in symbols if symbol.name.endswith(("orc_unwind", "orc_unwind_ip"))}
    first, last = named["__start_orc_unwind_ip"], named["__stop_orc_unwind_ip"]
    count = (last - first) // 4
    places = np.frombuffer(target.read(first, 4 * count), "<i4").astype(np.int64) + 4 * np.arange(count)
    rows = np.frombuffer(target.read(named["__start_orc_unwind"], 6 * count), "<i2, <i2, <u2")
    kinds, words = _kinds(rows["f2"])
    functions = [symbol.address for symbol in symbols if symbol.kind in "tTwW"]
    registers = list(zip(words, rows["f0"].tolist(), rows["f1"].tolist(), strict=True))
    yield from _stretches([first + place for place in places.tolist()], kinds, registers, functions)


def _kinds(words: np.ndarray) -> tuple[list[str], list[int]]:
    """What each row is, by the numbers of Linux 6.1 (a call: 0), or those of 6.4 (a call: 2), and its registers."""
    numbers = words >> 8 & 7
    if np.count_nonzero(numbers == 2) > len(words) // 2:
        names = {0: _END, 1: _END, 2: _CALL, 3: _REGS, 4: _IRET}
    else:
        names = {0: _CALL, 1: _REGS, 2: _IRET}  # the third bit marks the end of the stack
    return [names.get(number, _END) for number in numbers.tolist()], (words & 0xFF).tolist()


def _stretches(places: list[int], kinds: list[str], rows: list[tuple[int, int, int]],
               functions: list[int]) -> Iterator[_Stretch]:  # fmt: skip
    """Rows together: up to the next function, the next change between calls and saved registers."""
    starts = set(functions)
    begin, entry, code, at = 0, 0, bytearray(), 0
    for place, kind, row in zip(places, kinds, rows, strict=True):
        own = int(kind in (_REGS, _IRET))
        if code and (place in starts or own != entry):
            yield _Stretch(begin, place, entry, bytes(code))
            code.clear()
        if not code:
            begin = at = place
        if place != at:
            code += bytes((_ADVANCE4,)) + struct.pack("<I", place - at)
        entry, at = own, place
        code += _row(kind, *row)


def _row(kind: str, registers: int, sp_offset: int, bp_offset: int) -> bytes:
    """The instructions that make a row; each says all that others of its stretch may have changed."""
    by_sp, by_bp = registers & 15, registers >> 4
    if kind == _END or not by_sp or sp_offset < 0:
        return bytes((_UNDEFINED, _RIP))
    code = _canonical(by_sp, sp_offset)
    if kind == _REGS:
        return code + b"".join(_saved(number, at) for number, at in _PT_REGS.items())
    if kind == _IRET:
        same = b"".join(bytes((_SAME, number)) for number in _PT_REGS if number not in _IRET_FRAME)
        return code + same + b"".join(_saved(number, at) for number, at in _IRET_FRAME.items())
    code += bytes((_OFFSET | _RIP, 1))
    return code + (_saved(_RBP, bp_offset) if by_bp == _ORC_PREVIOUS else bytes((_RESTORE | _RBP,)))


def _canonical(register: int, offset: int) -> bytes:
    """Where the frame is: an offset from a register, or from what is in memory there."""
    if register in (_ORC_BP_INDIRECT, _ORC_SP_INDIRECT):
        if register == _ORC_BP_INDIRECT:
            way = bytes((_BREG + _RBP,)) + _signed(offset) + bytes((_DEREF,))
        else:
            way = bytes((_BREG + _RSP, 0, _DEREF, _PLUS_CONST)) + _unsigned(offset)
        return bytes((_CFA_EXPRESSION, len(way))) + way
    return bytes((_CFA, _ORC_REGISTERS.get(register, _RSP))) + _unsigned(offset)


def _saved(register: int, offset: int) -> bytes:
    """A register is saved so far from the frame's address."""
    return bytes((_OFFSET_SIGNED, register)) + _signed(offset // -8)


# -- i386 --------------------------------------------------------------------------------------------------------------
def _frame_pointers(target: Target, symbols: Iterable[Symbol]) -> Iterator[_Stretch]:
    """The functions that make a frame with EBP at once."""
    functions = sorted({symbol.address for symbol in symbols if symbol.kind in "tTwW"})
    for begin, end in pairwise(functions):
        try:
            code = target.read(begin, min(_LOOK, end - begin))
        except MemoryFault:  # init code, given back
            continue
        if (made := _frame_made(code)) is not None:
            pushed, moved = made
            rows = bytes(
                (_ADVANCE | pushed, _CFA, _ESP, 8, _OFFSET | _EBP, 2, _ADVANCE | moved - pushed, _CFA, _EBP, 8)
            )
            yield _Stretch(begin, end, 0, rows)


def _frame_made(code: bytes) -> tuple[int, int] | None:
    """Behind which of a function's first bytes ``push ebp`` and ``mov ebp, esp`` have been done, or None. Others may be
    between them that leave the stack alone, and the call that ftrace puts first."""
    pushed = 0
    for at, size, name, operands in _DECODER.disasm_lite(code, 0):
        if (name, operands) == ("push", "ebp") and not pushed:
            pushed = at + size
        elif (name, operands) == ("mov", "ebp, esp") and pushed:
            return pushed, at + size
        elif (_STACK_OR_JUMP.match(name) and (name != "call" or at)) or operands.startswith(("esp", "ebp")):
            return None
    return None


# -- DWARF -------------------------------------------------------------------------------------------------------------
def _description(augmentation: str, word: int, returns: int, code: bytes) -> bytes:
    """A CIE without its length: instructions are counted in bytes, offsets in words downward."""
    text = augmentation.encode() + b"\0"
    return (
        b"\xff\xff\xff\xff\x01"
        + text
        + b"\x01"
        + _signed(-word)
        + bytes((returns,))
        + b"\0" * bool(augmentation)
        + code
    )


def _section(word: int, descriptions: list[bytes], stretches: Iterable[_Stretch]) -> bytes:
    """Descriptions and stretches, each padded with nops to whole words; nothing at all without stretches."""
    section, places = bytearray(), []
    for description in descriptions:
        places.append(len(section))
        section += _padded(description, word)
    plain = len(section)
    augmented = [description[5:6] == b"z" for description in descriptions]
    for stretch in stretches:
        head = struct.pack(
            "<IQQ" if word == 8 else "<III", places[stretch.entry], stretch.begin, stretch.end - stretch.begin
        )
        section += _padded(head + b"\0" * augmented[stretch.entry] + stretch.code, word)
    return bytes(section) if len(section) > plain else b""


def _padded(record: bytes, word: int) -> bytes:
    record += bytes(-(4 + len(record)) % word)
    return struct.pack("<I", len(record)) + record


def _unsigned(value: int) -> bytes:
    """ULEB128 of a number that is not negative."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value,))


def _signed(value: int) -> bytes:
    """SLEB128."""
    out = bytearray()
    while not -0x40 <= value < 0x40:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes((value & 0x7F,))
