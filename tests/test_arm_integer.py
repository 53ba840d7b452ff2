"""Every integer row of the ARM table against Unicorn, and what Unicorn does not do by hand."""

from __future__ import annotations

import struct
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arm_cases import cases, forgiven, patterns
from arm_executor import ArmExecutor
from oracle.arm_compare import ArmExecutor as Executor
from oracle.arm_compare import check, replay
from oracle.arm_state import DATA, PLACES, SYS, UNDEF, A, ArmFault, ArmState, F, I, T, default_state
from oracle.arm_unicorn import arm_unicorn

from frontends.arm.patterns import A32, T32

KNOWN = Path(__file__).parent / "oracle" / "arm_cases.txt"


@pytest.fixture(scope="module")
def interpreter() -> ArmExecutor:
    return ArmExecutor()


@pytest.fixture(scope="module")
def compiled() -> ArmExecutor:
    return ArmExecutor("jit")


@pytest.mark.parametrize("isa", [A32, T32])
def test_every_row_in_the_interpreter(interpreter: ArmExecutor, isa: str) -> None:
    select = patterns(isa)
    assert len(select) > 200
    failures = check(interpreter, cases(isa, 1, 8, select), arm_unicorn(), forgiven)
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("isa", [A32, T32])
def test_a_sample_of_rows_compiled(compiled: ArmExecutor, isa: str) -> None:
    select = patterns(isa)[::3]
    failures = check(compiled, cases(isa, 2, 1, select), arm_unicorn(), forgiven, shrink=False)
    assert not failures, "\n".join(failures)


def test_known_cases(interpreter: ArmExecutor) -> None:
    """Instructions that were wrong once, or that no oracle here gets right."""
    failures = replay(interpreter, KNOWN.read_text().splitlines())
    assert not failures, "\n".join(failures)


# -- alignment --------------------------------------------------------------------------------------------------------
def run(executor: Executor, code: str, *, thumb: bool = False, **registers: int) -> tuple[ArmState, ArmFault | None]:
    """One instruction in System mode from the default state with some registers set."""
    state = default_state()
    state.cpsr = SYS | A | I | F | (T if thumb else 0)
    for name, value in registers.items():
        state.set(name, value)
    return executor.run(state, bytes.fromhex(code))


#: Encoding (with R1 as address) and the alignment it needs: always, and while SCTLR.A is set.
ACCESSES = [
    ("00 00 91 e5", "ldr", 1, 4, False), ("00 00 81 e5", "str", 1, 4, True), ("b0 00 d1 e1", "ldrh", 1, 2, False),
    ("b0 00 c1 e1", "strh", 1, 2, True), ("f0 00 d1 e1", "ldrsh", 1, 2, False), ("00 00 d1 e5", "ldrb", 1, 1, False),
    ("02 00 91 e7", "ldr by register", 1, 4, False), ("d0 20 c1 e1", "ldrd", 4, 4, False),
    ("f0 20 c1 e1", "strd", 4, 4, True), ("1c 00 91 e8", "ldm", 4, 4, False), ("1c 00 81 e8", "stm", 4, 4, True),
    ("9f 0f 91 e1", "ldrex", 4, 4, False), ("9f 0f f1 e1", "ldrexh", 2, 2, False),
    ("9f 2f b1 e1", "ldrexd", 8, 8, False),
    ("92 0f 81 e1", "strex", 4, 4, True), ("92 0f a1 e1", "strexd", 8, 8, True),
]  # fmt: skip


@pytest.mark.parametrize("access", ACCESSES, ids=lambda a: a[1])
def test_alignment(interpreter: ArmExecutor, access: tuple[str, str, int, int, bool]) -> None:
    """Lists, pairs, and exclusives always; everything while SCTLR.A is set (DDI 0406C, A3.2.1)."""
    code, _, always, strict, write = access
    for offset in range(9):
        address = PLACES.data[0] + 0x40 + offset
        for a, need in ((0, always), (1, strict)):
            before = default_state()
            before.r[1], before.sctlr_a = address, a
            out, fault = interpreter.run(before, bytes.fromhex(code))
            if address % need:
                assert fault == ArmFault(DATA, address, write), (offset, a)
                assert out.r == before.r and out.memory == before.memory
            else:
                assert fault is None, (offset, a)


# -- exclusives -------------------------------------------------------------------------------------------------------
def exclusive(executor: ArmExecutor, *words: int) -> ArmState:
    """Instructions one after the other, R1 pointing to data, R2 = 5."""
    state = default_state()
    state.r[1], state.r[2] = PLACES.data[0], 5
    out, fault = executor.run(state, struct.pack(f"<{len(words)}I", *words), len(words))
    assert fault is None
    return out


LDREX, STREX, CLREX = 0xE1910F9F, 0xE1813F92, 0xF57FF01F  # r0, [r1]; r3, r2, [r1]


def test_a_store_exclusive_needs_the_monitor(interpreter: ArmExecutor) -> None:
    assert exclusive(interpreter, STREX).r[3] == 1
    good = exclusive(interpreter, LDREX, STREX)
    assert good.r[3] == 0 and good.read(PLACES.data[0], 4) == b"\5\0\0\0"
    assert exclusive(interpreter, LDREX, CLREX, STREX).r[3] == 1
    assert exclusive(interpreter, LDREX, STREX, STREX).r[3] == 1
    # The same processor's plain store leaves it armed; another address or size does not fit.
    assert exclusive(interpreter, LDREX, 0xE5812000, STREX).r[3] == 0
    assert exclusive(interpreter, 0xE1D10F9F, STREX).r[3] == 1  # ldrexb
    assert exclusive(interpreter, LDREX, 0xE2811004, STREX).r[3] == 1  # add r1, #4
    assert exclusive(interpreter, 0xE1B14F9F, 0xE1A13F94).r[3] == 0  # ldrexd, strexd


# -- what is Undefined on purpose -------------------------------------------------------------------------------------
#: UNPREDICTABLE or not there: A32 words, T32 halfwords.
UNDEFINED_A32 = {
    "udf": 0xE7F000F0, "unconditional space": 0xF7F00000, "register shifted by the PC": 0xE0800F11,
    "ldm from the PC": 0xE89F001E, "ldm with a base that it loads": 0xE8B1000E, "an odd pair": 0xE1C110D0,
    "should-be-zero bits": 0xE3511001, "swp": 0xE1012093, "mul with the PC": 0xE00F0291,
}  # fmt: skip
UNDEFINED_T32 = {
    "udf": (0xDE00,), "ldrd of one register": (0xE9D1, 0x2200), "ldm of one register": (0xE891, 0x0002),
    "IT of nothing": (0xBF18, 0xBF18), "a branch in the middle of an IT block": (0xBF1C, 0xE7FE),
    "add to the PC, 32 bits": (0xEB01, 0x0F02),
}  # fmt: skip


@pytest.mark.parametrize("word", UNDEFINED_A32.values(), ids=UNDEFINED_A32)
def test_undefined_in_a32(interpreter: ArmExecutor, word: int) -> None:
    _, fault = run(interpreter, struct.pack("<I", word).hex())
    assert fault == ArmFault(UNDEF)
    if word >> 28 != 15:
        _, fault = run(interpreter, struct.pack("<I", word & 0x0FFFFFFF).hex())  # EQ, which does not hold
        assert fault is None


@pytest.mark.parametrize("halves", UNDEFINED_T32.values(), ids=UNDEFINED_T32)
def test_undefined_in_t32(interpreter: ArmExecutor, halves: tuple[int, ...]) -> None:
    before = default_state()
    before.cpsr |= T
    in_block = halves[0] >> 8 == 0xBF
    out, fault = interpreter.run(before, struct.pack(f"<{len(halves)}H", *halves), 1 + in_block)
    assert fault == ArmFault(UNDEF)
    assert out.r[15] == before.r[15] + 2 * in_block


# -- without privilege ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(("code", "write"), [("0000b1e4", False), ("0000a1e4", True), ("d000f1e0", False)])
def test_unprivileged_accesses(interpreter: ArmExecutor, code: str, write: bool) -> None:
    """LDRT, STRT, LDRSBT of a page that only a privileged mode may access."""
    interpreter.protect(PLACES.data[0], user=False)
    try:
        _, plain = run(interpreter, "000091e5", r1=PLACES.data[0])
        _, fault = run(interpreter, code, r1=PLACES.data[0])
    finally:
        interpreter.protect(PLACES.data[0], user=True)
    assert plain is None and fault == ArmFault(DATA, PLACES.data[0], write)
    assert run(interpreter, code, r1=PLACES.data[0])[1] is None
