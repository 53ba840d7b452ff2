"""The CMOS real-time clock MC146818 with 128 bytes of memory (Motorola data sheet; century at 0x32 as on PCs)."""

from __future__ import annotations

from runtime.border import Border
from runtime.clock import NS, VirtualClock
from runtime.devices.base import ByteWindow, Stateful
from runtime.devices.calendar import date_from_days, days_from_date, weekday
from runtime.interrupts import Line

SECONDS, SECONDS_ALARM, MINUTES, MINUTES_ALARM, HOURS, HOURS_ALARM, WEEKDAY, DAY, MONTH, YEAR = range(10)
A, B, C, D, CENTURY = 10, 11, 12, 13, 0x32
_TIME = (SECONDS, MINUTES, HOURS, WEEKDAY, DAY, MONTH, YEAR, CENTURY)

UPDATE_IN_PROGRESS = 0x80  # A
SET, BINARY, HOURS_24 = 0x80, 0x04, 0x02  # B
PERIODIC, ALARM, UPDATE, IRQ = 0x40, 0x20, 0x10, 0x80  # C; the first three enable in B
VALID = 0x80  # D
UPDATE_NS = 244_000  # the in-progress bit is up that long before the registers change
CRYSTAL = 32_768
DAY_SECONDS = 86_400


class Mc146818(Stateful):
    """Ports 0x70 (index) and 0x71 (data). Host time is read once, when the machine is first switched on.

    The time of day is ``offset_ns`` + virtual time; it and the event flags are computed when someone looks.
    """

    STATE = ("index", "memory", "offset_ns", "has_time", "seen_ns")

    def __init__(self, name: str, clock: VirtualClock, irq: Line, border: Border):
        self.name, self.clock, self.irq, self.border = name, clock, irq, border
        self.timer = clock.timer(f"{name}.event", self._settle)
        self.ports = ByteWindow(self._read, self._write)
        self.memory = bytearray(128)
        self.index, self.offset_ns, self.seen_ns, self.has_time = 0, 0, 0, False

    def reset(self) -> None:
        """Power-on or RESET: interrupts off; the battery keeps time and memory once they are there."""
        if not self.has_time:
            self.offset_ns = self.border.wall_clock_ns() - self.clock.now_ns()
            self.has_time = True
            self.memory[A], self.memory[B], self.memory[D] = 0x26, HOURS_24, VALID
        self.index = 0
        self.memory[B] &= ~(PERIODIC | ALARM | UPDATE | 0x08) & 0xFF
        self.memory[C] = 0
        self.seen_ns = self._time_ns()
        self._settle()

    def set_memory_size(self, size: int) -> None:
        """Leave the size of RAM (bytes) where PC firmware leaves it: below 64 MiB in KiB, above 16 MiB in 64 KiB."""
        kib = min((size >> 10) - 1024, 0xFFFF)
        above_16m = min(max(size - (16 << 20), 0) >> 16, 0xFFFF)
        for at, value in ((0x15, 640), (0x17, kib), (0x30, kib), (0x34, above_16m)):
            self.memory[at], self.memory[at + 1] = value & 0xFF, value >> 8

    # Time

    def _time_ns(self) -> int:
        return self.offset_ns + self.clock.now_ns()

    def _encode(self, value: int) -> int:
        return value if self.memory[B] & BINARY else value // 10 << 4 | value % 10

    def _decode(self, value: int) -> int:
        return value if self.memory[B] & BINARY else (value >> 4) * 10 + (value & 15)

    def _encode_hour(self, hour: int) -> int:
        if self.memory[B] & HOURS_24:
            return self._encode(hour)
        return self._encode((hour + 11) % 12 + 1) | (0x80 if hour >= 12 else 0)

    def _decode_hour(self, value: int) -> int:
        if self.memory[B] & HOURS_24:
            return self._decode(value)
        return self._decode(value & 0x7F) % 12 + (12 if value & 0x80 else 0)

    def _load_registers(self) -> None:
        """Bring the time registers up to date, unless SET holds them."""
        if self.memory[B] & SET:
            return
        days, second = divmod(self._time_ns() // NS, DAY_SECONDS)
        year, month, day = date_from_days(days)
        memory = self.memory
        memory[SECONDS], memory[MINUTES] = self._encode(second % 60), self._encode(second // 60 % 60)
        memory[HOURS], memory[WEEKDAY] = self._encode_hour(second // 3600), self._encode(weekday(days))
        memory[DAY], memory[MONTH] = self._encode(day), self._encode(month)
        memory[YEAR], memory[CENTURY] = self._encode(year % 100), self._encode(year // 100 % 100)

    def _store_registers(self) -> None:
        """The guest has set the registers: the next second begins one second from now."""
        memory = self.memory
        year = self._decode(memory[CENTURY]) * 100 + self._decode(memory[YEAR])
        days = days_from_date(max(year, 1), self._decode(memory[MONTH]), self._decode(memory[DAY]))
        second = self._decode_hour(memory[HOURS]) * 3600 + self._decode(memory[MINUTES]) * 60
        second += self._decode(memory[SECONDS])
        self.offset_ns = (days * DAY_SECONDS + second) * NS - self.clock.now_ns()
        self.seen_ns = self._time_ns()

    # Events

    def _alarm_fields(self) -> tuple[list[int], list[int], list[int]]:
        """The hours, minutes and seconds at which the alarm goes off (0xC0 and above: at every one)."""
        hours, minutes, seconds = (self.memory[at] for at in (HOURS_ALARM, MINUTES_ALARM, SECONDS_ALARM))
        return (
            list(range(24)) if hours >= 0xC0 else [self._decode_hour(hours)],
            list(range(60)) if minutes >= 0xC0 else [self._decode(minutes)],
            list(range(60)) if seconds >= 0xC0 else [self._decode(seconds)],
        )

    def _next_alarm(self, after: int) -> int:
        """The first alarm (seconds since 1970) later than second ``after``."""
        start = after + 1
        days, of_day = divmod(start, DAY_SECONDS)
        hours, minutes, seconds = self._alarm_fields()
        for hour in [hour for hour in hours if hour * 3600 + 3599 >= of_day]:
            for minute in [minute for minute in minutes if hour * 3600 + minute * 60 + 59 >= of_day]:
                for second in seconds:
                    if (at := hour * 3600 + minute * 60 + second) >= of_day:
                        return days * DAY_SECONDS + at
        return (days + 1) * DAY_SECONDS + hours[0] * 3600 + minutes[0] * 60 + seconds[0]

    def _period_shift(self) -> int:
        """log2 of the periodic interrupt's period in crystal ticks; 0 when it is off."""
        rate = self.memory[A] & 0xF
        return rate - 1 if rate > 2 else rate + 6 if rate else 0

    def _settle(self) -> None:
        """Raise the flags of all that has happened since last time, and wait for what is enabled to happen next."""
        memory, now = self.memory, self._time_ns()
        last, self.seen_ns = self.seen_ns, now
        if not memory[B] & SET and now // NS > last // NS:
            memory[C] |= UPDATE
            if self._next_alarm(last // NS) <= now // NS:
                memory[C] |= ALARM
        shift = self._period_shift()
        if shift and self._crystal(now) >> shift > self._crystal(last) >> shift:
            memory[C] |= PERIODIC
        if memory[B] & memory[C] & (PERIODIC | ALARM | UPDATE):
            memory[C] |= IRQ
        self.irq.set(bool(memory[C] & IRQ))
        self._arm(now, shift)

    def _crystal(self, time_ns: int) -> int:
        return (time_ns - self.offset_ns) * CRYSTAL // NS

    def _arm(self, now: int, shift: int) -> None:
        """Events whose flag is up already change nothing until register C is read: no deadline for them."""
        waiting = self.memory[B] & ~self.memory[C]
        deadlines = []
        if waiting & PERIODIC and shift:
            tick = ((self._crystal(now) >> shift) + 1) << shift
            deadlines.append(-(-tick * NS // CRYSTAL))
        if not self.memory[B] & SET:
            if waiting & UPDATE:
                deadlines.append((now // NS + 1) * NS - self.offset_ns)
            if waiting & ALARM:
                deadlines.append(self._next_alarm(now // NS) * NS - self.offset_ns)
        if deadlines:
            self.timer.arm_ns(min(deadlines))
        else:
            self.timer.cancel()

    # Registers

    def _read(self, offset: int) -> int:
        if offset == 0:
            return 0xFF
        index, memory = self.index, self.memory
        if index in _TIME:
            self._load_registers()
        elif index == A:
            updating = not memory[B] & SET and self._time_ns() % NS >= NS - UPDATE_NS
            return memory[A] | (UPDATE_IN_PROGRESS if updating else 0)
        elif index == C:
            self._settle()
            flags, memory[C] = memory[C], 0
            self._settle()
            return flags
        return memory[index]

    def _write(self, offset: int, value: int) -> None:
        if offset == 0:
            self.index = value & 0x7F
            return
        index, memory = self.index, self.memory
        self._settle()
        if index == B:
            self._load_registers()
            was_set, memory[B] = memory[B] & SET, value if not value & SET else value & ~UPDATE & 0xFF
            if was_set and not value & SET:
                self._store_registers()
        elif index in _TIME:
            self._load_registers()
            memory[index] = value
            if not memory[B] & SET:
                self._store_registers()
        elif index == A:
            memory[A] = value & 0x7F
        elif index not in (C, D):
            memory[index] = value
        self._settle()
