"""ARM processors on the ``virt`` board."""

from __future__ import annotations

from frontends.arm import state as st
from frontends.arm.cpu import ArmCpu
from frontends.arm.frontend import ArmFrontend
from jitrr.engine.engine import Engine
from runtime.config import ConfigError
from runtime.devices import psci
from runtime.devices.generic_timer import GenericTimer
from runtime.machine import BoardMachine
from runtime.machines.arm_boot import load_guest
from runtime.machines.virt import MOST_PROCESSORS, RAM_BASE, VirtBoard
from runtime.processors import Status, Vcpu

#: From RAM_BASE to the end of 32-bit addresses.
MOST_MEMORY = (4 << 30) - RAM_BASE


class ArmVcpu(Vcpu):
    """The pins of an ARM processor (runtime.machines.virt.ArmPins)."""

    def set_intr(self, level: bool) -> None:
        """The IRQ input."""
        self.set_line(st.I, level)

    def set_fiq(self, level: bool) -> None:
        """The FIQ input."""
        self.set_line(st.F, level)


class VirtMachine(BoardMachine):
    """Also the services of its processors (frontends.arm.cpu.Services), and what firmware asks of it
    (runtime.devices.psci.Machine)."""

    board: VirtBoard
    cpu: ArmCpu
    most_processors = MOST_PROCESSORS
    pins = ArmVcpu

    def make_engine(self) -> Engine:
        memory = self.config.memory
        if memory > MOST_MEMORY:
            raise ConfigError("there is no place for more than 3 GiB of memory: use --memory 3G")
        return Engine(ArmFrontend(), memory, self.host_call, ((RAM_BASE, memory, 0),), self.processors)

    def build(self) -> None:
        self.board = VirtBoard(self.clock, self.border, self.ram, self, self.vcpus)
        self.cpus = []
        for number in range(self.processors):
            self.engine.select(number)
            self.cpus.append(ArmCpu(self.engine, self, self.config.shift, number, self.processors))
        self.board.mmio.absent = lambda write: self.cpu.external_abort(write)

    def load_guest(self) -> None:
        load_guest(self.config, self.ram, self.border, self.cpu)

    def wake_lines(self) -> int:
        return st.I | st.F  # even if they are masked (WFI, DDI 0406C, B1.8.13)

    def start_processor(self, first: int, second: int) -> None:
        self.cpu.start(first, second)

    def take_interrupts(self, now: int) -> bool:
        if self.vcpu.waiting:
            self.vcpu.status = Status.RUNNING
            self.cpu.take_interrupts()
        return True

    # -- services of the processor ------------------------------------------------------------------------------------
    @property
    def timer(self) -> GenericTimer:
        """The generic timer, for CP15."""
        return self.board.timer

    # -- for its firmware ---------------------------------------------------------------------------------------------
    def is_on(self, number: int) -> bool:
        """Whether a processor runs, or waits for an interrupt."""
        return self.vcpus[number].status in (Status.RUNNING, Status.HALTED)

    def is_starting(self, number: int) -> bool:
        """Whether a processor has been started and has not begun."""
        return self.vcpus[number].status == Status.STARTING

    def power_on(self, number: int, entry: int, context: int) -> None:
        """Start a processor that is off: at a physical address (bit 0: T32), with ``context`` in R0."""
        self.vcpus[number].start(entry, context)

    def power_off(self) -> None:
        """The processor whose turn it is is off after this instruction."""
        self.vcpu.stop()

    def firmware(self, function: int, a: int, b: int, c: int) -> int:
        """A firmware call by HVC."""
        return psci.call(self, function, a, b, c)
