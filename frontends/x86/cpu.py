"""The processor as the machine sees it: reset and entry states, services for native helpers, canonical state."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Any, Protocol

import numpy as np

from frontends.x86 import cpuid, services
from frontends.x86 import state as st
from frontends.x86.state import LAYOUT

MASK64 = (1 << 64) - 1
GP = 13
#: exceptions.EXTERNAL: what makes a vector that of an interrupt.
EXTERNAL = 256

#: The architectural fields, in the order of the canonical state. Lazy flags are in RFLAGS, FPR is cut to 10 bytes.
FIELDS = (
    "gpr", "seg_sel", "seg_base", "seg_limit", "seg_attr", "gdtr_base", "gdtr_limit", "idtr_base", "idtr_limit",
    "cr0", "cr2", "cr3", "cr4", "dr", "efer", "star", "lstar", "cstar", "sfmask", "kernel_gs_base", "sysenter_cs",
    "sysenter_esp", "sysenter_eip", "pat", "tsc_aux", "tsc_offset", "misc_enable", "pdpte", "nmi_blocked",
    "debug_hits", "debug_at", "mov_ss", "xmm", "mxcsr", "fpr", "fcw", "fsw", "ftop", "ftag", "fop", "fip", "fcs", "fdp",
    "fds",
)  # fmt: skip
#: Fields from GPR on that are not architectural: lazy flags (RFLAGS has them) and scratch registers.
TEMPORARY = ("cc_op", "cc_a", "cc_b", "cc_res", "eflags", "debug_begun", "t", "v", "ftmp", "wide")

#: What INIT leaves as it is (SDM volume 3, table 10-1), beside MSRs that are only stored.
KEPT_BY_INIT = (
    "star", "lstar", "cstar", "sfmask", "kernel_gs_base", "sysenter_cs", "sysenter_esp", "sysenter_eip", "pat",
    "tsc_aux", "tsc_offset", "misc_enable", "xmm", "mxcsr", "fpr", "fcw", "fsw", "ftop", "ftag", "fop", "fip", "fcs",
    "fdp", "fds",
)  # fmt: skip
CACHE_BITS = 0x60000000  # CR0.CD and CR0.NW

PAT_RESET, MTRR_DEFAULT = 0x0007040600070406, 0xC06
APIC_BASE, PLATFORM_ID, MICROCODE, MTRR_CAP, PAT, MISC_ENABLE, DEBUG_CTL, DEADLINE, MTRR_DEF_TYPE = (
    0x1B, 0x17, 0x8B, 0xFE, 0x277, 0x1A0, 0x1D9, 0x6E0, 0x2FF,
)  # fmt: skip
FAST_STRINGS, MICROCODE_REVISION = 1, 0x107
#: Machine checks: banks there are; nothing ever fails. A bank has four MSRs from MCA_BANKS on, of which one is stored.
MCG_CAP, MCG_STATUS, MCA_BANKS, BANKS = 0x179, 0x17A, 0x400, 4
MCA_CONTROLS = tuple(range(MCA_BANKS, MCA_BANKS + 4 * BANKS, 4))
MCA_ERRORS = tuple(msr for msr in range(MCA_BANKS, MCA_BANKS + 4 * BANKS) if msr not in MCA_CONTROLS)
VARIABLE_MTRRS = tuple(range(0x200, 0x210))
FIXED_MTRRS = (0x250, 0x258, 0x259, *range(0x268, 0x270))
WRITE_BACK_8, UNCACHED_8 = 0x0606060606060606, 0
MEMORY_TYPES = (0, 1, 4, 5, 6)
PAT_TYPES = (*MEMORY_TYPES, 7)


class Services(Protocol):
    """What the processor needs of its machine."""

    def io_read(self, port: int, size: int) -> int: ...
    def io_write(self, port: int, size: int, value: int) -> None: ...
    def entropy(self, size: int) -> bytes: ...

    @property
    def apic(self) -> Any:
        """``base``, ``write_base(value) -> bool``, ``tpr``, ``read_tsc_deadline()``, ``write_tsc_deadline(value)``."""


def _stored() -> dict[int, int]:
    """As firmware leaves them. MTRRs: everything write-back but the VGA window and the devices below 4 GiB."""
    values = dict.fromkeys((*VARIABLE_MTRRS, *FIXED_MTRRS), 0)
    values.update(dict.fromkeys(FIXED_MTRRS, WRITE_BACK_8))
    values[0x259] = UNCACHED_8
    values[0x200], values[0x201] = 0xC0000000, ((1 << st.PHYSICAL_BITS) - (1 << 30)) | 0x800
    values[MTRR_DEF_TYPE] = MTRR_DEFAULT
    values[DEBUG_CTL] = 0
    values.update(dict.fromkeys((MCG_STATUS, *MCA_CONTROLS), 0))
    return values


def _valid_types(value: int, allowed: tuple[int, ...]) -> bool:
    return all(value >> shift & 255 in allowed for shift in range(0, 64, 8))


class X86Cpu:
    """One processor on an engine. ``shift``: TSC ticks (virtual ns) per instruction, log2; ``long_mode``: whether it is
    a 64-bit one; ``number`` of ``processors`` in the machine. It is what the engine's CPU block has: of several, each
    is made and used while the block is its own."""

    #: Of :meth:`state_bytes`.
    state_version = 3

    def __init__(
        self, engine: Any, machine: Services, shift: int, *, long_mode: bool = True, number: int = 0,
        processors: int = 1,
    ):  # fmt: skip
        self.engine, self.machine = engine, machine
        self.words = memoryview(engine.block.map).cast("Q")
        table = cpuid.packed(long_mode, number, processors)
        self._cpuid = np.frombuffer(table, np.uint8)
        self._configuration = {
            "tsc_shift": shift, "cpuid_table": self._cpuid.ctypes.data, "cpuid_count": len(table) // 24,
            "has_long_mode": int(long_mode),
        }  # fmt: skip
        self._at = {name: offset // 8 for name, offset in LAYOUT.offsets.items()}
        self._at_io = self._at["io_value"]
        #: MSRs that are only stored, by number.
        self.stored: dict[int, int] = {}
        self._read_port, self._write_port = machine.io_read, machine.io_write
        self.reset()

    # -- fields -------------------------------------------------------------------------------------------------------
    def get(self, name: str, index: int = 0) -> int:
        """A 64-bit field of the CPU block."""
        return self.words[self._at[name] + index]

    def set(self, name: str, value: int, index: int = 0) -> None:
        """Write a 64-bit field of the CPU block."""
        self.words[self._at[name] + index] = value & MASK64

    def set_segment(self, number: int, selector: int, base: int, limit: int, attr: int) -> None:
        """A segment register with its hidden part (state.SEG_*)."""
        for name, value in (("seg_sel", selector), ("seg_base", base), ("seg_limit", limit), ("seg_attr", attr)):
            self.set(name, value, number)

    @property
    def flags(self) -> int:
        """RFLAGS, lazy flags materialised."""
        op, a, b, res = (self.get(n) for n in ("cc_op", "cc_a", "cc_b", "cc_res"))
        return self.get("eflags") | lazy_flags(op, a, b, res)

    def set_flags(self, value: int) -> None:
        """Write RFLAGS."""
        self.set("eflags", value & ~st.ARITH | 2)
        self.set("cc_op", st.CC_EFL)
        self.set("cc_a", value & st.ARITH)

    def _refresh(self) -> None:
        """After architectural state was written from here."""
        self.set("exc_vector", MASK64)
        self.set("debug_begun", MASK64)
        self.engine.call("flush_tlb")
        self.engine.call("arm")

    # -- reset and entry ----------------------------------------------------------------------------------------------
    def reset(self) -> None:
        """Power-on state (SDM volume 3, table 10-1)."""
        self._clear((*FIELDS, *TEMPORARY))
        for name, value in self._configuration.items():
            self.set(name, value)
        for name, value in (("pat", PAT_RESET), ("mxcsr", 0x1F80), ("fcw", 0x40), ("misc_enable", FAST_STRINGS)):
            self.set(name, value)
        self.stored = _stored()
        self._restart(CACHE_BITS)
        self._refresh()

    def start(self, vector: int) -> None:
        """A start-up message after INIT: the state INIT gives (the same table), from the start of the page ``vector``
        (0 to 255) on in real mode."""
        caching = self.get("cr0") & CACHE_BITS
        self._clear(name for name in (*FIELDS, *TEMPORARY) if name not in KEPT_BY_INIT)
        self._restart(caching)
        self.set_segment(st.CS, vector << 8, vector << 12, 0xFFFF, 0x93)
        self.set("pc", 0)
        self._refresh()

    def _clear(self, names: Iterable[str]) -> None:
        for name in names:
            start = self._at[name]
            count = LAYOUT.stride(name) * LAYOUT.counts[name] // 8
            self.words[start : start + count] = memoryview(bytes(8 * count)).cast("Q")

    def _restart(self, caching: int) -> None:
        """What power-on and INIT make of cleared fields; ``caching``: CR0.CD and CR0.NW."""
        for number in range(8):
            self.set_segment(number, 0, 0, 0xFFFF, 0x93)
        self.set_segment(st.CS, 0xF000, 0xFFFF0000, 0xFFFF, 0x93)
        self.set_segment(st.LDTR, 0, 0, 0xFFFF, 0x82)
        self.set_segment(st.TR, 0, 0, 0xFFFF, 0x8B)
        self.set("pc", 0xFFF0)
        self.set_flags(2)
        self.set("gpr", cpuid.SIGNATURE, 2)
        for name, value in (
            ("cr0", caching | 0x10), ("gdtr_limit", 0xFFFF), ("idtr_limit", 0xFFFF), ("shadow", MASK64),
            ("mov_ss", MASK64),
        ):  # fmt: skip
            self.set(name, value)
        self.set("dr", 0xFFFF0FF0, 6)
        self.set("dr", 0x400, 7)

    def _flat(self, entry: Any, code_attr: int) -> None:
        self.set("gdtr_base", entry.gdt_base)
        self.set("gdtr_limit", entry.gdt_limit)
        self.set("idtr_limit", 0)
        for number in range(6):
            self.set_segment(number, entry.data_selector, 0, 0xFFFFFFFF, 0xC093)
        self.set_segment(st.CS, entry.code_selector, 0, 0xFFFFFFFF, code_attr)

    def enter_linux64(self, entry: Any) -> None:
        """The 64-bit entry of a Linux kernel (``runtime.machines.linux_boot.LinuxEntry``), after :meth:`reset`."""
        self._flat(entry, 0xA09B)
        for name, value in (
            ("pc", entry.rip), ("cr0", 0x80010031), ("cr3", entry.cr3), ("cr4", 0x20), ("efer", 0x500), ("fcw", 0x37F),
            ("ftag", 0xFF),
        ):  # fmt: skip
            self.set(name, value)
        self.set("gpr", entry.rsi, 6)
        self.set("gpr", entry.rsp, 4)
        self._refresh()

    def enter_linux32(self, entry: Any) -> None:
        """The 32-bit entry of a Linux kernel (``runtime.machines.linux_boot.LinuxEntry``), after :meth:`reset`."""
        self._flat(entry, 0xC09B)
        for name, value in (("pc", entry.rip), ("cr0", 0x31), ("fcw", 0x37F), ("ftag", 0xFF)):
            self.set(name, value)
        self.set("gpr", entry.rsi, 6)
        self.set("gpr", entry.rsp, 4)
        self._refresh()

    def enter_flat32(self, entry: Any) -> None:
        """A flat 32-bit entry with paging off (``runtime.machines.elf_boot.ElfEntry``), after :meth:`reset`."""
        self._flat(entry, 0xC09B)
        for name, value in (("pc", entry.eip), ("cr0", 0x31), ("fcw", 0x37F), ("ftag", 0xFF)):
            self.set(name, value)
        self.set("gpr", entry.eax, 0)
        self.set("gpr", entry.ebx, 3)
        self._refresh()

    # -- interrupts ---------------------------------------------------------------------------------------------------
    @property
    def interrupts_enabled(self) -> bool:
        """EFLAGS.IF; the shadow of STI and MOV SS is in field ``shadow``."""
        return bool(self.get("eflags") & st.IF)

    @property
    def trap_due(self) -> bool:
        """#DB comes before the next instruction, and before interrupts."""
        return bool(self.get("debug_hits")) and self.get("mov_ss") != self.engine.icount

    @property
    def nmi_blocked(self) -> bool:
        """An NMI's handler has not reached its IRET yet."""
        return bool(self.get("nmi_blocked"))

    def interrupt(self, vector: int) -> bool:
        """Deliver an external interrupt, or an NMI (vector 2), between two instructions. False: triple fault."""
        if vector == 2:
            self.set("nmi_blocked", 1)
        self.set("exc_vector", EXTERNAL + vector)
        self.set("exc_error", MASK64)
        return bool(self.engine.call("deliver") == 0)

    # -- turns --------------------------------------------------------------------------------------------------------
    def end_turn(self) -> None:
        """Another processor is about to run."""

    def begin_turn(self, since: int, now: int) -> None:
        """It runs again: what holds for the next instruction still does."""
        if self.get("mov_ss") == since:
            self.set("mov_ss", now)

    # -- services for native helpers ----------------------------------------------------------------------------------
    def service(self, number: int, argument: int) -> int:
        """What ``host_call(cpu, CALL_ARCH, number, argument)`` asks for; the result goes to ``io_value``."""
        if number == services.IO_READ:
            return self._read_port(argument & 0xFFFF, argument >> 16)
        if number == services.IO_WRITE:
            self._write_port(argument & 0xFFFF, argument >> 16, self.words[self._at_io])
            return 0
        if number == services.MSR_READ:
            return self._read_msr(argument)
        if number == services.MSR_WRITE:
            self._write_msr(argument, self.words[self._at_io])
            return 0
        if number == services.TPR_READ:
            return int(self.machine.apic.tpr >> 4)
        if number == services.TPR_WRITE:
            self.machine.apic.tpr = self.words[self._at_io] << 4
            return 0
        assert number == services.ENTROPY
        return int.from_bytes(self.machine.entropy(argument), "little")

    def _fault(self) -> int:
        """#GP(0) for the instruction that asked."""
        self.set("exc_vector", GP)
        self.set("exc_error", 0)
        return 0

    def _read_msr(self, msr: int) -> int:
        if msr in self.stored:
            return self.stored[msr]
        if msr == APIC_BASE:
            return int(self.machine.apic.base)
        if msr == DEADLINE and self.get("has_long_mode"):
            deadline = int(self.machine.apic.read_tsc_deadline())
            return (deadline + self.get("tsc_offset")) & MASK64 if deadline else 0
        fixed = {PLATFORM_ID: 0, MICROCODE: MICROCODE_REVISION << 32, MTRR_CAP: 0x508, MCG_CAP: BANKS}
        if msr in fixed:
            return fixed[msr]
        if msr in MCA_ERRORS:
            return 0
        if msr in (PAT, MISC_ENABLE):
            return self.get("pat" if msr == PAT else "misc_enable")
        return self._fault()

    def _write_msr(self, msr: int, value: int) -> None:
        if msr in self.stored:
            if self._storable(msr, value):
                self.stored[msr] = value
            else:
                self._fault()
        elif msr == APIC_BASE:
            if value >> st.PHYSICAL_BITS or not self.machine.apic.write_base(value):
                self._fault()
        elif msr == DEADLINE and self.get("has_long_mode"):
            self._arm_deadline(value)
        elif msr == PAT and _valid_types(value, PAT_TYPES):
            self.set("pat", value)
        elif msr == MISC_ENABLE:
            self.set("misc_enable", value & FAST_STRINGS)
        elif msr != MICROCODE and (msr not in MCA_ERRORS or value):
            self._fault()

    def _storable(self, msr: int, value: int) -> bool:
        """Whether a stored MSR has no reserved bits set."""
        if msr in FIXED_MTRRS:
            return _valid_types(value, MEMORY_TYPES)
        if msr == MTRR_DEF_TYPE:
            return not value & ~0xCFF and value & 255 in MEMORY_TYPES
        if msr == DEBUG_CTL:
            return not value & ~3
        if msr in MCA_CONTROLS or msr == MCG_STATUS:
            return msr != MCG_STATUS or not value & ~7
        if value >> st.PHYSICAL_BITS:
            return False
        return not value & 0x7FF if msr & 1 else not value & 0xF00 and value & 255 in MEMORY_TYPES

    def _arm_deadline(self, value: int) -> None:
        """The APIC counts virtual ns, which are TSC ticks before the offset; one that has passed is due at once."""
        if value:
            offset = self.get("tsc_offset")
            offset -= offset >> 63 << 64
            value = min(max(value - offset, 1), MASK64)
        self.machine.apic.write_tsc_deadline(value)

    # -- canonical state ----------------------------------------------------------------------------------------------
    def state_bytes(self) -> bytes:
        """The architectural state: the same bytes however the code was run."""
        parts = [struct.pack("<2Q", self.get("pc"), self.flags)]
        for name in FIELDS:
            start = LAYOUT[name]
            data = bytes(self.engine.block.map[start : start + LAYOUT.stride(name) * LAYOUT.counts[name]])
            if name == "fpr":
                data = b"".join(data[at : at + 10] for at in range(0, len(data), 16))
            parts.append(data)
        numbers = sorted(self.stored)
        parts.append(struct.pack(f"<{len(numbers)}Q", *(self.stored[n] for n in numbers)))
        return b"".join(parts)

    def restore_bytes(self, data: bytes) -> None:
        """The inverse of :meth:`state_bytes`; ValueError when another version made it."""
        if len(data) != len(self.state_bytes()):
            raise ValueError(f"{len(data)} bytes of processor state, not {len(self.state_bytes())}")
        pc, flags = struct.unpack_from("<2Q", data)
        at = 16
        block = self.engine.block.map
        for name in FIELDS:
            start, size = LAYOUT[name], LAYOUT.stride(name) * LAYOUT.counts[name]
            if name == "fpr":
                registers = (data[n : n + 10] + bytes(6) for n in range(at, at + 80, 10))
                block[start : start + size] = b"".join(registers)
                at += 80
            else:
                block[start : start + size] = data[at : at + size]
                at += size
        numbers = sorted(self.stored)
        self.stored = dict(zip(numbers, struct.unpack_from(f"<{len(numbers)}Q", data, at), strict=True))
        self.set("pc", pc)
        self.set_flags(flags)
        self._refresh()

    # -- reports ------------------------------------------------------------------------------------------------------
    def registers(self) -> dict[str, int]:
        """Named registers, for people."""
        names = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{n}" for n in range(8, 16)))
        found = {name: self.get("gpr", n) for n, name in enumerate(names)}
        found.update(rip=self.get("pc"), rflags=self.flags)
        for n, name in enumerate(("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")):
            found[name] = self.get("seg_sel", n)
        for name in ("fs", "gs"):
            found[f"{name}_base"] = self.get("seg_base", st.FS if name == "fs" else st.GS)
        for name in ("cr0", "cr2", "cr3", "cr4", "efer"):
            found[name] = self.get(name)
        return found

    def _where(self) -> str:
        return f"pc {self.get('seg_sel', st.CS):04x}:{self.get('pc'):#x}, icount {self.engine.icount}"

    def describe_missing(self) -> str:
        """One line about the announced instruction at ``pc`` that is not there."""
        from frontends.x86.decode import decoder

        pc = self.get("pc")
        linear = (self.get("code_base") + pc) & self.get("linear_mask")
        code = self._fetch(linear)
        found = next(decoder((16, 32, 64)[self.get("mode") & 3]).disasm(code, pc, 1), None)
        text = f"{found.mnemonic} {found.op_str}".strip() if found else "unknown"
        size = found.size if found else len(code)
        return f"instruction not there yet: {text} ({code[:size].hex(' ')}) at {self._where()}"

    def _fetch(self, linear: int) -> bytes:
        code = b""
        for address in (linear, (linear & ~4095) + 4096):
            place = self.engine.frontend.peek(self.engine, address)
            if place is None:
                break
            code += bytes(self.engine.ram.map[place : min((place & ~4095) + 4096, place + 15)])
        return code[:15]

    def describe_shutdown(self) -> str:
        """One line about a triple fault."""
        registers = self.registers()
        named = " ".join(f"{n} {registers[n]:#x}" for n in ("rsp", "cr0", "cr2", "cr3"))
        return f"triple fault at {self._where()}, {named}"


def lazy_flags(op: int, a: int, b: int, res: int) -> int:
    """CF PF AF ZF SF OF as RFLAGS bits from the lazy recipe (the formulas of flags.arithmetic)."""
    if op == st.CC_EFL:
        return a
    if op in (st.CC_SUB, st.CC_DEC):
        carry = (~a & b) | ((~a | b) & res)
        over = (res ^ a) & (b ^ a)
    else:
        carry = (a & b) | ((a | b) & ~res)
        over = (res ^ a) & (b ^ res)
    if op > st.CC_SUB:
        carry = b << 63
    bits = (a ^ b ^ res) & st.AF
    bits |= st.CF if carry >> 63 & 1 else 0
    bits |= st.OF if over >> 63 & 1 else 0
    bits |= st.SF if res >> 63 & 1 else 0
    bits |= 0 if res else st.ZF
    return bits | (st.PF if (res & 255).bit_count() % 2 == 0 else 0)
