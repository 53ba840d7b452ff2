"""The narrow interface between a machine and its history: what recording, replay, seek and verify need of it.

The run loop of a machine is, in this order, for as long as ``icount < target``::

    if border.poll(icount): return Stop(INTERRUPTED, icount)    # every few ms of wall time, not at every turn
    border.deliver_due(icount)                                  # logged or scripted input stamped icount
    clock.run_due()                                             # timers due at icount
    it is the turn of another processor, if this one's is over  # (runtime.processors)
    if halted: icount = min(target, border.idle(icount, clock.next_deadline())); continue
    run guest code to exactly min(target, border.next_event(), clock.next_deadline(), a poll's worth of instructions)

So *the state at icount N* is the state before anything that is due at N (input, timers) takes effect:
:meth:`Machine.run_to` comes back there, a checkpoint and a digest describe it, and the next ``run_to`` begins with what
is due. Input always goes before timers of the same icount, and ``poll`` is not called again at an icount whose timers
have run: that keeps live input at the same place in a replay, which finds it by icount alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

import numpy as np

from runtime.device import State

#: Further than any guest goes: the target of a run without end. Fits a signed 64-bit counter with room to spare.
FOREVER = 1 << 62


class StopReason(Enum):
    """Why :meth:`Machine.run_to` came back."""

    REACHED = "reached"  # exactly the icount asked for
    POWER_OFF = "power-off"  # the guest switched the machine off
    CRASHED = "crashed"  # triple fault without reset, or an announced instruction that is not there
    BREAKPOINT = "breakpoint"  # the next instruction is at one; nothing of it was run
    WATCHPOINT = "watchpoint"  # the last instruction has made the access
    TURN = "turn"  # the processor that was waited for is about to run (BoardMachine.stop_at_turn)
    INTERRUPTED = "interrupted"  # the border's poll asked to stop; the icount is exact all the same


@dataclass(frozen=True)
class Stop:
    """The end of one :meth:`Machine.run_to`; ``message`` is one line for people (what crashed, and where). ``watches``:
    bit n: the n-th watchpoint was hit, those of physical addresses counted after the others' room; ``address``: of the
    access."""

    reason: StopReason
    icount: int
    message: str = ""
    watches: int = 0
    address: int = 0


class MachineBorder(Protocol):
    """The machine's side of the border (a device sees :class:`runtime.border.Border` of the same object)."""

    #: Installed by the machine: the exact instruction count at this moment, also inside a device access.
    read_icount: Callable[[], int]
    #: Installed by the machine: input was scheduled for this icount; shorten the running budget (as ``clock.on_arm``).
    on_schedule: Callable[[int], None]

    def next_event(self) -> int | None:
        """Icount of the next known asynchronous event (logged, or scripted), or None."""

    def deliver_due(self, icount: int) -> None:
        """Hand every known asynchronous event stamped ``icount`` to its sink."""

    def poll(self, icount: int) -> bool:
        """Collect live input that has arrived and deliver it now, stamped ``icount``; called every few ms of wall time
        in every mode. True: nothing was delivered, come back from ``run_to`` at once with INTERRUPTED."""

    def idle(self, icount: int, deadline: int | None) -> int:
        """The guest is halted; ``deadline`` is its next timer. Returns the icount to continue at, later than ``icount``
        (warp, or earlier when input arrived; the next ``poll`` or ``deliver_due`` delivers it, so poll before halting
        again). When nothing can ever wake the guest, the next ``poll`` asks to stop."""


class Machine(Protocol):
    """A whole machine: processor, RAM, devices, at one instruction count."""

    ram: memoryview  # all of guest RAM, writable, bytes
    halted_at: int | None  # the icount at which the processor halted, while it is halted and that is known

    @property
    def icount(self) -> int:
        """Instructions retired."""

    def run_to(self, icount: int) -> Stop:
        """Run until exactly ``icount`` instructions have retired (or the machine ended); at once if that is now."""

    def cpu_state(self) -> bytes:
        """Architectural processor state in canonical form: the same bytes however the code was run."""

    def restore_cpu(self, state: bytes, icount: int) -> None:
        """Continue from ``state`` at ``icount``; caches of translated code stay valid or are dropped as needed.
        ValueError when the state is none of this machine's."""

    def device_state(self) -> State:
        """States of all devices and of the clock, by name, in a fixed order."""

    def restore_devices(self, state: State) -> None:
        """The inverse of :meth:`device_state`."""

    def take_dirty_pages(self) -> np.ndarray:
        """Sorted numbers (int64) of the 4 KiB pages written since the last call, by the guest or a device; the
        first time all that may be other than zero."""

    def take_touched(self) -> np.ndarray:
        """What pages were used for since the last call (Engine.take_touched); searches leave out what was not used."""

    def ram_replaced(self, pages: np.ndarray) -> None:
        """``pages`` were overwritten from outside (a restore): forget translations made from them."""

    def close(self) -> None:
        """Give back what it holds outside itself (worker processes); it is not run again."""
