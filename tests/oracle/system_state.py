"""The state before and after one system instruction, and its one-line text form.

A state is a dictionary of registers by name, hidden parts included (``cs.base``), what differs from the world's start,
and the pages of ``world.OBSERVED``. A line of text has the world, the bytes, the disassembly, the inputs, and what
comes out: only what the instruction changes, exceptions as ``fault=vector:error``, ports as ``io=``.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable
from dataclasses import dataclass, field

from .state import GPR_NAMES, disassemble
from .world import GDT, LDT, OBSERVED, PAGE, PC, TOP, World, world

SEGMENTS = ("es", "cs", "ss", "ds", "fs", "gs", "ldtr", "tr")
HIDDEN = ("base", "limit", "attr")
CONTROL = ("cr0", "cr2", "cr3", "cr4", "dr0", "dr1", "dr2", "dr3", "dr6", "dr7")
#: MSRs by number that both sides keep as registers.
MSRS = {
    "sysenter_cs": 0x174, "sysenter_esp": 0x175, "sysenter_eip": 0x176, "pat": 0x277, "efer": 0xC0000080,
    "star": 0xC0000081, "lstar": 0xC0000082, "cstar": 0xC0000083, "sfmask": 0xC0000084,
    "kernel_gs_base": 0xC0000102, "tsc_aux": 0xC0000103,
}  # fmt: skip
FPU = ("fcw", "fsw", "mxcsr")
NAMES = (
    *GPR_NAMES, "rip", "rflags", "cpl", *SEGMENTS, *(f"{s}.{part}" for s in SEGMENTS for part in HIDDEN),
    "gdtr.base", "gdtr.limit", "idtr.base", "idtr.limit", *CONTROL, *MSRS, *FPU,
)  # fmt: skip
RF = 1 << 16


@dataclass(frozen=True)
class Exception_:
    """An exception; ``error`` is None where the vector has no code."""

    vector: int
    error: int | None = None

    def __str__(self) -> str:
        return f"{self.vector}:{'-' if self.error is None else format(self.error, 'x')}"

    @staticmethod
    def parse(text: str) -> Exception_:
        """The inverse of str()."""
        vector, error = text.split(":")
        return Exception_(int(vector), None if error == "-" else int(error, 16))


@dataclass
class Outcome:
    """What an instruction has changed: registers by name, runs of memory by address, its exception, its port accesses
    (text).
    """

    registers: dict[str, int] = field(default_factory=dict)
    memory: dict[int, bytes] = field(default_factory=dict)
    fault: Exception_ | None = None
    io: str = ""

    def __str__(self) -> str:
        parts = [f"{name}={value:x}" for name, value in self.registers.items()]
        parts += [f"[{at:x}]={data.hex()}" for at, data in sorted(self.memory.items())]
        parts += [f"fault={self.fault}"] if self.fault else []
        return " ".join(parts + ([f"io={self.io}"] if self.io else []))


@dataclass
class SystemCase:
    """One instruction in a world; inputs are what differs from the world's start."""

    world: str
    code: bytes
    registers: dict[str, int] = field(default_factory=dict)
    memory: dict[int, bytes] = field(default_factory=dict)
    out: Outcome | None = None

    @property
    def text(self) -> str:
        """The disassembly."""
        return disassemble(self.code, world(self.world).bits, PC)

    def __str__(self) -> str:
        line = f'{self.world} {self.code.hex()} "{self.text}" {Outcome(self.registers, self.memory)}'.rstrip()
        return line if self.out is None else f"{line} -> {self.out}".rstrip()

    @staticmethod
    def parse(line: str) -> SystemCase:
        """Read one line, up to a ``#``. ValueError when it is not a case."""
        before, arrow, after = line.partition(" #")[0].partition(" ->")
        name, code, _, *tokens = shlex.split(before)
        inputs = _outcome(tokens)
        out = _outcome(after.split()) if arrow else None
        return SystemCase(world(name).name, bytes.fromhex(code), inputs.registers, inputs.memory, out)


def _outcome(tokens: Iterable[str]) -> Outcome:
    out = Outcome()
    for token in tokens:
        name, _, value = token.partition("=")
        if match := re.fullmatch(r"\[([0-9a-f]+)\]", name):
            out.memory[int(match[1], 16)] = bytes.fromhex(value)
        elif name == "fault":
            out.fault = Exception_.parse(value)
        elif name == "io":
            out.io = value
        elif name in NAMES:
            out.registers[name] = int(value, 16)
        else:
            raise ValueError(f"not a part of a case: {token!r}")
    return out


def image(case: SystemCase) -> dict[int, bytes]:
    """All pages of a case's memory besides the code."""
    pages = {page: bytearray(data) for page, data in world(case.world).memory.items()}
    for at, data in case.memory.items():
        for i, byte in enumerate(data):
            pages[at + i & -PAGE][at + i & PAGE - 1] = byte
    return {page: bytes(data) for page, data in pages.items()}


def changed(before: dict[int, bytes], after: dict[int, bytes]) -> dict[int, bytes]:
    """Runs of bytes of observed pages that have changed; equal stretches below 4 bytes join runs."""
    runs: dict[int, bytes] = {}
    for page in OBSERVED:
        old, new = before[page], after[page]
        if old == new:
            continue
        where = [i for i in range(PAGE) if old[i] != new[i]]
        start = last = where[0]
        for i in [*where[1:], 2 * PAGE]:
            if i - last > 4:
                runs[page + start] = new[start : last + 1]
                start = i
            last = i
    return runs


def outcome(
    case: SystemCase, before: dict[str, int], after: dict[str, int], memory: dict[int, bytes],
    fault: Exception_ | None, io: str,
) -> Outcome:  # fmt: skip
    """An outcome of complete states; RF is left out, and the hidden part of segments that cannot be used."""
    registers = {}
    for name in NAMES:
        old, new = before.get(name, 0), after.get(name, 0)
        if name == "rflags":
            old, new = old & ~RF, new & ~RF
        if old != new and not _unusable(name, after) and not (name == "cs.attr" and world(case.world).real):
            registers[name] = new
    length = len(case.code)
    if fault is None and registers.get("rip") == before["rip"] + length:
        del registers["rip"]
    return Outcome(registers, memory, fault, io)


def _unusable(name: str, state: dict[str, int]) -> bool:
    """Limit and attributes of a segment that is not present or null, and the bases of those that FS and GS are not."""
    segment, _, part = name.partition(".")
    if part not in HIDDEN or segment not in SEGMENTS:
        return False
    null = segment in ("ldtr", "ss") and not state.get(segment, 0) & 0xFFFC and state["cr0"] & 1
    if state.get(f"{segment}.attr", 0) & 0x80 and not null:
        return False
    return part != "base" or segment not in ("fs", "gs")


def start_registers(place: World) -> dict[str, int]:
    """What a case starts with after its world's boot code."""
    out = {**dict.fromkeys(GPR_NAMES, 0), "rsp": TOP, "rip": PC, "rflags": 2, "fcw": 0x37F, "mxcsr": 0x1F80}
    return out | ({"cr0": 0x10} if place.real else {})


def is_software(code: bytes) -> bool:
    """INT n, INT3, INTO."""
    return code[0] in (0xCC, 0xCD, 0xCE)


def without_failed_access(outcome: Outcome, before: dict[int, bytes]) -> Outcome:
    """An outcome for comparison: whether a descriptor is accessed whose load then fails is not defined."""
    if outcome.fault is None:
        return outcome
    memory = {}
    for at, data in outcome.memory.items():
        old = before[at & -PAGE][at & PAGE - 1]
        if len(data) != 1 or data[0] != old | 1 or at & 7 != 5 or at & -PAGE not in (GDT, LDT):
            memory[at] = data
    return Outcome(outcome.registers, memory, outcome.fault, outcome.io)


def verdict(case: SystemCase, got: Outcome) -> str:
    """Empty when an outcome is that of the case, else both in one line."""
    assert case.out is not None
    before = image(case)
    if without_failed_access(got, before) == without_failed_access(case.out, before):
        return ""
    return f"{case} # got {got}"
