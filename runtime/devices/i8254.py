"""The 8254 interval timer (Intel 8254 data sheet) with the PC's port 0x61 in front of channel 2."""

from __future__ import annotations

from runtime.clock import NS, VirtualClock
from runtime.device import State
from runtime.devices.base import ByteWindow, Stateful
from runtime.interrupts import Line

FREQUENCY = 1_193_182
REFRESH_NS = 15_085  # memory refresh toggles bit 4 of port 0x61; old software times delays with it


def _from_bcd(value: int) -> int:
    return (value >> 12) * 1000 + (value >> 8 & 15) * 100 + (value >> 4 & 15) * 10 + (value & 15)


def _to_bcd(value: int) -> int:
    return value // 1000 % 10 << 12 | value // 100 % 10 << 8 | value // 10 % 10 << 4 | value % 10


class Channel(Stateful):
    """One counter. ``start_ns`` is when it was loaded or triggered; counts are computed from the time, never stored."""

    STATE = (
        "mode", "access", "bcd", "reload", "start_ns", "held", "gate", "loaded", "write_low", "write_high_next",
        "read_high_next", "latched", "latch_bytes", "status", "status_latched",
    )  # fmt: skip

    def __init__(self, clock: VirtualClock):
        self.clock = clock
        self.reset()

    def reset(self) -> None:
        """Power-on state: mode 3, nothing loaded."""
        self.mode, self.access, self.bcd = 3, 3, False
        self.reload, self.start_ns, self.held, self.loaded = 0x10000, 0, 0, False
        self.gate = True
        self.write_low, self.write_high_next, self.read_high_next = 0, False, False
        self.latched, self.latch_bytes = 0, 0
        self.status, self.status_latched = 0, False

    def ticks(self) -> int:
        """Counter clocks since the start; stands still while the gate is low or nothing is loaded."""
        if self.held >= 0:
            return self.held
        return (self.clock.now_ns() - self.start_ns) * FREQUENCY // NS

    def tick_ns(self, tick: int) -> int:
        """The first nanosecond at which :meth:`ticks` is ``tick``, if it is counting."""
        return self.start_ns - (-tick * NS // FREQUENCY)

    def _run_from(self, tick: int) -> None:
        self.start_ns = self.clock.now_ns() + (-tick * NS // FREQUENCY)
        self.held = -1

    def start(self) -> None:
        """A count was loaded, or the gate rose in a mode that is triggered by it."""
        self.loaded = True
        waits = not self.gate or self.mode in (1, 5)
        if waits:
            self.held = 0
        else:
            self._run_from(0)

    def set_gate(self, level: bool) -> None:
        """The GATE input changed (data sheet, figure 22)."""
        if level == self.gate:
            return
        self.gate = level
        if not self.loaded:
            return
        if level:
            self._run_from(self.held if self.mode in (0, 4) and self.held >= 0 else 0)
        elif self.mode not in (1, 5):
            self.held = self.ticks()

    def count(self) -> int:
        """What the counting element holds, as the guest reads it."""
        ticks, reload = self.ticks(), self.reload
        if self.mode == 2:
            value = reload - ticks % reload
        elif self.mode == 3:
            value = reload - 2 * ticks % (reload & ~1 or 2)
        else:
            value = (reload - ticks) % (10000 if self.bcd else 0x10000)
        return _to_bcd(value % 10000) if self.bcd else value & 0xFFFF

    def output(self) -> bool:
        """The OUT pin."""
        if not self.loaded:
            return self.mode != 0
        ticks, reload = self.ticks(), self.reload
        if self.mode == 0:
            return ticks >= reload
        if self.mode == 1:
            return self.held >= 0 or ticks >= reload
        if self.mode == 2:
            return not self.gate or ticks % reload != reload - 1
        if self.mode == 3:
            return not self.gate or ticks % reload < (reload + 1) // 2
        return ticks != reload

    def next_rise(self) -> int | None:
        """Nanosecond of the next rising edge of OUT, or None."""
        if not self.loaded or self.held >= 0:
            return None
        ticks, reload = self.ticks(), self.reload
        if self.mode in (2, 3):
            return self.tick_ns((ticks // reload + 1) * reload)
        edge = reload if self.mode in (0, 1) else reload + 1
        return self.tick_ns(edge) if ticks < edge else None

    def control(self, value: int) -> None:
        """The control word addressed to this channel (not a read-back command)."""
        if value & 0x30 == 0:
            self.latch_count()
            return
        self.access, self.bcd = value >> 4 & 3, bool(value & 1)
        self.mode = value >> 1 & 7
        if self.mode > 5:
            self.mode -= 4
        self.loaded, self.held = False, 0
        self.write_high_next = self.read_high_next = False
        self.latch_bytes, self.status_latched = 0, False

    def latch_count(self) -> None:
        """Hold the present count until it has been read."""
        if not self.latch_bytes:
            self.latched = self.count()
            self.latch_bytes = 2 if self.access == 3 else 1

    def latch_status(self) -> None:
        """Hold OUT, "null count" and the mode until read (read-back command)."""
        if not self.status_latched:
            null = 0 if self.loaded else 0x40
            self.status = self.output() << 7 | null | self.access << 4 | self.mode << 1 | self.bcd
            self.status_latched = True

    def read(self) -> int:
        """The data port."""
        if self.status_latched:
            self.status_latched = False
            return self.status
        if self.latch_bytes:
            value = self.latched
            high = self.access == 2 or (self.latch_bytes == 1 and self.access == 3)
            self.latch_bytes -= 1
        else:
            value = self.count()
            high = self.access == 2 or (self.access == 3 and self.read_high_next)
            self.read_high_next = self.access == 3 and not self.read_high_next
        return value >> 8 if high else value & 0xFF

    def write(self, value: int) -> bool:
        """The data port. True when a new count is in force."""
        if self.access == 3 and not self.write_high_next:
            self.write_low, self.write_high_next = value, True
            if self.mode == 0 and self.loaded:
                self.loaded, self.held = False, 0  # mode 0 stops between the two bytes
            return False
        count = value << 8 if self.access == 2 else value << 8 | self.write_low if self.access == 3 else value
        self.write_high_next = False
        self.reload = (_from_bcd(count) or 10000) if self.bcd else count or 0x10000
        self.start()
        return True


class I8254:
    """Three channels: 0 drives ``irq``, 1 nothing, 2 the speaker. ``ports`` are 0x40-0x43, ``port61`` is 0x61."""

    def __init__(self, name: str, clock: VirtualClock, irq: Line):
        self.name, self.clock, self.irq = name, clock, irq
        self.channels = [Channel(clock) for _ in range(3)]
        self.timer = clock.timer(f"{name}.irq0", self._rise)
        self.ports = ByteWindow(self._read, self._write)
        self.port61 = ByteWindow(self._read61, self._write61)
        self.speaker = False

    def reset(self) -> None:
        """Power-on state."""
        for channel in self.channels:
            channel.reset()
        self.channels[2].gate = False
        self.speaker = False
        self.timer.cancel()
        self.irq.set(False)

    def _arm(self) -> None:
        at = self.channels[0].next_rise()
        if at is None:
            self.timer.cancel()
        else:
            self.timer.arm_ns(at)

    def _rise(self) -> None:
        # The low phase before a rising edge carries no information for an edge-triggered input: it is given no time.
        self.irq.set(False)
        self.irq.set(True)
        self._arm()

    def _read(self, offset: int) -> int:
        return self.channels[offset].read() if offset < 3 else 0xFF

    def _write(self, offset: int, value: int) -> None:
        if offset > 3:
            return
        number = offset if offset < 3 else value >> 6
        if number == 3:
            self._read_back(value)
            return
        channel = self.channels[number]
        if offset == 3:
            channel.control(value)
            if value & 0x30 == 0:
                return
        else:
            channel.write(value)
        if number == 0:
            self.irq.set(channel.mode != 0)
            self._arm()

    def _read_back(self, value: int) -> None:
        for number, channel in enumerate(self.channels):
            if value & 2 << number:
                if not value & 0x20:
                    channel.latch_count()
                if not value & 0x10:
                    channel.latch_status()

    def _read61(self, _offset: int) -> int:
        channel = self.channels[2]
        refresh = self.clock.now_ns() // REFRESH_NS & 1
        return channel.gate | self.speaker << 1 | refresh << 4 | channel.output() << 5

    def _write61(self, _offset: int, value: int) -> None:
        self.speaker = bool(value & 2)
        self.channels[2].set_gate(bool(value & 1))

    def save(self) -> State:
        """The three channels and the speaker bit."""
        return {"channels": [channel.save() for channel in self.channels], "speaker": self.speaker}

    def restore(self, state: State) -> None:
        """The inverse of :meth:`save`."""
        for channel, saved in zip(self.channels, state["channels"], strict=True):
            channel.restore(saved)
        self.speaker = state["speaker"]
