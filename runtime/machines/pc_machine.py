"""An x86 processor on the ``pc`` board."""

from __future__ import annotations

from typing import Any

from frontends.x86.cpu import X86Cpu
from frontends.x86.frontend import X86Frontend
from jitrr.engine.constants import PAGE_ROM
from jitrr.engine.engine import Engine
from runtime.config import PAGE, ConfigError
from runtime.machine import BoardMachine
from runtime.machines.boot import load_guest
from runtime.machines.memory_map import MOST_ROM, engine_ranges
from runtime.machines.pc import MOST_PROCESSORS, PcBoard
from runtime.processors import NMI, Status, Vcpu

#: More would make the tables of pages dear, which every digest goes through.
MOST_MEMORY = 32 << 30
#: The bit of field ``irq``: EFLAGS.IF, which lets interrupts in.
INTR = 0x200


class X86Vcpu(Vcpu):
    """The pins of an x86 processor (runtime.interrupts.X86Pins)."""

    def set_intr(self, level: bool) -> None:
        """A maskable interrupt waits (or no longer does)."""
        self.set_line(INTR, level)

    def init(self) -> None:
        """INIT: wait for a start-up message. The first processor begins with the firmware, which is the machine's
        reset."""
        if self.number:
            self.stop()
        else:
            self._machine.request_reset()

    def start_up(self, vector: int) -> None:
        """A start-up message: begin at page ``vector``; a running processor takes no notice."""
        self.start(vector)


class PcMachine(BoardMachine):
    """Also the services of its processors (frontends.x86.cpu.Services)."""

    board: PcBoard
    cpu: X86Cpu
    most_processors = MOST_PROCESSORS
    pins = X86Vcpu

    def make_engine(self) -> Engine:
        if self.config.memory > MOST_MEMORY:
            raise ConfigError("there is no place for more than 32 GiB of memory: use --memory 32G")
        rom = len(self.config.bios.data) if self.config.bios is not None else 0
        if rom % PAGE or rom > MOST_ROM:
            raise ConfigError(f"firmware has whole pages of 4 KiB and at most 16 MiB, not {rom} bytes")
        memory = self.config.memory
        engine = Engine(X86Frontend(), memory + rom, self.host_call, engine_ranges(memory, rom), self.processors)
        engine.page_flags[memory // PAGE : (memory + rom) // PAGE] |= PAGE_ROM
        return engine

    def build(self) -> None:
        self.board = PcBoard(self.clock, self.border, self.ram[: self.config.memory], self, self.vcpus,
                             has_test_device=self.config.machine == "pc-test")  # fmt: skip
        self.io_read, self.io_write = self.board.io.read, self.board.io.write
        self.cpus = []
        for number in range(self.processors):
            self.engine.select(number)
            self.cpus.append(X86Cpu(self.engine, self, self.config.shift, long_mode=self.config.arch == "x86_64",
                                    number=number, processors=self.processors))  # fmt: skip

    def load_guest(self) -> None:
        load_guest(self.config, self.ram, self.board, self.cpu)

    def wake_lines(self) -> int:
        return (INTR if self.cpu.interrupts_enabled else 0) | (0 if self.cpu.nmi_blocked else NMI)

    def start_processor(self, first: int, second: int) -> None:
        self.cpu.start(first)

    def take_interrupts(self, now: int) -> bool:
        vcpu = self.vcpu
        if vcpu.nmi_waits and not self.cpu.nmi_blocked and not self.in_shadow(now):
            vcpu.nmi_waits, vcpu.status = False, Status.RUNNING
            return self.cpu.interrupt(2)
        if vcpu.waiting and self.cpu.interrupts_enabled and not self.in_shadow(now):
            vcpu.status = Status.RUNNING
            return self.cpu.interrupt(self.board.acknowledge())
        return True

    def in_shadow(self, now: int) -> bool:
        return super().in_shadow(now) or self.cpu.trap_due

    # -- services of the processor ------------------------------------------------------------------------------------
    def entropy(self, size: int) -> bytes:
        return self.border.entropy(size)

    @property
    def apic(self) -> Any:
        """The local APIC."""
        return self.board.apic
