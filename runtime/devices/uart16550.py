"""The 16550A serial port (National PC16550D data sheet). Characters leave at once; arriving ones never get lost."""

from __future__ import annotations

from runtime.border import Border
from runtime.clock import NS, VirtualClock
from runtime.devices.base import ByteWindow, Stateful
from runtime.interrupts import Line

CRYSTAL = 1_843_200
FIFO_SIZE = 16
_TRIGGER = (1, 4, 8, 14)

RX_ENABLE, TX_ENABLE, LINE_ENABLE, MODEM_ENABLE = 1, 2, 4, 8  # IER
DIVISOR_LATCH = 0x80  # LCR
OUT2, LOOP = 0x08, 0x10  # MCR
DATA_READY, OVERRUN, TX_EMPTY = 0x01, 0x02, 0x60  # LSR
NONE, MODEM, TX, RX, TIMEOUT, LINE_STATUS = 0x01, 0x00, 0x02, 0x04, 0x0C, 0x06  # IIR
CTS, DSR, RING, DCD = 0x10, 0x20, 0x40, 0x80  # MSR


class Uart16550(Stateful):
    """One port. Input arrives on the border's channel ``name``, output leaves on it."""

    STATE = (
        "ier", "lcr", "mcr", "scratch", "divisor", "fifo_control", "received", "backlog", "overrun", "tx_pending",
        "timed_out", "modem", "modem_delta",
    )  # fmt: skip

    def __init__(self, name: str, clock: VirtualClock, irq: Line, border: Border):
        self.name, self.clock, self.irq, self.border = name, clock, irq, border
        self.timer = clock.timer(f"{name}.timeout", self._time_out)
        self.ports = ByteWindow(self._read, self._write)
        self.backlog = bytearray()
        border.connect(name, self.receive)
        self.reset()

    def reset(self) -> None:
        """Power-on state; input that has not reached the FIFO yet stays on the wire."""
        self.ier = self.lcr = self.scratch = self.fifo_control = 0
        self.mcr = 0
        self.divisor = 12
        self.received = bytearray()
        self.overrun = self.tx_pending = self.timed_out = False
        self.modem, self.modem_delta = self._modem_inputs(), 0
        self.timer.cancel()
        self._update()

    # Receiving

    def receive(self, data: bytes) -> None:
        """Sink of the port's channel: characters wait here, without limit, until the FIFO has room."""
        self.backlog += data
        self._fill()
        self._update()

    def _capacity(self) -> int:
        return FIFO_SIZE if self.fifo_control & 1 else 1

    def _fill(self) -> None:
        """Move what has arrived into the FIFO; in loopback the wire is cut."""
        room = self._capacity() - len(self.received)
        if room > 0 and self.backlog and not self.mcr & LOOP:
            self.received += self.backlog[:room]
            del self.backlog[:room]
            self._restart_timeout()

    def _restart_timeout(self) -> None:
        """Four character times without a read or a new character, with a FIFO that is not empty, raise an interrupt."""
        self.timed_out = False
        if self.received and self.fifo_control & 1:
            bits = 2 + 5 + (self.lcr & 3) + (self.lcr >> 2 & 1) + (self.lcr >> 3 & 1)
            self.timer.arm_ns(self.clock.now_ns() + 4 * bits * 16 * (self.divisor or 0x10000) * NS // CRYSTAL)
        else:
            self.timer.cancel()

    def _time_out(self) -> None:
        self.timed_out = True
        self._update()

    def _read_data(self) -> int:
        if not self.received:
            return 0
        value = self.received.pop(0)
        self._restart_timeout()
        self._fill()
        self._update()
        return value

    # Interrupts and modem lines

    def _cause(self) -> int:
        """The most important enabled cause of an interrupt, as IIR codes it."""
        ier = self.ier
        if ier & LINE_ENABLE and self.overrun:
            return LINE_STATUS
        if ier & RX_ENABLE and self.received:
            if not self.fifo_control & 1 or len(self.received) >= _TRIGGER[self.fifo_control >> 6]:
                return RX
            if self.timed_out:
                return TIMEOUT
        if ier & TX_ENABLE and self.tx_pending:
            return TX
        return MODEM if ier & MODEM_ENABLE and self.modem_delta else NONE

    def _update(self) -> None:
        # On a PC, OUT2 connects the interrupt output; in loopback its pin is inactive.
        self.irq.set(self.mcr & (OUT2 | LOOP) == OUT2 and self._cause() != NONE)

    def _modem_inputs(self) -> int:
        """A connected terminal that is always ready, or in loopback the port's own outputs."""
        if not self.mcr & LOOP:
            return CTS | DSR | DCD
        mcr = self.mcr
        return (mcr & 1) << 5 | (mcr & 2) << 3 | (mcr & 4) << 4 | (mcr & 8) << 4

    def _update_modem(self) -> None:
        now = self._modem_inputs()
        changed = now ^ self.modem
        fell = self.modem & ~now
        self.modem_delta |= (changed & (CTS | DSR | DCD)) >> 4 | (fell & RING) >> 4
        self.modem = now

    # Registers

    def _read(self, offset: int) -> int:
        match offset & 7:
            case 5:
                status = TX_EMPTY | (DATA_READY if self.received else 0) | (OVERRUN if self.overrun else 0)
                if self.overrun:
                    self.overrun = False
                    self._update()
                return status
            case 0:
                return self.divisor & 0xFF if self.lcr & DIVISOR_LATCH else self._read_data()
            case 1:
                return self.divisor >> 8 if self.lcr & DIVISOR_LATCH else self.ier
            case 2:
                return self._read_cause()
            case 3:
                return self.lcr
            case 4:
                return self.mcr
            case 6:
                status = self.modem | self.modem_delta
                self.modem_delta = 0
                self._update()
                return status
        return self.scratch

    def _read_cause(self) -> int:
        cause = self._cause()
        if cause == TX:
            self.tx_pending = False
            self._update()
        return cause | (0xC0 if self.fifo_control & 1 else 0)

    def _write(self, offset: int, value: int) -> None:
        match offset & 7:
            case 0:
                if self.lcr & DIVISOR_LATCH:
                    self.divisor = self.divisor & 0xFF00 | value
                else:
                    self._transmit(value)
            case 1:
                if self.lcr & DIVISOR_LATCH:
                    self.divisor = self.divisor & 0xFF | value << 8
                else:
                    self._enable(value & 0xF)
            case 2:
                self._control_fifo(value)
            case 3:
                self.lcr = value
            case 4:
                self.mcr = value & 0x1F
                self._update_modem()
                self._fill()
                self._update()
            case 7:
                self.scratch = value

    def _transmit(self, value: int) -> None:
        if not self.mcr & LOOP:
            self.border.output(self.name, bytes((value,)))
        elif len(self.received) < self._capacity():
            self.received.append(value)
            self._restart_timeout()
        else:
            self.overrun = True
        self.tx_pending = True  # the holding register is empty again
        self._update()

    def _enable(self, value: int) -> None:
        if value & ~self.ier & TX_ENABLE:
            self.tx_pending = True  # enabling it while the holding register is empty interrupts at once
        self.ier = value
        self._update()

    def _control_fifo(self, value: int) -> None:
        if (value ^ self.fifo_control) & 1 or (value & 2 and value & 1):
            self.received.clear()
            self._restart_timeout()
        self.fifo_control = value & 0xC9 if value & 1 else 0
        self._fill()
        self._update()
