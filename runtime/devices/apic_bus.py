"""What local APICs and I/O APICs send each other (Intel SDM volume 3, chapter "APIC": issuing interprocessor
interrupts, message destinations). A message arrives at once, at several local APICs in the order of their numbers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.devices.lapic import Lapic

FIXED, LOWEST, NMI, INIT, START_UP, EXTINT = 0, 1, 4, 5, 6, 7  # delivery modes


class ApicBus:
    """``members``: the local APICs, each at the place of its number; they sign on themselves."""

    def __init__(self) -> None:
        self.members: list[Lapic] = []

    def addressed(self, destination: int, logical: bool) -> list[Lapic]:
        """Those that an 8-bit destination means."""
        return [apic for apic in self.members if apic.matches(destination, logical)]

    def everyone(self, but: Lapic | None = None) -> list[Lapic]:
        """All that messages reach."""
        return [apic for apic in self.members if apic is not but and apic.present]

    def send(self, mode: int, vector: int, targets: Sequence[Lapic], level_triggered: bool = False) -> None:
        """A message to ``targets``. One of lowest priority goes to one of them: the first of those that software has
        enabled with the lowest processor priority, so that it never depends on what came before."""
        if mode == LOWEST and len(targets) > 1:
            targets = (min(targets, key=lambda apic: apic.reluctance),)
        for apic in targets:
            apic.deliver(mode, vector, level_triggered)

    def send_external(self, destination: int, logical: bool) -> None:
        """The 8259A pair asks by way of an I/O APIC: only one processor can answer it, the first that is meant, and
        the bootstrap processor where none is."""
        apic = next(iter(self.addressed(destination, logical)), self.members[0])
        apic.deliver(EXTINT, 0)
