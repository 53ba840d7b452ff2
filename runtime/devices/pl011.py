"""The PrimeCell UART PL011 (ARM DDI 0183). Characters leave at once; arriving ones never get lost. There is no DMA."""

from __future__ import annotations

from runtime.border import Border
from runtime.clock import NS, VirtualClock
from runtime.devices.base import Stateful
from runtime.devices.primecell import Identification, WordWindow
from runtime.interrupts import Line

CLOCK = 24_000_000  # UARTCLK, Hz
FIFO_SIZE = 16
_TRIGGER = (2, 4, 8, 12, 14, 16, 16, 16)  # receive: 1/8 to 7/8 full

DR, RSR, FR, ILPR, IBRD, FBRD, LCR_H, CR, IFLS, IMSC, RIS, MIS, ICR, DMACR = (
    0x00, 0x04, 0x18, 0x20, 0x24, 0x28, 0x2C, 0x30, 0x34, 0x38, 0x3C, 0x40, 0x44, 0x48
)  # fmt: skip
RX_EMPTY, TX_FULL, RX_FULL, TX_EMPTY = 0x10, 0x20, 0x40, 0x80  # FR
FIFO_ENABLE = 0x10  # LCR_H
ENABLE, LOOP, TX_ENABLE, RX_ENABLE = 0x001, 0x080, 0x100, 0x200  # CR
MODEM, RX, TX, TIMEOUT = 0x00F, 0x010, 0x020, 0x040  # interrupts: IMSC, RIS, MIS, ICR
_INTERRUPTS = 0x7FF
_TERMINAL = 0x007  # FR: CTS, DSR and DCD of a connected terminal that is always ready
#: Plain storage: register to the attribute and the bits it holds.
_STORED = {
    ILPR: ("low_power", 0xFF), IBRD: ("divisor", 0xFFFF), FBRD: ("fraction", 0x3F), LCR_H: ("line", 0xFF),
    CR: ("control", 0xFF87), IFLS: ("levels", 0x3F), IMSC: ("mask", _INTERRUPTS), DMACR: ("dma", 7),
}  # fmt: skip


class Pl011(Stateful):
    """One port. Input arrives on the border's channel ``name``, output leaves on it."""

    STATE = (
        "low_power", "divisor", "fraction", "line", "control", "levels", "mask", "dma", "raw", "received", "backlog",
        "unsent", "modem",
    )  # fmt: skip

    def __init__(self, name: str, clock: VirtualClock, irq: Line, border: Border):
        self.name, self.clock, self.irq, self.border = name, clock, irq, border
        self.timer = clock.timer(f"{name}.timeout", self._time_out)
        self.registers = WordWindow(self._read, self._write)
        self.identification = Identification(0x011, 1)
        self.backlog = bytearray()
        border.connect(name, self.receive)
        self.reset()

    def reset(self) -> None:
        """Power-on state; input that has not reached the FIFO yet stays on the wire."""
        self.low_power = self.divisor = self.fraction = self.line = self.mask = self.dma = self.raw = 0
        self.control, self.levels = TX_ENABLE | RX_ENABLE, 0x12
        self.received, self.unsent = bytearray(), bytearray()
        self.modem = _TERMINAL
        self.timer.cancel()
        self._update()

    def _update(self) -> None:
        self.irq.set(bool(self.raw & self.mask))

    def _capacity(self) -> int:
        return FIFO_SIZE if self.line & FIFO_ENABLE else 1

    # Receiving

    def receive(self, data: bytes) -> None:
        """Sink of the port's channel: characters wait here, without limit, until the FIFO has room."""
        self.backlog += data
        self._fill()
        self._update()

    def _fill(self) -> None:
        """Move what has arrived into the FIFO, if the receiver is on; in loopback the wire is cut."""
        room = self._capacity() - len(self.received)
        if room > 0 and self.backlog and self.control & (ENABLE | RX_ENABLE | LOOP) == ENABLE | RX_ENABLE:
            self._arrived(self.backlog[:room])
            del self.backlog[:room]

    def _arrived(self, data: bytes | bytearray) -> None:
        self.received += data
        if not self.line & FIFO_ENABLE or len(self.received) >= _TRIGGER[self.levels >> 3]:
            self.raw |= RX
        self._restart_timeout()

    def _restart_timeout(self) -> None:
        """32 bit times without a new character, with a FIFO that is not empty, raise an interrupt."""
        if self.received:
            divisor = self.divisor << 6 | self.fraction  # 64ths of 16 clocks a bit
            self.timer.arm_ns(self.clock.now_ns() + 32 * 16 * (divisor or 64) * NS // (64 * CLOCK))
        else:
            self.timer.cancel()

    def _time_out(self) -> None:
        self.raw |= TIMEOUT
        self._update()

    def _read_data(self) -> int:
        if not self.received:
            return 0
        value = self.received.pop(0)
        if not self.line & FIFO_ENABLE or len(self.received) < _TRIGGER[self.levels >> 3]:
            self.raw &= ~RX
        if not self.received:
            self.raw &= ~TIMEOUT
            self.timer.cancel()
        self._fill()
        self._update()
        return value

    # Sending

    def _transmit(self, value: int) -> None:
        """A character leaves at once and the FIFO is empty again; with the transmitter off it waits, if there is room.
        """  # fmt: skip
        if self.control & (ENABLE | TX_ENABLE) != ENABLE | TX_ENABLE:
            if len(self.unsent) < self._capacity():
                self.unsent.append(value)
        elif not self.control & LOOP:
            self.border.output(self.name, bytes((value,)))
            self.raw |= TX
        else:
            if len(self.received) < self._capacity():
                self._arrived(bytes((value,)))
            self.raw |= TX
        self._update()

    def _controlled(self) -> None:
        """CR has changed: send what waited for the transmitter, receive what waited for the receiver."""
        waiting, self.unsent = self.unsent, bytearray()
        for value in waiting:
            self._transmit(value)
        modem = _TERMINAL
        if self.control & LOOP:  # the outputs DTR, RTS, Out1, Out2 come back as DSR, CTS, DCD, RI
            lines = self.control >> 10
            modem = (lines & 1) << 1 | lines >> 1 & 1 | lines & 4 | (lines & 8) << 5
        changed, self.modem = modem ^ self.modem, modem
        self.raw |= changed >> 8 & 1 | (changed & 1) << 1 | (changed & 4) | (changed & 2) << 2
        self._fill()

    # Registers

    def _read(self, offset: int) -> int:
        if offset == FR:  # looked at once a character: it comes first
            flags = self.modem
            if len(self.received) >= self._capacity():
                flags |= RX_FULL
            elif not self.received:
                flags |= RX_EMPTY
            if not self.unsent:
                return flags | TX_EMPTY
            return flags | TX_FULL if len(self.unsent) >= self._capacity() else flags
        if offset == DR:
            return self._read_data()
        if offset == MIS:
            return self.raw & self.mask
        if offset == RIS:
            return self.raw
        if offset in _STORED:
            return int(getattr(self, _STORED[offset][0]))
        return self.identification.read(offset)

    def _write(self, offset: int, value: int) -> None:
        if offset == DR:
            self._transmit(value & 0xFF)
        elif offset == ICR:
            self.raw &= ~value
            self._update()
        elif offset in _STORED:
            name, bits = _STORED[offset]
            if offset == LCR_H and (value ^ self.line) & FIFO_ENABLE:
                self.received.clear()
            setattr(self, name, value & bits)
            if offset == CR:
                self._controlled()
            self._fill()
            self._update()
