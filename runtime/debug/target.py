"""A stopped machine as a debugger sees it: registers by gdb's names, memory by virtual or physical address. Looking
changes nothing: no accessed bit is set, no device is read, no translation is made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from frontends.registers import NotWritable, Register
from jitrr.engine.constants import PAGE_DIRTY

PAGE = 4096
#: The feature that holds the machine's time.
TIME = "jitrr.time"


class MemoryFault(Exception):
    """No RAM or ROM is at an address: it is not mapped, or a device's."""

    def __init__(self, address: int):
        super().__init__(f"no memory at {address:#x}")
        self.address = address


def make_target(machine: Any) -> Target:
    """The view of a machine (``runtime.machine.BoardMachine``)."""
    if machine.config.arch == "arm":
        from frontends.arm.inspect import ArmInspector

        return Target(machine, ArmInspector(machine.cpu))
    from frontends.x86.inspect import X86Inspector

    return Target(machine, X86Inspector(machine.cpu))


class Target:
    """One processor and its memory; ``inspector`` is the front end's part of it (``frontends/*/inspect.py``). The
    registers are the processor's, in gdb's order, and ``icount``."""

    def __init__(self, machine: Any, inspector: Any):
        self.machine, self._inspector = machine, inspector
        self._engine = machine.engine
        self.arch: str = machine.config.arch
        self.registers: list[Register] = [*inspector.registers, Register("icount", 64, "system", TIME, "uint64")]

    # -- registers ----------------------------------------------------------------------------------------------------
    @property
    def pc(self) -> int:
        """Linear address of the next instruction."""
        return int(self._inspector.pc)

    @property
    def code(self) -> str:
        """How the code at ``pc`` is read: "16", "32", "64", "arm" or "thumb"."""
        return str(self._inspector.code)

    def read_register(self, name: str) -> int:
        """The unsigned value of a register. KeyError: there is none of that name."""
        return int(self.machine.icount if name == "icount" else self._inspector.read(name))

    def write_register(self, name: str, value: int) -> None:
        """Give a register a value, cut to its width. KeyError: there is none; NotWritable: not this one."""
        if name == "icount":
            raise NotWritable("icount cannot be written: seek to it")
        self._inspector.write(name, value)

    # -- memory -------------------------------------------------------------------------------------------------------
    def translate(self, address: int) -> int | None:
        """Physical address that a virtual (linear) one is mapped to, or None."""
        found = self._inspector.physical(address)
        return None if found is None else int(found)

    def mappings(self) -> Iterator[tuple[int, int, int, str]]:
        """The pages mapped now, in the order of their addresses: virtual, physical, size, flags. These are four:
        u (user mode may read it), r, w, x, with - for what is not allowed. Nothing while paging is off."""
        yield from self._inspector.mappings()

    def read(self, address: int, size: int, physical: bool = False) -> bytes:
        """``size`` bytes at an address. MemoryFault at the first one that is not in RAM or ROM."""
        return b"".join(
            bytes(self._engine.ram.map[at : at + count]) for at, count in self._pieces(address, size, physical)
        )

    def write(self, address: int, data: bytes, physical: bool = False) -> None:
        """Write RAM or ROM; all or nothing. MemoryFault at the first byte that is in neither."""
        pieces = list(self._pieces(address, len(data), physical))
        done = 0
        for at, count in pieces:
            self._engine.ram.map[at : at + count] = data[done : done + count]
            done += count
        pages = np.unique(np.array([at // PAGE for at, _ in pieces], np.int64))
        self._engine.page_flags[pages] |= PAGE_DIRTY
        self.machine.ram_replaced(pages)

    def _pieces(self, address: int, size: int, physical: bool) -> Iterator[tuple[int, int]]:
        """Offsets in RAM and lengths, a page at most each."""
        end = address + size
        while address < end:
            count = min(PAGE - address % PAGE, end - address)
            where = address if physical else self.translate(address)
            at = None if where is None else self._engine.locate(where)
            if at is None:
                raise MemoryFault(address)
            yield at, count
            address += count
