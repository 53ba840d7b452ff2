"""Runs one system instruction in our engine, in the worlds of the oracle (see oracle/world.py).

The IDT is outside RAM: the first read from there is that of an exception's or interrupt's gate, and what the processor
holds at that moment is what the instruction has left behind.
"""

from __future__ import annotations

from types import SimpleNamespace

from oracle.state import GPR_NAMES
from oracle.system_corrections import START
from oracle.system_state import (
    CONTROL,
    MSRS,
    SEGMENTS,
    Exception_,
    Outcome,
    SystemCase,
    changed,
    image,
    is_software,
    outcome,
)
from oracle.system_state import start_registers as start_values
from oracle.unicorn_system import port_value
from oracle.world import BELOW, BOOT, CODE, GATES, IDT, OBSERVED, PAGE, PC, RAM, TABLES, TOP, World, world

from frontends.x86 import state as st
from frontends.x86.cpu import X86Cpu
from frontends.x86.frontend import X86Frontend
from jitrr.engine.constants import CALL_ARCH, CALL_MMIO_READ
from jitrr.engine.engine import Engine
from jitrr.engine.exits import Exit
from jitrr.engine.former import SMALL, Former
from jitrr.engine.region_ir import Block, Region
from jitrr.engine.tier import Tier
from jitrr.engine.worker import compile_region

WITH_ERROR = (8, 10, 11, 12, 13, 14, 17)
FIELDS = {
    **{name: ("gpr", n) for n, name in enumerate(GPR_NAMES)},
    **{name: ("seg_sel", n) for n, name in enumerate(SEGMENTS)},
    **{f"{name}.{part}": (f"seg_{part}", n) for n, name in enumerate(SEGMENTS) for part in ("base", "limit", "attr")},
    **{f"{t}.{part}": (f"{t}_{part}", 0) for t in ("gdtr", "idtr") for part in ("base", "limit")},
    **{name: ("dr", int(name[2])) if name[0] == "d" else (name, 0) for name in CONTROL},
    **{name: (name, 0) for name in (*MSRS, "fcw", "fsw")},
    "rip": ("pc", 0),
}  # fmt: skip


class SystemExecutor:
    """``run(case)``; ``tier`` "jit": a compiled region in place of the interpreter's cells."""

    def __init__(self, tier: str = "interp"):
        self.apic = SimpleNamespace(tpr=0, base=0xFEE00900)
        self.engine = Engine(X86Frontend(), RAM, self._host_call)
        self.cpu = X86Cpu(self.engine, self, 3)
        self.ram = memoryview(self.engine.ram.map)
        self.tier = Tier(self.engine, 1 << 60, 1 << 60, synchronous=True) if tier == "jit" else None
        self.engine.tier = self.tier
        self._io: list[str] = []
        self._fault: Exception_ | None = None
        self._raised: tuple[dict[str, int], dict[int, bytes]] | None = None
        self._software = False
        self._world: World | None = None
        self._starts: dict[str, tuple[bytes, dict[str, int]]] = {}

    # -- the machine around the processor -----------------------------------------------------------------------------
    def _host_call(self, kind: int, a: int, b: int) -> int:
        if kind == CALL_ARCH:
            return self.cpu.service(a, b)
        assert kind == CALL_MMIO_READ and IDT <= a < IDT + PAGE, f"access {kind} to {a:#x}"
        if self._raised is None and self._world is not None:
            base = self.cpu.get("idtr_base")
            vector = (a - IDT + (BELOW - base if base < BELOW + PAGE else 0)) // self._world.gate_size
            error = self.cpu.get("exc_error")
            coded = vector in WITH_ERROR and not self._world.real and not (self._software and base == IDT)
            self._fault = Exception_(vector, error if coded else None)
            self._raised = self._read(), self._memory()
        return 0

    def io_read(self, port: int, size: int) -> int:
        """A port of the cases."""
        self._io.append(f"r{size}:{port:x}")
        return port_value(port, size)

    def io_write(self, port: int, size: int, value: int) -> None:
        """A port of the cases."""
        self._io.append(f"w{size}:{port:x}:{value & (1 << 8 * size) - 1:x}")

    def entropy(self, size: int) -> bytes:
        """What RDRAND gives."""
        return bytes(range(1, size + 1))

    # -- worlds -------------------------------------------------------------------------------------------------------
    def start(self, name: str) -> dict[str, int]:
        """The registers that the cases of a world start with, after its boot code."""
        return self._enter(name)[1]

    def _enter(self, name: str) -> tuple[bytes, dict[str, int]]:
        place = world(name)
        if self._world is not place:
            self._world = place
            for page, data in place.memory.items():
                self.ram[page : page + PAGE] = data
            self.engine.flush_code()
        if name not in self._starts:
            self._boot(place)
            for register, value in start_values(place).items():
                self._set(register, value)
            self._starts[name] = self.cpu.state_bytes(), self._read()
        return self._starts[name]

    def _boot(self, place: World) -> None:
        self.cpu.reset()
        entry = SimpleNamespace(
            eip=BOOT, rip=BOOT, eax=0, ebx=0, rsi=0, rsp=TOP, cr3=TABLES, gdt_base=0, gdt_limit=0, code_selector=8,
            data_selector=16,
        )  # fmt: skip
        if place.real:
            self.cpu.set_segment(st.CS, 0, 0, 0xFFFF, 0x9B)
            self.cpu.set("cr0", 0x10)
            self.cpu.set("pc", BOOT)
            self.cpu.set("ftag", 0xFF)
            self.engine.call("update_mode")
        elif place.long:
            self.cpu.enter_linux64(entry)
        else:
            self.cpu.enter_flat32(entry)
        self.ram[PC] = 0xF4
        self._fault = self._raised = None
        self.engine.set_icount(0)
        while self.cpu.get("pc") != PC:
            assert self.engine.icount < 200 and self._fault is None, f"{place.name}: {self._fault}"
            self.engine.run(self.engine.icount + 1)

    # -- one case -----------------------------------------------------------------------------------------------------
    def run(self, case: SystemCase) -> Outcome:
        """The outcome of one instruction."""
        saved, start = self._enter(case.world)
        before_memory = image(case)
        for page in (*OBSERVED, GATES):
            self.ram[page : page + PAGE] = before_memory[page]
        self.ram[CODE : CODE + PAGE] = b"\xeb\xfe" * (PAGE // 2)
        self.ram[PC : PC + len(case.code)] = case.code
        self.engine.invalidate_page(CODE >> 12)
        self.cpu.restore_bytes(saved)
        for name, value in case.registers.items():
            self._set(name, value)
        self.engine.call("update_mode")
        self._io, self._fault, self._raised = [], None, None
        self._software = is_software(case.code)
        if self.tier is not None:
            self._compile()
        self.engine.set_icount(START)
        reason = self.engine.run(START + 1)
        assert self._raised is not None or reason not in (Exit.SHUTDOWN, Exit.MISSING), self.cpu.describe_shutdown()
        after, memory = self._raised or (self._read(), self._memory())
        return outcome(
            case, {**start, **case.registers}, after, changed(before_memory, memory), self._fault, ",".join(self._io)
        )

    def _memory(self) -> dict[int, bytes]:
        return {page: bytes(self.ram[page : page + PAGE]) for page in OBSERVED}

    def _compile(self) -> None:
        """Translate the block and put a region in place of it."""
        engine, pc = self.engine, self.cpu.get("pc")
        assert self.tier is not None
        phys = engine.call("check_exec", engine.linear(pc))
        head = engine.translate(pc, phys)
        formed = Former(self.tier, head, pc, SMALL).form()
        bits, blocks = formed.request()
        code = compile_region(engine.frontend, Region([Block(*b) for b in blocks], bits))
        self.tier._install(formed, code)
        self.tier.arena.used = self.tier.pool_used = 0

    def _set(self, name: str, value: int) -> None:
        if name == "rflags":
            self.cpu.set_flags(value)
        elif name == "mxcsr":
            self.cpu.set("mxcsr", value | 0x1F80 | (value >> 7 & 63 ^ 63) << 32)
        else:
            self.cpu.set(FIELDS[name][0], value, FIELDS[name][1])

    def _read(self) -> dict[str, int]:
        out = {name: self.cpu.get(field, index) for name, (field, index) in FIELDS.items()}
        out["rflags"] = self.cpu.flags
        out["cpl"] = out["ss.attr"] >> 5 & 3
        mxcsr = self.cpu.get("mxcsr")
        out["mxcsr"] = mxcsr & 0xFFFFFFFF ^ mxcsr >> 32 << 7
        out["fsw"] |= self.cpu.get("ftop") << 11
        return out
