"""Registers as a debugger sees them: names, widths, and how each is read and written; the lists are the front ends'
(``inspect.py``)."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass


class NotWritable(Exception):
    """The register cannot be written from outside; the message says why."""


@dataclass(frozen=True)
class Register:
    """One register. ``feature``: of gdb's target descriptions (gdb manual, appendix G.5), where its place among the
    others is fixed; ``group``: general, float, vector or system; ``kind``: gdb's type of it."""

    name: str
    bits: int
    group: str
    feature: str
    kind: str = "int"


@dataclass(frozen=True)
class Slot:
    """A register and the way to it; ``write`` None: it is only read."""

    register: Register
    read: Callable[[], int]
    write: Callable[[int], None] | None = None


class RegisterFile:
    """The registers of one processor, by name, in gdb's order."""

    def __init__(self, slots: Iterable[Slot]):
        self._slots = {slot.register.name: slot for slot in slots}
        self.registers = [slot.register for slot in self._slots.values()]

    def read(self, name: str) -> int:
        """The unsigned value of a register. KeyError: there is none of that name."""
        return self._slots[name].read()

    def write(self, name: str, value: int) -> None:
        """Give a register a value, cut to its width. KeyError: there is none of that name; NotWritable."""
        slot = self._slots[name]
        if slot.write is None:
            raise NotWritable(f"{name} cannot be written from outside: the guest's own instructions have to")
        slot.write(value & (1 << slot.register.bits) - 1)
