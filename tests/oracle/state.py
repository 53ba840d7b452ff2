"""The state of an x86 processor before and after one instruction, and its one-line text form.

Memory is a fixed small layout per mode (`layout`): everything outside it is unmapped, so that a wild access faults in
every executor alike. The x87 registers are in *stack order*, as FXSAVE stores them (`st[0]` is ST(0)); `ftw` is the
abridged tag byte of FXSAVE (SDM vol. 1, 10.5.1), one bit per *physical* register, 1 = not empty.
"""

from __future__ import annotations

import functools
import shlex
from dataclasses import dataclass, field

import capstone

from .memory import PAGE, PagedMemory, memory_tokens

GPR_NAMES = ("rax", "rcx", "rdx", "rbx", "rsp", "rbp", "rsi", "rdi", *(f"r{i}" for i in range(8, 16)))
XMM_NAMES = tuple(f"xmm{i}" for i in range(16))
ST_NAMES = tuple(f"st{i}" for i in range(8))
SCALAR_NAMES = (
    "rflags", "mxcsr", "fcw", "fsw", "ftw", "fop", "fip", "fdp", "fs_base", "gs_base",
)  # fmt: skip
SYSTEM_NAMES = (
    "cr0", "cr2", "cr3", "cr4", "cr8", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7", "gdtr", "idtr",
    "cs", "ds", "es", "fs", "gs", "ss",
)  # fmt: skip

CF, PF, AF, ZF, SF, TF, IF, DF, OF = 1 << 0, 1 << 2, 1 << 4, 1 << 6, 1 << 7, 1 << 8, 1 << 9, 1 << 10, 1 << 11
NT, RF, AC, ID = 1 << 14, 1 << 16, 1 << 18, 1 << 21
ARITHMETIC = CF | PF | AF | ZF | SF | OF
USER_FLAGS = ARITHMETIC | DF | NT | AC
"""What of RFLAGS a case can start with: what user mode can change, without TF and RF (they belong to the stepping) and
ID (only POPF can put it there: ptrace does not)."""


@dataclass(frozen=True)
class Layout:
    """The memory of a case: page addresses by kind. `writable` lists every page that an instruction may write."""

    code: int
    data: tuple[int, ...]
    stack: int
    read_only: int | None = None
    high: int | None = None

    @property
    def writable(self) -> tuple[int, ...]:
        """All writable pages, data first."""
        return (*self.data, self.stack, *((self.high,) if self.high is not None else ()))

    @property
    def pages(self) -> tuple[int, ...]:
        """All pages that a state's memory may hold (the code page is not among them: its bytes are the case's code)."""
        return (*self.writable, *((self.read_only,) if self.read_only is not None else ()))


#: No two pages of a layout have the same low bits in their numbers, so that they do not evict each other from a TLB.
_LAYOUTS = {
    16: Layout(0x7000, (0x2000, 0x3000), 0x5000),
    32: Layout(0x10005000, (0x20000000, 0x20001000), 0x30007000, 0x20004000),
    64: Layout(0x10005000, (0x20000000, 0x20001000), 0x30007000, 0x20004000, 0x70123456_7000),
}


def layout(mode: int) -> Layout:
    """The memory layout of mode 16 (real mode), 32 (compatibility or protected mode) or 64."""
    return _LAYOUTS[mode]


@dataclass(frozen=True)
class Fault:
    """An exception: vector, error code (None where the vector has none, SDM vol. 3, 6.15), address (#PF only)."""

    vector: int
    error: int | None = None
    address: int | None = None

    def __str__(self) -> str:
        return ":".join([str(self.vector), *("-" if v is None else f"{v:x}" for v in (self.error, self.address))])

    @staticmethod
    def parse(text: str) -> Fault:
        """The inverse of str(): `vector:error:address`, the latter two in hexadecimal or `-`."""
        vector, error, address = text.split(":")
        return Fault(int(vector), *(None if v == "-" else int(v, 16) for v in (error, address)))


@dataclass(slots=True)
class X86State(PagedMemory):
    """Everything that one instruction can read or write. All values are unsigned integers; defaults are those after
    FNINIT.

    `memory` maps page addresses of the layout to their 4096 bytes; a page that is not listed is zero. `system` holds
    what only privileged code sees (`SYSTEM_NAMES`; GDTR and IDTR as base << 16 | limit); an executor takes its own
    default for a name that is not there.
    """

    gpr: list[int] = field(default_factory=lambda: [0] * 16)
    rip: int = 0
    rflags: int = 0x202
    xmm: list[int] = field(default_factory=lambda: [0] * 16)
    mxcsr: int = 0x1F80
    st: list[int] = field(default_factory=lambda: [0] * 8)
    fcw: int = 0x37F
    fsw: int = 0
    ftw: int = 0
    fop: int = 0
    fip: int = 0
    fdp: int = 0
    fs_base: int = 0
    gs_base: int = 0
    memory: dict[int, bytes] = field(default_factory=dict)
    system: dict[str, int] = field(default_factory=dict)

    def copy(self) -> X86State:
        """An independent copy."""
        return X86State(
            self.gpr[:], self.rip, self.rflags, self.xmm[:], self.mxcsr, self.st[:], self.fcw, self.fsw, self.ftw,
            self.fop, self.fip, self.fdp, self.fs_base, self.gs_base, dict(self.memory), dict(self.system),
        )  # fmt: skip

    def get(self, name: str) -> int:
        """The value of a register by its name in the text form. Raises KeyError for an unknown name."""
        attribute, index = _WHERE[name]
        if attribute == "system":
            return self.system[name]
        value = getattr(self, attribute)
        return value if index is None else value[index]

    def set(self, name: str, value: int) -> None:
        """Set a register by its name in the text form. Raises KeyError for an unknown name."""
        attribute, index = _WHERE[name]
        if attribute == "system":
            self.system[name] = value
        elif index is None:
            setattr(self, attribute, value)
        else:
            getattr(self, attribute)[index] = value

    def physical(self, index: int) -> int:
        """The x87 register with physical number `index` (0..7), whose low 64 bits are MMX register `index`."""
        return self.st[(index - (self.fsw >> 11)) & 7]

    def set_physical(self, index: int, value: int) -> None:
        """Set the x87 register with physical number `index`; uses the TOP that is in `fsw` now."""
        self.st[(index - (self.fsw >> 11)) & 7] = value


_WHERE: dict[str, tuple[str, int | None]] = {
    **{name: ("gpr", i) for i, name in enumerate(GPR_NAMES)},
    **{name: ("xmm", i) for i, name in enumerate(XMM_NAMES)},
    **{name: ("st", i) for i, name in enumerate(ST_NAMES)},
    **{name: (name, None) for name in ("rip", *SCALAR_NAMES)},
    **{name: ("system", None) for name in SYSTEM_NAMES},
}


def default_state(mode: int) -> X86State:
    """The state that a case's text is relative to: FNINIT values, zero memory, rip and rsp in the middle of their
    pages.
    """
    state = X86State(rip=layout(mode).code + PAGE // 2)
    state.gpr[4] = layout(mode).stack + PAGE // 2
    return state


def differences(before: X86State, after: X86State) -> dict[str, int | None]:
    """Registers by name, rip left out, whose value in `after` is not that in `before` (None: no longer there)."""
    if before is after:
        return {}
    changed: dict[str, int | None] = {}
    for attribute, names in (("gpr", GPR_NAMES), ("xmm", XMM_NAMES), ("st", ST_NAMES)):
        old, new = getattr(before, attribute), getattr(after, attribute)
        if old != new:
            changed.update((name, b) for name, a, b in zip(names, old, new, strict=True) if a != b)
    for name in SCALAR_NAMES:
        if getattr(before, name) != getattr(after, name):
            changed[name] = getattr(after, name)
    if before.system != after.system:
        for name in SYSTEM_NAMES:
            if before.system.get(name) != after.system.get(name):
                changed[name] = after.system.get(name)
    return changed


@dataclass
class Case:
    """One instruction with its state in and, where known, what comes out. `str()` and `parse` are inverse."""

    mode: int
    code: bytes
    state: X86State
    out: X86State | None = None
    fault: Fault | None = None

    def __str__(self) -> str:
        text = f'{self.mode} {self.state.rip:x} {self.code.hex()} "{disassemble(self.code, self.mode, self.state.rip)}"'
        text += _tokens(default_state(self.mode), self.state)
        if self.out is None:
            return text
        text += " ->" + _tokens(self.state, self.out)
        if self.out.rip != self._next():
            text += f" rip={self.out.rip:x}"
        return text + (f" fault={self.fault}" if self.fault else "")

    def _next(self) -> int:
        """Where rip is expected after the instruction: behind it, or at it when it faulted."""
        return self.state.rip if self.fault else self.state.rip + len(self.code)

    @staticmethod
    def parse(line: str) -> Case:
        """Read one line of text, up to a `#`. Raises ValueError (with the token) when it is not a case."""
        before, arrow, after = line.partition(" #")[0].partition(" ->")
        mode, address, code, _, *tokens = shlex.split(before)
        state = default_state(int(mode))
        state.rip = int(address, 16)
        if _apply(state, tokens) is not None:
            raise ValueError("a fault among the inputs")
        case = Case(int(mode), bytes.fromhex(code), state)
        if arrow:
            case.out = state.copy()
            tokens = after.split()
            case.fault = next((Fault.parse(t[6:]) for t in tokens if t.startswith("fault=")), None)
            case.out.rip = case._next()
            _apply(case.out, tokens)
        return case


def _tokens(before: X86State, after: X86State) -> str:
    """What differs as text, each token preceded by a space."""
    registers = "".join(f" {k}={'-' if v is None else f'{v:x}'}" for k, v in differences(before, after).items())
    return registers + memory_tokens(before, after)


def _apply(state: X86State, tokens: list[str]) -> Fault | None:
    """Put `name=value` and `[address]=bytes` tokens into `state`; returns the fault token's value."""
    fault = None
    for token in tokens:
        name, _, value = token.partition("=")
        if name == "fault":
            fault = Fault.parse(value)
        elif state.put(name, value):
            continue
        elif value == "-":
            state.system.pop(name, None)
        elif name in _WHERE:
            state.set(name, int(value, 16))
        else:
            raise ValueError(f"not a part of a case: {token!r}")
    return fault


@functools.cache
def disassembler(mode: int) -> capstone.Cs:
    """Capstone for mode 16, 32 or 64, without details."""
    return capstone.Cs(
        capstone.CS_ARCH_X86, {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}[mode]
    )


def disassemble(code: bytes, mode: int, address: int = 0) -> str:
    """The instruction as Capstone writes it, or `?` when it does not know it."""
    for _, _, mnemonic, operands in disassembler(mode).disasm_lite(code, address, 1):
        return f"{mnemonic} {operands}".strip()
    return "?"
