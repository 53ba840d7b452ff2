"""The processors of a machine between their turns: what each waits for, and its pins.

They run one after the other on one engine, in turns measured in instructions. A turn is over after :data:`TURN` of
them, or where the processor halts, is switched off, or waits for another one (PAUSE, WFE); it goes on while no other
can run. Who runs next is a function of the machine's state at that instruction count and of nothing else.
"""

from __future__ import annotations

import struct
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.machine import BoardMachine

#: Instructions of a turn while another processor can run. Recordings depend on it: whoever changes it raises the
#: ``state_version`` of every processor.
TURN = 200_000
#: The bit of ``wakes_on`` that stands for an interrupt that cannot be masked; the others are those of field ``irq``.
NMI = 1
NEVER = (1 << 64) - 1
#: In the place of a processor's number: the machine was halted.
IDLE = -1
_SAVED = struct.Struct("<4B4Q")
#: Bytes of Vcpu.save.
SAVED = _SAVED.size


class Status(IntEnum):
    """What a processor does when it is its turn."""

    RUNNING = 0
    #: Until an interrupt comes (HLT, WFI).
    HALTED = 1
    #: Until another processor starts it.
    OFF = 2
    #: It has been started, and begins when it is its turn.
    STARTING = 3


class Vcpu:
    """One processor, and its pins (runtime.interrupts.ProcessorPins)."""

    def __init__(self, machine: BoardMachine, number: int):
        self._machine, self.number = machine, number
        #: Interrupt lines that are up, as the bits of field ``irq`` (Frontend.pending).
        self.waiting = 0
        self.reset()

    def reset(self) -> None:
        """Power-on: the first one runs, the others wait to be started. Interrupt lines stay as they are driven."""
        self.status = Status.OFF if self.number else Status.RUNNING
        #: What it was started with, until it begins.
        self.start_arguments = (0, 0)
        self.nmi_waits = False
        #: While another one has its turn: which interrupts would wake it, at which icount its own turn ended, and
        #: whether interrupts were held off there.
        self.wakes_on, self.parked_at, self.in_shadow = 0, 0, False

    def can_run(self) -> bool:
        """Whether a turn would not be for nothing; of one that has not got it."""
        if self.status == Status.HALTED:
            return bool((self.waiting | (NMI if self.nmi_waits else 0)) & self.wakes_on)
        return self.status != Status.OFF

    def save(self) -> bytes:
        """Everything but the interrupt lines, which the board has."""
        return _SAVED.pack(self.status, self.nmi_waits, self.in_shadow, 0, self.wakes_on, self.parked_at,
                           *self.start_arguments)  # fmt: skip

    def restore(self, data: bytes) -> None:
        """The inverse of :meth:`save`."""
        status, nmi, shadow, _, self.wakes_on, self.parked_at, *arguments = _SAVED.unpack(data)
        self.status, self.nmi_waits, self.in_shadow = Status(status), bool(nmi), bool(shadow)
        self.start_arguments = (arguments[0], arguments[1])

    # -- pins ---------------------------------------------------------------------------------------------------------
    def set_line(self, bit: int, level: bool) -> None:
        """An interrupt waits (or no longer does): a bit of field ``irq``."""
        self.waiting = self.waiting | bit if level else self.waiting & ~bit
        self._machine.line_changed(self, level)

    def nmi(self) -> None:
        """An interrupt that cannot be masked."""
        self.nmi_waits = True
        self._machine.leave()

    def start(self, first: int, second: int = 0) -> None:
        """Begin with the next turn, if it is off; the arguments' meaning is the front end's (``X86Cpu.start``)."""
        if self.status == Status.OFF:
            self.status, self.start_arguments = Status.STARTING, (first, second)
            self._machine.leave()

    def stop(self) -> None:
        """Be off after this instruction, until it is started again."""
        self.status, self.nmi_waits = Status.OFF, False
        self._machine.leave()
