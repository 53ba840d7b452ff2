"""The processor as the machine sees it: reset and entry states, services for native helpers, canonical state."""

from __future__ import annotations

import struct
from typing import Any, Protocol

from frontends.arm import cpuid, services
from frontends.arm import state as st
from frontends.arm.cp15 import T_CNTP_CTL, T_CNTV_CTL
from frontends.arm.state import LAYOUT
from frontends.arm.vectors import EXC_DABORT, EXC_FIQ, EXC_IRQ, EXTERNAL_LONG, EXTERNAL_SHORT, FSR_WRITE

MASK32, MASK64 = (1 << 32) - 1, (1 << 64) - 1

#: The architectural fields that are the state as they are, in the order of the canonical state. The others are in
#: CPSR, R0..R14 and the banked registers.
FIELDS = (
    "sctlr", "actlr", "cpacr", "ttbr0", "ttbr1", "ttbcr", "dacr", "dfsr", "ifsr", "dfar", "ifar", "par", "adfsr",
    "aifsr", "mair0", "mair1", "amair0", "amair1", "vbar", "contextidr", "tpidrurw", "tpidruro", "tpidrprw", "csselr",
    "l2ctlr", "cntfrq", "cntkctl", "exclusive", "exclusive_address", "q", "fpscr", "fpcc", "fpqc", "fpflags", "fpexc",
    "dbgbvr", "dbgbcr", "dbgwvr", "dbgwcr", "dbgdscr", "dbgvcr", "dbgoslsr", "dbgclaim",
)  # fmt: skip
BANKED = ("banked_r13", "banked_r14", "spsr", "user_r8", "fiq_r8")
#: Fields from GPR on that the canonical state has in another form, and scratch registers.
OTHERS = ("gpr", "nf", "zf", "cv_op", "cv_a", "cv_b", "qf", "ge", "itstate", "cpsr", "thumb", "debug_levels", "t", "v")
#: Banks by mode.
BANK_OF = {
    st.M_USR: st.BANK_USER, st.M_SYS: st.BANK_USER, st.M_FIQ: st.BANK_FIQ, st.M_IRQ: st.BANK_IRQ,
    st.M_SVC: st.BANK_SVC, st.M_ABT: st.BANK_ABT, st.M_UND: st.BANK_UND,
}  # fmt: skip
MODE_NAMES = {st.M_USR: "usr", st.M_SYS: "sys", st.M_FIQ: "fiq", st.M_IRQ: "irq", st.M_SVC: "svc", st.M_ABT: "abt",
              st.M_UND: "und"}  # fmt: skip
#: What boot firmware leaves.
PRRR_RESET, NMRR_RESET = 0x00098AA4, 0x44E048E0


class Timer(Protocol):
    """The generic timer's registers, by cp15.T_*."""

    def read(self, register: int) -> int: ...
    def write(self, register: int, value: int) -> None: ...


class Services(Protocol):
    """What the processor needs of its machine."""

    @property
    def timer(self) -> Timer: ...

    def firmware(self, function: int, a: int, b: int, c: int) -> int:
        """A call of the firmware (PSCI) by HVC: the new R0, 32 bits."""


class ArmCpu:
    """One processor on an engine. ``shift``: virtual ns per instruction, log2. It is number ``number`` of
    ``processors``."""

    #: Of :meth:`state_bytes`.
    state_version = 2

    def __init__(self, engine: Any, machine: Services, shift: int, number: int = 0, processors: int = 1):
        self.engine, self.machine, self.shift = engine, machine, shift
        self.number, self.processors = number, processors
        self.words = memoryview(engine.block.map).cast("Q")
        self._at = {name: offset // 8 for name, offset in LAYOUT.offsets.items()}
        self._at_io = self._at["io_value"]
        self.reset()

    # -- fields -------------------------------------------------------------------------------------------------------
    def get(self, name: str, index: int = 0) -> int:
        """A 64-bit field of the CPU block."""
        return self.words[self._at[name] + index]

    def set(self, name: str, value: int, index: int = 0) -> None:
        """Write a 64-bit field of the CPU block."""
        self.words[self._at[name] + index] = value & MASK64

    @property
    def cpsr(self) -> int:
        """CPSR as a whole."""
        it = self.get("itstate")
        carry, overflow = carry_overflow(self.get("cv_op"), self.get("cv_a"), self.get("cv_b"))
        flags = self.get("nf") & st.N | carry << 29 | (overflow & st.N) >> 3 | self.get("qf")
        flags |= 0 if self.get("zf") else st.Z
        return flags | self.get("ge") | (it & 3) << 25 | (it & 0xFC) << 8 | self.get("thumb") << 5 | self.get("cpsr")

    def set_cpsr(self, value: int) -> None:
        """Write CPSR; no register is banked."""
        for name, bits in (
            ("nf", value & st.N), ("zf", 0 if value & st.Z else 1), ("cv_op", st.CV_PLAIN),
            ("cv_a", value >> 29 & 1), ("cv_b", (value & st.VBIT) << 3), ("qf", value & st.QBIT),
            ("ge", value & 0xF0000),
            ("itstate", value >> 25 & 3 | value >> 8 & 0xFC), ("thumb", value >> 5 & 1),
            ("cpsr", value & (0x1F | st.A | st.I | st.F | st.E)),
        ):  # fmt: skip
            self.set(name, bits)

    def _refresh(self) -> None:
        """After architectural state was written from here."""
        self.set("exc_vector", MASK64)
        self.engine.call("select_context")
        self.engine.call("flush_tlb")
        self.engine.call("arm")

    # -- reset and entry ----------------------------------------------------------------------------------------------
    def reset(self) -> None:
        """Power-on state (B1.9.1): Supervisor mode, A32, interrupts masked, MMU off; pc at the reset vector."""
        for name in (*FIELDS, *BANKED, *OTHERS):
            start = self._at[name]
            count = LAYOUT.stride(name) * LAYOUT.counts[name] // 8
            self.words[start : start + count] = memoryview(bytes(8 * count)).cast("Q")
        for name, value in (
            ("time_shift", self.shift), ("mpidr", cpuid.mpidr(self.number)),
            ("l2ctlr", cpuid.l2ctlr(self.processors)),
            ("pc", 0), ("code_base", 0), ("linear_mask", MASK32), ("shadow", MASK64),
            ("sctlr", cpuid.SCTLR_RESET), ("mair0", PRRR_RESET), ("mair1", NMRR_RESET), ("cntfrq", cpuid.COUNTER_HZ),
            ("dbgoslsr", 0xA),
        ):  # fmt: skip
            self.set(name, value)
        self.set_cpsr(st.M_SVC | st.A | st.I | st.F)
        self._refresh()

    def enter_linux(self, pc: int, r1: int, r2: int) -> None:
        """The entry of a kernel (Linux, Documentation/arm/booting.rst), after :meth:`reset`: ``r1``: machine type,
        ``r2``: physical address of the device tree."""
        self.set("gpr", 0, 0)
        self.set("gpr", r1 & MASK32, 1)
        self.set("gpr", r2 & MASK32, 2)
        self.enter_flat(pc)

    def start(self, entry: int, context: int) -> None:
        """Switched on by firmware (PSCI's CPU_ON; ARM DEN 0022D, 6.4): as after a reset, which its timers come out of
        disabled, at physical address ``entry`` (bit 0: T32) with ``context`` in R0. It is the selected one."""
        self.reset()
        for register in (T_CNTP_CTL, T_CNTV_CTL):
            self.machine.timer.write(register, 0)
        self.set("gpr", context & MASK32)
        self.enter_flat(entry)

    def enter_flat(self, pc: int) -> None:
        """A program at a physical address (bit 0: T32), after :meth:`reset`."""
        self.set("thumb", pc & 1)
        self.set("pc", pc & ~1 & MASK32)
        self._refresh()

    # -- interrupts ---------------------------------------------------------------------------------------------------
    def take_interrupts(self) -> bool:
        """Take the interrupt of field ``irq`` that is not masked, if any, between two instructions."""
        wanted = self.get("irq") & ~self.get("cpsr")
        if not wanted & (st.I | st.F):
            return False
        self.set("exc_vector", EXC_FIQ if wanted & st.F else EXC_IRQ)
        self.engine.call("deliver")
        return True

    def external_abort(self, write: bool) -> None:
        """The access that is being made leads nowhere: a data abort of its instruction (``exc_address`` is there)."""
        status = EXTERNAL_LONG if self.get("ttbcr") >> 31 else EXTERNAL_SHORT
        self.set("exc_vector", EXC_DABORT)
        self.set("exc_error", status | FSR_WRITE if write else status)

    # -- turns --------------------------------------------------------------------------------------------------------
    def end_turn(self) -> None:
        """Another processor is about to run, and may write what the local monitor holds: it opens (A3.4.1)."""
        self.set("exclusive", 0)

    def begin_turn(self, since: int, now: int) -> None:
        """It runs again."""

    # -- services for native helpers ----------------------------------------------------------------------------------
    def service(self, number: int, argument: int) -> int:
        """What ``host_call(cpu, CALL_ARCH, number, argument)`` asks for; the result goes to ``io_value``."""
        if number == services.TIMER_READ:
            return self.machine.timer.read(argument)
        if number == services.TIMER_WRITE:
            self.machine.timer.write(argument, self.words[self._at_io])
            return 0
        assert number == services.FIRMWARE
        self.set("gpr", self.machine.firmware(*(self.get("gpr", n) for n in range(4))), 0)
        return 0

    # -- canonical state ----------------------------------------------------------------------------------------------
    def _banked(self) -> bytes:
        """The banked registers with the current mode's in their place, and R8..R12 of user mode and of FIQ."""
        banks = {name: [self.get(name, n) for n in range(LAYOUT.counts[name])] for name in BANKED}
        mode = self.get("cpsr") & 0x1F
        banks["banked_r13"][BANK_OF[mode]] = self.get("gpr", 13)
        banks["banked_r14"][BANK_OF[mode]] = self.get("gpr", 14)
        banks["fiq_r8" if mode == st.M_FIQ else "user_r8"] = [self.get("gpr", n) for n in range(8, 13)]
        values = [value for name in BANKED for value in banks[name]]
        return struct.pack(f"<{len(values)}Q", *values)

    def state_bytes(self) -> bytes:
        """The architectural state: the same bytes however the code was run."""
        registers = [self.get("gpr", n) for n in range(15)]
        parts = [struct.pack("<17Q", self.get("pc"), self.cpsr, *registers), self._banked()]
        for name in FIELDS:
            start = LAYOUT[name]
            parts.append(bytes(self.engine.block.map[start : start + LAYOUT.stride(name) * LAYOUT.counts[name]]))
        return b"".join(parts)

    def restore_bytes(self, data: bytes) -> None:
        """The inverse of :meth:`state_bytes`; ValueError when another version made it."""
        if len(data) != len(self.state_bytes()):
            raise ValueError(f"{len(data)} bytes of processor state, not {len(self.state_bytes())}")
        pc, cpsr, *registers = struct.unpack_from("<17Q", data)
        for n, value in enumerate(registers):
            self.set("gpr", value, n)
        at = 17 * 8
        for name in (*BANKED, *FIELDS):
            start, size = LAYOUT[name], LAYOUT.stride(name) * LAYOUT.counts[name]
            self.engine.block.map[start : start + size] = data[at : at + size]
            at += size
        self.set("pc", pc)
        self.set_cpsr(cpsr)
        self._refresh()

    # -- reports ------------------------------------------------------------------------------------------------------
    def registers(self) -> dict[str, int]:
        """Named registers, for people."""
        found = {f"r{n}": self.get("gpr", n) for n in range(13)}
        found.update(sp=self.get("gpr", 13), lr=self.get("gpr", 14), pc=self.get("pc"), cpsr=self.cpsr)
        mode = self.get("cpsr") & 0x1F
        if BANK_OF[mode] != st.BANK_USER:
            found["spsr"] = self.get("spsr", BANK_OF[mode])
        for name in ("sctlr", "ttbr0", "ttbr1", "ttbcr", "dacr", "dfsr", "dfar", "ifsr", "ifar"):
            found[name] = self.get(name)
        return found

    def _where(self) -> str:
        mode = MODE_NAMES[self.get("cpsr") & 0x1F]
        return f"pc {self.get('pc'):#010x} ({mode} mode), icount {self.engine.icount}"

    def describe_missing(self) -> str:
        """One line about the announced instruction at ``pc`` that is not there."""
        from frontends.arm.decode import describe_missing, size_of

        pc, code = self.get("pc"), b""
        for address in (pc, pc + 2 & MASK32):
            place = self.engine.frontend.peek(self.engine, address)
            if place is not None:
                code += bytes(self.engine.ram.map[place : place + 2])
        thumb = bool(self.get("thumb"))
        return f"{describe_missing(code[: size_of(code, thumb)], thumb, pc)} at {self._where()}"

    def describe_shutdown(self) -> str:
        """One line about where the processor is; exceptions can always be delivered."""
        return f"stopped at {self._where()}"


def carry_overflow(op: int, a: int, b: int) -> tuple[int, int]:
    """C (0 or 1) and V (bit 31) of the fields cv_op, cv_a and cv_b (state.py)."""
    if op == st.CV_SUB:
        return int(a >= b), (a ^ b) & (a ^ a - b)
    if op == st.CV_ADD:
        return a + b >> 32, (a ^ a + b) & (b ^ a + b)
    return a, b
