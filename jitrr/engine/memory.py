"""Host memory for guest RAM, translated code and tables."""

from __future__ import annotations

import ctypes
import mmap
from contextlib import suppress

import numpy as np

from jitrr.engine.object_file import ALIGNMENT

#: Bytes of a huge page. Generated code walks over guest RAM, cells and regions in no order, so that a quarter of the
#: time of a system call was the host's own page walks (docs/performance.md).
HUGE = 2 << 20
#: What is never written takes no room, so the host need not have it. Python's module lacks the name of Linux's number.
_NO_RESERVE = 0x4000


def anonymous(size: int, access: int = mmap.PROT_READ | mmap.PROT_WRITE) -> mmap.mmap:
    """Zeroed memory that no other process sees, in huge pages where the host has them; OSError when there is none."""
    memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE, access)
    if size >= HUGE:
        with suppress(OSError):  # a host without them
            memory.madvise(mmap.MADV_HUGEPAGE)
    return memory


class Memory:
    """Zeroed, page-aligned host memory."""

    def __init__(self, size: int):
        self.map = anonymous(size)
        self.size = size
        self.array = np.frombuffer(self.map, np.uint8)
        self.address: int = self.array.ctypes.data

    def touched(self) -> np.ndarray:
        """Sorted numbers of the 4 KiB pages that may be other than zero: those the host has given memory for (Linux,
        admin-guide/mm/pagemap: bit 63 present, bit 62 swapped). Pages that were never touched stay untouched."""
        with open("/proc/self/pagemap", "rb", buffering=0) as file:
            file.seek(self.address >> 9)
            entries = np.frombuffer(file.read(self.size >> 9), np.uint64)
        return np.flatnonzero(entries >> np.uint64(62))


class CodeArena:
    """Executable memory for code that can be anywhere."""

    def __init__(self, size: int) -> None:
        self.map = anonymous(size, mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self.base = ctypes.addressof(ctypes.c_char.from_buffer(self.map))
        self.used = 0

    def add(self, code: bytes) -> int | None:
        """Address of a copy of ``code``, or None when full."""
        at = -(-self.used // ALIGNMENT) * ALIGNMENT
        if at + len(code) > len(self.map):
            return None
        self.map[at : at + len(code)] = code
        self.used = at + len(code)
        return self.base + at
