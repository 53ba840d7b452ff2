"""A whole machine: engine, processor, board and border, and the loop that keeps them at exact instruction counts.

The loop stops the engine at every deadline and known event, exactly; what happens *at* an instruction count (input,
timers, interrupts) happens after a run that ended there, so that the state at N is always the one before anything at N.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np

from jitrr.engine.constants import CALL_ARCH, CALL_MMIO_READ, CALL_MMIO_WRITE
from jitrr.engine.engine import Engine, MissingInstruction
from jitrr.engine.exits import Exit
from jitrr.engine.tier import Tier
from runtime.clock import VirtualClock
from runtime.config import ConfigError, MachineConfig
from runtime.device import State
from runtime.machine_api import Stop, StopReason

#: Instructions between two looks at the outside, at most; and the wall time to aim at.
SLICE = 4_000_000
POLL_SECONDS = 0.01
#: What lies above is the devices' on this board, and RAM above 4 GiB is not there yet.
MOST_MEMORY = 3 << 30
#: Executions of a block before the disk cache is asked for it, and before it is compiled.
CACHED_AFTER, COMPILE_AFTER = 1_000, 8_000


def make_machine(config: MachineConfig, border: Any, thresholds: tuple[int, int] | None = None) -> PcMachine:
    """The machine a configuration describes, switched on, at icount 0. ``thresholds`` replaces CACHED_AFTER and
    COMPILE_AFTER; like the tier, it never changes the outcome."""
    if config.arch != "x86_64" or config.machine != "pc":
        raise ConfigError(f"--arch {config.arch} --machine {config.machine} is not there yet: use --arch x86_64")
    if config.memory > MOST_MEMORY:
        raise ConfigError("more than 3 GiB of memory is not there yet: use --memory 3G")
    if config.smp != 1:
        raise ConfigError("more than one processor is not there yet: use --smp 1")
    return PcMachine(config, border, thresholds)


class PcMachine:
    """One x86 processor on the ``pc`` board. Also the processor's pins and its services."""

    def __init__(self, config: MachineConfig, border: Any, thresholds: tuple[int, int] | None = None):
        from frontends.x86.cpu import X86Cpu
        from frontends.x86.frontend import X86Frontend
        from runtime.machines.pc import PcBoard

        self.config, self.border = config, border
        self.clock = VirtualClock(config.shift)
        self.clock.read_icount = border.read_icount = self._icount
        self.clock.on_arm = border.on_schedule = self._shorten
        self._calling = False
        self._budget_end = 0
        self._ending: Stop | None = None
        self._reset_wanted = self._nmi = False
        self.halted = False
        self.intr = False
        self._serviced = -1
        self._next_poll = 0.0
        self.engine = Engine(X86Frontend(), config.memory, self._host_call)
        self.words = memoryview(self.engine.block.map).cast("Q")
        layout = self.engine.layout
        self._at_now, self._at_leave = layout["icount_now"] // 8, layout["leave"] // 8
        self._at_irq, self._at_shadow = layout["irq"] // 8, layout["shadow"] // 8
        self._at_limit, self._at_ic, self._at_io = layout["limit"] // 8, layout["ic"] // 8, layout["io_value"] // 8
        self.ram = memoryview(self.engine.ram.map)
        self.board = PcBoard(self.clock, border, self.ram, self)
        self.cpu = X86Cpu(self.engine, self, config.shift)
        self._io_read, self._io_write = self.board.io.read, self.board.io.write
        self._mmio_read, self._mmio_write = self.board.mmio.read, self.board.mmio.write
        self._set_tier(config.tier, thresholds)
        self.switch_on()

    def _set_tier(self, tier: str, thresholds: tuple[int, int] | None) -> None:
        if tier == "interp":
            return
        first, then = thresholds or ((CACHED_AFTER, COMPILE_AFTER) if tier == "auto" else (2, 2))
        self.engine.tier = Tier(self.engine, first, then, synchronous=tier == "jit")

    def close(self) -> None:
        """Keep what was translated for the next run, end the compile worker."""
        self.engine.close()

    # -- switching on -------------------------------------------------------------------------------------------------
    def switch_on(self) -> None:
        """Power-on or reset: devices, processor, and the kernel placed in RAM again."""
        from runtime.machines.boot import load_guest

        self.board.reset()
        self.halted = self._nmi = False
        self.cpu.reset()
        load_guest(self.config, self.ram, self.board, self.cpu)
        self.engine.flush_code()

    # -- time ---------------------------------------------------------------------------------------------------------
    def _icount(self) -> int:
        """Exact at every moment, also inside a device access."""
        return self.words[self._at_now] if self._calling else self.icount

    @property
    def icount(self) -> int:
        ic = self.words[self._at_ic]
        return self.words[self._at_limit] - (ic - (1 << 64) if ic >> 63 else ic)

    def _set_icount(self, icount: int) -> None:
        self.words[self._at_limit], self.words[self._at_ic] = icount, 0

    def _shorten(self, icount: int) -> None:
        if self._calling and icount < self._budget_end:
            self.words[self._at_leave] |= 3

    # -- pins ---------------------------------------------------------------------------------------------------------
    def set_intr(self, level: bool) -> None:
        """An interrupt waits (or no longer does)."""
        self.intr = level
        self.words[self._at_irq] = 0x200 if level else 0
        if level and self._calling:
            self.words[self._at_leave] |= 3

    def nmi(self) -> None:
        self._nmi = True
        self.words[self._at_leave] |= 3

    def request_reset(self) -> None:
        self._reset_wanted = True
        self.words[self._at_leave] |= 3

    def request_power_off(self) -> None:
        self._ending = Stop(StopReason.POWER_OFF, 0)
        self.words[self._at_leave] |= 3

    # -- callbacks of generated code ----------------------------------------------------------------------------------
    def _host_call(self, kind: int, a: int, b: int) -> int:
        self._calling = True
        try:
            if kind == CALL_MMIO_READ:
                return self._mmio_read(a, b)
            if kind == CALL_MMIO_WRITE:
                self._mmio_write(a, b, self.words[self._at_io] & ((1 << (8 * b)) - 1))
                return 0
            assert kind == CALL_ARCH
            return self.cpu.service(a, b)
        finally:
            self._calling = False

    # -- processor services -------------------------------------------------------------------------------------------
    def io_read(self, port: int, size: int) -> int:
        return self._io_read(port, size)

    def io_write(self, port: int, size: int, value: int) -> None:
        self._io_write(port, size, value)

    def entropy(self, size: int) -> bytes:
        return self.border.entropy(size)

    @property
    def apic(self) -> Any:
        return self.board.apic

    # -- running ------------------------------------------------------------------------------------------------------
    def run_to(self, icount: int) -> Stop:
        """See runtime.machine_api.Machine."""
        boundary = True
        border, clock, engine = self.border, self.clock, self.engine
        while True:
            now = self.icount
            if self._ending is not None:
                return self._end(now)
            if now >= icount:
                return Stop(StopReason.REACHED, now)
            if boundary and now != self._serviced and time.monotonic() >= self._next_poll:
                self._next_poll = time.monotonic() + POLL_SECONDS
                if engine.tier is not None:
                    engine.tier.service()
                if border.poll(now):
                    return Stop(StopReason.INTERRUPTED, now)
            border.deliver_due(now)
            clock.run_due()
            self._serviced = now
            if self._reset_wanted:
                self._reset_wanted = False
                self.switch_on()
                self.engine.all_pages_written()
            if not self._take_interrupts(now):
                return Stop(StopReason.CRASHED, now, self.cpu.describe_shutdown())
            if self.halted:
                self._idle(now, icount)
                boundary = True
                continue
            if (stop := self._run(now, icount)) is not None:
                return stop
            boundary = self._boundary

    def _run(self, now: int, icount: int) -> Stop | None:
        """One native run: to the next thing that is known to happen."""
        end = min(icount, now + SLICE)
        deadline, event = self.clock.next_deadline(), self.border.next_event()
        if deadline is not None and deadline < end:
            end = deadline
        if event is not None and event < end:
            end = event
        if self.words[self._at_shadow] == now and self.intr:
            end = now + 1
            self.words[self._at_irq] = 0
        self._budget_end = end = max(end, now + 1)
        try:
            reason = self.engine.run(end)
            self.words[self._at_irq] = 0x200 if self.intr else 0
        except MissingInstruction as error:
            return Stop(StopReason.CRASHED, self.icount, str(error))
        self._boundary = reason in (Exit.BUDGET, Exit.HALT)
        if reason == Exit.HALT:
            self.halted = True
        elif reason == Exit.MISSING:
            return Stop(StopReason.CRASHED, self.icount, self.cpu.describe_missing())
        elif reason == Exit.SHUTDOWN:
            return Stop(StopReason.CRASHED, self.icount, self.cpu.describe_shutdown())
        return None

    def _take_interrupts(self, now: int) -> bool:
        """False: delivering one ended in a triple fault."""
        if self._nmi and not self.cpu.nmi_blocked:
            self._nmi = self.halted = False
            return self.cpu.interrupt(2)
        if self.intr and self.cpu.interrupts_enabled and self.words[self._at_shadow] != now:
            self.halted = False
            return self.cpu.interrupt(self.board.acknowledge())
        return True

    def _idle(self, now: int, icount: int) -> None:
        """Halted: icount goes on to what comes next."""
        reached = self.border.idle(now, self.clock.next_deadline())
        self._set_icount(min(reached, icount))
        self._next_poll = 0.0

    def _end(self, now: int) -> Stop:
        assert self._ending is not None
        stop, self._ending = Stop(self._ending.reason, now, self._ending.message), None
        return stop

    # -- state --------------------------------------------------------------------------------------------------------
    def cpu_state(self) -> bytes:
        flags = bytes([self.halted, self._nmi, self._reset_wanted, self.words[self._at_shadow] == self.icount])
        return flags + self.cpu.state_bytes()

    def restore_cpu(self, state: bytes, icount: int) -> None:
        self.halted, self._nmi, self._reset_wanted = (bool(b) for b in state[:3])
        self._ending = None
        self.words[self._at_leave] = 0
        self._set_icount(icount)
        self.words[self._at_shadow] = icount if state[3] else (1 << 64) - 1
        self.cpu.restore_bytes(state[4:])
        self._serviced = -1

    def device_state(self) -> State:
        return {"clock": self.clock.save(), **self.board.save()}

    def restore_devices(self, state: State) -> None:
        self.clock.restore(state["clock"])
        self.board.restore({name: value for name, value in state.items() if name != "clock"})

    def take_dirty_pages(self) -> np.ndarray:
        return self.engine.take_dirty_pages()

    def ram_replaced(self, pages: np.ndarray) -> None:
        self.engine.pages_replaced(pages)
