"""The 8042 keyboard controller with its two PS/2 ports, at 0x60 and 0x64 (IBM PS/2 technical reference)."""

from __future__ import annotations

from runtime.devices.base import ByteWindow, Stateful
from runtime.devices.keycodes import BREAK, RELEASE, TO_SET1
from runtime.devices.ps2 import Keyboard, Mouse
from runtime.interrupts import Line, MachinePins

OUTPUT_FULL, SYSTEM, LAST_WAS_COMMAND, UNLOCKED, FROM_MOUSE = 0x01, 0x04, 0x08, 0x10, 0x20  # status
KEYBOARD_IRQ, MOUSE_IRQ, KEYBOARD_OFF, MOUSE_OFF, TRANSLATE = 0x01, 0x02, 0x10, 0x20, 0x40  # configuration byte
_TAKES_ARGUMENT = (*range(0x60, 0x80), 0xD1, 0xD2, 0xD3, 0xD4)


class I8042(Stateful):
    """Passes bytes between the guest and the two peripherals, one at a time in each direction."""

    STATE = ("memory", "status", "data", "command", "output_port", "replies", "released")

    def __init__(
        self, name: str, keyboard: Keyboard, mouse: Mouse, keyboard_irq: Line, mouse_irq: Line, pins: MachinePins
    ):
        self.name, self.keyboard, self.mouse, self.pins = name, keyboard, mouse, pins
        self.keyboard_irq, self.mouse_irq = keyboard_irq, mouse_irq
        keyboard.changed = mouse.changed = self._refill
        self.data_port = ByteWindow(self._read_data, self._write_data)
        self.command_port = ByteWindow(lambda offset: self.status, self._write_command)
        self.memory, self.replies = bytearray(32), bytearray()
        self.reset()

    def reset(self) -> None:
        """Power-on state, as firmware leaves it: both ports on, keyboard interrupt and translation enabled."""
        self.memory = bytearray(32)  # byte 0 is the configuration byte
        self.memory[0] = KEYBOARD_IRQ | SYSTEM | TRANSLATE
        self.status = UNLOCKED | SYSTEM | LAST_WAS_COMMAND
        self.data = self.command = self.released = 0
        self.output_port = 0xCF
        self.replies = bytearray()  # pairs: FROM_MOUSE or 0, byte
        self._interrupt()

    # Towards the guest

    def _interrupt(self) -> None:
        full, from_mouse = self.status & OUTPUT_FULL, self.status & FROM_MOUSE
        config = self.memory[0]
        self.keyboard_irq.set(bool(full and not from_mouse and config & KEYBOARD_IRQ))
        self.mouse_irq.set(bool(full and from_mouse and config & MOUSE_IRQ))

    def _refill(self) -> None:
        """Put the next byte into an empty output buffer: replies first, then the keyboard, then the mouse."""
        if self.status & OUTPUT_FULL:
            return
        config = self.memory[0]
        if self.replies:
            source, value = self.replies.pop(0), self.replies.pop(0)
            self._present(source, value)
        elif self.keyboard.queue and not config & KEYBOARD_OFF and (code := self._next_key_code()) >= 0:
            self._present(0, code)
        elif self.mouse.queue and not config & MOUSE_OFF:
            self._present(FROM_MOUSE, self.mouse.queue.pop(0))

    def _next_key_code(self) -> int:
        """The keyboard's next byte, translated if that is asked for; -1 when there is only half a code yet."""
        queue = self.keyboard.queue
        value = queue.pop(0)
        if not self.memory[0] & TRANSLATE:
            return value
        if value == BREAK:
            self.released = RELEASE
            if not queue:
                return -1
            value = queue.pop(0)
        value, self.released = TO_SET1[value] | self.released, 0
        return value

    def _present(self, source: int, value: int) -> None:
        self.data = value
        self.status = self.status & ~FROM_MOUSE | OUTPUT_FULL | source
        self._interrupt()

    def _read_data(self, _offset: int) -> int:
        value = self.data
        if self.status & OUTPUT_FULL:
            self.status &= ~(OUTPUT_FULL | FROM_MOUSE)
            self._interrupt()
            self.mouse.drained()
            self._refill()
        return value

    def _reply(self, value: int, source: int = 0) -> None:
        self.replies += bytes((source, value))
        self._refill()

    # From the guest

    def _write_data(self, _offset: int, value: int) -> None:
        self.status &= ~LAST_WAS_COMMAND
        command, self.command = self.command, 0
        if command == 0xD1:
            self._set_output_port(value)
        elif command == 0xD2:
            self._reply(value)
        elif command == 0xD3:
            self._reply(value, FROM_MOUSE)
        elif command == 0xD4:
            self.memory[0] &= ~MOUSE_OFF
            self.mouse.receive(value)
        elif command:
            self._set_memory(command & 0x1F, value)
        else:
            self.memory[0] &= ~KEYBOARD_OFF  # talking to the keyboard turns its clock on
            self.keyboard.receive(value)

    def _write_command(self, _offset: int, value: int) -> None:
        self.status |= LAST_WAS_COMMAND
        self.command = value if value in _TAKES_ARGUMENT else 0
        match value:
            case _ if 0x20 <= value < 0x40:
                self._reply(self.memory[value & 0x1F])
            case 0xA7 | 0xA8:
                self._switch(MOUSE_OFF, value == 0xA7)
            case 0xAD | 0xAE:
                self._switch(KEYBOARD_OFF, value == 0xAD)
            case 0xA9 | 0xAB:
                self._reply(0)  # the port's wires are fine
            case 0xAA:
                self.status |= SYSTEM
                self.memory[0] |= SYSTEM
                self._reply(0x55)
            case 0xC0:
                self._reply(0x80)  # input port: keyboard not locked
            case 0xD0:
                self._reply(self.output_port)
            case _ if value >= 0xF0 and not value & 1:
                self.pins.request_reset()

    def _switch(self, bit: int, off: bool) -> None:
        self._set_memory(0, self.memory[0] | bit if off else self.memory[0] & ~bit)

    def _set_memory(self, at: int, value: int) -> None:
        self.memory[at] = value
        if at == 0:
            self.status = self.status & ~SYSTEM | value & SYSTEM
            self._interrupt()
            self._refill()

    def _set_output_port(self, value: int) -> None:
        self.output_port = value
        if not value & 1:
            self.pins.request_reset()
