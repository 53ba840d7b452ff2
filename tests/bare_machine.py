"""A processor with RAM and two ports: 0xE9 prints a character, 0xF4 ends the run. For tests of the x86 front end."""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86.cpu import X86Cpu
from frontends.x86.frontend import X86Frontend
from jitrr.engine.constants import CALL_ARCH, CALL_MMIO_READ
from jitrr.engine.engine import Engine
from jitrr.engine.exits import Exit
from jitrr.engine.tier import Tier
from runtime.machines.elf_boot import load_elf

PRINT_PORT, EXIT_PORT = 0xE9, 0xF4
MASK64 = (1 << 64) - 1


class BareMachine:
    """``tier``: "interp", or "jit" to compile every block when it runs for the second time."""

    def __init__(self, memory: int, tier: str = "interp"):
        self.apic = SimpleNamespace(tpr=0, base=0xFEE00900)
        self.printed = bytearray()
        self.ended = False
        self.engine = Engine(X86Frontend(), memory, self._host_call)
        if tier == "jit":
            self.engine.tier = Tier(self.engine, 2, 2, synchronous=True)
        self.cpu = X86Cpu(self.engine, self, 3)
        self.ram = memoryview(self.engine.ram.map)

    def _host_call(self, kind: int, a: int, b: int) -> int:
        if kind == CALL_ARCH:
            return self.cpu.service(a, b)
        return MASK64 if kind == CALL_MMIO_READ else 0

    def io_read(self, port: int, size: int) -> int:
        return (1 << 8 * size) - 1

    def io_write(self, port: int, size: int, value: int) -> None:
        if port == PRINT_PORT:
            self.printed.append(value & 0xFF)
        elif port == EXIT_PORT:
            self.ended = True
            self.engine.state["leave"] |= 3

    def entropy(self, size: int) -> bytes:
        return bytes(range(size))

    def load(self, image: bytes) -> None:
        """Enter an ELF image at icount 0."""
        self.cpu.reset()
        self.cpu.enter_flat32(load_elf(self.ram, image, ""))
        self.engine.set_icount(0)

    def run(self, limit: int, every: int = 0) -> str:
        """Run until the guest ends it; what it printed. ``every``: save and restore the state that often."""
        while not self.ended:
            now = self.engine.icount
            assert now < limit, f"the guest does not end: {self.cpu.registers()}"
            reason = self.engine.run(min(limit, now + every) if every else limit)
            if reason in (Exit.SHUTDOWN, Exit.MISSING):
                raise AssertionError(self.cpu.describe_shutdown() + "; " + self.printed.decode()[-200:])
            if every:
                self.engine.flush_code()
                self.cpu.restore_bytes(self.cpu.state_bytes())
        return self.printed.decode()
