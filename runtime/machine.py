"""What all machines share: engine, processor, board and border, and the loop that keeps them at exact instruction
counts. The machines themselves, one class a board, are in :mod:`runtime.machines`; how several processors take turns is
in :mod:`runtime.processors`.

The loop stops the engine at every deadline and known event, exactly; what happens *at* an instruction count (input,
timers, interrupts) happens after a run that ended there, so that the state at N is always the one before anything at N.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Protocol

import numpy as np

from jitrr.engine.constants import CALL_ARCH, CALL_MMIO_READ, CALL_MMIO_WRITE
from jitrr.engine.engine import Engine, MissingInstruction
from jitrr.engine.exits import Exit
from jitrr.engine.tier import Tier
from runtime import processor_state
from runtime.bus import Bus
from runtime.clock import VirtualClock
from runtime.config import ConfigError, MachineConfig
from runtime.device import State
from runtime.machine_api import Stop, StopReason
from runtime.processors import IDLE, NEVER, TURN, Status, Vcpu

#: Instructions between two looks at the outside, at most; and the wall time to aim at.
SLICE = 4_000_000
POLL_SECONDS = 0.01
#: Executions of a block before the disk cache is asked for it, and before it is compiled.
CACHED_AFTER, COMPILE_AFTER = 1_000, 8_000

_PC = ("runtime.machines.pc_machine", "PcMachine")
#: Module and class of the machine for each architecture and board; only the one that is wanted is imported.
_MACHINES = {
    ("x86_64", "pc"): _PC, ("i386", "pc"): _PC, ("x86_64", "pc-test"): _PC, ("i386", "pc-test"): _PC,
    ("arm", "virt"): ("runtime.machines.virt_machine", "VirtMachine"),
}  # fmt: skip


def make_machine(config: MachineConfig, border: Any, thresholds: tuple[int, int] | None = None) -> BoardMachine:
    """The machine a configuration describes, switched on, at icount 0. ``thresholds`` replaces CACHED_AFTER and
    COMPILE_AFTER; like the tier, it never changes the outcome."""
    place = _MACHINES.get((config.arch, config.machine))
    if place is None:
        boards = " or ".join(board for arch, board in _MACHINES if arch == config.arch)
        raise ConfigError(f"--arch {config.arch} has no --machine {config.machine}: use {boards}")
    if config.cpu != "default":
        raise ConfigError(f"there is no --cpu {config.cpu}: each architecture has one model, default")
    module, name = place
    kind: type[BoardMachine] = getattr(import_module(module), name)
    if config.smp > kind.most_processors:
        raise ConfigError(f"--machine {config.machine} has at most {kind.most_processors} processors, not {config.smp}")
    return kind(config, border, thresholds)


class Processor(Protocol):
    """What a machine needs of its processor (the front end's)."""

    #: 2 to 255: what :meth:`state_bytes` and :meth:`restore_bytes` mean; it goes up whenever they change.
    state_version: int

    def reset(self) -> None:
        """Power-on state."""

    def service(self, number: int, argument: int) -> int:
        """What native helpers ask of Python: ``host_call(cpu, CALL_ARCH, number, argument)``."""

    def state_bytes(self) -> bytes:
        """The architectural state: the same bytes however the code was run."""

    def restore_bytes(self, data: bytes) -> None:
        """The inverse; ValueError when another version made it."""

    def end_turn(self) -> None:
        """Another processor is about to run."""

    def begin_turn(self, since: int, now: int) -> None:
        """It runs again, at icount ``now``, after others have run since ``since``."""

    def describe_missing(self) -> str:
        """One line about the announced instruction at ``pc`` that is not there."""

    def describe_shutdown(self) -> str:
        """One line about an exception that could not be delivered."""


class Board(Protocol):
    """All devices of a machine, wired."""

    mmio: Bus

    def reset(self) -> None: ...
    def select(self, number: int) -> None:
        """Accesses from now on are those of this processor."""

    def save(self) -> State: ...
    def restore(self, state: State) -> None: ...


class BoardMachine:
    """Processors on a board; a subclass builds both, places the guest, and knows how interrupts are taken. Also the
    machine's pins."""

    board: Board
    #: Of the processor whose turn it is.
    cpu: Processor
    cpus: list[Any]
    most_processors = 1
    #: The class of ``vcpus``.
    pins: type[Vcpu] = Vcpu

    def __init__(self, config: MachineConfig, border: Any, thresholds: tuple[int, int] | None = None):
        self.config, self.border = config, border
        self.clock = VirtualClock(config.shift)
        self.clock.read_icount = border.read_icount = self._icount
        self.clock.on_arm = border.on_schedule = self._shorten
        self._calling = False
        self._budget_end = 0
        self._ending: Stop | None = None
        self.reset_wanted = False
        #: Whether breakpoints and watchpoints (``engine.breakpoints``) end a run.
        self.stopping = False
        #: The icount at which the processor halted, while it is and it is known.
        self.halted_at: int | None = None
        #: The time it has spent halted since it was made, in instructions.
        self.idled = 0
        self._boundary = True
        self.processors = config.smp
        self.vcpus: list[Any] = [self.pins(self, number) for number in range(config.smp)]
        #: The one whose turn it is, and the icount at which that is over if another one can run.
        self.vcpu, self.turn_end = self.vcpus[0], TURN
        #: The processor at the beginning of whose turn a run ends (StopReason.TURN), or None.
        self.stop_at_turn: int | None = None
        #: Where turns began, as (icount, processor), appended to if it is there; IDLE: where the machine was halted.
        self.turns: list[tuple[int, int]] | None = None
        self._serviced = -1
        self._next_poll = 0.0
        self.engine = self.make_engine()
        self.words = memoryview(self.engine.block.map).cast("Q")
        layout = self.engine.layout
        self._at_now, self._at_leave = layout["icount_now"] // 8, layout["leave"] // 8
        self._at_irq, self._at_shadow = layout["irq"] // 8, layout["shadow"] // 8
        self._at_limit, self._at_ic, self._at_io = layout["limit"] // 8, layout["ic"] // 8, layout["io_value"] // 8
        self._at_hit, self._at_others = layout["watch_address"] // 8, layout["others"] // 8
        self._at_yielded = layout["yielded"] // 8
        self.ram = memoryview(self.engine.ram.map)
        self.build()
        self._mmio_read, self._mmio_write = self.board.mmio.read, self.board.mmio.write
        self.switch_on()
        self.engine.all_pages_written()
        self._set_tier(config.tier, thresholds)  # last: what cannot be started leaves no process behind

    # -- what a subclass gives ----------------------------------------------------------------------------------------
    def make_engine(self) -> Engine:
        """The engine with the front end, RAM where the board has it, and :meth:`host_call`."""
        raise NotImplementedError

    def build(self) -> None:
        """Make ``board``, ``cpus`` and ``cpu``; engine and RAM are there."""
        raise NotImplementedError

    def wake_lines(self) -> int:
        """Interrupts that would wake the processor, which has just halted: bits of field ``irq``, and NMI."""
        raise NotImplementedError

    def start_processor(self, first: int, second: int) -> None:
        """The processor whose turn it is was off and has been started (Vcpu.start)."""
        raise NotImplementedError

    def load_guest(self) -> None:
        """After a reset: images into RAM and the processor at its entry. ConfigError when it cannot be started."""
        raise NotImplementedError

    def take_interrupts(self, now: int) -> bool:
        """Deliver what waits and is enabled, and wake the processor; False: delivering it crashed the machine."""
        raise NotImplementedError

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
        self.board.reset()
        for vcpu in self.vcpus:
            vcpu.reset()
        for number, cpu in enumerate(self.cpus):
            self.engine.select(number)
            cpu.reset()
        self.give_turn(self.vcpus[0])
        self.turn_end = self.icount + TURN
        self.load_guest()
        self.engine.flush_code()

    # -- turns --------------------------------------------------------------------------------------------------------
    @property
    def turn(self) -> int:
        """Number of the processor whose turn it is."""
        return self.vcpu.number

    @property
    def halted(self) -> bool:
        """Nothing runs until something happens."""
        if self.processors == 1:
            return self.vcpu.status == Status.HALTED
        return not any(vcpu.can_run() for vcpu in self.vcpus)

    @contextmanager
    def looking_at(self, number: int) -> Iterator[None]:
        """What looks at the engine and at ``cpus[number]`` sees this processor, until the machine runs again."""
        self.engine.select(number)
        self.board.select(number)
        try:
            yield
        finally:
            self.engine.select(self.turn)
            self.board.select(self.turn)

    def give_turn(self, vcpu: Vcpu) -> None:
        """This processor runs from now on."""
        self.vcpu, self.cpu = vcpu, self.cpus[vcpu.number]
        self.engine.select(vcpu.number)
        self.board.select(vcpu.number)
        self.words[self._at_irq] = vcpu.waiting

    @property
    def runs_next(self) -> int:
        """Number of the processor that runs the next instruction, unless what is due here changes that."""
        return self._whose_turn(self.icount).number

    def _whose_turn(self, now: int) -> Vcpu:
        """Where a turn is over, or its processor cannot go on, it is that of the next one that can, if there is one."""
        vcpu = self.vcpu
        if now < self.turn_end and vcpu.can_run():
            return vcpu
        behind = [*self.vcpus[vcpu.number + 1 :], *self.vcpus[: vcpu.number]]
        return next((other for other in behind if other.can_run()), vcpu)

    def _pass_turn(self, now: int) -> bool:
        """Whether it is the turn of another processor now."""
        old, new = self.vcpu, self._whose_turn(now)
        if new is old:
            return False
        old.parked_at, old.in_shadow = now, self.held_off(now)
        self.cpu.end_turn()
        self.give_turn(new)
        if self.stopping:
            self.engine.breakpoints.pass_none()  # the one that was passed is another processor's
        self.turn_end = now + TURN
        self.hold_off(now, new.in_shadow)
        if new.status == Status.STARTING:
            new.status = Status.RUNNING
            self.start_processor(*new.start_arguments)
        else:
            self.cpu.begin_turn(new.parked_at, now)
        if self.turns is not None:
            self.turns.append((now, new.number))
        return True

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
    def leave(self) -> None:
        """End the run after this instruction."""
        self.words[self._at_leave] |= 3

    def line_changed(self, vcpu: Vcpu, level: bool) -> None:
        """An interrupt line of a processor has changed."""
        mine = vcpu is self.vcpu
        if mine:
            self.words[self._at_irq] = vcpu.waiting
        if self._calling and (level or not mine):  # one less that could run is a matter of PAUSE
            self.words[self._at_leave] |= 3

    def request_reset(self) -> None:
        self.reset_wanted = True
        self.words[self._at_leave] |= 3

    def request_power_off(self) -> None:
        self._ending = Stop(StopReason.POWER_OFF, 0)
        self.words[self._at_leave] |= 3

    # -- callbacks of generated code ----------------------------------------------------------------------------------
    def host_call(self, kind: int, a: int, b: int) -> int:
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

    # -- running ------------------------------------------------------------------------------------------------------
    def run_to(self, icount: int) -> Stop:
        """See runtime.machine_api.Machine."""
        boundary = self._boundary
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
            if self.reset_wanted:
                self.reset_wanted = False
                self.switch_on()
                self.engine.all_pages_written()
            if self.processors > 1 and self._pass_turn(now) and self.turn == self.stop_at_turn:
                return Stop(StopReason.TURN, now)
            if self.vcpu.status != Status.OFF and not self.take_interrupts(now):
                return Stop(StopReason.CRASHED, now, self.cpu.describe_shutdown())
            if self.vcpu.status != Status.RUNNING:
                self._idle(now, icount)
                self._boundary = boundary = True
                continue
            if (stop := self._run(now, icount)) is not None:
                return stop
            boundary = self._boundary

    def _run(self, now: int, icount: int) -> Stop | None:
        """One native run: to the next thing that is known to happen."""
        engine = self.engine
        end = min(icount, now + SLICE)
        deadline, event = self.clock.next_deadline(), self.border.next_event()
        if deadline is not None and deadline < end:
            end = deadline
        if event is not None and event < end:
            end = event
        vcpu = self.vcpu
        if self.processors > 1:
            end = self._until_turn_ends(end)
        if (vcpu.waiting or vcpu.nmi_waits) and self.in_shadow(now):
            end = now + 1
            self.words[self._at_irq] = 0
        tier = self.engine.tier
        if tier is not None and tier.trace is not None and not tier.trace.done:
            end = min(end, now + tier.trace.step())
        if self.stopping and engine.breakpoints.delivered:
            end = now + 1
        self._budget_end = end = max(end, now + 1)
        try:
            reason = engine.run(end)
            self.words[self._at_irq] = vcpu.waiting
        except MissingInstruction as error:
            return Stop(StopReason.CRASHED, self.icount, str(error))
        self._boundary = reason in (Exit.BUDGET, Exit.HALT)
        if self.words[self._at_yielded]:
            self.words[self._at_yielded], self.turn_end = 0, self.icount
        if vcpu.status == Status.OFF:
            self.halted_at = self.icount
        if reason == Exit.HALT:
            if not self.in_shadow(self.icount):
                vcpu.status, vcpu.wakes_on = Status.HALTED, self.wake_lines()
            self.halted_at = self.icount
        elif reason == Exit.BREAK:
            return Stop(StopReason.BREAKPOINT, self.icount)
        elif reason == Exit.MISSING:
            return Stop(StopReason.CRASHED, self.icount, self.cpu.describe_missing())
        elif reason == Exit.SHUTDOWN:
            return Stop(StopReason.CRASHED, self.icount, self.cpu.describe_shutdown())
        if self.stopping and (hits := engine.breakpoints.take_hits()):
            return Stop(StopReason.WATCHPOINT, self.icount, watches=hits, address=self.words[self._at_hit])
        return None

    def _until_turn_ends(self, end: int) -> int:
        """Of several processors: the latest end of a run up to ``end``."""
        others = any(vcpu.can_run() for vcpu in self.vcpus if vcpu is not self.vcpu)
        self.words[self._at_others] = others
        return min(end, self.turn_end) if others else end

    def stop_at_points(self, on: bool) -> None:
        """Whether runs end at breakpoints and watchpoints."""
        self.stopping = on
        self.engine.breakpoints.enable(on)
        self.engine.breakpoints.take_hits()

    def held_off(self, now: int) -> bool:
        """Whether the last instruction holds interrupts off for this one (STI, MOV SS)."""
        return self.words[self._at_shadow] == now

    def hold_off(self, now: int, on: bool) -> None:
        """Set that."""
        self.words[self._at_shadow] = now if on else NEVER

    def in_shadow(self, now: int) -> bool:
        """Interrupts are held off for one instruction (or what goes before them)."""
        return self.held_off(now)

    def _idle(self, now: int, icount: int) -> None:
        """Halted: icount goes on to what comes next."""
        reached = self.border.idle(now, self.clock.next_deadline())
        self._set_icount(min(reached, icount))
        self.idled += self.icount - now
        if self.turns is not None:
            self.turns += [(now, IDLE), (self.icount, self.turn)]
        self._next_poll = 0.0

    def _end(self, now: int) -> Stop:
        assert self._ending is not None
        stop, self._ending = Stop(self._ending.reason, now, self._ending.message), None
        return stop

    # -- state --------------------------------------------------------------------------------------------------------
    def cpu_state(self) -> bytes:
        return processor_state.save(self)

    def restore_cpu(self, state: bytes, icount: int) -> None:
        processor_state.check(self, state)
        self._ending = None
        self._boundary, self.halted_at = True, None
        self.engine.breakpoints.forget_hits()
        self.words[self._at_leave] = self.words[self._at_yielded] = 0
        self._set_icount(icount)
        processor_state.restore(self, state, icount)
        self._serviced = -1

    def device_state(self) -> State:
        return {"clock": self.clock.save(), **self.board.save()}

    def restore_devices(self, state: State) -> None:
        self.clock.restore(state["clock"])
        self.board.restore({name: value for name, value in state.items() if name != "clock"})

    def take_dirty_pages(self) -> np.ndarray:
        return self.engine.take_dirty_pages()

    def take_touched(self) -> np.ndarray:
        return self.engine.take_touched()

    def ram_replaced(self, pages: np.ndarray) -> None:
        self.engine.pages_replaced(pages)
