"""The memory of a case: a few pages, zero where nothing is listed; and its text form, ``[address]=bytes``."""

from __future__ import annotations

import re

PAGE = 4096
ZERO_PAGE = bytes(PAGE)


class PagedMemory:
    """Part of a processor's state: ``memory`` maps page addresses to 4096 bytes."""

    __slots__ = ()
    memory: dict[int, bytes]

    def read(self, address: int, size: int) -> bytes:
        """``size`` bytes of memory at ``address``; pages that are not listed read as zero."""
        out = bytearray()
        while len(out) < size:
            base, offset = (address + len(out)) & -PAGE, (address + len(out)) % PAGE
            out += self.memory.get(base, ZERO_PAGE)[offset : offset + size - len(out)]
        return bytes(out)

    def write(self, address: int, data: bytes) -> None:
        """Put ``data`` at ``address``; it may cross pages."""
        while data:
            base, offset = address & -PAGE, address % PAGE
            part = data[: PAGE - offset]
            page = self.memory.get(base, ZERO_PAGE)
            self.memory[base] = page[:offset] + part + page[offset + len(part) :]
            address, data = address + len(part), data[len(part) :]

    def put(self, name: str, value: str) -> bool:
        """Put a token's bytes (hexadecimal) into memory, if its name is an address in brackets."""
        match = re.fullmatch(r"\[([0-9a-f]+)\]", name)
        if match is not None:
            self.write(int(match[1], 16), bytes.fromhex(value))
        return match is not None


def memory_differences(before: PagedMemory, after: PagedMemory) -> dict[int, bytes]:
    """Runs of bytes, by address, of ``after`` that are not those of ``before``; equal stretches below 8 bytes join
    runs."""
    runs: dict[int, bytes] = {}
    for base in sorted(before.memory.keys() | after.memory.keys()):
        old, new = before.memory.get(base, ZERO_PAGE), after.memory.get(base, ZERO_PAGE)
        if old is new or old == new:
            continue
        where = [i for i in range(PAGE) if old[i] != new[i]]
        start = last = where[0]
        for i in [*where[1:], 2 * PAGE]:
            if i - last > 8:
                runs[base + start] = new[start : last + 1]
                start = i
            last = i
    return runs


def memory_tokens(before: PagedMemory, after: PagedMemory) -> str:
    """What of memory differs as text, each token preceded by a space."""
    return "".join(f" [{at:x}]={data.hex()}" for at, data in memory_differences(before, after).items())
