"""The generic interrupt controller, architecture version 2, without the Security Extensions (ARM IHI 0048B): which
interrupts are pending, and for whom. Its registers are in :mod:`runtime.devices.gicv2_distributor` and
:mod:`runtime.devices.gicv2_cpu`.

Interrupts 0-15 are software generated (SGI), 16-31 private to a processor (PPI), both once per processor; from 32 on
they are shared (SPI). As in the Cortex-A15 there are 32 priorities: the low three bits of a priority are zero.
"""

from __future__ import annotations

from collections.abc import Sequence

from runtime.device import State
from runtime.devices.base import Stateful
from runtime.devices.gicv2_cpu import SPURIOUS, CpuInterface
from runtime.devices.gicv2_distributor import INTERRUPTS, Distributor
from runtime.devices.primecell import WordWindow
from runtime.interrupts import Line

FIRST_PPI, FIRST_SPI = 16, 32
MOST_CPUS = 8  # a byte of ITARGETSR has a bit for each
SIZE = 0x10000  # of the distributor's registers, and of the CPU interface's
_SGIS, _WORD = 0xFFFF, 0xFFFFFFFF
_ALL = (1 << INTERRUPTS) - 1
_SHARED = _ALL & ~_WORD


class Bits:
    """One bit per interrupt, in ``of[cpu]`` as each processor sees them: from 32 on all see the same."""

    __slots__ = ("of",)

    def __init__(self, cpus: int):
        self.of = [0] * cpus

    def set(self, cpu: int, bits: int) -> None:
        """Set the bits of the interrupts in ``bits``, the private ones those of ``cpu``."""
        self.of[cpu] |= bits & _ALL
        if bits > _WORD:
            for other in range(len(self.of)):
                self.of[other] |= bits & _SHARED

    def clear(self, cpu: int, bits: int) -> None:
        """Clear the bits of the interrupts in ``bits``, the private ones those of ``cpu``."""
        self.of[cpu] &= ~bits
        if bits > _WORD:
            for other in range(len(self.of)):
                self.of[other] &= ~(bits & _SHARED)


class GicV2(Stateful):
    """The controller with one CPU interface for each of ``outputs`` (at most MOST_CPUS): the processor's (IRQ, FIQ)
    pair of lines.

    ``accessing`` is the number of the processor whose access is being made; a machine of one leaves it at 0.
    """

    STATE = ("control", "shared_priority")
    BITS = ("group", "enabled", "latched", "level", "active", "edge")

    def __init__(self, name: str, outputs: Sequence[tuple[Line, Line]]):
        self.name, self.cpus, self.accessing = name, len(outputs), 0
        if self.cpus > MOST_CPUS:
            raise ValueError(f"a GICv2 has at most {MOST_CPUS} processors, not {self.cpus}")
        self.interfaces = [CpuInterface(self, number, *lines) for number, lines in enumerate(outputs)]
        self.distributor = Distributor(self)
        self.cpu_interface = WordWindow(
            lambda offset: self.interfaces[self.accessing].read(offset),
            lambda offset, value: self.interfaces[self.accessing].write(offset, value),
        )
        self.level = Bits(self.cpus)
        self._clear()

    def _clear(self) -> None:
        self.control = 0
        #: latched: what an edge or a write of ISPENDR has made pending. level: the input lines as they are.
        self.group, self.enabled, self.latched = Bits(self.cpus), Bits(self.cpus), Bits(self.cpus)
        self.active, self.edge = Bits(self.cpus), Bits(self.cpus)
        #: Interrupts that go to each processor; with only one, all do (and ITARGETSR reads as zero).
        self.targets = [_ALL if self.cpus == 1 else _WORD] * self.cpus
        self.shared_priority = bytearray(INTERRUPTS)
        self.private_priority = [bytearray(FIRST_SPI) for _ in range(self.cpus)]
        #: For each processor and SGI: the processors that have sent it, as bits.
        self.senders = [bytearray(FIRST_PPI) for _ in range(self.cpus)]
        for cpu in range(self.cpus):
            self.enabled.of[cpu] = self.edge.of[cpu] = _SGIS  # always

    def reset(self) -> None:
        """Power-on state; the input lines are as their devices drive them."""
        self._clear()
        for interface in self.interfaces:
            interface.reset()

    # Inputs

    def set_input(self, number: int, level: bool, cpu: int = 0) -> None:
        """The line of interrupt ``number`` changes: an SPI, or a PPI of ``cpu``."""
        bit = 1 << number
        if not level:
            self.level.clear(cpu, bit)
        else:
            self.level.set(cpu, bit)
            if self.edge.of[cpu] & bit:
                self.latched.set(cpu, bit)
        self.changed(cpu, number)

    def update(self) -> None:
        """Something has changed: settle the lines to the processors."""
        for interface in self.interfaces:
            interface.update()

    def changed(self, cpu: int, number: int) -> None:
        """The same when it was about one interrupt, by ``cpu``: for those only whom it may matter to."""
        self.interfaces[cpu].update()
        if number >= FIRST_SPI and self.cpus > 1:
            for interface in self.interfaces:
                if interface.number != cpu and self.targets[interface.number] >> number & 1:
                    interface.update()

    def send(self, cpu: int, sgi: int, senders: int) -> None:
        """Make ``sgi`` pending for ``cpu``, from each of ``senders`` (bits)."""
        self.senders[cpu][sgi] |= senders & (1 << self.cpus) - 1
        if self.senders[cpu][sgi]:
            self.latched.of[cpu] |= 1 << sgi

    def unsend(self, cpu: int, sgi: int, senders: int) -> None:
        """``sgi`` is not pending for ``cpu`` any more from any of ``senders``."""
        self.senders[cpu][sgi] &= ~senders
        if not self.senders[cpu][sgi]:
            self.latched.of[cpu] &= ~(1 << sgi)

    # State of interrupts

    def pending(self, cpu: int) -> int:
        """Interrupts whose pending bit ``cpu`` reads as one."""
        return self.latched.of[cpu] | self.level.of[cpu] & ~self.edge.of[cpu]

    def highest(self, cpu: int) -> tuple[int, int]:
        """(priority, number) of the most important interrupt that is pending, not active, enabled, and meant for
        ``cpu``; the lowest number of equals. (256, SPURIOUS) when there is none."""
        ready = self.pending(cpu) & self.enabled.of[cpu] & self.targets[cpu] & ~self.active.of[cpu]
        if ready and self.control != 3:
            groups = self.group.of[cpu]
            ready &= (groups if self.control & 2 else 0) | (~groups if self.control & 1 else 0)
        best, found = 256, SPURIOUS
        while ready:
            number = (ready & -ready).bit_length() - 1
            ready &= ready - 1
            priority = self.priority(cpu, number)
            if priority < best:
                best, found = priority, number
        return best, found

    def priority(self, cpu: int, number: int) -> int:
        """Of an interrupt; 0 is the most important."""
        return self.private_priority[cpu][number] if number < FIRST_SPI else self.shared_priority[number]

    def group_of(self, cpu: int, number: int) -> int:
        """0 or 1."""
        return self.group.of[cpu] >> number & 1

    def sender(self, cpu: int, number: int) -> int:
        """Who sent an interrupt that ``cpu`` may take: of an SGI's senders the first one; 0 for other interrupts."""
        senders = self.senders[cpu][number] if number < FIRST_PPI else 1
        return (senders & -senders).bit_length() - 1

    def acknowledge(self, cpu: int, number: int) -> int:
        """``cpu`` takes a pending interrupt: it becomes active. Returns its :meth:`sender`."""
        sender = self.sender(cpu, number)
        self.active.set(cpu, 1 << number)
        if number >= FIRST_PPI:
            self.latched.clear(cpu, 1 << number)
        else:
            self.unsend(cpu, number, 1 << sender)
        return sender

    def deactivate(self, cpu: int, number: int) -> None:
        """``cpu`` is done with an interrupt."""
        self.active.clear(cpu, 1 << number)

    # Saving

    def save(self) -> State:
        """Distributor and CPU interfaces."""
        return {
            **super().save(),
            **{name: _pack(getattr(self, name).of) for name in self.BITS},
            "targets": _pack(self.targets),
            "private_priority": [bytes(each) for each in self.private_priority],
            "senders": [bytes(each) for each in self.senders],
            "interfaces": [interface.save() for interface in self.interfaces],
        }

    def restore(self, state: State) -> None:
        """The inverse of :meth:`save`; nothing is signalled."""
        super().restore(state)
        for name in self.BITS:
            getattr(self, name).of = _unpack(state[name])
        self.targets = _unpack(state["targets"])
        self.private_priority = [bytearray(each) for each in state["private_priority"]]
        self.senders = [bytearray(each) for each in state["senders"]]
        for interface, saved in zip(self.interfaces, state["interfaces"], strict=True):
            interface.restore(saved)


def _pack(masks: list[int]) -> list[bytes]:
    return [mask.to_bytes(INTERRUPTS // 8, "little") for mask in masks]


def _unpack(masks: list[bytes]) -> list[int]:
    return [int.from_bytes(mask, "little") for mask in masks]
