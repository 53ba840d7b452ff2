"""The state of an ARM processor before and after a few instructions, and its one-line text form.

Memory is that of :func:`oracle.state.layout` for mode 32: a code page, two data pages, a stack page and a page that is
read-only; everything else is unmapped. The rest of the code page holds :data:`FILLER`, which programs may read.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from random import Random

from frontends.arm.decode import decode, size_of

from .memory import PAGE, PagedMemory, memory_tokens
from .state import layout

__all__ = ["PAGE", "PLACES", "ArmCase", "ArmFault", "ArmState", "code_page", "default_state"]

PLACES = layout(32)
FILLER = Random(5).randbytes(PAGE)
REGISTERS = tuple(f"r{n}" for n in range(16))
VECTORS = tuple(f"q{n}" for n in range(16))
#: CPSR bits.
N, Z, C, V, Q, J, E, A, I, F, T = (1 << n for n in (31, 30, 29, 28, 27, 24, 9, 8, 7, 6, 5))  # noqa: E741
IT_BITS = 3 << 25 | 0x3F << 10
USR, SYS = 0x10, 0x1F
UNDEF, SVC, PREFETCH, DATA = 1, 2, 3, 4


@dataclass(frozen=True)
class ArmFault:
    """An exception by its vector, with the address of an abort and whether it was a write."""

    vector: int
    address: int | None = None
    write: bool = False

    def __str__(self) -> str:
        address = "-" if self.address is None else f"{self.address:x}"
        return f"{self.vector}:{address}:{int(self.write)}"

    @staticmethod
    def parse(text: str) -> ArmFault:
        """The inverse of str()."""
        vector, address, write = text.split(":")
        return ArmFault(int(vector), None if address == "-" else int(address, 16), write == "1")


@dataclass(slots=True)
class ArmState(PagedMemory):
    """Everything that an instruction of User or System mode can read or write. ``r[15]`` is the address of the next
    instruction, without T; ``q`` are 128-bit registers; ``memory`` maps page addresses to 4096 bytes (zero if not
    listed); ``sctlr`` is what the executors are started with."""

    r: list[int] = field(default_factory=lambda: [0] * 16)
    cpsr: int = USR | A | I | F
    q: list[int] = field(default_factory=lambda: [0] * 16)
    fpscr: int = 0
    sctlr_a: int = 0
    memory: dict[int, bytes] = field(default_factory=dict)

    def copy(self) -> ArmState:
        """An independent copy."""
        return ArmState(self.r[:], self.cpsr, self.q[:], self.fpscr, self.sctlr_a, dict(self.memory))

    @property
    def thumb(self) -> bool:
        return bool(self.cpsr & T)

    def get(self, name: str) -> int:
        """A register by its name in the text form."""
        if name in REGISTERS:
            return self.r[int(name[1:])]
        return self.q[int(name[1:])] if name in VECTORS else int(getattr(self, name))

    def set(self, name: str, value: int) -> None:
        """Set a register by its name in the text form."""
        if name in REGISTERS:
            self.r[int(name[1:])] = value
        elif name in VECTORS:
            self.q[int(name[1:])] = value
        elif name in ("cpsr", "fpscr", "sctlr_a"):
            setattr(self, name, value)
        else:
            raise ValueError(f"not a part of a case: {name!r}")


NAMES = (*REGISTERS, "cpsr", *VECTORS, "fpscr", "sctlr_a")


def default_state() -> ArmState:
    """What a case's text is relative to: User mode, A32, zero memory, pc and sp in the middle of their pages."""
    state = ArmState()
    state.r[15], state.r[13] = PLACES.code + PAGE // 2, PLACES.stack + PAGE // 2
    return state


def code_page(address: int, code: bytes) -> bytes:
    """The code page with ``code`` at an address in it (cut off at its end)."""
    at = address & PAGE - 1
    part = code[: PAGE - at]
    return FILLER[:at] + part + FILLER[at + len(part) :]


def differences(before: ArmState, after: ArmState) -> dict[str, int]:
    """Registers that are different in ``after``."""
    return {name: after.get(name) for name in NAMES if before.get(name) != after.get(name)}


@dataclass
class ArmCase:
    """``steps`` instructions with their state in and, where known, what comes out. str() and parse are inverse."""

    code: bytes
    state: ArmState
    steps: int = 1
    out: ArmState | None = None
    fault: ArmFault | None = None

    def __str__(self) -> str:
        text = f'{self.steps} {self.state.r[15]:x} {self.code.hex()} "{self.listing()}"'
        text += _tokens(default_state(), self.state, "r15")
        if self.out is None:
            return text
        text += " ->" + _tokens(self.state, self.out)
        return text + (f" fault={self.fault}" if self.fault else "")

    def listing(self) -> str:
        """The first instructions as Capstone writes them (without its number signs: those begin a comment here)."""
        at, lines = 0, list[str]()
        while at < len(self.code) and len(lines) < self.steps:
            size = size_of(self.code[at:], self.state.thumb)
            lines.append(decode(self.code[at : at + size], self.state.thumb, self.state.r[15] + at)[1])
            at += size
        return "; ".join(lines).replace("#", "")

    @staticmethod
    def parse(line: str) -> ArmCase:
        """Read one line of text, up to a ``#``. Raises ValueError when it is not a case."""
        before, arrow, after = line.partition(" #")[0].partition(" ->")
        steps, address, code, _, *tokens = shlex.split(before)
        state = default_state()
        state.r[15] = int(address, 16)
        _apply(state, tokens)
        case = ArmCase(bytes.fromhex(code), state, int(steps))
        if arrow:
            case.out = state.copy()
            case.fault = _apply(case.out, after.split())
        return case


def _tokens(before: ArmState, after: ArmState, *without: str) -> str:
    changed = differences(before, after)
    registers = "".join(f" {k}={v:x}" for k, v in changed.items() if k not in without)
    return registers + memory_tokens(before, after)


def _apply(state: ArmState, tokens: list[str]) -> ArmFault | None:
    fault = None
    for token in tokens:
        name, _, value = token.partition("=")
        if name == "fault":
            fault = ArmFault.parse(value)
        elif not state.put(name, value):
            state.set(name, int(value, 16))
    return fault
