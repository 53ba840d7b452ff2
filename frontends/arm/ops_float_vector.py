"""Advanced SIMD micro-ops on vectors of single-precision numbers; see :mod:`frontends.arm.ops_float`."""

from __future__ import annotations

from typing import Any

from frontends.arm import fpcodes as fc
from frontends.arm.lanes import BOTH, Lanes
from frontends.arm.ops_float import CERTAIN, CODES, Floats, certain_difference, certain_fused, certain_product, halves
from jitrr.microops.emit import llvm_type
from jitrr.microops.table import row


def software2(e: Any, w: int, sure: str, value: str, name: str, x: str, y: str) -> str:
    """The value, or what the software makes of the operands."""
    return e.unless(sure, w, value, "arm_fp2v", CODES[name], w // 32, *halves(e, w, x), *halves(e, w, y))


def _vector2(name: str, w: int) -> None:
    def emit(e: Any, x: str, y: str) -> str:
        f = Floats(e, 32, w // 32)
        result, sure = CERTAIN[name](f, f.number(x), f.number(y))
        return software2(e, w, sure, f.operand(f.bits(result)), name, x, y)

    row(f"arm_vf{name}_{w}", f"d{w} <- a{w} b{w}", emit)


def _extreme(name: str, w: int) -> None:
    """VMAX, VMIN; of two zeros the sign is the AND or OR of both."""
    predicate, tie = ("ogt", "and") if name == "max" else ("olt", "or")

    def emit(e: Any, x: str, y: str) -> str:
        f = Floats(e, 32, w // 32)
        a, b = f.number(x), f.number(y)
        sure = f.every(f.logic("and", f.compare("ord", a, b), *f.no_denormals(a, b)))
        both = f.int_do(tie, f.bits(a), f.bits(b))
        second = f.select(f.compare(predicate, b, a), f.int_type, f.bits(b), both)
        result = f.select(f.compare(predicate, a, b), f.int_type, f.bits(a), second)
        return software2(e, w, sure, f.operand(result), name, x, y)

    row(f"arm_vf{name}_{w}", f"d{w} <- a{w} b{w}", emit)


def _relation(name: str, predicate: str, w: int) -> None:
    def emit(e: Any, x: str, y: str) -> str:
        f = Floats(e, 32, w // 32)
        a, b = f.number(x), f.number(y)
        sure = f.every(f.logic("and", f.compare("ord", a, b), *f.no_denormals(a, b)))
        if name.startswith("a"):
            e.declare(f"llvm.fabs.v{f.lanes}f32", f.float_type, [f.float_type])
            a, b = (e.let(f"call {f.float_type} @llvm.fabs.v{f.lanes}f32({f.float_type} {z})") for z in (a, b))
        result = e.let(f"sext {f.shape('i1')} {f.compare(predicate, a, b)} to {f.int_type}")
        return software2(e, w, sure, f.operand(result), name, x, y)

    row(f"arm_vf{name}_{w}", f"d{w} <- a{w} b{w}", emit)


def _step(name: str, w: int) -> None:
    """VRECPS, 2 - x * y, and VRSQRTS, (3 - x * y) / 2: computed as 1.5 - x * y / 2."""

    def emit(e: Any, x: str, y: str) -> str:
        f = Floats(e, 32, w // 32)
        product, sure = certain_product(f, f.number(x), f.number(y))
        sure = e.bin("and", 1, sure, f.every(f.inside(f.magnitude(product))))
        if name == "rsqrts":
            product = f.do("fmul", product, f.const("float", "0.5"))
        two = f.const("float", "2.0" if name == "recps" else "1.5")
        result, sure2 = certain_difference(f, two, product)
        return software2(e, w, e.bin("and", 1, sure, sure2), f.operand(f.bits(result)), name, x, y)

    row(f"arm_vf{name}_{w}", f"d{w} <- a{w} b{w}", emit)


def _fused_vector(e: Any, w: int, a: str, x: str, y: str) -> str:
    f, result, sure = certain_fused(e, w // 32, a, x, y)
    words = [part for z in (a, x, y) for part in halves(e, w, z)]
    return e.unless(sure, w, f.operand(f.bits(result)), "arm_fp3v", w // 32, *words)


def _vector_from_integers(e: Any, w: int, op: str, x: str) -> str:
    f, g = Floats(e, 32, w // 32), Floats(e, 64, w // 32)
    words = f.cast("bitcast", llvm_type(w), x, f.int_type)
    result = e.let(f"{op} {f.int_type} {words} to {f.float_type}")

    def exact() -> str:
        wide = e.let(f"{op} {f.int_type} {words} to {g.float_type}")
        return g.compare("oeq", f.cast("fpext", f.float_type, result, g.float_type), wide)

    code = fc.fixed(fc.FROM_FIXED, 0, op == "uitofp", 32, True)
    value = f.operand(f.bits(result))
    return e.unless(f.unless_inexact(exact), w, value, "arm_fp1v", code, w // 32, *halves(e, w, x))


def _vector_to_integers(e: Any, w: int, unsigned: bool, x: str) -> str:
    f = Floats(e, 32, w // 32)
    number = f.number(x)
    # The largest numbers below the limits are exact words.
    least, most = ("-0.0", "4294967296.0") if unsigned else ("-2147483648.0", "2147483648.0")
    fits = f.logic("and", f.compare("oge", number, f.const("float", least)),
                   f.compare("olt", number, f.const("float", most)), f.no_denormal(number))  # fmt: skip
    safe = f.select(fits, f.float_type, number, f.zero())
    to, back = ("fptoui", "uitofp") if unsigned else ("fptosi", "sitofp")
    whole = e.let(f"{to} {f.float_type} {safe} to {f.int_type}")
    exact = f.unless_inexact(lambda: f.compare("oeq", e.let(f"{back} {f.int_type} {whole} to {f.float_type}"), number))
    code = fc.fixed(fc.TO_FIXED, 0, unsigned, 32, True)
    sure = e.bin("and", 1, f.every(fits), exact)
    return e.unless(sure, w, f.operand(whole), "arm_fp1v", code, w // 32, *halves(e, w, x))


def _vector_any(e: Any, w: int, helper: str, *args: str) -> str:
    low = e.plain_helper(helper, *args)
    return low if w == 64 else wide_result(e, low)


def wide_result(e: Any, low: str) -> str:
    """A helper's result of 128 bits."""
    vector = e.let(f"insertelement <2 x i64> zeroinitializer, i64 {low}, i64 0")
    return e.let(f"insertelement <2 x i64> {vector}, i64 {e.get('value_hi')}, i64 1")


def _vector_sign(e: Any, w: int, op: str, mask: int, x: str) -> str:
    v = Lanes(e, w // 32, 32)
    return v.join(v.bin(op, v.split(x), mask))


for _w in BOTH:
    for _name in ("add", "sub", "mul"):
        _vector2(_name, _w)
    for _name in ("max", "min"):
        _extreme(_name, _w)
    for _name, _predicate in (("ceq", "oeq"), ("cge", "oge"), ("cgt", "ogt"), ("acge", "oge"), ("acgt", "ogt")):
        _relation(_name, _predicate, _w)
    for _name in ("recps", "rsqrts"):
        _step(_name, _w)
    row(f"arm_vfma_{_w}", f"d{_w} <- a{_w} b{_w} c{_w}", lambda e, a, x, y, w=_w: _fused_vector(e, w, a, x, y))
    row(f"arm_vfs32_{_w}", f"d{_w} <- a{_w}", lambda e, x, w=_w: _vector_from_integers(e, w, "sitofp", x))
    row(f"arm_vfu32_{_w}", f"d{_w} <- a{_w}", lambda e, x, w=_w: _vector_from_integers(e, w, "uitofp", x))
    row(f"arm_vf_s32_{_w}", f"d{_w} <- a{_w}", lambda e, x, w=_w: _vector_to_integers(e, w, False, x))
    row(f"arm_vf_u32_{_w}", f"d{_w} <- a{_w}", lambda e, x, w=_w: _vector_to_integers(e, w, True, x))
    row(f"arm_vfneg_{_w}", f"d{_w} <- a{_w}", lambda e, x, w=_w: _vector_sign(e, w, "xor", -(1 << 31), x))
    row(f"arm_vfabs_{_w}", f"d{_w} <- a{_w}", lambda e, x, w=_w: _vector_sign(e, w, "and", (1 << 31) - 1, x))
    #: The immediate is an operation as in fpcodes.
    row(f"arm_vf1_{_w}_any", f"d{_w} <- a{_w} i64",
        lambda e, x, i, w=_w: _vector_any(e, w, "arm_fp1v", i, str(w // 32), *halves(e, w, x)), cold=True)  # fmt: skip


def _pairs(e: Any, x: str, y: str) -> tuple[str, str]:
    """Words with even and with odd numbers, of x and then of y, as D registers."""
    v = Lanes(e, 2, 32)
    a, b = v.split(x), v.split(y)
    return v.join(v.pick(a, b, [0, 2])), v.join(v.pick(a, b, [1, 3]))


#: Two D registers' pairs of words side by side, for VPADD, VPMAX and VPMIN of numbers.
row("arm_vfpairs0", "d64 <- a64 b64", lambda e, x, y: _pairs(e, x, y)[0])
row("arm_vfpairs1", "d64 <- a64 b64", lambda e, x, y: _pairs(e, x, y)[1])
row("arm_vfwiden", "d128 <- a64", lambda e, x: _vector_any(e, 128, "arm_fp_widen", x), cold=True)
row("arm_vfnarrow", "d64 <- a128", lambda e, x: e.plain_helper("arm_fp_narrow", *halves(e, 128, x)), cold=True)
#: VRECPE and VRSQRTE of integers; the immediate is 1 for the root.
row("arm_vestimate", "d64 <- a64 i64", lambda e, x, i: e.plain_helper("arm_estimate", i, x), cold=True)
