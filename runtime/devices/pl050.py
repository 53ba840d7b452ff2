"""The PrimeCell keyboard and mouse interface PL050 (ARM DDI 0143): one PS/2 port, bytes in both directions."""

from __future__ import annotations

from runtime.devices.base import Stateful
from runtime.devices.primecell import Identification, WordWindow
from runtime.devices.ps2 import Keyboard, Mouse
from runtime.interrupts import Line

CR, STAT, DATA, CLKDIV, IIR = range(0, 0x14, 4)
ENABLE, TX_INTERRUPT, RX_INTERRUPT = 0x04, 0x08, 0x10  # CR
TX_EMPTY, RX_FULL, IDLE = 0x40, 0x10, 0x03  # STAT; clock and data are high
RX_PENDING, TX_PENDING = 1, 2  # IIR


class Pl050(Stateful):
    """A port with its ``peripheral``. Bytes take no time on the wire; the receiver holds one of them."""

    STATE = ("control", "divisor", "data", "full")

    def __init__(self, name: str, peripheral: Keyboard | Mouse, irq: Line):
        self.name, self.peripheral, self.irq = name, peripheral, irq
        peripheral.changed = self._refill
        self.registers = WordWindow(self._read, self._write)
        self.identification = Identification(0x050, 0)
        self.reset()

    def reset(self) -> None:
        """Power-on state: the port is off."""
        self.control = self.divisor = self.data = 0
        self.full = False
        self._update()

    def _pending(self) -> int:
        """The transmitter is always empty: its interrupt comes whenever it is enabled."""
        receive = RX_PENDING if self.full and self.control & RX_INTERRUPT else 0
        return receive | (TX_PENDING if self.control & TX_INTERRUPT else 0)

    def _update(self) -> None:
        self.irq.set(bool(self.control & ENABLE and self._pending()))

    def _refill(self) -> None:
        """The peripheral sends its next byte when the port is on and its receiver empty."""
        queue = self.peripheral.queue
        if queue and not self.full and self.control & ENABLE:
            self.data, self.full = queue.pop(0), True
            self._update()

    def _read_data(self) -> int:
        value = self.data
        if self.full:
            self.full = False
            if isinstance(self.peripheral, Mouse):
                self.peripheral.drained()
            self._refill()
            self._update()
        return value

    def _read(self, offset: int) -> int:
        match offset:
            case 0x00:
                return self.control
            case 0x04:
                return TX_EMPTY | IDLE | (RX_FULL if self.full else 0)
            case 0x08:
                return self._read_data()
            case 0x0C:
                return self.divisor
            case 0x10:
                return self._pending()
        return self.identification.read(offset)

    def _write(self, offset: int, value: int) -> None:
        if offset == CR:
            self.control = value & 0x3F
            self._refill()
            self._update()
        elif offset == CLKDIV:
            self.divisor = value & 0x0F
        elif offset == DATA and self.control & ENABLE:
            self.peripheral.receive(value & 0xFF)
