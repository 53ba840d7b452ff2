"""What the ARM table holds: ``python -m frontends.arm.coverage > docs/coverage-arm.md``.

Every pattern is lifted once, in System mode with floating point allowed; nothing here is written down by hand but which
instructions a field of the ID registers is about, and which test checks a group.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from random import Random

from frontends.arm import cpuid
from frontends.arm import state as st
from frontends.arm.decode import code_of, lift
from frontends.arm.lift_vfp import IDENTITY, MVFR0, MVFR1
from frontends.arm.patterns import A32, PATTERNS, T32, Pattern
from frontends.arm.table import ROWS
from jitrr.microops.table import TABLE

_ID: dict[str, int] = {f"ID_ISAR{n}": value for n, value in enumerate(cpuid.ID_ISAR)}
_ID |= {"ID_PFR0": cpuid.ID_PFR0, "ID_PFR1": cpuid.ID_PFR1, "MVFR0": IDENTITY[MVFR0], "MVFR1": IDENTITY[MVFR1]}
#: Field: register, lowest bit, and by value the instructions that it adds to those of the values below.
FEATURES: dict[str, tuple[str, int, dict[int, str]]] = {
    "Swap_instrs": ("ID_ISAR0", 0, {1: "swp"}), "BitCount_instrs": ("ID_ISAR0", 4, {1: "clz"}),
    "Bitfield_instrs": ("ID_ISAR0", 8, {1: "bfc bfi sbfx ubfx"}), "CmpBranch_instrs": ("ID_ISAR0", 12, {1: "cbz"}),
    "Debug_instrs": ("ID_ISAR0", 20, {1: "bkpt"}), "Divide_instrs": ("ID_ISAR0", 24, {2: "sdiv udiv"}),
    "Endian_instrs": ("ID_ISAR1", 0, {1: "setend"}), "Except_instrs": ("ID_ISAR1", 4, {1: "ldm stm"}),
    "Except_AR_instrs": ("ID_ISAR1", 8, {1: "srs rfe cps"}),
    "Extend_instrs": ("ID_ISAR1", 12, {
        1: "sxtb sxth uxtb uxth", 2: "sxtb16 sxtab sxtab16 sxtah uxtb16 uxtab uxtab16 uxtah"}),
    "IfThen_instrs": ("ID_ISAR1", 16, {1: "it"}), "Immediate_instrs": ("ID_ISAR1", 20, {1: "movt movw addw subw"}),
    "Interwork_instrs": ("ID_ISAR1", 24, {1: "bx", 2: "blx"}), "Jazelle_instrs": ("ID_ISAR1", 28, {1: "bxj"}),
    "LoadStore_instrs": ("ID_ISAR2", 0, {1: "ldrd strd"}),
    "MemHint_instrs": ("ID_ISAR2", 4, {1: "pld", 3: "pli", 4: "pldw"}),
    "Mult_instrs": ("ID_ISAR2", 12, {1: "mla", 2: "mls"}),
    "MultS_instrs": ("ID_ISAR2", 16, {
        1: "smull smlal", 2: "smlabb smlaltt smlawb smulbt smulwt",
        3: "smmla smmls smmul smlad smlsd smlald smlsld smuad smusd"}),
    "MultU_instrs": ("ID_ISAR2", 20, {1: "umull umlal", 2: "umaal"}),
    "PSR_AR_instrs": ("ID_ISAR2", 24, {1: "mrs msr"}),
    "Reversal_instrs": ("ID_ISAR2", 28, {1: "rev rev16 revsh", 2: "rbit"}),
    "Saturate_instrs": ("ID_ISAR3", 0, {1: "qadd qdadd qdsub qsub"}),
    "SIMD_instrs": ("ID_ISAR3", 4, {
        1: "ssat usat", 3: "pkh qadd8 qasx sadd16 sel shsub8 ssat16 uhadd8 uqsax usad8 usada8 usat16 usub16"}),
    "SVC_instrs": ("ID_ISAR3", 8, {1: "svc"}),
    "SynchPrim_instrs": ("ID_ISAR3", 12, {
        1: "ldrex strex", 2: "clrex ldrexb ldrexh ldrexd strexb strexh strexd"}),
    "TabBranch_instrs": ("ID_ISAR3", 16, {1: "tbb"}), "TrueNOP_instrs": ("ID_ISAR3", 24, {1: "nop"}),
    "ThumbEE_extn_instrs": ("ID_ISAR3", 28, {1: "enterx leavex"}),
    "Unpriv_instrs": ("ID_ISAR4", 0, {1: "ldrbt ldrt strbt strt", 2: "ldrht ldrsbt ldrsht strht"}),
    "SMC_instrs": ("ID_ISAR4", 12, {1: "smc"}), "Barrier_instrs": ("ID_ISAR4", 16, {1: "dmb dsb isb"}),
    "SWP_frac": ("ID_ISAR4", 28, {1: "swp"}), "Virtualization": ("ID_PFR1", 12, {1: "eret"}),
}  # fmt: skip
#: Module of the lifters: heading, and what checks them.
GROUPS = {
    "data": ("Data processing", "Unicorn"), "media": ("Multiplies, saturation, parts of registers", "Unicorn"),
    "load": ("Loads and stores", "Unicorn"), "block": ("Several registers, exclusives", "Unicorn"),
    "flow": ("Branches, hints, barriers", "Unicorn"),
    "system": ("Program status, exceptions", "QEMU"), "return": ("Exception returns", "QEMU"),
    "cp15": ("Coprocessors 14 and 15", "QEMU"),
    "simd": ("VFP and Advanced SIMD", "Unicorn and an exact reference"),
}  # fmt: skip


@dataclass
class Instruction:
    """One instruction of a group: its encodings by instruction set, and the rows it becomes."""

    name: str
    encodings: dict[str, int] = field(default_factory=lambda: {A32: 0, T32: 0})
    rows: set[str] = field(default_factory=set)

    @property
    def compiled(self) -> str:
        """Whether regions can hold it."""
        rows = [TABLE[name] for name in sorted(self.rows) if TABLE[name].kind != "exit"]
        cold = sum(row.cold for row in rows)
        return "yes" if not cold else ("interpreter" if cold == len(rows) else "partly")


def mnemonic(pattern: Pattern) -> str:
    """The instruction that a pattern is a form of."""
    return pattern.name.partition("_")[0]


@cache
def survey() -> dict[str, dict[str, Instruction]]:
    """Instructions by group and name."""
    groups: dict[str, dict[str, Instruction]] = {group: {} for group in GROUPS}
    for pattern in PATTERNS:
        entry = groups[pattern.group].setdefault(mnemonic(pattern), Instruction(mnemonic(pattern)))
        entry.encodings[pattern.isa] += 1
        entry.rows |= {uop.name for uop in lifted(pattern)}
    return groups


def lifted(pattern: Pattern) -> list:
    """The micro-ops of an example of a pattern, always executed."""
    thumb = pattern.isa == T32
    word = pattern.random(Random(pattern.text))
    if pattern.conditional:
        word |= 0xE0000000
        word &= 0xEFFFFFFF
    mode = st.MODE_FP | st.MODE_DEFAULT_FP | (st.MODE_THUMB if thumb else 0)
    return lift(code_of(word, pattern.bits, thumb), mode).uops


def announced(feature: str) -> tuple[str, str]:
    """The instructions that an ID register's field says are there, and those that it says are not."""
    register, low, values = FEATURES[feature]
    have = _ID[register] >> low & 15
    there = " ".join(names for value, names in values.items() if value <= have)
    return there, " ".join(names for value, names in values.items() if value > have)


def names() -> set[str]:
    """Every instruction of the table."""
    return {mnemonic(pattern) for pattern in PATTERNS} | {pattern.name for pattern in PATTERNS}


def document() -> str:
    """The whole page."""
    count = {isa: sum(p.isa == isa for p in PATTERNS) for isa in (A32, T32)}
    instructions = {mnemonic(pattern) for pattern in PATTERNS}
    out = [
        "# ARM coverage", "",
        "Generated by `python -m frontends.arm.coverage` from the table of bit patterns.", "",
        f"* {count[A32]} encodings of A32 and {count[T32]} of T32, of {len(instructions)} instructions",
        f"* {len(ROWS)} micro-ops, {sum(row.cold for row in ROWS)} of them only ever interpreted",
        "* what the manual calls UNPREDICTABLE is Undefined here, should-be bits that are not as they should be",
        "  included; so is everything that the ID registers do not announce. Nothing announced is missing",
        "* an Undefined instruction whose condition does not hold does nothing", "",
        "Regions: `yes` compiled by the hot tier, `partly` some forms or steps, `interpreter` never. Checked: against "
        "what,",
        "by random cases of every row.", "",
        "## ID registers and the table", "",
        "| field | register | value | there | not there |", "|---|---|---|---|---|",
    ]  # fmt: skip
    for feature, (register, low, _) in FEATURES.items():
        there, absent = announced(feature)
        out.append(f"| {feature} | {register}[{low + 3}:{low}] | {_ID[register] >> low & 15} | {there} | {absent} |")
    for group, (heading, checked) in GROUPS.items():
        out += [
            "",
            f"## {heading}",
            "",
            f"Checked: {checked}.",
            "",
            "| instruction | A32 | T32 | regions |",
            "|---|---|---|---|",
        ]
        for name, entry in sorted(survey()[group].items()):
            numbers = " | ".join(str(entry.encodings[isa] or "") for isa in (A32, T32))
            out.append(f"| {name} | {numbers} | {entry.compiled} |")
    return "\n".join(out) + "\n"


if __name__ == "__main__":
    print(document(), end="")
