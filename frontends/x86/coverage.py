"""What the x86 table holds: ``python -m frontends.x86.coverage > docs/coverage-x86.md``.

Every encoding that Capstone knows is lifted in protected mode, level 0; nothing here is written down by hand but the
names of the CPUID bits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from capstone import x86 as cx

import frontends.x86.table  # noqa: F401  (declares rows and lifters)
from frontends.x86 import cpuid
from frontends.x86 import state as st
from frontends.x86.decode import decoder, lift
from frontends.x86.encodings import distinct, encodings
from frontends.x86.lift import LIFTERS, REGISTERS, SEGMENTS, Insn
from frontends.x86.table import ROWS
from jitrr.microops.table import TABLE

MODES = {16: st.MODE_16 | st.MODE_FLAT, 32: st.MODE_32 | st.MODE_FLAT | st.MODE_SS32, 64: st.MODE_64 | st.MODE_FLAT}
LIFTED, UNDEFINED, MISSING = "lifted", "#UD", "missing"
_NAMES = """
lgdt lidt sgdt sidt lldt sldt ltr str smsw lmsw lar lsl verr verw arpl clts invd wbinvd wbnoinvd invlpg swapgs cpuid
rdtsc rdtscp rdpmc rdmsr wrmsr rdrand syscall sysret sysretq sysenter sysexit sysexitq int int1 int3 into iret iretd
iretq hlt cli sti in out insb insw insd outsb outsw outsd lds les lss lfs lgs ljmp lcall retf retfq mov_cr mov_dr
mov_seg push_seg pop_seg pushf pushfd pushfq popf popfd popfq bound
"""
_SYSTEM = frozenset(_NAMES.split())
_SETS = {
    cx.X86_GRP_SSE42: "SSE4.2", cx.X86_GRP_SSE41: "SSE4.1", cx.X86_GRP_SSSE3: "SSSE3", cx.X86_GRP_SSE3: "SSE3",
    cx.X86_GRP_SSE2: "SSE2", cx.X86_GRP_SSE1: "SSE", cx.X86_GRP_MMX: "MMX", cx.X86_GRP_FPU: "x87",
}  # fmt: skip
_PREFIXES = {"data16", "lock", "rep", "repne", "rex64", "xacquire", "xrelease"}
GROUPS = ("integer", "system", "x87", "MMX", "SSE", "SSE2", "SSE3", "SSSE3", "SSE4.1", "SSE4.2")
#: Feature: CPUID leaf, register and bit, and the instructions it brings: a Capstone group, or names.
FEATURES: dict[str, tuple[int, str, int, int | str]] = {
    "FPU": (1, "edx", 0, cx.X86_GRP_FPU), "TSC": (1, "edx", 4, "rdtsc"), "MSR": (1, "edx", 5, "rdmsr wrmsr"),
    "CMPXCHG8B": (1, "edx", 8, "cmpxchg8b"), "SYSENTER": (1, "edx", 11, "sysenter sysexit"),
    "CMOV": (1, "edx", 15, cx.X86_GRP_CMOV), "CLFLUSH": (1, "edx", 19, "clflush"),
    "MMX": (1, "edx", 23, cx.X86_GRP_MMX),
    "FXSAVE": (1, "edx", 24, "fxsave fxrstor fxsave64 fxrstor64"), "SSE": (1, "edx", 25, cx.X86_GRP_SSE1),
    "SSE2": (1, "edx", 26, cx.X86_GRP_SSE2), "SSE3": (1, "ecx", 0, cx.X86_GRP_SSE3),
    "SSSE3": (1, "ecx", 9, cx.X86_GRP_SSSE3), "CMPXCHG16B": (1, "ecx", 13, "cmpxchg16b"),
    "SSE4.1": (1, "ecx", 19, cx.X86_GRP_SSE41), "SSE4.2": (1, "ecx", 20, cx.X86_GRP_SSE42),
    "POPCNT": (1, "ecx", 23, "popcnt"), "RDRAND": (1, "ecx", 30, "rdrand"),
    "SYSCALL": (0x80000001, "edx", 11, "syscall sysret"), "RDTSCP": (0x80000001, "edx", 27, "rdtscp"),
    "PCLMULQDQ": (1, "ecx", 1, cx.X86_GRP_PCLMUL), "MONITOR": (1, "ecx", 3, "monitor mwait"),
    "VMX": (1, "ecx", 5, "vmcall vmlaunch vmresume vmxoff vmxon vmread vmwrite vmptrld vmptrst vmclear invept invvpid"),
    "SMX": (1, "ecx", 6, "getsec"), "FMA": (1, "ecx", 12, cx.X86_GRP_FMA), "MOVBE": (1, "ecx", 22, "movbe"),
    "AES": (1, "ecx", 25, cx.X86_GRP_AES), "F16C": (1, "ecx", 29, cx.X86_GRP_F16C),
    "XSAVE": (1, "ecx", 26, "xsave xsave64 xsaveopt xsaveopt64 xsavec xsavec64 xsaves xsaves64 xrstor xrstor64 xrstors "
                            "xrstors64 xgetbv xsetbv"),
    "AVX": (1, "ecx", 28, cx.X86_GRP_AVX), "FSGSBASE": (7, "ebx", 0, cx.X86_GRP_FSGSBASE),
    "SGX": (7, "ebx", 2, "encls enclu enclv"), "BMI1": (7, "ebx", 3, "andn bextr blsi blsmsk blsr tzcnt"),
    "AVX2": (7, "ebx", 5, cx.X86_GRP_AVX2),
    "BMI2": (7, "ebx", 8, "bzhi mulx pdep pext rorx sarx shlx shrx"),
    "INVPCID": (7, "ebx", 10, "invpcid"), "RTM": (7, "ebx", 11, cx.X86_GRP_RTM),
    "MPX": (7, "ebx", 14, "bndcl bndcn bndcu bndldx bndmk bndmov bndstx"), "AVX512F": (7, "ebx", 16, cx.X86_GRP_AVX512),
    "RDSEED": (7, "ebx", 18, "rdseed"), "ADX": (7, "ebx", 19, cx.X86_GRP_ADX), "SMAP": (7, "ebx", 20, "clac stac"),
    "CLFLUSHOPT": (7, "ebx", 23, "clflushopt"), "CLWB": (7, "ebx", 24, "clwb"), "SHA": (7, "ebx", 29, cx.X86_GRP_SHA),
    "PKU": (7, "ecx", 3, "rdpkru wrpkru"), "RDPID": (7, "ecx", 22, "rdpid"),
    "WAITPKG": (7, "ecx", 5, "tpause umonitor umwait"),
    "CET": (7, "ecx", 7, "incsspd incsspq rdsspd rdsspq saveprevssp rstorssp wrssd wrssq wrussd wrussq setssbsy "
                         "clrssbsy"),
    "GFNI": (7, "ecx", 8, "gf2p8affineinvqb gf2p8affineqb gf2p8mulb"), "MOVDIRI": (7, "ecx", 27, "movdiri"),
    "MOVDIR64B": (7, "ecx", 28, "movdir64b"), "PTWRITE": (0x14, "ebx", 4, "ptwrite"),
    "SVM": (0x80000001, "ecx", 2, "vmrun vmload vmsave vmmcall stgi clgi skinit invlpga"),
    "LZCNT": (0x80000001, "ecx", 5, "lzcnt"), "SSE4A": (0x80000001, "ecx", 6, cx.X86_GRP_SSE4A),
    "3DNow!": (0x80000001, "edx", 31, "femms pavgusb pf2id pf2iw pfacc pfadd pfcmpeq pfcmpge pfcmpgt pfmax pfmin "
                                      "pfmul pfnacc pfpnacc pfrcp pfrcpit1 pfrcpit2 pfrsqit1 pfrsqrt pfsub pfsubr "
                                      "pi2fd pi2fw pmulhrw pswapd"),
    "XOP": (0x80000001, "ecx", 11, cx.X86_GRP_XOP),
    "FMA4": (0x80000001, "ecx", 16, cx.X86_GRP_FMA4), "LWP": (0x80000001, "ecx", 15, "llwpcb lwpins lwpval slwpcb"),
    "TBM": (0x80000001, "ecx", 21, "blcfill blci blcic blcmsk blcs blsfill blsic t1mskc tzmsk"),
}  # fmt: skip


@dataclass
class Instruction:
    """One mnemonic: where it exists, in which forms, and what its forms become."""

    name: str
    group: str = ""
    modes: set[int] = field(default_factory=set)
    forms: dict[str, str] = field(default_factory=dict)  # operands -> LIFTED, UNDEFINED or MISSING
    uops: set[str] = field(default_factory=set)
    groups: set[int] = field(default_factory=set)
    on_host: bool = False

    @property
    def lifted(self) -> list[str]:
        return sorted(form for form, status in self.forms.items() if status == LIFTED)

    @property
    def compiled(self) -> str:
        """Whether regions can hold it: by the rows it is lifted to."""
        cold = [name for name in sorted(self.uops) if TABLE[name].cold]
        return "yes" if not cold else ("interpreter" if len(cold) == len(self.uops) else "partly")


@cache
def survey() -> dict[str, Instruction]:
    """Every instruction that Capstone decodes, by the name its lifter has or would have."""
    found: dict[str, Instruction] = {}
    for mode, flags in MODES.items():
        for encoding in distinct(mode):
            insn = _decoded(encoding.code, mode)
            if insn is None:
                continue
            entry = found.setdefault(insn.name, Instruction(insn.name))
            _add(entry, insn, lift(encoding.code, flags, False, False).uops, mode)
        for encoding in encodings(mode):
            insn = _decoded(encoding.code, mode)
            if insn is not None and insn.name in found:
                found[insn.name].on_host = True
    return dict(sorted(found.items()))


def _decoded(code: bytes, mode: int) -> Insn | None:
    found = next(decoder(mode).disasm(code, 0, 1), None)
    return None if found is None else Insn(found, MODES[mode], False, False)


def _add(entry: Instruction, insn: Insn, uops: Iterable[Any], mode: int) -> None:
    names = [uop.name for uop in uops]
    status = MISSING if "missing" in names else UNDEFINED if "x86_undefined" in names else LIFTED
    kinds = [_operand(operand) for operand in insn.ops]
    # Next to a register that is not of the announced processor, Capstone leaves the size of memory to chance.
    form = ", ".join("m" if kind[0] == "m" and "reg" in kinds else kind for kind in kinds)
    if entry.forms.get(form) != LIFTED:
        entry.forms[form] = status
    entry.groups |= set(insn.cs.groups)
    if status == LIFTED:
        entry.modes.add(mode)
        entry.uops |= set(names)
        entry.group = _group(insn)


def _group(insn: Insn) -> str:
    if insn.name in _SYSTEM or cx.X86_GRP_PRIVILEGE in insn.cs.groups:
        return "system"
    if 0xD8 <= insn.cs.opcode[0] <= 0xDF or insn.name == "wait":
        return "x87"
    return next((name for group, name in _SETS.items() if group in insn.cs.groups), "integer")


def _operand(operand: Any) -> str:
    """Kind and size in bits of an operand."""
    if operand.type == cx.X86_OP_MEM:
        return f"m{8 * operand.size}"
    if operand.type == cx.X86_OP_IMM:
        return "imm"
    reg = operand.reg
    if reg in REGISTERS:
        bits = REGISTERS[reg][1]
        return "xmm" if bits == 128 else f"r{bits}"
    if reg in SEGMENTS:
        return "sreg"
    for kind, first, last in (
        ("cr", cx.X86_REG_CR0, cx.X86_REG_CR15), ("dr", cx.X86_REG_DR0, cx.X86_REG_DR15),
        ("mm", cx.X86_REG_MM0, cx.X86_REG_MM7), ("st", cx.X86_REG_ST0, cx.X86_REG_ST7),
    ):  # fmt: skip
        if first <= reg <= last:
            return kind
    return "reg"


def announced(feature: str) -> bool:
    """Whether CPUID says so."""
    leaf, register, bit, _ = FEATURES[feature]
    return any(entry.leaf == leaf and getattr(entry, register) >> bit & 1 for entry in cpuid.table())


def brings(feature: str) -> list[Instruction]:
    """The decoded instructions that belong to a feature."""
    which = FEATURES[feature][3]
    if isinstance(which, str):
        return [entry for name, entry in survey().items() if name in which.split()]
    return [entry for entry in survey().values() if which in entry.groups]


def absent() -> dict[str, list[str]]:
    """What is #UD, by feature; names without a feature under "no feature"."""
    where: dict[str, list[str]] = {}
    known = {decoder(64).insn_name(number) for number in range(1, cx.X86_INS_ENDING)} - {None}
    lifted = {name for name, entry in survey().items() if entry.lifted}
    aliases = set(LIFTERS) - set(survey())
    for name in sorted(known - lifted - aliases - _PREFIXES):
        where.setdefault(_feature(name), []).append(name)
    return where


def missing() -> list[str]:
    """Forms that CPUID's features promise and the table lacks."""
    return [
        f"{entry.name} {form}".strip()
        for entry in survey().values()
        for form, status in sorted(entry.forms.items())
        if status == MISSING
    ]


def _feature(name: str) -> str:
    for feature, (_, _, _, which) in FEATURES.items():
        if isinstance(which, str) and name in which.split():
            return feature
    entry = survey().get(name, Instruction(name))
    for feature, (_, _, _, which) in FEATURES.items():
        if which in entry.groups:
            return feature
    if name[0] == "v":
        return "AVX to AVX-512, FMA, XOP (VEX, EVEX)"
    return "AVX-512 masks" if name[0] == "k" else "no feature"


def _rows() -> list[str]:
    out = []
    entries = [entry for entry in survey().values() if entry.lifted]
    for group in GROUPS:
        out += [
            "",
            f"## {group}",
            "",
            "| instruction | modes | operands | checked | regions |",
            "|---|---|---|---|---|",
        ]
        for entry in entries:
            if entry.group == group:
                modes = " ".join(str(mode) for mode in sorted(entry.modes))
                forms = "; ".join(form or "-" for form in entry.lifted)
                checked = "host" if entry.on_host else "Unicorn" if group == "system" else "by hand"
                out.append(f"| {entry.name} | {modes} | {forms} | {checked} | {entry.compiled} |")
    return out


def document() -> str:
    """The whole page."""
    entries = [entry for entry in survey().values() if entry.lifted]
    forms = sum(len(entry.lifted) for entry in entries)
    gaps = missing()
    out = [
        "# x86 coverage", "",
        "Generated by `python -m frontends.x86.coverage` from the table of lifters and Capstone's own enumeration.", "",
        f"* {forms} distinct instruction forms (mnemonic, operand kinds) of {len(entries)} mnemonics are in the table",
        f"* {sum(entry.on_host for entry in entries)} mnemonics are compared with the host processor, those of group "
        "system with Unicorn and, where it is no processor, with the manual; the others have tests of their own",
        f"* {len(ROWS)} micro-ops, {sum(row.cold for row in ROWS)} of them only ever interpreted",
        f"* not there, and so stopping the machine with a report, though announced: {', '.join(gaps) or 'nothing'}",
        "",
        "Operands: r, m with their bits, imm, xmm, mm, st, sreg (segment), cr, dr. Modes: default operand size of the",
        "code segment. Checked: `host` by random cases run natively, `Unicorn` by random cases in each mode and at",
        "several privilege levels, `by hand` by written tests. Regions: `yes` compiled by the hot tier, `partly` some",
        "forms or steps, `interpreter` never.", "",
        "## CPUID and the table", "", "| feature | CPUID | announced | its instructions |", "|---|---|---|---|",
    ]  # fmt: skip
    for feature, (leaf, register, bit, _) in FEATURES.items():
        there = sum(bool(entry.lifted) for entry in brings(feature))
        answer = str(there) if announced(feature) else (f"{there} as on older processors" if there else "#UD")
        said = "yes" if announced(feature) else "no"
        out.append(f"| {feature} | {leaf:X}.{register.upper()}.{bit} | {said} | {answer} |")
    out += _rows()
    out += ["", "## Not announced: #UD", ""]
    out += [f"* {feature}: {len(names)} ({_some(names)})" for feature, names in sorted(absent().items())]
    return "\n".join(out) + "\n"


def _some(names: list[str]) -> str:
    return ", ".join(names) if len(names) <= 60 else ", ".join(names[:6]) + ", ..."


if __name__ == "__main__":
    print(document(), end="")
