"""The pair of 8259A programmable interrupt controllers (Intel 8259A data sheet), cascaded as on a PC."""

from __future__ import annotations

from runtime.device import State
from runtime.devices.base import ByteWindow, Stateful
from runtime.interrupts import Line

CASCADE = 2


class I8259(Stateful):
    """One 8259A. ``output`` is its INT pin; ``elcr_mask`` says which inputs may be made level-triggered."""

    STATE = (
        "irr", "isr", "imr", "levels", "elcr", "vector_base", "lowest", "init_step", "needs_icw4", "read_isr", "poll",
        "special_mask", "auto_eoi", "rotate_on_auto_eoi", "special_nested",
    )  # fmt: skip

    def __init__(self, output: Line, elcr_mask: int, is_master: bool):
        self.output, self.elcr_mask, self.is_master = output, elcr_mask, is_master
        self.levels = 0  # of the inputs: wires, which a reset does not move
        self.reset()

    def reset(self) -> None:
        """Power-on state: everything masked by being uninitialised."""
        self.elcr = self.vector_base = 0
        self._initialise()
        self.init_step = 0

    def _initialise(self) -> None:
        self.irr = self.isr = self.imr = 0
        self.lowest = 7  # the input of lowest priority
        self.init_step, self.needs_icw4 = 0, False
        self.read_isr = self.poll = self.special_mask = False
        self.auto_eoi = self.rotate_on_auto_eoi = self.special_nested = False
        self.irr |= self.levels & self.elcr
        self._update()

    def set_input(self, number: int, level: bool) -> None:
        """Input ``number`` (0..7) is high or low."""
        bit = 1 << number
        if level:
            if self.elcr & bit or not self.levels & bit:
                self.irr |= bit
            self.levels |= bit
        else:
            self.levels &= ~bit
            if self.elcr & bit:
                self.irr &= ~bit
        self._update()

    def _rank(self, bits: int) -> int:
        """Priority (0 is highest, 8 is none) of the most important of ``bits``."""
        if not bits:
            return 8
        turned = (bits << 8 | bits) >> (self.lowest + 1)
        return (turned & -turned).bit_length() - 1

    def pending(self) -> int:
        """The input that should interrupt now, or -1."""
        waiting = self._rank(self.irr & ~self.imr)
        if waiting == 8:
            return -1
        in_service = self.isr & ~self.imr if self.special_mask else self.isr
        if self.special_nested and self.is_master:
            in_service &= ~(1 << CASCADE)
        return (waiting + self.lowest + 1) & 7 if waiting < self._rank(in_service) else -1

    def _update(self) -> None:
        self.output.set(self.pending() >= 0)

    def acknowledge(self) -> int:
        """INTA: the input now in service; 7 when none is waiting any more (a spurious interrupt)."""
        number = self.pending()
        if number < 0:
            return 7
        bit = 1 << number
        if not self.auto_eoi:
            self.isr |= bit
        elif self.rotate_on_auto_eoi:
            self.lowest = number
        if not self.elcr & bit:
            self.irr &= ~bit
        self.output.set(False)  # so that a further interrupt is a new edge for whoever listens
        self._update()
        return number

    def read(self, offset: int) -> int:
        """Port 0 (IRR, ISR or poll) or 1 (mask)."""
        if self.poll:
            self.poll = False
            waiting = self.pending() >= 0
            return self.acknowledge() | 0x80 if waiting else 0
        if offset & 1:
            return self.imr
        return self.isr if self.read_isr else self.irr

    def write(self, offset: int, value: int) -> None:
        """Port 0 (ICW1, OCW2, OCW3) or 1 (ICW2-4, OCW1)."""
        if offset & 1:
            self._write_data(value)
        elif value & 0x10:
            self._initialise()
            self.init_step, self.needs_icw4 = 1, bool(value & 1)
        elif value & 0x08:
            self._write_ocw3(value)
        else:
            self._write_ocw2(value)
        self._update()

    def _write_data(self, value: int) -> None:
        if self.init_step == 0:
            self.imr = value
        elif self.init_step == 1:
            self.vector_base = value & 0xF8
            self.init_step = 2
        elif self.init_step == 2:
            self.init_step = 3 if self.needs_icw4 else 0
        else:
            self.special_nested, self.auto_eoi = bool(value & 0x10), bool(value & 0x02)
            self.init_step = 0

    def _write_ocw3(self, value: int) -> None:
        if value & 0x40:
            self.special_mask = bool(value & 0x20)
        self.poll = bool(value & 0x04)
        if value & 0x02:
            self.read_isr = bool(value & 0x01)

    def _write_ocw2(self, value: int) -> None:
        command, level = value >> 5, value & 7
        if command in (0, 4):
            self.rotate_on_auto_eoi = command == 4
        elif command in (1, 5):  # non-specific end of interrupt
            rank = self._rank(self.isr)
            if rank < 8:
                level = (rank + self.lowest + 1) & 7
                self.isr &= ~(1 << level)
                if command == 5:
                    self.lowest = level
        elif command in (3, 7):  # specific
            self.isr &= ~(1 << level)
            if command == 7:
                self.lowest = level
        elif command == 6:
            self.lowest = level

    def read_elcr(self, _offset: int) -> int:
        """The edge/level control register."""
        return self.elcr

    def write_elcr(self, _offset: int, value: int) -> None:
        """Choose which inputs are level-triggered."""
        self.elcr = value & self.elcr_mask
        self._update()


class PicPair:
    """Two 8259A with 16 inputs; ``output`` is the master's INT."""

    def __init__(self, name: str, output: Line):
        self.name = name
        self.master = I8259(output, 0xF8, True)
        self.cascade = Line(lambda level: self.master.set_input(CASCADE, level))
        self.slave = I8259(self.cascade, 0xDE, False)
        self.master_ports = ByteWindow(self.master.read, self.master.write)
        self.slave_ports = ByteWindow(self.slave.read, self.slave.write)
        self.elcr_ports = ByteWindow(
            lambda at: (self.slave if at & 1 else self.master).read_elcr(at),
            lambda at, value: (self.slave if at & 1 else self.master).write_elcr(at, value),
        )

    def reset(self) -> None:
        """Power-on state."""
        self.slave.reset()
        self.master.reset()

    def set_input(self, number: int, level: bool) -> None:
        """Input ``number`` (0..15) is high or low."""
        if number < 8:
            self.master.set_input(number, level)
        else:
            self.slave.set_input(number - 8, level)

    def acknowledge(self) -> int:
        """The vector of the interrupt now in service (that of input 7 when spurious)."""
        number = self.master.acknowledge()
        if number == CASCADE:
            return self.slave.vector_base + self.slave.acknowledge()
        return self.master.vector_base + number

    def save(self) -> State:
        """States of both chips; the cascade wire is the slave's output."""
        return {"master": self.master.save(), "slave": self.slave.save(), "cascade": self.cascade.level}

    def restore(self, state: State) -> None:
        """The inverse of :meth:`save`."""
        self.master.restore(state["master"])
        self.slave.restore(state["slave"])
        self.cascade.level = state["cascade"]
