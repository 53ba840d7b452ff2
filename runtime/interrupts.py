"""Interrupt wiring between devices, controllers and processors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol


class Line:
    """A level-signalled wire. ``set`` calls the far end only on a change."""

    __slots__ = ("_changed", "level")

    def __init__(self, changed: Callable[[bool], None]):
        self._changed, self.level = changed, False

    def set(self, level: bool) -> None:
        if level != self.level:
            self.level = level
            self._changed(level)

    def pulse(self) -> None:
        """An edge: up and down again."""
        self.set(True)
        self.set(False)


class MachinePins(Protocol):
    """What a board may do to the machine as a whole."""

    def request_reset(self) -> None:
        """Reset the machine after this instruction."""

    def request_power_off(self) -> None:
        """End the run after this instruction."""


class ProcessorPins(Protocol):
    """What a board may do to one of its processors."""

    def set_intr(self, level: bool) -> None:
        """A maskable interrupt is (no longer) waiting; the processor calls its acknowledge hook when it takes it."""

    def nmi(self) -> None:
        """Non-maskable interrupt."""


class X86Pins(ProcessorPins, Protocol):
    """The pins of an x86 processor."""

    def init(self) -> None:
        """INIT: it stops and waits for a start-up message; the bootstrap processor starts over with the firmware."""

    def start_up(self, vector: int) -> None:
        """A start-up message: if it waits for one, it begins at ``vector`` << 12 in real mode."""
