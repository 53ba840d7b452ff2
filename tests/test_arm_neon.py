"""Advanced SIMD: every row against Unicorn, single precision against exact fractions, alignment, programs in loops."""

from __future__ import annotations

import random
import struct
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arm_executor import ArmExecutor
from arm_simd_cases import AHP, DN, FZ, IXC, forgiven, registers, simd_cases, simd_patterns, simd_word, system_state
from oracle import arm_float as ref
from oracle import values
from oracle.arm_compare import check
from oracle.arm_state import DATA, PLACES, ArmFault, default_state
from oracle.arm_unicorn import arm_unicorn

from frontends.arm.patterns import A32, T32, find
from jitrr.microops.table import TABLE


@pytest.fixture(scope="module")
def interpreter() -> ArmExecutor:
    return ArmExecutor()


@pytest.fixture(scope="module")
def compiled() -> ArmExecutor:
    return ArmExecutor("jit")


@pytest.mark.parametrize("isa", [A32, T32])
def test_every_row_in_the_interpreter(interpreter: ArmExecutor, isa: str) -> None:
    select = simd_patterns(isa, vfp=False)
    assert len(select) >= 160
    failures = check(interpreter, simd_cases(f"neon{isa}", 12, select), arm_unicorn(), forgiven)
    assert not failures, "\n".join(failures)


@pytest.mark.parametrize("isa", [A32, T32])
def test_every_row_compiled(compiled: ArmExecutor, isa: str) -> None:
    """Half of them in either instruction set."""
    select = simd_patterns(isa, vfp=False)[int(isa == T32) :: 2]
    failures = check(compiled, simd_cases(f"compiled{isa}", 2, select), arm_unicorn(), forgiven, shrink=False)
    assert not failures, "\n".join(failures)


def test_frequent_rows_can_be_compiled() -> None:
    """Only conversions to and from halves and fixed point, estimates and table lookup cannot."""
    cold = {"arm_vfwiden", "arm_vfnarrow", "arm_vestimate", "arm_vtbl", "arm_vf1_64_any", "arm_vf1_128_any"}
    system = {"arm_vmsr", "arm_vmsr_fpexc", "arm_vfp_access"}
    assert {name for name, row in TABLE.items() if row.cold and name.startswith("arm_v")} == cold | system


# -- single precision against the pseudocode -------------------------------------------------------------------------

Function = Callable[[ref.Control, int, int, int], int]


def comparison(relations: tuple[int, ...], signal: bool, absolute: bool) -> Function:
    keep = 0x7FFFFFFF if absolute else 0xFFFFFFFF

    def function(c: ref.Control, d: int, x: int, y: int) -> int:
        return 0xFFFFFFFF if ref.compare(c, 32, x & keep, y & keep, signal) in relations else 0

    return function


#: Name of the row -> function of (control, d, n, m) on words.
NUMBERS: dict[str, Function] = {
    "vadd_f32": lambda c, d, x, y: ref.add(c, 32, x, y),
    "vsub_f32": lambda c, d, x, y: ref.sub(c, 32, x, y),
    "vmul_f32": lambda c, d, x, y: ref.mul(c, 32, x, y),
    "vabd_f32": lambda c, d, x, y: ref.sub(c, 32, x, y) & 0x7FFFFFFF,
    "vmla_f32": lambda c, d, x, y: ref.add(c, 32, d, ref.mul(c, 32, x, y)),
    "vmls_f32": lambda c, d, x, y: ref.add(c, 32, d, ref.mul(c, 32, x, y) ^ 1 << 31),
    "vfma_f32": lambda c, d, x, y: ref.muladd(c, 32, d, x, y),
    "vfms_f32": lambda c, d, x, y: ref.muladd(c, 32, d, x ^ 1 << 31, y),
    "vmax_f32": lambda c, d, x, y: ref.maximum(c, 32, x, y),
    "vmin_f32": lambda c, d, x, y: ref.minimum(c, 32, x, y),
    "vrecps_f32": lambda c, d, x, y: ref.recip_step(c, x, y),
    "vrsqrts_f32": lambda c, d, x, y: ref.rsqrt_step(c, x, y),
    "vceq_f32": comparison((6,), False, False),
    "vcge_f32": comparison((2, 6), True, False),
    "vcgt_f32": comparison((2,), True, False),
    "vacge_f32": comparison((2, 6), True, True),
    "vacgt_f32": comparison((2,), True, True),
}
ONE: dict[str, Function] = {
    "vrecpe_f32": lambda c, d, x, y: ref.recip_estimate(c, y),
    "vrsqrte_f32": lambda c, d, x, y: ref.rsqrt_estimate(c, y),
    "vrecpe": lambda c, d, x, y: ref.unsigned_recip_estimate(y),
    "vrsqrte": lambda c, d, x, y: ref.unsigned_rsqrt_estimate(y),
    "vcvt_0": lambda c, d, x, y: ref.from_fixed(c, 32, y, 0, False, 32, True),
    "vcvt_1": lambda c, d, x, y: ref.from_fixed(c, 32, y, 0, True, 32, True),
    "vcvt_2": lambda c, d, x, y: ref.to_fixed(c, 32, y, 0, False, 32, True),
    "vcvt_3": lambda c, d, x, y: ref.to_fixed(c, 32, y, 0, True, 32, True),
}


def word(name: str, **fields: int) -> bytes:
    """An A32 instruction."""
    return simd_word(name, vfp=False, **fields)


def words(x: int) -> list[int]:
    return [x >> at & 0xFFFFFFFF for at in range(0, 128, 32)]


def operands(rng: random.Random) -> list[int]:
    """Three vectors: of edges, or of ordinary numbers, so that both ways of computing are seen."""
    plain = rng.random() < 0.6

    def number() -> int:
        if plain:
            return (
                rng.getrandbits(1) << 31
                | rng.randint(0x7B, 0x83) << 23
                | rng.getrandbits(23) & -(1 << rng.choice((0, 15)))
            )
        return values.float32(rng)

    return [sum(number() << at for at in range(0, 128, 32)) for _ in range(3)]


@pytest.mark.parametrize("tier", ["interp", "jit"])
@pytest.mark.parametrize("name", [*NUMBERS, *ONE])
def test_numbers(request: pytest.FixtureRequest, name: str, tier: str) -> None:
    """q1 of q0 and q2; FPSCR's modes do not count."""
    executor: ArmExecutor = request.getfixturevalue("interpreter" if tier == "interp" else "compiled")
    rng, function = random.Random(name + tier), NUMBERS.get(name) or ONE[name]
    code = word(name, d=2, m=4, Q=1, **({"z": 2} if name in ONE else {}))
    for i in range(200):
        state = default_state()
        state.q[1], state.q[0], state.q[2] = operands(rng)
        state.fpscr = rng.choice((0, IXC)) if tier == "jit" else rng.choice((0, IXC, DN, FZ, AHP, 3 << 22))
        control = ref.standard(state.fpscr)
        lanes = zip(words(state.q[1]), words(state.q[0]), words(state.q[2]), strict=True)
        expected = [function(control, *lane) for lane in lanes]
        executor.compile_all = tier == "jit" and i == 0
        out, fault = executor.run(state, code)
        text = f"{state.q[1]:x} {state.q[0]:x} {state.q[2]:x}"
        assert fault is None and [hex(x) for x in words(out.q[1])] == [hex(x) for x in expected], text
        assert out.fpscr == state.fpscr | control.flags, text


# -- alignment -------------------------------------------------------------------------------------------------------


#: Name, fields, and the alignment that is asked for; and that of elements, which SCTLR.A wants.
ACCESSES: list[tuple[str, dict[str, int], int, int]] = [
    ("vld_multiple", {"y": 10, "z": 0, "a": 0}, 1, 1),
    ("vld_multiple", {"y": 10, "z": 0, "a": 1}, 8, 8),
    ("vld_multiple", {"y": 10, "z": 2, "a": 0}, 1, 4),
    ("vld_multiple", {"y": 2, "z": 3, "a": 3}, 32, 32),
    ("vst_multiple", {"y": 7, "z": 3, "a": 0}, 1, 8),
    ("vst_multiple", {"y": 0, "z": 1, "a": 2}, 16, 16),
    ("vld_lane", {"l": 0, "z": 2, "x": 3}, 4, 4),
    ("vld_lane", {"l": 1, "z": 1, "x": 1}, 4, 4),
    ("vld_lane", {"l": 3, "z": 2, "x": 2}, 16, 16),
    ("vst_lane", {"l": 2, "z": 1, "x": 0}, 1, 2),
    ("vst_lane", {"l": 1, "z": 2, "x": 1}, 8, 8),
    ("vld_all", {"l": 0, "z": 2, "a": 1}, 4, 4),
    ("vld_all", {"l": 3, "z": 3, "a": 1}, 16, 16),
    ("vld_all", {"l": 3, "z": 2, "a": 1}, 8, 8),
    ("vld_all", {"l": 2, "z": 1, "a": 0}, 1, 2),
]


@pytest.mark.parametrize("access", ACCESSES, ids=lambda a: f"{a[0]}-{a[2]}-{a[3]}")
def test_alignment(interpreter: ArmExecutor, access: tuple[str, dict[str, int], int, int]) -> None:
    name, fields, always, strict = access
    code = word(name, n=1, m=13, **fields)
    for offset in (0, 1, 2, 4, 8, 16, 24, 32):
        for a, need in ((0, always), (1, strict)):
            at = PLACES.data[0] + 0x40 + offset
            before = system_state(r1=at, sctlr_a=a)
            out, fault = interpreter.run(before, code)
            if offset % need:
                assert fault == ArmFault(DATA, at, name.startswith("vst")), (offset, a)
                assert out.r == before.r and out.q == before.q and out.memory == before.memory
            else:
                assert fault is None and out.r[1] > at


# -- programs --------------------------------------------------------------------------------------------------------


def loop(*body: int) -> bytes:
    """The instructions, R2 times."""
    count = len(body) + 1
    return struct.pack(f"<{count + 1}I", *body, 0xE2522001, 0x1A000000 | -(count + 2) & 0xFFFFFF)


#: vld1.32 {q0}, [r1]!; vmla.f32 q1, q0, q0; vadd.f32 q2, q2, q0; vadd.f32 s12, s12, s0; vcvt.f64.f32 d16, s1;
#: vadd.f64 d17, d17, d16; vcmp.f32 s0, s1; vmrs apsr_nzcv, fpscr; vmovgt.f32 s13, s0; vqadd.s16 q9, q9, q0;
#: vst1.32 {q9}, [r3]!; vpadd.f32 d10, d4, d5
BODY = (
    0xF4210A8D, 0xF2002D50, 0xF2044D40, 0xEE366A00, 0xEEF70AE0, 0xEE711BA0, 0xEEB40A60, 0xEEF1FA10, 0xCEF06A40,
    0xF25220D0, 0xF4432A8D, 0xF304AD05,
)  # fmt: skip


@pytest.mark.parametrize("fpscr", [0, IXC, FZ, 1 << 22])
def test_a_loop(fpscr: int) -> None:
    """A hot loop over ordinary numbers and edges: interpreted and compiled, stopped anywhere, the same; and the same
    as Unicorn at its end."""
    rng = random.Random(fpscr)
    state = system_state(r1=PLACES.data[0], r2=100, r3=PLACES.data[0] + 0x800, fpscr=fpscr)
    data = [values.float32(rng) if rng.random() < 0.1 else 0x3F800000 + rng.getrandbits(22) for _ in range(400)]
    state.write(PLACES.data[0], struct.pack("<400I", *data))
    code = loop(*BODY)
    steps = 100 * (len(BODY) + 2)
    expected, _ = arm_unicorn().run(state, code, steps)
    for tier in ("interp", "auto"):
        executor = ArmExecutor(tier)
        for stops in ([steps], [*sorted(rng.sample(range(1, steps), 40)), steps], [steps]):
            executor.start(state, code)
            for stop in stops:
                out, fault = executor.go_on(state, stop)
                assert fault is None
            assert out.q == expected.q and out.r == expected.r and out.memory == expected.memory, tier
            assert (out.fpscr, out.cpsr) == (expected.fpscr, expected.cpsr), tier


def random_body(rng: random.Random) -> list[int]:
    """VFP and Advanced SIMD instructions that use R7 as address and keep R2 and R7."""
    select = [p for p in (*simd_patterns(A32, True), *simd_patterns(A32, False)) if p.name not in ("vmsr", "vmrs")]
    body: list[int] = []
    while len(body) < 12:
        pattern = rng.choice(select)
        fields = pattern.extract(pattern.random(rng))
        fields.update({k: v for k, v in (("c", 14), ("t", rng.choice((0, 1))), ("u", 3), ("W", 0)) if k in fields})
        if pattern.name.startswith(("vld", "vst")):
            fields.update({k: v for k, v in (("n", 7), ("m", 15)) if k in fields})
            if pattern.name in ("vldr", "vstr"):
                fields["i"] &= 63
            if pattern.name in ("vldm_db", "vstm_db"):  # they write R7
                continue
        word = pattern.encode(**fields)
        if find(A32, word) is pattern and not pattern.unpredictable(word):
            body.append(word)
    return body


def test_random_loops() -> None:
    """Compiled regions, stopped anywhere and with a TLB that is emptied at times, against single steps."""
    interpreter, hot = ArmExecutor(), ArmExecutor("auto")
    rng, faults = random.Random(9), 0
    for _ in range(16):
        state = system_state(r2=40, r7=PLACES.data[0] + 0x400)
        registers(rng, state)
        if rng.random() < 0.7:
            state.fpscr = rng.choice((0, IXC))
        state.write(PLACES.data[0], values.memory(rng, 4096))
        body = random_body(rng)
        code, steps = loop(*body), 40 * (len(body) + 2)
        interpreter.start(state, code)
        stops = sorted({*rng.sample(range(1, steps), 120), steps})
        expected = [interpreter.go_on(state, stop) for stop in stops]
        for _ in range(3):
            hot.start(state, code)
            for stop, outcome in zip(stops, expected, strict=True):
                if rng.random() < 0.5 and stop != steps:
                    continue
                if rng.random() < 0.1:
                    hot.engine.call("flush_tlb")
                got = hot.go_on(state, stop)
                assert got == outcome, f"{code.hex()} after {stop}: {got}, not {outcome}"
                if outcome[1] is not None:
                    break
        faults += expected[-1][1] is not None
    assert hot.tier is not None and not hot.tier.failures
    assert hot.engine.counters["regions"] > 16 and faults < 8
