"""Machine code out of ELF objects, as bytes that can be put anywhere (System V ABI, AMD64 supplement)."""

from __future__ import annotations

import struct

#: Of what :func:`link` gives; whoever puts it into memory keeps it.
ALIGNMENT = 64
_SECTION, _SYMBOL, _RELOCATION = struct.Struct("<IIQQQQIIQQ"), struct.Struct("<IBBHQQ"), struct.Struct("<QQq")
_SHT_PROGBITS, _SHT_SYMTAB, _SHT_RELA, _SHF_ALLOC, _SHF_EXEC = 1, 2, 4, 2, 4
#: Relocations: 32 bits, relative to where they are.
_PC32, _PLT32 = 2, 4


def link(image: bytes) -> tuple[bytes, dict[str, int]]:
    """Code and constants of an object, code first, and the offsets of its global symbols. ValueError when it refers to
    anything outside or by an address."""
    (sections_at,) = struct.unpack_from("<Q", image, 0x28)
    size, count = struct.unpack_from("<HH", image, 0x3A)
    sections = [_SECTION.unpack_from(image, sections_at + size * number) for number in range(count)]
    code, places = _lay_out(image, sections)
    symbols = next(section for section in sections if section[1] == _SHT_SYMTAB)
    table = list(_SYMBOL.iter_unpack(image[symbols[4] : symbols[4] + symbols[5]]))
    for _, sort, _, _, at, length, _, target, _, _ in sections:
        if sort == _SHT_RELA and target in places:
            for offset, what, addend in _RELOCATION.iter_unpack(image[at : at + length]):
                _, _, _, section, value, _ = table[what >> 32]
                if (kind := what & 0xFFFFFFFF) not in (_PC32, _PLT32) or section not in places:
                    raise ValueError(f"relocation {kind} at {offset:#x}, to section {section}")
                here = places[target] + offset
                struct.pack_into("<i", code, here, places[section] + value + addend - here)
    names = image[sections[symbols[6]][4] :]
    return bytes(code), {
        names[name : names.index(b"\0", name)].decode(): places[section] + value
        for name, info, _, section, value, _ in table
        if info >> 4 and section in places
    }


def _lay_out(image: bytes, sections: list[tuple[int, ...]]) -> tuple[bytearray, dict[int, int]]:
    """What of an object is to be in memory, and where there each section is, by its number."""
    content, places = bytearray(), {}
    loaded = [number for number, section in enumerate(sections) if section[2] & _SHF_ALLOC and section[5]]
    for number in sorted(loaded, key=lambda each: not sections[each][2] & _SHF_EXEC):
        _, kind, _, _, offset, length, _, _, alignment, _ = sections[number]
        if kind != _SHT_PROGBITS or alignment > ALIGNMENT:
            raise ValueError(f"section {number} of kind {kind:#x}, alignment {alignment}")
        content += bytes(-len(content) % max(alignment, 1))
        places[number] = len(content)
        content += image[offset : offset + length]
    return content, places
