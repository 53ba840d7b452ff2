"""An ELF file of nothing but symbols (System V ABI, chapter 4, and its processor supplements), as gdb's ``symbol-file``
reads it. gdb finds an address's symbol by the section they both are in; so sections without contents cover the
addresses, code and data apart."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby, zip_longest

from runtime.debug.kallsyms import Symbol

#: Of an architecture: 64-bit, e_machine, e_flags (ARM: EABI version 5).
_MACHINES = {"x86_64": (True, 62, 0), "i386": (False, 3, 0), "arm": (False, 40, 0x0500_0000)}
_EXECUTABLE, _PROGBITS, _SYMTAB, _STRTAB, _NOBITS = 2, 1, 2, 3, 8
_WRITE, _ALLOC, _EXECINSTR = 1, 2, 4
_LOCAL, _GLOBAL, _WEAK = 0, 1, 2
_NO_TYPE, _OBJECT, _FUNCTION = 0, 1, 2
#: In place of a section's number: the value is not an address.
_ABSOLUTE = 0xFFF1
#: Letters of code; a weak symbol that is not marked as an object is code in a kernel.
_CODE = "tTwW"
#: What lies further from the next symbol is not all its own: it gets a page.
_FAR, _PAGE = 1 << 24, 4096


@dataclass
class _Section:
    """Addresses from ``begin`` up to ``end``."""

    code: bool
    begin: int
    end: int


def symbol_file(arch: str, symbols: Iterable[Symbol], frames: bytes = b"") -> bytes:
    """An ELF file for ``arch`` ("x86_64", "i386", "arm") with these symbols. Each reaches to the next address that has
    one. Functions are those of the letters t, T, w, W; a and A are numbers, and in no section: on x86-64 these are
    distances within the data of a processor. ``frames``: what is in ``.debug_frame``."""
    wide = _MACHINES[arch][0]
    everything = sorted(symbols)
    numbers = [(_ABSOLUTE, symbol, 0) for symbol in everything if symbol.kind in "aA"]
    sections, placed = _placed([symbol for symbol in everything if symbol.kind not in "aA"], 1 << (64 if wide else 32))
    return _file(arch, sections, frames, *_table(numbers + placed, wide))


def _placed(symbols: list[Symbol], top: int) -> tuple[list[_Section], list[tuple[int, Symbol, int]]]:
    """The sections, ascending, and the symbols, each with the number of its section before and its size behind it. All
    symbols of an address are in one section."""
    addresses = [(address, list(them)) for address, them in groupby(symbols, key=lambda symbol: symbol.address)]
    sections: list[_Section] = []
    placed = []
    for (address, them), (following, _) in zip_longest(addresses, addresses[1:], fillvalue=(top, [])):
        end = following if following - address <= _FAR and following < top else min(address + _PAGE, top)
        code = any(symbol.kind in _CODE for symbol in them)
        if not sections or sections[-1].code != code or sections[-1].end != address:
            sections.append(_Section(code, address, end))
        sections[-1].end = end
        placed += [(len(sections), symbol, end - address) for symbol in them]
    return sections, placed


def _table(placed: list[tuple[int, Symbol, int]], wide: bool) -> tuple[bytes, bytes, int]:
    """The symbol table, its strings, and the number of the first symbol that is not local: those come first."""
    locals_, others, strings = [_symbol(wide, 0, 0, 0, 0, 0)], list[bytes](), bytearray(b"\0")
    for number, symbol, size in placed:
        binding = _WEAK if symbol.kind in "wWvV" else _GLOBAL if symbol.kind.isupper() else _LOCAL
        type_ = _NO_TYPE if number == _ABSOLUTE else _FUNCTION if symbol.kind in _CODE else _OBJECT
        entry = _symbol(wide, len(strings), symbol.address, size, binding << 4 | type_, number)
        (locals_ if binding == _LOCAL else others).append(entry)
        strings += symbol.name.encode("latin-1") + b"\0"
    return b"".join(locals_ + others), bytes(strings), len(locals_)


def _symbol(wide: bool, name: int, value: int, size: int, info: int, section: int) -> bytes:
    """Elf64_Sym or Elf32_Sym."""
    if wide:
        return struct.pack("<IBBHQQ", name, info, 0, section, value, size)
    return struct.pack("<IIIBBH", name, value, size, info, 0, section)


def _file(arch: str, sections: list[_Section], frames: bytes, table: bytes, strings: bytes, first_global: int) -> bytes:
    """Header, symbols, strings, names of sections, call frames, and the headers of the sections: none, those, .symtab
    and so on."""
    wide, machine, flags = _MACHINES[arch]
    header_size, entry_size, word = (64, 24, 8) if wide else (52, 16, 4)
    names = b"\0.text\0.data\0.symtab\0.strtab\0.shstrtab\0.debug_frame\0"
    body = table + strings + names + frames
    count = len(sections)

    def header(name: bytes, kind: int, flag: int, address: int, at: int, size: int, link: int = 0, info: int = 0,
               alignment: int = 1, entry: int = 0) -> bytes:  # fmt: skip
        where = names.index(b"\0" + name + b"\0") + 1 if name else 0
        code = "<IIQQQQIIQQ" if wide else "<10I"
        return struct.pack(code, where, kind, flag, address, at, size, link, info, alignment, entry)

    headers = [header(b"", 0, 0, 0, 0, 0, alignment=0)]
    for section in sections:
        name, flag = (b".text", _ALLOC | _EXECINSTR) if section.code else (b".data", _ALLOC | _WRITE)
        headers.append(header(name, _NOBITS, flag, section.begin, header_size, section.end - section.begin))
    at = header_size
    headers.append(header(b".symtab", _SYMTAB, 0, 0, at, len(table), count + 2, first_global, word, entry_size))
    at += len(table)
    headers.append(header(b".strtab", _STRTAB, 0, 0, at, len(strings)))
    at += len(strings)
    headers.append(header(b".shstrtab", _STRTAB, 0, 0, at, len(names)))
    if frames:
        headers.append(header(b".debug_frame", _PROGBITS, 0, 0, at + len(names), len(frames)))
    body += bytes(-len(body) % word)
    identity = b"\x7fELF" + bytes((2 if wide else 1, 1, 1)) + bytes(9)
    start = identity + struct.pack(
        "<HHIQQQIHHHHHH" if wide else "<HHIIIIIHHHHHH", _EXECUTABLE, machine, 1, 0, 0, header_size + len(body), flags,
        header_size, 0, 0, 64 if wide else 40, len(headers), count + 3,
    )  # fmt: skip
    return start + body + b"".join(headers)
