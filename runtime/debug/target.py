"""A stopped machine as a debugger sees it: registers by gdb's names, memory by virtual or physical address. Looking
changes nothing: no accessed bit is set, no device is read, no translation is made."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
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

        return Target(machine, [ArmInspector(cpu) for cpu in machine.cpus])
    from frontends.x86.inspect import X86Inspector

    return Target(machine, [X86Inspector(cpu) for cpu in machine.cpus])


class Target:
    """A processor and its memory; ``inspectors`` are the front end's part of it (``frontends/*/inspect.py``), one for
    each of the machine's. The registers are the processor's, in gdb's order, and ``icount``."""

    def __init__(self, machine: Any, inspectors: list[Any]):
        self.machine, self._inspectors = machine, inspectors
        self._engine = machine.engine
        self.arch: str = machine.config.arch
        first = inspectors[0].registers
        self.registers: list[Register] = [*first, Register("icount", 64, "system", TIME, "uint64")]
        #: The number of the processor that is looked at; None: that whose turn it is.
        self.chosen: int | None = None

    # -- processors ---------------------------------------------------------------------------------------------------
    @property
    def processor(self) -> int:
        """The number of the processor that is looked at."""
        return int(self.machine.turn) if self.chosen is None else self.chosen

    @contextmanager
    def of(self, processor: int) -> Iterator[None]:
        """Look at this one meanwhile."""
        before, self.chosen = self.chosen, processor
        try:
            yield
        finally:
            self.chosen = before

    @contextmanager
    def looking(self) -> Iterator[Any]:
        """What the machine's ``engine`` and the inspector that is given see is the processor that is looked at."""
        number = self.processor
        with self.machine.looking_at(number):
            yield self._inspectors[number]

    @property
    def status(self) -> str:
        """What the processor does: "running", "halted", "off", or "starting" (it begins with its next turn)."""
        return str(self.machine.vcpus[self.processor].status.name.lower())

    # -- registers ----------------------------------------------------------------------------------------------------
    @property
    def pc(self) -> int:
        """Linear address of the next instruction."""
        with self.looking() as inspector:
            return int(inspector.pc)

    @property
    def code(self) -> str:
        """How the code at ``pc`` is read: "16", "32", "64", "arm" or "thumb"."""
        with self.looking() as inspector:
            return str(inspector.code)

    def read_register(self, name: str) -> int:
        """The unsigned value of a register. KeyError: there is none of that name."""
        if name == "icount":
            return int(self.machine.icount)
        with self.looking() as inspector:
            return int(inspector.read(name))

    def write_register(self, name: str, value: int) -> None:
        """Give a register a value, cut to its width. KeyError: there is none; NotWritable: not this one."""
        if name == "icount":
            raise NotWritable("icount cannot be written: seek to it")
        with self.looking() as inspector:
            inspector.write(name, value)

    # -- memory -------------------------------------------------------------------------------------------------------
    def translate(self, address: int) -> int | None:
        """Physical address that a virtual (linear) one is mapped to, or None."""
        with self.looking() as inspector:
            found = inspector.physical(address)
        return None if found is None else int(found)

    def mappings(self) -> Iterator[tuple[int, int, int, str]]:
        """The pages mapped now, in the order of their addresses: virtual, physical, size, flags. These are four:
        u (user mode may read it), r, w, x, with - for what is not allowed. Nothing while paging is off."""
        with self.looking() as inspector:
            found = list(inspector.mappings())
        yield from found

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
