"""A systematic list of x86 instruction encodings: every opcode, mandatory prefix, operand size, /reg group and
operand form.

Nothing here is a list of instructions: the opcode maps (SDM vol. 2, appendix A) are walked byte by byte and Capstone
says what decodes, so that what the table forgot is found. What user mode on x86-64-v2 cannot execute, or cannot be
compared with the host processor, is told apart by feature group and by name, each name with its reason.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import capstone
from capstone import x86_const as x86

from frontends.x86.decode import decoder

_SIZE_PREFIXES = (b"", b"\x66", b"\xf3", b"\xf2", b"\x66\xf3", b"\x66\xf2")
_MAPS = (b"", b"\x0f", b"\x0f\x38", b"\x0f\x3a")
_NOT_OPCODES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3\x0f\xc4\xc5")
"""Prefixes, the escape, and the first bytes of VEX."""
_NOT_OPCODES_64 = _NOT_OPCODES | frozenset(range(0x40, 0x50)) | {0x62}
_ADDRESS_SIZE_COUNTS = frozenset(b"\xd7\xe0\xe1\xe2")
"""XLAT and LOOP: their address size does not show in the disassembly."""

_FOREIGN_GROUPS = frozenset(
    getattr(x86, f"X86_GRP_{name}")
    for name in (
        "VM", "3DNOW", "AES", "ADX", "AVX", "AVX2", "AVX512", "BMI", "BMI2", "F16C", "FMA", "FMA4", "FSGSBASE",
        "RTM", "SHA", "SSE4A", "PCLMUL", "XOP", "TBM", "SGX", "SMAP", "PRIVILEGE",
    )
)  # fmt: skip

EXCLUDED = {
    "cpuid rdtsc rdtscp rdpmc rdmsr xgetbv rdpid": "the host's values, not the case's",
    "syscall sysenter sysexit sysret sysretq sysexitq int int1 iret iretd iretq": "enters or leaves a kernel",
    "in out insb insw insd outsb outsw outsd cli sti hlt clts invd wbinvd": "needs a higher privilege level",
    "lgdt lidt sgdt sidt lldt sldt ltr str smsw lmsw lar lsl verr verw invlpg swapgs": "reads system tables",
    "lds les lss lfs lgs ljmp lcall retf retfq jmp_far call_far": "loads segment registers",
    "xsave xsavec xsaveopt xsaves xrstor xrstors xsave64 xsavec64 xsaveopt64 xsaves64 xrstor64 xrstors64": "XSAVE",
    "movbe lzcnt tzcnt prefetchwt1 clflushopt clwb rdseed monitor mwait monitorx mwaitx clzero": "not x86-64-v2",
    "montmul xcryptcbc xcryptcfb xcryptctr xcryptecb xcryptofb xsha1 xsha256 xstore": "another vendor's",
    "getsec vmcall vmlaunch vmresume vmxoff vmxon vmread vmwrite vmptrld vmptrst vmclear rsm": "virtual machines",
    "femms pswapd skinit stgi clgi encls enclu invept invvpid invpcid pcommit llwpcb slwpcb lwpins lwpval": "not here",
    "ud0 ud1 ud2 ud2b salc data16": "tested by name, or no instruction",
    "ffreep fstpnce": "undocumented",
    "xabort xbegin xend xtest stac clac umonitor umwait tpause wbnoinvd rdpru ptwrite cldemote": "not x86-64-v2",
    "incsspd incsspq rdsspd rdsspq saveprevssp rstorssp wrssd wrssq wrussd wrussq setssbsy clrssbsy": "shadow stacks",
    "bndcl bndcn bndcu bndldx bndmk bndmov bndstx": "MPX",
    "gf2p8affineinvqb gf2p8affineqb gf2p8mulb movdir64b movdiri pconfig enclv rdpkru wrpkru": "not x86-64-v2",
}  # fmt: skip
_EXCLUDED_NAMES = frozenset(name for names in EXCLUDED for name in names.split())

_LOCKABLE = re.compile(r"(add|or|adc|sbb|and|sub|xor|inc|dec|not|neg|xadd|xchg|cmpxchg|cmpxchg8b|cmpxchg16b|bt[crs])$")
_STRING = re.compile(r"(?:rep (?:movs|lods|stos)|(?:repe|repne) (?:cmps|scas))[bwdq]$")


@dataclass(frozen=True)
class Encoding:
    """One form of an instruction, with its free parts left open.

    `prefixes` are mandatory, operand-size, address-size, REP or LOCK bytes; `operands` is "none" (no ModRM byte),
    "memory" or "register"; `reg` and `rm` are None where any register will do; `immediate` counts the bytes after the
    addressing form.
    """

    mode: int
    prefixes: bytes
    rex_w: bool
    opcode: bytes
    operands: str
    reg: int | None
    rm: int | None
    immediate: int
    mnemonic: str
    text: str

    @property
    def shape(self) -> str:
        """Kinds of the operands, in order."""
        return "".join(_kind(operand) for operand in self.text[len(self.mnemonic) + 1 :].split(", "))

    @property
    def code(self) -> bytes:
        """The encoding with all that is open 0."""
        modrm = (self.reg or 0) << 3 | (self.rm or 0) | (0xC0 if self.operands == "register" else 0)
        head = self.prefixes + (b"\x48" if self.rex_w else b"") + self.opcode
        return head + (b"" if self.operands == "none" else bytes([modrm])) + bytes(8)

    def __str__(self) -> str:
        rex = "rex.w " if self.rex_w else ""
        reg = "" if self.operands == "none" else f" /{'r' if self.reg is None else self.reg}"
        rm = f" rm={self.rm}" if self.rm is not None else ""
        where = "" if self.operands == "none" else f" {self.operands}"
        return f"{self.mode} {self.prefixes.hex()} {rex}{self.opcode.hex()}{reg}{rm}{where}: {self.text}"


@functools.cache
def encodings(mode: int) -> tuple[Encoding, ...]:
    """All encodings for mode 16, 32 or 64 that user mode can execute and an oracle can compare, in opcode order."""
    found: dict[tuple[object, ...], Encoding] = {}
    for candidate in _candidates(mode):
        address = candidate.prefixes[:1] == b"\x67" and candidate.opcode[0] in _ADDRESS_SIZE_COUNTS
        key = (candidate.opcode, candidate.operands, candidate.reg, candidate.rm, candidate.text, address)
        if key not in found and _wanted(candidate):
            found[key] = candidate
    return tuple(_with_lock(found.values()))


@functools.cache
def distinct(mode: int) -> tuple[Encoding, ...]:
    """Everything that decodes in mode 16, 32 or 64 without VEX and its kin, each form once, whatever its feature or
    privilege level.
    """
    found: dict[tuple[object, ...], Encoding] = {}
    for candidate in _candidates(mode):
        if len(candidate.prefixes.lstrip(b"\x67")) < 2 or _mandatory(candidate):
            found.setdefault((candidate.mnemonic, candidate.shape), candidate)
    return tuple(found.values())


def _with_lock(kept: Iterable[Encoding]) -> Iterator[Encoding]:
    """Each encoding, followed by its LOCK form where it has one."""
    for encoding in kept:
        yield encoding
        if _LOCKABLE.match(encoding.mnemonic) and encoding.operands == "memory" and "[" in encoding.text.split(",")[0]:
            yield Encoding(
                encoding.mode, b"\xf0" + encoding.prefixes, encoding.rex_w, encoding.opcode, "memory", encoding.reg,
                None, encoding.immediate, encoding.mnemonic, "lock " + encoding.text,
            )  # fmt: skip


@functools.cache
def _candidates(mode: int) -> tuple[Encoding, ...]:
    return tuple(_walk(mode))


def _walk(mode: int) -> Iterator[Encoding]:
    """Everything that decodes, plainest prefixes first, so that a prefix that changes nothing is seen as a
    repetition.
    """
    for escape in _MAPS:
        for byte in range(256):
            opcode = escape + bytes([byte])
            if not escape and byte in (_NOT_OPCODES_64 if mode == 64 else _NOT_OPCODES):
                continue
            if opcode in (b"\x0f\x38", b"\x0f\x3a", b"\x0f\x0f"):
                continue
            for address in (b"", b"\x67"):
                for prefixes in _SIZE_PREFIXES:
                    for rex_w in (False, True) if mode == 64 else (False,):
                        yield from _forms(mode, address, prefixes, rex_w, opcode)


def _forms(mode: int, address: bytes, prefixes: bytes, rex_w: bool, opcode: bytes) -> Iterator[Encoding]:
    """The encodings of one opcode with given prefixes: without ModRM, or per operand form and /reg."""
    head = address + prefixes + (b"\x48" if rex_w else b"") + opcode
    plain = [_decode(mode, head + bytes([modrm]), len(head)) for modrm in (0x00, 0x40, 0x80, 0xC0)]
    if all(p is not None and p[0] == plain[0][0] for p in plain):  # type: ignore[index]
        size, mnemonic, text = plain[0]  # type: ignore[misc]
        extra = size - len(head)
        if re.match(r"j|loop|call", mnemonic):  # the target's text depends on the length of the prefixes
            text = f"{mnemonic} rel{8 * extra}"
        yield Encoding(mode, address + prefixes, rex_w, opcode, "none", None, None, extra, mnemonic, text)
        return
    if address:  # the address size of a memory operand is the generator's choice
        return
    for operands, low in (("memory", 0x00), ("register", 0xC0)):
        wide = range(8) if low else range(1)
        decoded = [
            [_decode(mode, head + bytes([low | reg << 3 | rm]), len(head) + 1) for rm in wide] for reg in range(8)
        ]
        for reg, rm, (size, mnemonic, text) in _merge(decoded):
            extra = size - len(head) - 1
            yield Encoding(mode, prefixes, rex_w, opcode, operands, reg, rm, extra, mnemonic, text)


_Decoded = tuple[int, str, str]


def _merge(decoded: list[list[_Decoded | None]]) -> Iterator[tuple[int | None, int | None, _Decoded]]:
    """Join what differs only in register numbers: over rm, and over reg where all eight agree."""
    uniform = [all(d and row[0] and _shape(d) == _shape(row[0]) for d in row) for row in decoded]
    if all(uniform) and len({_shape(row[0]) for row in decoded if row[0]}) == 1:
        yield None, None, decoded[1][-1]  # type: ignore[misc]
        return
    for reg, row in enumerate(decoded):
        if uniform[reg]:
            yield reg, None, row[-1]  # type: ignore[misc]
            continue
        for rm, one in enumerate(row):
            if one:
                yield reg, rm, one


@functools.cache
def _shape(decoded: _Decoded) -> tuple[str, str, int]:
    """A decoded instruction without its register numbers: mnemonic, kinds of operands, size."""
    size, mnemonic, text = decoded
    kinds = "".join(_kind(operand) for operand in text.partition(" ")[2].split(", "))
    return mnemonic, kinds, size


def _kind(operand: str) -> str:
    """The class of an operand's text: memory with its size, x87, MMX, XMM, segment, control or debug register, width,
    or number.
    """
    if "[" in operand:
        return operand.partition("[")[0]
    for pattern, kind in (
        (r"st\(?", "f"), (r"xmm", "x"), (r"mm", "m"), (r"[c-gs]s$", "s"), (r"cr\d", "c"), (r"dr\d", "g"),
        (r"k\d|[yz]mm|bnd", "v"), (r"r(\d+$|..$)", "q"), (r"e..$|r\d+d$", "d"),
        (r"([abcd][lh]|[sd]il|[sb]pl|r\d+b)$", "b"),
        (r"-?0?x?[0-9a-f]+$", "i"),
    ):  # fmt: skip
        if re.match(pattern, operand):
            return kind
    return "w"


@functools.cache
def _plain(mode: int) -> capstone.Cs:
    """A disassembler without details, which is faster."""
    modes = {16: capstone.CS_MODE_16, 32: capstone.CS_MODE_32, 64: capstone.CS_MODE_64}
    return capstone.Cs(capstone.CS_ARCH_X86, modes[mode])


def _decode(mode: int, head: bytes, least: int) -> _Decoded | None:
    """Size, mnemonic and text of `head` followed by zero bytes; None when Capstone knows none of at least that size."""
    for _, size, mnemonic, operands in _plain(mode).disasm_lite(head + bytes(15 - len(head)), 0, 1):
        return (size, mnemonic, f"{mnemonic} {operands}".strip()) if size >= least else None
    return None


def _wanted(encoding: Encoding) -> bool:
    """True when user mode on x86-64-v2 executes it and the result can be compared."""
    name = encoding.mnemonic
    if " " in name:
        if not _STRING.match(name):
            return False
        name = name.split()[-1]
    elif len(encoding.prefixes.lstrip(b"\x67")) == 2 and not _mandatory(encoding):
        return False
    if encoding.opcode == b"\xff" and encoding.reg in (3, 5):
        return False
    if encoding.mode == 64 and encoding.text.endswith("rel16"):
        return False
    if name in _EXCLUDED_NAMES or name[0] in "vk":
        return False
    return not _foreign(encoding)


def _mandatory(encoding: Encoding) -> bool:
    """True when the second of two prefixes (F2 or F3) selects another instruction."""
    modrm = (encoding.reg or 0) << 3 | (0xC0 if encoding.operands == "register" else 0)
    plain = _decode(encoding.mode, encoding.prefixes[:1] + encoding.opcode + bytes([modrm]), 1)
    return plain is None or plain[1] != encoding.mnemonic


def _foreign(encoding: Encoding) -> bool:
    """True when a feature outside x86-64-v2, a higher privilege level or a segment or control register is needed."""
    instruction = next(iter(decoder(encoding.mode).disasm(encoding.code, 0, 1)))
    if _FOREIGN_GROUPS & set(instruction.groups):
        return True
    segments = {x86.X86_REG_CS, x86.X86_REG_DS, x86.X86_REG_ES, x86.X86_REG_FS, x86.X86_REG_GS, x86.X86_REG_SS}
    registers = {o.reg for o in instruction.operands if o.type == x86.X86_OP_REG}
    return bool(registers & segments) or any(x86.X86_REG_CR0 <= r <= x86.X86_REG_DR15 for r in registers)
