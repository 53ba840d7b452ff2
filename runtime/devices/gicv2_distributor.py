"""The Distributor's registers of a GICv2 (ARM IHI 0048B, 4.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.devices.gicv2 import GicV2

CTLR, TYPER, IIDR, SGIR = 0x000, 0x004, 0x008, 0xF00
IGROUPR, ISENABLER, ICENABLER, ISPENDR, ICPENDR, ISACTIVER, ICACTIVER = (0x80 * bank for bank in range(1, 8))
IPRIORITYR, ITARGETSR, ICFGR, CPENDSGIR, SPENDSGIR = 0x400, 0x800, 0xC00, 0xF10, 0xF20
_SGI_END = 0xF30
INTERRUPTS = 288
_WORDS = INTERRUPTS // 32
_SGIS, _WORD = 0xFFFF, 0xFFFFFFFF
_PRIORITY_BITS = 0xF8
_IIDR = 0x0000043B
#: PIDR4, PIDR0-3 (architecture 2) and CIDR0-3.
_IDENTIFICATION = {
    0xFD0: 0x04, 0xFE0: 0x90, 0xFE4: 0xB4, 0xFE8: 0x2B, 0xFF0: 0x0D, 0xFF4: 0xF0, 0xFF8: 0x05, 0xFFC: 0xB1,
}  # fmt: skip


class Distributor:
    """The registers as processor ``gic.accessing`` sees them."""

    def __init__(self, gic: GicV2):
        self.gic = gic

    # Reading

    def read(self, offset: int, size: int) -> int:
        """A register, or bytes of it; of two of them when ``size`` is 8."""
        value = self._read(offset & ~3)
        if size == 8:
            value |= self._read((offset & ~3) + 4) << 32
        return value >> 8 * (offset & 3)

    def _read(self, offset: int) -> int:
        if IGROUPR <= offset < IPRIORITYR:
            return self._bits(offset & ~0x7F) >> 8 * (offset & 0x7F) & _WORD
        if IPRIORITYR <= offset < ICFGR:
            read = self._priority if offset < ITARGETSR else self._targets
            return sum(read((offset & 0x3FF) + at) << 8 * at for at in range(4))
        if ICFGR <= offset < ICFGR + INTERRUPTS // 4:
            return self._configuration(4 * (offset - ICFGR))
        if CPENDSGIR <= offset < _SGI_END:
            return int.from_bytes(self.gic.senders[self.gic.accessing][offset & 15 :][:4], "little")
        if offset == CTLR:
            return self.gic.control
        if offset == TYPER:
            return _WORDS - 1 | self.gic.cpus - 1 << 5
        return _IIDR if offset == IIDR else _IDENTIFICATION.get(offset, 0)

    def _bits(self, bank: int) -> int:
        """All bits of one of the registers with a bit per interrupt."""
        gic, cpu = self.gic, self.gic.accessing
        if bank == IGROUPR:
            return gic.group.of[cpu]
        if bank <= ICENABLER:
            return gic.enabled.of[cpu]
        return gic.pending(cpu) if bank <= ICPENDR else gic.active.of[cpu]

    def _priority(self, number: int) -> int:
        return self.gic.priority(self.gic.accessing, number) if number < INTERRUPTS else 0

    def _targets(self, number: int) -> int:
        gic = self.gic
        if gic.cpus == 1:
            return 0
        if number < 32:
            return 1 << gic.accessing
        return sum((bits >> number & 1) << cpu for cpu, bits in enumerate(gic.targets))

    def _configuration(self, first: int) -> int:
        """Two bits for each of 16 interrupts; the upper one means edge-triggered."""
        edge = self.gic.edge.of[self.gic.accessing] >> first
        return sum((edge >> each & 1) << 2 * each + 1 for each in range(16))

    # Writing

    def write(self, offset: int, size: int, value: int) -> None:
        """A register, or two; priorities, targets and SGI states also byte by byte."""
        if IPRIORITYR <= offset < ICFGR or CPENDSGIR <= offset < _SGI_END:
            for at in range(size):
                self._write_byte(offset + at, value >> 8 * at & 0xFF)
        elif not offset & 3:
            self._write(offset, value & _WORD)
            if size == 8:
                self._write(offset + 4, value >> 32)
        if offset != SGIR:  # which settles the processors it reaches
            self.gic.update()

    def _write_byte(self, offset: int, value: int) -> None:
        gic, cpu, number = self.gic, self.gic.accessing, offset & 0x3FF
        if offset >= SPENDSGIR:
            gic.send(cpu, offset & 15, value)
        elif offset >= CPENDSGIR:
            gic.unsend(cpu, offset & 15, value)
        elif number < 32:  # targets of private interrupts are fixed
            if offset < ITARGETSR:
                gic.private_priority[cpu][number] = value & _PRIORITY_BITS
        elif number >= INTERRUPTS:
            return
        elif offset < ITARGETSR:
            gic.shared_priority[number] = value & _PRIORITY_BITS
        elif gic.cpus > 1:
            for each in range(gic.cpus):
                gic.targets[each] = gic.targets[each] & ~(1 << number) | (value >> each & 1) << number

    def _write(self, offset: int, value: int) -> None:
        gic = self.gic
        if IGROUPR <= offset < IPRIORITYR:
            if offset & 0x7F < 4 * _WORDS:
                self._write_bits(offset & ~0x7F, 8 * (offset & 0x7F), value)
        elif ICFGR + 8 <= offset < ICFGR + INTERRUPTS // 4:  # SGIs are edge-triggered, PPIs levels
            first = 4 * (offset - ICFGR)
            gic.edge.clear(gic.accessing, _SGIS << first)
            gic.edge.set(gic.accessing, sum((value >> 2 * each + 1 & 1) << each for each in range(16)) << first)
        elif offset == CTLR:
            gic.control = value & 3
        elif offset == SGIR:
            self._generate(value)

    def _write_bits(self, bank: int, first: int, value: int) -> None:
        """Write 32 bits from interrupt ``first`` on. SGIs are always enabled, and pending by their own registers."""
        gic, cpu, bits = self.gic, self.gic.accessing, value << first
        if bank == IGROUPR:
            gic.group.clear(cpu, _WORD << first)
            gic.group.set(cpu, bits)
        elif bank <= ICENABLER:
            (gic.enabled.set if bank == ISENABLER else gic.enabled.clear)(cpu, bits & ~_SGIS)
        elif bank <= ICPENDR:
            (gic.latched.set if bank == ISPENDR else gic.latched.clear)(cpu, bits & ~_SGIS)
        else:
            (gic.active.set if bank == ISACTIVER else gic.active.clear)(cpu, bits)

    def _generate(self, value: int) -> None:
        """A software generated interrupt: to a list of processors, to all others, or to the sender."""
        me = 1 << self.gic.accessing
        targets = (value >> 16 & 0xFF, ~me, me, 0)[value >> 24 & 3]
        for cpu in range(self.gic.cpus):
            if targets >> cpu & 1:
                self.gic.send(cpu, value & 15, me)
                self.gic.interfaces[cpu].update()
