"""PS/2 keyboard and mouse: what hangs on the two ports of an 8042 (IBM PS/2 technical reference)."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

from runtime.border import Border
from runtime.devices.base import Stateful
from runtime.devices.keycodes import scan_codes

ACK, RESEND, SELF_TEST_PASSED = 0xFA, 0xFE, 0xAA
QUEUE_SIZE = 16


def _signed(byte: int) -> int:
    return byte - 256 if byte >= 128 else byte


def _clamp(value: int, low: int, high: int) -> int:
    return min(max(value, low), high)


class Ps2Port(Stateful):
    """A peripheral that answers bytes with bytes. ``queue`` is what it wants to send; ``changed()`` announces more."""

    STATE: ClassVar[tuple[str, ...]] = ("queue", "command", "enabled")

    def __init__(self, name: str):
        self.name = name
        self.changed: Callable[[], None] = lambda: None
        self.queue = bytearray()
        self.command = 0  # the command that waits for its argument, or 0
        self.enabled = False

    def answer(self, *values: int) -> None:
        """Queue a reply."""
        self.queue += bytes(values)
        self.changed()

    def offer(self, data: bytes) -> bool:
        """Queue unasked data if all of it fits; False if not."""
        if len(self.queue) + len(data) > QUEUE_SIZE:
            return False
        self.queue += data
        self.changed()
        return True


class Keyboard(Ps2Port):
    """An MF2 keyboard. Input on the border's channel ``name``: key events as :mod:`runtime.devices.keycodes` says."""

    STATE = (*Ps2Port.STATE, "leds", "rate", "code_set")

    def __init__(self, name: str, border: Border):
        super().__init__(name)
        border.connect(name, self.keys)
        self.reset()

    def reset(self) -> None:
        """Power-on state: scanning in code set 2."""
        self.queue.clear()
        self.command = 0
        self._defaults()
        self.enabled = True

    def _defaults(self) -> None:
        self.leds, self.rate, self.code_set = 0, 0x2B, 2

    def keys(self, data: bytes) -> None:
        """Sink of the channel. An event that finds no room in the keyboard's buffer is lost, as on the real one."""
        for event in data:
            codes = scan_codes(event, self.code_set)
            if self.enabled and codes:
                self.offer(codes)

    def receive(self, value: int) -> None:
        """A byte from the controller."""
        command, self.command = self.command, 0
        if command and value < 0xED:
            self._argument(command, value)
            return
        match value:
            case 0xED | 0xF0 | 0xF3:  # LEDs, scan code set, repeat rate: an argument follows
                self.command = value
                self.answer(ACK)
            case 0xEE:
                self.answer(0xEE)
            case 0xF2:
                self.answer(ACK, 0xAB, 0x83)
            case 0xF4:
                self.enabled = True
                self.answer(ACK)
            case 0xF5 | 0xF6:
                self._defaults()
                self.enabled = value == 0xF6
                self.answer(ACK)
            case 0xFF:
                self.reset()
                self.answer(ACK, SELF_TEST_PASSED)
            case _:
                self.answer(RESEND)

    def _argument(self, command: int, value: int) -> None:
        if command == 0xED:
            self.leds = value & 7
        elif command == 0xF3:
            self.rate = value & 0x7F
        elif value == 0:
            self.answer(ACK, self.code_set)
            return
        elif value in (1, 2):
            self.code_set = value
        else:
            self.answer(RESEND)  # code set 3 is not there
            return
        self.answer(ACK)


class Mouse(Ps2Port):
    """A wheel mouse (IntelliMouse and Explorer extensions).

    Input on the border's channel ``name``: four bytes an event: buttons (1 left, 2 right, 4 middle, 8 and 16 the side
    ones), then right, up and wheel movement as signed bytes.
    """

    STATE = (
        *Ps2Port.STATE, "buttons", "dx", "dy", "dz", "moved", "rate", "resolution", "scaled", "remote", "wrap",
        "device_id", "knock",
    )  # fmt: skip

    def __init__(self, name: str, border: Border):
        super().__init__(name)
        border.connect(name, self.motion)
        self.reset()

    def reset(self) -> None:
        """Power-on state: streaming, but disabled."""
        self.queue.clear()
        self.command = self.buttons = self.device_id = 0
        self.knock = [0, 0, 0]  # the last three sample rates: a magic sequence switches an extension on
        self.wrap = False
        self._defaults()

    def _defaults(self) -> None:
        self.dx = self.dy = self.dz = 0
        self.rate, self.resolution = 100, 2
        self.enabled = self.scaled = self.remote = self.moved = False

    def motion(self, data: bytes) -> None:
        """Sink of the channel; ValueError unless ``data`` is whole events."""
        if len(data) % 4:
            raise ValueError(f"{self.name}: {len(data)} bytes are not whole four-byte events")
        for at in range(0, len(data), 4):
            self.buttons = data[at] & 0x1F
            self.dx += _signed(data[at + 1])
            self.dy += _signed(data[at + 2])
            self.dz += _signed(data[at + 3])
            self.moved = True
            self._report()

    def _report(self) -> None:
        """Stream what has gathered, as far as the buffer has room; the rest goes with the next packet."""
        while self.enabled and not self.remote and self.moved and self.offer(self._packet()):
            self._sent()

    def drained(self) -> None:
        """The controller has taken a byte: gathered movement may fit now."""
        if self.moved and not self.queue:
            self._report()

    def _packet(self) -> bytes:
        dx, dy, dz = _clamp(self.dx, -255, 255), _clamp(self.dy, -255, 255), _clamp(self.dz, -8, 7)
        first = 8 | self.buttons & 7 | (0x10 if dx < 0 else 0) | (0x20 if dy < 0 else 0)
        packet = bytes((first, dx & 0xFF, dy & 0xFF))
        if self.device_id == 3:
            return packet + bytes((-dz & 0xFF,))
        if self.device_id == 4:
            return packet + bytes((-dz & 0x0F | (self.buttons & 0x18) << 1,))
        return packet

    def _sent(self) -> None:
        self.dx -= _clamp(self.dx, -255, 255)
        self.dy -= _clamp(self.dy, -255, 255)
        self.dz -= _clamp(self.dz, -8, 7) if self.device_id else self.dz
        self.moved = bool(self.dx or self.dy or self.dz)

    def receive(self, value: int) -> None:
        """A byte from the controller."""
        command, self.command = self.command, 0
        if self.wrap and value not in (0xEC, 0xFF):
            self.answer(value)
        elif command:
            self._argument(command, value)
        else:
            self._command(value)

    def _argument(self, command: int, value: int) -> None:
        if command == 0xE8:
            self.resolution = value & 3
        else:
            self.rate = value
            self.knock = [*self.knock[1:], value]
            if self.knock == [200, 100, 80]:
                self.device_id = 3
            elif self.knock == [200, 200, 80] and self.device_id == 3:
                self.device_id = 4
        self.answer(ACK)

    def _command(self, value: int) -> None:
        match value:
            case 0xE6 | 0xE7:
                self.scaled = value == 0xE7
            case 0xE8 | 0xF3:
                self.command = value
            case 0xE9:
                status = self.remote << 6 | self.enabled << 5 | self.scaled << 4
                swapped = (self.buttons & 1) << 2 | (self.buttons & 4) >> 1 | (self.buttons & 2) >> 1
                self.answer(ACK, status | swapped, self.resolution, self.rate)
                return
            case 0xEA | 0xF0:
                self.remote = value == 0xF0
            case 0xEB:
                self.answer(ACK, *self._packet())
                self._sent()
                return
            case 0xEC | 0xEE:
                self.wrap = value == 0xEE
            case 0xF2:
                self.answer(ACK, self.device_id)
                return
            case 0xF4 | 0xF5:
                self.enabled = value == 0xF4
            case 0xF6:
                self._defaults()
            case 0xFF:
                self.reset()
                self.answer(ACK, SELF_TEST_PASSED, 0)
                return
            case _:
                self.answer(RESEND)
                return
        self.answer(ACK)
