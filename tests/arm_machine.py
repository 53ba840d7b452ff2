"""An ARM processor with RAM where the virt board has it, a place that prints, a timer that only keeps what it is told,
and firmware that switches off. For tests of the front end.
"""

from __future__ import annotations

import struct

from frontends.arm.cpu import ArmCpu
from frontends.arm.frontend import ArmFrontend
from jitrr.engine.constants import CALL_ARCH, CALL_MMIO_WRITE
from jitrr.engine.engine import Engine
from jitrr.engine.exits import Exit
from jitrr.engine.tier import Tier

RAM_BASE, UART = 0x40000000, 0x09000000
SYSTEM_OFF = 0x84000008
SHIFT = 3


class BareTimer:
    """Registers that keep what is written to them."""

    def __init__(self) -> None:
        self.registers = [0] * 6

    def read(self, register: int) -> int:
        return self.registers[register]

    def write(self, register: int, value: int) -> None:
        self.registers[register] = value


class BareMachine:
    """``tier``: "interp", or "jit" to compile every block when it runs for the second time."""

    def __init__(self, memory: int, tier: str = "interp"):
        self.timer = BareTimer()
        self.printed = bytearray()
        self.ended = False
        self.engine = Engine(ArmFrontend(), memory, self._host_call, ((RAM_BASE, memory, 0),))
        if tier == "jit":
            self.engine.tier = Tier(self.engine, 2, 2, synchronous=True)
        self.cpu = ArmCpu(self.engine, self, SHIFT)
        self.ram = memoryview(self.engine.ram.map)

    def _host_call(self, kind: int, a: int, b: int) -> int:
        if kind == CALL_ARCH:
            return self.cpu.service(a, b)
        if kind == CALL_MMIO_WRITE and a == UART:
            self.printed.append(self.cpu.get("io_value") & 0xFF)
        else:
            self.cpu.external_abort(kind == CALL_MMIO_WRITE)
        return 0

    def firmware(self, function: int, a: int, b: int, c: int) -> int:
        assert function == SYSTEM_OFF
        self.ended = True
        self.engine.state["leave"] |= 3
        return 0

    def put(self, address: int, *words: int) -> None:
        """Words of 32 bits at a physical address; translations of the page are forgotten."""
        at = address - RAM_BASE
        self.ram[at : at + 4 * len(words)] = struct.pack(f"<{len(words)}I", *words)
        for page in range(at >> 12, (at + 4 * len(words) - 1 >> 12) + 1):
            self.engine.invalidate_page(page)

    def load(self, image: bytes) -> None:
        """Enter an ELF image at icount 0."""
        entry, headers, count = struct.unpack_from("<II", image, 24) + struct.unpack_from("<H", image, 44)
        for n in range(count):
            kind, offset, _, physical, size = struct.unpack_from("<5I", image, headers + 32 * n)
            if kind == 1:
                self.ram[physical - RAM_BASE : physical - RAM_BASE + size] = image[offset : offset + size]
        self.cpu.reset()
        self.cpu.enter_flat(entry)
        self.engine.set_icount(0)

    def run(self, limit: int, every: int = 0) -> str:
        """Run until the guest ends it; what it printed. ``every``: save and restore the state that often."""
        while not self.ended:
            now = self.engine.icount
            assert now < limit, f"the guest does not end: {self.cpu.registers()} {self.printed.decode()[-200:]}"
            reason = self.engine.run(min(limit, now + every) if every else limit)
            if reason in (Exit.SHUTDOWN, Exit.MISSING):
                raise AssertionError(self.cpu.describe_missing() + "; " + self.printed.decode()[-200:])
            if every:
                self.engine.flush_code()
                self.cpu.restore_bytes(self.cpu.state_bytes())
        return self.printed.decode()
