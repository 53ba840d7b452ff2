"""A processor's local APIC in xAPIC mode (Intel SDM volume 3, chapter "APIC").

Its bus clock is 1 GHz: one timer tick at divider 1 is one virtual nanosecond, as is one tick of the TSC.
"""

from __future__ import annotations

from collections.abc import Callable

from runtime.clock import VirtualClock
from runtime.device import Registers, State
from runtime.devices.apic_bus import EXTINT, FIXED, INIT, LOWEST, NMI, START_UP, ApicBus
from runtime.devices.base import Stateful, Window
from runtime.interrupts import Line, X86Pins

BASE = 0xFEE00000
SIZE = 0x1000
ENABLE, BSP = 1 << 11, 1 << 8
_BASE_RESERVED = 0xFFF & ~(ENABLE | BSP)  # bit 10 as well: there is no x2APIC mode

MASKED = 1 << 16
TIMER, THERMAL, COUNTERS, LINT0, LINT1, ERROR = range(6)  # local vector table, from register 0x32 on
SELF, ALL, OTHERS = 1, 2, 3  # shorthands of the interrupt command register
ASSERT, LOGICAL, LEVEL = 1 << 14, 1 << 11, 1 << 15  # ... and bits in it
_LVT_WRITABLE = (0x700FF, 0x107FF, 0x107FF, 0x1A7FF, 0x1A7FF, 0x100FF)
ONE_SHOT, PERIODIC, TSC_DEADLINE = 0, 1, 2
VERSION = 0x0005_0014  # six local vectors
SEND_ILLEGAL, RECEIVE_ILLEGAL = 1 << 5, 1 << 6


class Lapic(Stateful):
    """Interrupt priorities, the local vector table, the timer, and messages between processors.

    ``number`` is the processor's, and its APIC ID until it is given another; number 0 is the bootstrap processor.
    ``intr`` is its interrupt pin, ``pins`` are the others, ``bus`` brings messages. ``pic_acknowledge()`` answers an
    external interrupt with its vector, ``eoi(vector)`` tells the I/O APIC that a level-triggered one has ended. The
    registers are where the guest wants them: ``place(address, registers)`` puts them there.
    """

    STATE = (
        "base", "tpr_value", "svr", "ldr", "dfr", "esr", "errors", "icr", "lvt", "lint0", "extint",
        "divide", "initial", "start_ns", "deadline", "spent",
    )  # fmt: skip
    _BITS = ("irr", "isr", "tmr")

    def __init__(
        self,
        name: str,
        number: int,
        clock: VirtualClock,
        intr: Line,
        pins: X86Pins,
        bus: ApicBus,
        pic_acknowledge: Callable[[], int],
        eoi: Callable[[int], None],
        place: Callable[[int, Registers], None],
    ):
        self.name, self.number, self.clock, self.intr, self.pins = name, number, clock, intr, pins
        self._bus, self._pic_acknowledge, self._eoi, self._place = bus, pic_acknowledge, eoi, place
        bus.members.append(self)
        self.timer = clock.timer(f"{name}.timer", self._expire)
        self.registers = Window(self.read, self.write)
        self.lint0 = False
        self.reset()

    def reset(self) -> None:
        """State as firmware leaves it: enabled in IA32_APIC_BASE, the bootstrap processor's LINT0 passing the 8259A
        through (virtual wire)."""
        first = self.number == 0
        self.base = BASE | ENABLE | (BSP if first else 0)
        self._place(self.base & -SIZE, self.registers)
        self.apic_id = self.number
        self._clear()
        if first:
            self.lvt[LINT0] = EXTINT << 8
        self._update()

    def _clear(self) -> None:
        self.irr = self.isr = self.tmr = 0
        self.tpr_value, self.svr, self.ldr, self.dfr = 0, 0xFF, 0, 0xFFFFFFFF
        self.esr = self.errors = self.icr = 0
        self.lvt = [MASKED] * 6
        self.extint = False
        self.divide = self.initial = self.start_ns = self.deadline = 0
        self.spent = False  # a one-shot that was over when it became periodic: it counts again when it is set
        self.timer.cancel()

    def save(self) -> State:
        """The declared attributes; IRR, ISR and TMR as 32 little-endian bytes; the APIC ID if it is another one."""
        state = super().save()
        if self.apic_id != self.number:
            state["apic_id"] = self.apic_id
        for name in self._BITS:
            state[name] = getattr(self, name).to_bytes(32, "little")
        return state

    def restore(self, state: State) -> None:
        """The inverse of :meth:`save`."""
        super().restore(state)
        self.apic_id = state.get("apic_id", self.number)
        for name in self._BITS:
            setattr(self, name, int.from_bytes(state[name], "little"))
        self._place(self.base & -SIZE, self.registers)

    # What the processor sees of it besides the registers

    @property
    def tpr(self) -> int:
        """The task priority register, 8 bits; CR8 is its upper four."""
        return self.tpr_value

    @tpr.setter
    def tpr(self, value: int) -> None:
        self.tpr_value = value & 0xFF
        self._update()

    def write_base(self, value: int) -> bool:
        """Write IA32_APIC_BASE. False (the processor raises #GP) for reserved bits and for x2APIC mode: not there."""
        if value & _BASE_RESERVED:
            return False
        if self.base & ENABLE and not value & ENABLE:
            self.apic_id = self.number
            self._clear()
        self.base = value
        self._place(self.base & -SIZE, self.registers)
        self._update()
        return True

    def read_tsc_deadline(self) -> int:
        """IA32_TSC_DEADLINE: the armed deadline in virtual ns, 0 when none is."""
        return self.deadline

    def write_tsc_deadline(self, value: int) -> None:
        """Arm the timer for virtual nanosecond ``value`` (0 disarms); ignored outside TSC-deadline mode."""
        if self._timer_mode() != TSC_DEADLINE:
            return
        self.deadline = value
        if value:
            self.timer.arm_ns(value)
        else:
            self.timer.cancel()

    def acknowledge(self) -> int:
        """The processor takes an interrupt: its vector, which is then in service."""
        vector = self._deliverable()
        if vector >= 0:
            self.irr &= ~(1 << vector)
            self.isr |= 1 << vector
        elif self._external():
            self.extint = False
            vector = self._pic_acknowledge()
        else:
            vector = self.svr & 0xFF
        self._update()
        return vector

    # Priorities

    @property
    def reluctance(self) -> tuple[bool, int]:
        """Of several that could take a message of lowest priority, one takes it for which this is least."""
        return not self.svr & 0x100, self._priority()

    def _priority(self) -> int:
        """The processor priority register."""
        in_service = self.isr.bit_length() - 1
        return self.tpr_value if self.tpr_value >> 4 >= in_service >> 4 else in_service & 0xF0

    def _deliverable(self) -> int:
        irr = self.irr
        if not irr or not self.svr & 0x100:
            return -1
        vector = irr.bit_length() - 1
        return vector if vector >> 4 > self._priority() >> 4 else -1

    def _external(self) -> bool:
        """The 8259A asks, and reaches the processor."""
        if not self.lint0:
            return False
        lint0 = self.lvt[LINT0]
        return not self.base & ENABLE or self.extint or (not lint0 & MASKED and lint0 >> 8 & 7 == EXTINT)

    def _update(self) -> None:
        self.intr.set(self._deliverable() >= 0 or self._external())

    # Interrupts coming in

    @property
    def present(self) -> bool:
        """Whether messages reach it: it is enabled in IA32_APIC_BASE."""
        return bool(self.base & ENABLE)

    def matches(self, destination: int, logical: bool) -> bool:
        """Is an 8-bit destination this processor?"""
        if not self.base & ENABLE:
            return False
        if not logical:
            return destination in (self.apic_id, 0xFF)
        own = self.ldr >> 24
        if self.dfr >> 28 == 0xF:  # flat
            return bool(destination & own)
        same_cluster = destination >> 4 == own >> 4 or destination >> 4 == 0xF
        return same_cluster and bool(destination & own & 0xF)

    def deliver(self, mode: int, vector: int, level_triggered: bool = False) -> None:
        """A message for this processor. There is no system management mode, so an SMI is nothing."""
        if mode in (FIXED, LOWEST):
            self._accept(vector, level_triggered)
        elif mode == NMI:
            self.pins.nmi()
        elif mode == INIT:  # leaves the APIC as it was at power-on but for its ID and where it is
            self._clear()
            self._update()
            self.pins.init()
        elif mode == START_UP:
            self.pins.start_up(vector)
        elif mode == EXTINT:
            self.extint = True
            self._update()

    def _accept(self, vector: int, level_triggered: bool) -> None:
        if vector < 16:
            self._error(RECEIVE_ILLEGAL)
            return
        bit = 1 << vector
        self.irr |= bit
        self.tmr = self.tmr | bit if level_triggered else self.tmr & ~bit
        self._update()

    def _error(self, bit: int) -> None:
        self.errors |= bit
        entry = self.lvt[ERROR]
        if not entry & MASKED and entry & 0xFF >= 16:
            self._accept(entry & 0xFF, False)

    def set_lint0(self, level: bool) -> None:
        """The 8259A's INT output."""
        self.lint0 = level
        entry = self.lvt[LINT0]
        if level and not entry & MASKED and self.base & ENABLE and entry >> 8 & 7 != EXTINT:
            self.deliver(entry >> 8 & 7, entry & 0xFF)
        self._update()

    # The timer

    def _timer_mode(self) -> int:
        return self.lvt[TIMER] >> 17 & 3

    def _divider(self) -> int:
        """Nanoseconds a tick."""
        code = self.divide & 3 | self.divide >> 1 & 4
        return 1 << ((code + 1) & 7)

    def _current(self) -> int:
        if not self.initial or self.spent or self._timer_mode() == TSC_DEADLINE:
            return 0
        ticks = (self.clock.now_ns() - self.start_ns) // self._divider()
        if self._timer_mode() == PERIODIC:
            return self.initial - ticks % self.initial
        return max(0, self.initial - ticks)

    def _arm(self) -> None:
        """Set the deadline of the next expiry after now, if the timer is counting."""
        self.timer.cancel()
        if not self.initial or self.spent or self._timer_mode() == TSC_DEADLINE:
            return
        period = self.initial * self._divider()
        elapsed = self.clock.now_ns() - self.start_ns
        if self._timer_mode() == PERIODIC:
            self.timer.arm_ns(self.start_ns + (elapsed // period + 1) * period)
        elif elapsed < period:
            self.timer.arm_ns(self.start_ns + period)

    def _expire(self) -> None:
        self.deadline = 0
        if self._timer_mode() == PERIODIC:
            self._arm()
        if not self.lvt[TIMER] & MASKED:
            self._accept(self.lvt[TIMER] & 0xFF, False)

    def _set_timer_entry(self, value: int) -> None:
        before, over = self._timer_mode(), self._current() == 0
        self.lvt[TIMER] = value
        after = self._timer_mode()
        if before == after:
            return
        self.spent = over
        if TSC_DEADLINE in (before, after):
            self.deadline = self.initial = 0
        self._arm()

    def _set_divide(self, value: int) -> None:
        current = self._current()
        self.divide = value & 0xB
        self.start_ns = self.clock.now_ns() - (self.initial - current) * self._divider()
        self._arm()

    # Registers

    def read(self, offset: int, size: int) -> int:
        """A register is 32 bits at a multiple of 16; the rest reads as zero."""
        if not self.base & ENABLE:
            return -1
        if offset & 0xC:
            return 0
        return self._read(offset >> 4) >> 8 * (offset & 3)

    def write(self, offset: int, size: int, value: int) -> None:
        """Only aligned accesses of at least four bytes reach a register, as the manual demands."""
        if self.base & ENABLE and not offset & 0xF and size >= 4:
            self._write(offset >> 4, value & 0xFFFFFFFF)

    def _read(self, register: int) -> int:
        if 0x10 <= register < 0x28:
            bits = (self.isr, self.tmr, self.irr)[(register - 0x10) >> 3]
            return bits >> 32 * (register & 7) & 0xFFFFFFFF
        if 0x32 <= register < 0x38:
            return self.lvt[register - 0x32]
        match register:
            case 0x02:
                return self.apic_id << 24
            case 0x03:
                return VERSION
            case 0x08:
                return self.tpr_value
            case 0x0A:
                return self._priority()
            case 0x0D:
                return self.ldr
            case 0x0E:
                return self.dfr
            case 0x0F:
                return self.svr
            case 0x28:
                return self.esr
            case 0x30:
                return self.icr & 0xFFFFFFFF
            case 0x31:
                return self.icr >> 32
            case 0x38:
                return self.initial
            case 0x39:
                return self._current()
            case 0x3E:
                return self.divide
        return 0

    def _write(self, register: int, value: int) -> None:
        match register:
            case 0x0B:
                self._end_of_interrupt()
            case 0x38:
                self._start_timer(value)
            case 0x08:
                self.tpr = value
            case 0x30:
                self.icr = self.icr & ~0xFFFFFFFF | value & 0xCCFFF
                self._send()
            case 0x31:
                self.icr = self.icr & 0xFFFFFFFF | (value & 0xFF000000) << 32
            case 0x0F:
                self._set_spurious(value)
            case 0x02:
                self.apic_id = value >> 24
            case 0x0D:
                self.ldr = value & 0xFF000000
            case 0x0E:
                self.dfr = value | 0x0FFFFFFF
            case 0x28:
                self.esr, self.errors = self.errors, 0
            case 0x3E:
                self._set_divide(value)
            case _ if 0x32 <= register < 0x38:
                self._set_lvt(register - 0x32, value)

    def _end_of_interrupt(self) -> None:
        if not self.isr:
            return
        vector = self.isr.bit_length() - 1
        self.isr &= ~(1 << vector)
        if self.tmr >> vector & 1:
            self._eoi(vector)
        self._update()

    def _start_timer(self, value: int) -> None:
        if self._timer_mode() != TSC_DEADLINE:
            self.initial, self.start_ns, self.spent = value, self.clock.now_ns(), False
            self._arm()

    def _set_spurious(self, value: int) -> None:
        self.svr = value & 0x3FF
        if not value & 0x100:
            for index in range(len(self.lvt)):
                self.lvt[index] |= MASKED
        self._update()

    def _set_lvt(self, index: int, value: int) -> None:
        value &= _LVT_WRITABLE[index]
        if not self.svr & 0x100:
            value |= MASKED
        if index == TIMER:
            self._set_timer_entry(value)
        else:
            self.lvt[index] = value
        self._update()

    def _send(self) -> None:
        """The low half of the interrupt command register was written."""
        command = self.icr
        mode, vector = command >> 8 & 7, command & 0xFF
        if mode in (FIXED, LOWEST) and vector < 16:
            self._error(SEND_ILLEGAL)
            return
        if mode == INIT and command & (ASSERT | LEVEL) == LEVEL:
            return  # de-assert: processors of this kind ignore it
        shorthand = command >> 18 & 3
        if shorthand == SELF:
            targets = [self]
        elif shorthand:
            targets = self._bus.everyone(but=None if shorthand == ALL else self)
        else:
            targets = self._bus.addressed(command >> 56, bool(command & LOGICAL))
        self._bus.send(mode, vector, targets)
