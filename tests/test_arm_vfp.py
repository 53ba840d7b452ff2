"""VFPv4: every row against Unicorn, arithmetic against exact fractions, and what Unicorn does not do by hand."""

from __future__ import annotations

import ctypes
import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arm_executor import ArmExecutor
from arm_simd_cases import AHP, DN, FPSCR_BITS, FZ, IXC, forgiven, simd_cases, simd_patterns, simd_word, system_state
from oracle import arm_float as ref
from oracle import values
from oracle.arm_compare import check
from oracle.arm_state import DATA, PLACES, UNDEF, ArmFault, ArmState, default_state
from oracle.arm_unicorn import arm_unicorn

from frontends.arm.patterns import A32, T32
from jitrr.microops.table import TABLE


@pytest.fixture(scope="module")
def interpreter() -> ArmExecutor:
    return ArmExecutor()


@pytest.fixture(scope="module")
def compiled() -> ArmExecutor:
    return ArmExecutor("jit")


@pytest.mark.parametrize("isa", [A32, T32])
def test_every_row_in_the_interpreter(interpreter: ArmExecutor, isa: str) -> None:
    select = simd_patterns(isa, vfp=True)
    assert len(select) >= 38
    failures = check(interpreter, simd_cases(f"vfp{isa}", 40, select), arm_unicorn(), forgiven)
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("isa", [A32, T32])
def test_every_row_compiled(compiled: ArmExecutor, isa: str) -> None:
    select = simd_patterns(isa, vfp=True)
    failures = check(compiled, simd_cases(f"compiled{isa}", 3, select), arm_unicorn(), forgiven, shrink=False)
    assert not failures, "\n".join(failures)


def test_frequent_rows_can_be_compiled() -> None:
    for name in ("add", "sub", "mul", "div", "sqrt", "cmp", "cmpe", "neg", "abs"):
        assert not TABLE[f"arm_f{name}32"].cold and not TABLE[f"arm_f{name}64"].cold
    for name in ("fma32", "fwiden", "fnarrow", "fs32_64", "f64_s32", "vld32", "ld64", "vmrs_flags"):
        assert not TABLE[f"arm_{name}"].cold


# -- arithmetic against the pseudocode -------------------------------------------------------------------------------

#: Name -> function of (control, format, d, n, m).
Function = Callable[[ref.Control, int, int, int, int], int]


def negate(n: int, x: int) -> int:
    return x ^ 1 << n - 1


ARITHMETIC: dict[str, Function] = {
    "vadd": lambda c, n, d, x, y: ref.add(c, n, x, y),
    "vsub": lambda c, n, d, x, y: ref.sub(c, n, x, y),
    "vmul": lambda c, n, d, x, y: ref.mul(c, n, x, y),
    "vnmul": lambda c, n, d, x, y: negate(n, ref.mul(c, n, x, y)),
    "vdiv": lambda c, n, d, x, y: ref.div(c, n, x, y),
    "vmla": lambda c, n, d, x, y: ref.add(c, n, d, ref.mul(c, n, x, y)),
    "vmls": lambda c, n, d, x, y: ref.add(c, n, d, negate(n, ref.mul(c, n, x, y))),
    "vnmls": lambda c, n, d, x, y: ref.add(c, n, negate(n, d), ref.mul(c, n, x, y)),
    "vnmla": lambda c, n, d, x, y: ref.add(c, n, negate(n, d), negate(n, ref.mul(c, n, x, y))),
    "vfma": lambda c, n, d, x, y: ref.muladd(c, n, d, x, y),
    "vfms": lambda c, n, d, x, y: ref.muladd(c, n, d, negate(n, x), y),
    "vfnms": lambda c, n, d, x, y: ref.muladd(c, n, negate(n, d), x, y),
    "vfnma": lambda c, n, d, x, y: ref.muladd(c, n, negate(n, d), negate(n, x), y),
    "vsqrt": lambda c, n, d, x, y: ref.sqrt(c, n, y),
}
Conversion = Callable[[ref.Control, int], int]


def to_format(n: int, to: int) -> Conversion:
    return lambda c, x: ref.convert(c, n, to, x)


def from_word(n: int, unsigned: bool) -> Conversion:
    return lambda c, x: ref.from_fixed(c, n, x & 0xFFFFFFFF, 0, unsigned, 32, False)


def to_word(n: int, unsigned: bool, to_zero: bool) -> Conversion:
    return lambda c, x: ref.to_fixed(c, n, x, 0, unsigned, 32, to_zero)


#: Name -> row, fields, formats from and to, meaning.
CONVERSIONS: dict[str, tuple[str, dict[str, int], int, int, Conversion]] = {
    "f64.f32": ("vcvt_precision", {"z": 0}, 32, 64, to_format(32, 64)),
    "f32.f64": ("vcvt_precision", {"z": 1}, 64, 32, to_format(64, 32)),
}
for _n in (32, 64):
    for _s in (0, 1):
        _fields = {"z": int(_n == 64), "s": _s}
        CONVERSIONS[f"f{_n}.{'us'[_s]}32"] = "vcvt_from_integer", _fields, 32, _n, from_word(_n, not _s)
        for _t in (0, 1):
            CONVERSIONS[f"{'us'[_s]}32.f{_n}{'' if _t else 'r'}"] = (
                "vcvt_to_integer", {**_fields, "t": _t}, _n, 32, to_word(_n, not _s, bool(_t)))  # fmt: skip

CONTROLS = [0, IXC, 0, IXC, DN, FZ, FZ | DN | IXC, 1 << 22, 2 << 22 | IXC, 3 << 22, 2 << 22 | FZ]


def word(name: str, **fields: int) -> bytes:
    """An A32 instruction that is always executed."""
    return simd_word(name, vfp=True, c=14, **fields)


def operands(rng: random.Random, n: int) -> list[int]:
    """Three numbers, at times as near as the same one with another sign."""
    draw = values.float64 if n == 64 else values.float32
    x = draw(rng)
    return [rng.choice((draw(rng), x, x ^ 1 << n - 1, x ^ 1)), x, rng.choice((draw(rng), draw(rng), x ^ 1 << n - 1))]


def run_number(
    executor: ArmExecutor, code: bytes, fpscr: int, to: int, numbers: list[int], each: bool
) -> tuple[int, int]:
    """An instruction on D2 or S4 (q1), D0 or S0 (q0), D4 or S8 (q2): (result in the first, FPSCR). ``each``: compile a
    new region."""
    state = default_state()
    state.q[1], state.q[0], state.q[2] = numbers
    state.fpscr = fpscr
    executor.compile_all = each
    out, fault = executor.run(state, code)
    assert fault is None
    mask = (1 << to) - 1
    assert out.q[1] & ~mask == state.q[1] & ~mask and out.q[0] == state.q[0]
    return out.q[1] & mask, out.fpscr


def compare(executor: ArmExecutor, code: bytes, n: int, to: int, function: Function, seed: str, count: int) -> None:
    rng = random.Random(seed)
    first = executor.tier is not None
    for i in range(count):
        # A region holds for the FPSCR that it was compiled for, so that it is run with that one only.
        fpscr = rng.choice((0, IXC)) if executor.tier is not None else rng.choice(CONTROLS)
        numbers = operands(rng, n)
        control = ref.from_fpscr(fpscr)
        expected = function(control, n, *numbers), fpscr | control.flags
        found = run_number(executor, code, fpscr, to, numbers, first and i == 0)
        text = " ".join(f"{x:x}" for x in (*numbers, fpscr))
        assert found == expected, f"{text}: {found[0]:x} {found[1]:x}, should be {expected[0]:x} {expected[1]:x}"


@pytest.mark.parametrize("tier", ["interp", "jit"])
@pytest.mark.parametrize("n", [32, 64])
@pytest.mark.parametrize("name", ARITHMETIC)
def test_arithmetic(request: pytest.FixtureRequest, name: str, n: int, tier: str) -> None:
    executor = request.getfixturevalue("interpreter" if tier == "interp" else "compiled")
    code = word(name, z=int(n == 64), d=2, m=4)  # and number 0 as Vn
    compare(executor, code, n, n, ARITHMETIC[name], f"{name}{n}{tier}", 250)


@pytest.mark.parametrize("tier", ["interp", "jit"])
@pytest.mark.parametrize("name", CONVERSIONS)
def test_conversions(request: pytest.FixtureRequest, name: str, tier: str) -> None:
    executor = request.getfixturevalue("interpreter" if tier == "interp" else "compiled")
    row, fields, n, to, function = CONVERSIONS[name]
    compare(executor, word(row, d=2, m=4, **fields), n, to, lambda c, _, d, x, y: function(c, y), name + tier, 250)


@pytest.mark.parametrize("tier", ["interp", "jit"])
@pytest.mark.parametrize("n", [32, 64])
def test_comparisons(request: pytest.FixtureRequest, n: int, tier: str) -> None:
    executor = request.getfixturevalue("interpreter" if tier == "interp" else "compiled")
    for signal in (0, 1):
        rng, code = random.Random(n + signal), word("vcmp", z=int(n == 64), e=signal, d=2, m=4)
        for i in range(200):
            fpscr = rng.choice((0, IXC)) if tier == "jit" else rng.choice(CONTROLS)
            numbers = operands(rng, n)
            control = ref.from_fpscr(fpscr)
            flags = ref.compare(control, n, numbers[0], numbers[2], bool(signal))
            expected = numbers[0], fpscr | control.flags | flags << 28
            assert run_number(executor, code, fpscr, n, numbers, tier == "jit" and i == 0) == expected, numbers


def test_whatever_the_host_program_has_set_up(interpreter: ArmExecutor) -> None:
    """A host library may have switched to flushing denormals or another rounding mode."""
    import llvmlite.binding as llvm

    from jitrr.engine.codegen import compile_ir
    from jitrr.engine.memory import CodeArena
    from jitrr.engine.object_file import link

    llvm.initialize_native_target()
    text = (
        "declare void @llvm.x86.sse.ldmxcsr(ptr)\n"
        "define void @set_mxcsr(ptr %p) nounwind { call void @llvm.x86.sse.ldmxcsr(ptr %p)\n ret void }"
    )
    code, _ = link(compile_ir(text))
    arena = CodeArena(len(code))
    address = arena.add(code) or 0
    set_mxcsr = ctypes.CFUNCTYPE(None, ctypes.POINTER(ctypes.c_uint32))(address)
    one, third = 0x3F800000, 0x40400000
    denormal = 0x00400000
    try:
        for mxcsr in (0x1F80, 0x1F80 | 0xE040):
            set_mxcsr(ctypes.c_uint32(mxcsr))
            divided = run_number(interpreter, word("vdiv", z=0, d=2, m=4), IXC, 32, [0, one, third], False)
            added = run_number(interpreter, word("vadd", z=0, d=2, m=4), 0, 32, [0, denormal, 1], False)
            assert divided == (0x3EAAAAAB, IXC) and added == (denormal + 1, 0)
    finally:
        set_mxcsr(ctypes.c_uint32(0x1F80))


def test_fixed_point_rounds_to_nearest(interpreter: ArmExecutor) -> None:
    """From fixed point to nearest and to it towards zero, whatever FPSCR says (A8.8.309)."""
    rng = random.Random(1)
    for _ in range(300):
        n, size, unsigned, to = rng.choice((32, 64)), rng.choice((16, 32)), rng.getrandbits(1), rng.getrandbits(1)
        fraction, fpscr = rng.randint(int(size == 32), size), rng.choice(CONTROLS)
        left = size - fraction
        code = word("vcvt_fixed", o=to, u=unsigned, z=int(n == 64), x=int(size == 32), i=left >> 1, j=left & 1, d=2)
        numbers = operands(rng, n) if to else [values.integer(rng) & (1 << n) - 1, 0, 0]
        control = ref.from_fpscr(fpscr)
        if to:
            result = ref.to_fixed(control, n, numbers[0], fraction, bool(unsigned), size, True)
            if not unsigned and result >> size - 1:
                result |= (1 << n) - (1 << size)
        else:
            result = ref.from_fixed(control, n, numbers[0], fraction, bool(unsigned), size, True)
        assert run_number(interpreter, code, fpscr, n, numbers, False) == (result, fpscr | control.flags), code.hex()


# -- alignment, system registers, access -----------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "fields", "write"), [
    ("vldr", {"z": 0, "U": 1}, False), ("vldr", {"z": 1, "U": 1}, False), ("vstr", {"z": 0, "U": 1}, True),
    ("vstr", {"z": 1, "U": 1}, True), ("vldm", {"z": 1, "i": 4}, False), ("vstm", {"z": 0, "i": 3}, True),
])  # fmt: skip
def test_words_must_be_aligned(interpreter: ArmExecutor, name: str, fields: dict[str, int], write: bool) -> None:
    code = word(name, n=1, **fields)
    for offset in range(8):
        at = PLACES.data[0] + 0x40 + offset
        before = system_state(r1=at)
        out, fault = interpreter.run(before, code)
        assert fault == (ArmFault(DATA, at, write) if offset & 3 else None)
        assert offset & 3 == 0 or out.q == before.q


def test_fpscr(interpreter: ArmExecutor) -> None:
    """What is written can be read: not the bits for traps and short vectors (A2.5.3 of the A15's manual)."""
    write, read = word("vmsr", r=1, t=2), word("vmrs", r=1, t=3)
    for value in (0xFFFFFFFF, 0, AHP | 0x1234, 1 << 27, 0x9F):
        out, fault = interpreter.run(system_state(r2=value), write + read, 2)
        assert fault is None and out.r[3] == value & FPSCR_BITS
    out, _ = interpreter.run(system_state(fpscr=0xA0000000), word("vmrs", r=1, t=15))
    assert out.cpsr >> 28 == 0xA


def test_identity(interpreter: ArmExecutor) -> None:
    """FPSID, MVFR1 and MVFR0 of a Cortex-A15; only for privileged modes."""
    for number, value in ((0, 0x410430F0), (6, 0x11111111), (7, 0x10110222), (8, 1 << 30)):
        out, fault = interpreter.run(system_state(), word("vmrs", r=number, t=3))
        assert fault is None and out.r[3] == value
        assert interpreter.run(default_state(), word("vmrs", r=number, t=3))[1] == ArmFault(UNDEF)


NEON_ADD = struct.pack("<I", 0xF2020844)


def disabled(
    executor: ArmExecutor, code: bytes, steps: int, state: ArmState, cpacr: int, fpexc: int
) -> ArmFault | None:
    """What happens with other access rights."""
    engine = executor.engine
    before, old = executor.fpexc, int(engine.state["cpacr"])
    try:
        executor.fpexc, engine.state["cpacr"] = fpexc, cpacr
        return executor.run(state, code, steps)[1]
    finally:
        executor.fpexc, engine.state["cpacr"] = before, old


def test_access(interpreter: ArmExecutor) -> None:
    """CPACR and FPEXC.EN (B1.11.3): none, privileged only, both."""
    add, read, enable = word("vadd", z=1), word("vmrs", r=8, t=3), word("vmsr", r=8, t=2)
    user, system, full, privileged = default_state(), system_state(r2=1 << 30), 0xF << 20, 5 << 20
    for code in (add, NEON_ADD, word("vmrs", r=1, t=3), word("vldr", z=1, n=13)):
        assert disabled(interpreter, code, 1, user, full, 1 << 30) is None
        assert disabled(interpreter, code, 1, user, full, 0) == ArmFault(UNDEF)
        assert disabled(interpreter, code, 1, user, privileged, 1 << 30) == ArmFault(UNDEF)
        assert disabled(interpreter, code, 1, system, privileged, 1 << 30) is None
        assert disabled(interpreter, code, 1, system, 0, 1 << 30) == ArmFault(UNDEF)
    assert disabled(interpreter, read, 1, system, full, 0) is None
    assert disabled(interpreter, read, 1, system, 0, 0) == ArmFault(UNDEF)
    assert disabled(interpreter, enable + add, 2, system, full, 0) is None
    never = bytes([*add[:3], add[3] & 0x0F])  # EQ, which does not hold
    assert disabled(interpreter, never, 1, user, full, 0) is None
