"""An ARM processor on the ``virt`` board."""

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
from runtime.machines.virt import RAM_BASE, VirtBoard

#: From RAM_BASE to the end of 32-bit addresses.
MOST_MEMORY = (4 << 30) - RAM_BASE


class VirtMachine(BoardMachine):
    """Also the services of its processor (frontends.arm.cpu.Services) and its pins."""

    board: VirtBoard
    cpu: ArmCpu

    def make_engine(self) -> Engine:
        memory = self.config.memory
        if memory > MOST_MEMORY:
            raise ConfigError("there is no place for more than 3 GiB of memory: use --memory 3G")
        return Engine(ArmFrontend(), memory, self.host_call, ((RAM_BASE, memory, 0),))

    def build(self) -> None:
        self.board = VirtBoard(self.clock, self.border, self.ram, self, (self,))
        self.cpu = ArmCpu(self.engine, self, self.config.shift)
        self.board.mmio.absent = self.cpu.external_abort

    def load_guest(self) -> None:
        load_guest(self.config, self.ram, self.border, self.cpu)

    def set_intr(self, level: bool) -> None:
        """The IRQ input."""
        self.set_line(st.I, level)

    def set_fiq(self, level: bool) -> None:
        """The FIQ input."""
        self.set_line(st.F, level)

    def take_interrupts(self, now: int) -> bool:
        if self.waiting:
            self.halted = False  # even if it is masked (WFI, DDI 0406C, B1.8.13)
            self.cpu.take_interrupts()
        return True

    # -- services of the processor ------------------------------------------------------------------------------------
    @property
    def timer(self) -> GenericTimer:
        """The generic timer, for CP15."""
        return self.board.timer

    # -- for its firmware ---------------------------------------------------------------------------------------------
    processors, turn = 1, 0

    def is_on(self, number: int) -> bool:
        return True

    def is_starting(self, number: int) -> bool:
        return False

    def power_on(self, number: int, entry: int, context: int) -> None:
        raise AssertionError("the only processor is on")

    def power_off(self) -> None:
        raise AssertionError("the only processor is not switched off")

    def firmware(self, function: int, a: int, b: int, c: int) -> int:
        """A firmware call by HVC."""
        return psci.call(self, function, a, b, c)
