"""A CPU interface of a GICv2 (ARM IHI 0048B, 3.2, 3.3 and 4.4): priorities, acknowledging, ending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.device import State
from runtime.devices.base import Stateful
from runtime.interrupts import Line

if TYPE_CHECKING:
    from runtime.devices.gicv2 import GicV2

SPURIOUS, OTHER_GROUP = 1023, 1022
IDLE_PRIORITY = 0xFF

CTLR, PMR, BPR, IAR, EOIR, RPR, HPPIR, ABPR, AIAR, AEOIR, AHPPIR = range(0, 0x2C, 4)
APR, NSAPR, IIDR, DIR = 0xD0, 0xE0, 0xFC, 0x1000
ACK_GROUP_1, FIQ_FOR_GROUP_0, COMMON_BPR, EOI_DROPS_ONLY = 0x004, 0x008, 0x010, 0x200  # CTLR; bits 0, 1: groups on
_CONTROL_BITS = 0x3FF
_IIDR = 0x0002043B  # ARM, architecture 2
_LEAST_BPR = 2  # 32 priorities: five bits of a priority count


class CpuInterface(Stateful):
    """What processor ``number`` sees of the controller. ``irq`` and ``fiq`` go to that processor.

    ``active`` holds, for each group, a bit for every group priority (its upper five bits) that is being served.
    ``asked`` is the interrupt the processor is asked to take; :meth:`update` follows every change that could matter.
    """

    STATE = ("control", "least", "point", "alias_point", "active")

    def __init__(self, gic: GicV2, number: int, irq: Line, fiq: Line):
        self.gic, self.number, self.irq, self.fiq = gic, number, irq, fiq
        self._clear()

    def _clear(self) -> None:
        self.control = self.least = 0
        self.point, self.alias_point = _LEAST_BPR, _LEAST_BPR + 1
        self.active = [0, 0]
        self.asked = SPURIOUS

    def reset(self) -> None:
        """Power-on state."""
        self._clear()
        self.update()

    # Which interrupt

    def _group_priority(self, priority: int, group: int) -> int:
        """The part of a priority that decides about preemption (table 3-2): for group 1 one more bit, by ABPR."""
        if group and not self.control & COMMON_BPR:
            return priority & 0xFF << self.alias_point
        return priority & 0xFF << self.point + 1

    def running(self) -> int:
        """The running priority: that of the most important interrupt being served, 0xFF when there is none."""
        active = self.active[0] | self.active[1]
        return (active & -active).bit_length() - 1 << 3 if active else IDLE_PRIORITY

    def _signalled(self) -> int:
        """The interrupt the processor is to take: important enough, and its group is on; SPURIOUS for none."""
        priority, number = self.gic.highest(self.number)
        if priority >= self.least:
            return SPURIOUS
        group = self.gic.group_of(self.number, number)
        if not self.control >> group & 1 or self._group_priority(priority, group) >= self.running():
            return SPURIOUS
        return number

    def update(self) -> None:
        """Settle what the processor is asked, and the lines to it."""
        self.asked = number = self._signalled()
        as_fiq = number != SPURIOUS and self.control & FIQ_FOR_GROUP_0 and not self.gic.group_of(self.number, number)
        self.fiq.set(bool(as_fiq))
        self.irq.set(number != SPURIOUS and not as_fiq)

    # What the processor does

    def _shown(self, number: int, alias: bool) -> int:
        """``number`` as IAR and HPPIR, or their aliases for group 1, give it."""
        if number == SPURIOUS:
            return SPURIOUS
        if alias:
            return number if self.gic.group_of(self.number, number) else SPURIOUS
        hidden = self.gic.group_of(self.number, number) and not self.control & ACK_GROUP_1
        return OTHER_GROUP if hidden else number

    def _acknowledge(self, alias: bool) -> int:
        number = self._shown(self.asked, alias)
        if number >= OTHER_GROUP:
            return number
        group = self.gic.group_of(self.number, number)
        priority = self._group_priority(self.gic.priority(self.number, number), group)
        self.active[group] |= 1 << (priority >> 3)
        sender = self.gic.acknowledge(self.number, number)
        self.gic.changed(self.number, number)
        return number | sender << 10

    def _end(self, value: int, alias: bool) -> None:
        """EOIR: drops the running priority and, unless that is left to DIR, deactivates the interrupt."""
        number = value & 0x3FF
        group = self.gic.group_of(self.number, number)
        if number >= OTHER_GROUP or (alias and not group) or not self.active[group]:
            return
        self.active[group] &= self.active[group] - 1
        if not self.control & EOI_DROPS_ONLY:
            self.gic.deactivate(self.number, number)
        self.gic.changed(self.number, number)

    def restore(self, state: State) -> None:
        """The inverse of :meth:`save`, when the distributor is restored already."""
        super().restore(state)
        self.asked = self._signalled()

    # Registers

    def read(self, offset: int) -> int:
        """The 32-bit register at ``offset``."""
        match offset:
            case 0x0C | 0x20:
                return self._acknowledge(offset == AIAR)
            case 0x00:
                return self.control
            case 0x04:
                return self.least
            case 0x08:
                return self.point
            case 0x14:
                return self.running()
            case 0x18 | 0x28:
                number = self._shown(self.gic.highest(self.number)[1], offset == AHPPIR)
                return number | self.gic.sender(self.number, number) << 10
            case 0x1C:
                return self.alias_point
            case 0xD0 | 0xE0:
                return self.active[offset == NSAPR]
            case 0xFC:
                return _IIDR
        return 0

    def write(self, offset: int, value: int) -> None:
        """Write the 32-bit register at ``offset``."""
        match offset:
            case 0x10 | 0x24:
                self._end(value, offset == AEOIR)
                return
            case 0x00:
                self.control = value & _CONTROL_BITS
            case 0x04:
                self.least = value & 0xF8
            case 0x08:
                self.point = max(value & 7, _LEAST_BPR)
            case 0x1C:
                self.alias_point = max(value & 7, _LEAST_BPR + 1)
            case 0xD0 | 0xE0:
                self.active[offset == NSAPR] = value
            case 0x1000:
                if self.control & EOI_DROPS_ONLY and (number := value & 0x3FF) < OTHER_GROUP:
                    self.gic.deactivate(self.number, number)
                    self.gic.changed(self.number, number)
                return
            case _:
                return
        self.update()
