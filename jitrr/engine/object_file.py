"""Reading the machine code out of an ELF object that needs no relocation."""

from __future__ import annotations

import struct

_SHT_PROGBITS, _SHT_RELA, _SHF_ALLOC, _SHF_EXEC = 1, 4, 2, 4


def plain_code(image: bytes) -> bytes | None:
    """The bytes of ``.text`` (its function first), or None when something in it must be relocated."""
    (sections_at,) = struct.unpack_from("<Q", image, 0x28)
    size, count = struct.unpack_from("<HH", image, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", image, sections_at + size * i) for i in range(count)]
    text = None
    for index, (_, kind, flags, _, offset, length, _, _, _, _) in enumerate(sections):
        if kind == _SHT_PROGBITS and flags & _SHF_EXEC and length:
            if text is not None:
                return None
            text = index, image[offset : offset + length]
    if text is None:
        return None
    if any(s[1] == _SHT_RELA and s[7] == text[0] and s[5] for s in sections):
        return None
    return text[1]
