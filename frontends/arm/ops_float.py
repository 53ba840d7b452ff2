"""VFP and Advanced SIMD floating-point micro-ops: the host's arithmetic where it is certain, else software.

The host rounds to nearest and its flags are not looked at. Its result is taken only where it cannot differ from the
architecture's and no cumulative exception but Inexact is possible: finite, not near the denormals, no NaN around; and
Inexact is set already, or the result is exact. Everything else goes through :mod:`frontends.arm.softconvert`. Rows of
scalars (``arm_fadd32``) hold for the default FPSCR only (MODE_DEFAULT_FP); those that end in ``_any`` ask the software
and obey every FPSCR. Rows of vectors (``arm_vfadd_128``) follow the standard rules: denormal operands are software's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import llvmlite.binding as llvm

from frontends.arm import fpcodes as fc
from frontends.arm.lanes import Lanes
from jitrr.microops.emit import llvm_type
from jitrr.microops.table import row

_FRACTION = {32: 23, 64: 52}
_NAME = {32: "float", 64: "double"}


@dataclass
class Floats:
    """Emits arithmetic on one number of ``n`` bits, or on a vector of ``lanes`` words."""

    e: Any
    n: int
    lanes: int = 1

    @property
    def w(self) -> int:
        """Bits of an operand of the micro-op."""
        return self.n * self.lanes

    def shape(self, scalar: str) -> str:
        return scalar if self.lanes == 1 else f"<{self.lanes} x {scalar}>"

    @property
    def float_type(self) -> str:
        return self.shape(_NAME[self.n])

    @property
    def int_type(self) -> str:
        return self.shape(f"i{self.n}")

    def const(self, scalar: str, value: int | str) -> str:
        """A constant of a scalar type, in every lane."""
        return str(value) if self.lanes == 1 else "<" + ", ".join([f"{scalar} {value}"] * self.lanes) + ">"

    # -- between operands, numbers and bits ---------------------------------------------------------------------------
    def cast(self, op: str, source: str, x: str, target: str) -> str:
        return x if source == target else self.e.let(f"{op} {source} {x} to {target}")

    def number(self, x: str) -> str:
        """An operand of the micro-op as numbers."""
        return self.cast("bitcast", llvm_type(self.w), x, self.float_type)

    def bits(self, x: str) -> str:
        """Numbers as integers."""
        return self.cast("bitcast", self.float_type, x, self.int_type)

    def operand(self, x: str) -> str:
        """Integers as the micro-op's result."""
        return self.cast("bitcast", self.int_type, x, llvm_type(self.w))

    # -- operations ---------------------------------------------------------------------------------------------------
    def do(self, op: str, x: str, y: str) -> str:
        return self.e.let(f"{op} {self.float_type} {x}, {y}")

    def int_do(self, op: str, x: str, y: int | str) -> str:
        y = self.const(f"i{self.n}", y) if isinstance(y, int) else y
        return self.e.let(f"{op} {self.int_type} {x}, {y}")

    def test(self, predicate: str, x: str, y: int | str) -> str:
        return self.int_do(f"icmp {predicate}", x, y)

    def compare(self, predicate: str, x: str, y: str) -> str:
        return self.do(f"fcmp {predicate}", x, y)

    def logic(self, op: str, *conditions: str) -> str:
        """``and`` or ``or`` of conditions."""
        result = conditions[0]
        for each in conditions[1:]:
            result = self.e.let(f"{op} {self.shape('i1')} {result}, {each}")
        return result

    def select(self, condition: str, ty: str, x: str, y: str) -> str:
        return self.e.let(f"select {self.shape('i1')} {condition}, {ty} {x}, {ty} {y}")

    def every(self, condition: str) -> str:
        """i1: a condition holds in every lane."""
        return condition if self.lanes == 1 else Lanes(self.e, self.lanes, self.n).all(condition)

    # -- what makes a result certain ----------------------------------------------------------------------------------
    def magnitude(self, number: str) -> str:
        """The bits of a number without its sign, shifted left by one."""
        return self.int_do("shl", self.bits(number), 1)

    def inside(self, magnitude: str) -> str:
        """Finite, and twice the least normal number or more: so it was neither flushed nor rounded as a denormal."""
        unit = 1 << _FRACTION[self.n] + 1
        return self.test("ult", self.int_do("sub", magnitude, 2 * unit), (1 << self.n) - 3 * unit)

    def no_denormal(self, number: str) -> str:
        less = self.int_do("sub", self.magnitude(number), 1)
        return self.test("uge", less, (1 << _FRACTION[self.n] + 1) - 1)

    def no_denormals(self, *numbers: str) -> list[str]:
        """Conditions for the operands of a vector operation (of scalars there are none: they are not flushed)."""
        return [self.no_denormal(x) for x in numbers] if self.lanes > 1 else []

    def inexact_known(self) -> str:
        """i1: Inexact is set already."""
        return self.e.icmp("ne", 64, self.e.bin("and", 64, self.e.get("fpflags"), fc.IXC), 0)

    def either(self, quick: str, thorough: Callable[[], str]) -> str:
        """i1: ``quick`` holds, or else what ``thorough`` emits."""
        e = self.e
        top, test, end, done = (e.label() for _ in range(4))
        e.line(f" br label %{top}\n{top}:\n br i1 {quick}, label %{done}, label %{test}\n{test}:")
        found = thorough()
        e.line(f" br label %{end}\n{end}:\n br label %{done}\n{done}:")
        return e.let(f"phi i1 [ true, %{top} ], [ {found}, %{end} ]")

    def unless_inexact(self, exact: Callable[[], str]) -> str:
        """i1: Inexact is set already, or what ``exact`` emits (a condition a lane) holds everywhere."""
        return self.either(self.inexact_known(), lambda: self.every(exact()))

    def certain(self, magnitude: str, zero: Callable[[], str], exact: Callable[[], str], *conditions: str) -> str:
        """i1: a result is certain. It is if it is inside and Inexact is known; or else if it is inside or a ``zero``
        that must be one, and ``exact``. The other conditions hold in any case."""
        known, inside = self.inexact_known(), self.inside(magnitude)

        def thorough() -> str:
            usual = self.every(self.logic("and", self.logic("or", inside, zero()), *conditions))
            return self.e.bin("and", 1, usual, self.e.bin("or", 1, known, self.every(exact())))

        return self.either(self.e.bin("and", 1, self.every(self.logic("and", inside, *conditions)), known), thorough)

    def zero(self) -> str:
        return "zeroinitializer" if self.lanes > 1 else "0.0"


def exact_sum(f: Floats, x: str, y: str, result: str) -> str:
    """Whether x + y has no error, which is itself a number (Knuth's two-sum)."""
    back = f.do("fsub", result, x)
    error = f.do("fadd", f.do("fsub", x, f.do("fsub", result, back)), f.do("fsub", y, back))
    return f.compare("oeq", error, f.zero())


def exact_product(f: Floats, x: str, y: str, magnitude: str) -> str:
    """Whether the factors have so many zero bits at their ends that the product fits (or it is 0)."""
    e, fraction = f.e, _FRACTION[f.n]
    name = f"llvm.cttz.v{f.lanes}i{f.n}" if f.lanes > 1 else f"llvm.cttz.i{f.n}"
    e.declare(name, f.int_type, [f.int_type, "i1"])
    zeros = []
    for z in (x, y):
        marked = f.int_do("or", f.bits(z), 1 << fraction)
        zeros.append(e.let(f"call {f.int_type} @{name}({f.int_type} {marked}, i1 true)"))
    fits = f.test("uge", f.int_do("add", *zeros), fraction + 1)
    return f.logic("or", fits, f.test("eq", magnitude, 0))


def certain_sum(f: Floats, x: str, y: str) -> tuple[str, str]:
    """(sum, i1 whether it is certain)."""
    result = f.do("fadd", x, y)
    magnitude = f.magnitude(result)
    return result, f.certain(magnitude, lambda: f.test("eq", magnitude, 0), lambda: exact_sum(f, x, y, result),
                             *f.no_denormals(x, y))  # fmt: skip


def certain_difference(f: Floats, x: str, y: str) -> tuple[str, str]:
    return certain_sum(f, x, f.e.let(f"fneg {f.float_type} {y}"))


def certain_product(f: Floats, x: str, y: str) -> tuple[str, str]:
    """(product, i1 whether it is certain)."""
    result = f.do("fmul", x, y)
    magnitude = f.magnitude(result)

    def zero() -> str:
        factor = f.logic("or", f.compare("oeq", x, f.zero()), f.compare("oeq", y, f.zero()))
        return f.logic("and", f.test("eq", magnitude, 0), factor)

    return result, f.certain(magnitude, zero, lambda: exact_product(f, x, y, magnitude), *f.no_denormals(x, y))


def certain_quotient(f: Floats, x: str, y: str) -> tuple[str, str]:
    """(quotient, i1 whether it is certain); zeros apart, only with Inexact set."""
    result = f.do("fdiv", x, y)
    magnitude = f.magnitude(result)

    def zero() -> str:
        return f.logic("and", f.test("eq", magnitude, 0), f.compare("oeq", x, f.zero()))

    return result, f.certain(magnitude, zero, zero)


CERTAIN = {"add": certain_sum, "sub": certain_difference, "mul": certain_product, "div": certain_quotient}
CODES = {"add": fc.ADD, "sub": fc.SUB, "mul": fc.MUL, "div": fc.DIV, "max": fc.MAX, "min": fc.MIN,
         "recps": fc.RECPS, "rsqrts": fc.RSQRTS, "ceq": fc.CEQ, "cge": fc.CGE, "cgt": fc.CGT, "acge": fc.ACGE,
         "acgt": fc.ACGT}  # fmt: skip


def halves(e: Any, w: int, x: str) -> list[str]:
    """An operand of 64 or 128 bits as two i64."""
    if w == 64:
        return [x, "0"]
    return [e.let(f"extractelement <2 x i64> {x}, i64 {i}") for i in (0, 1)]


# -- scalars ---------------------------------------------------------------------------------------------------------


def dest(n: int) -> str:
    """Signature of a destination of ``n`` bits that leaves its neighbour alone."""
    return "d32=" if n == 32 else f"d{n}"


def _scalar2(name: str, n: int) -> None:
    def emit(e: Any, x: str, y: str) -> str:
        f = Floats(e, n)
        result, sure = CERTAIN[name](f, f.number(x), f.number(y))
        value = f.operand(f.bits(result))
        return e.unless(sure, n, value, "arm_fp2", CODES[name], n, e.zext(n, x), e.zext(n, y))

    row(f"arm_f{name}{n}", f"{dest(n)} <- a{n} b{n}", emit)


def _sqrt(e: Any, n: int, x: str) -> str:
    f = Floats(e, n)
    e.declare(f"llvm.sqrt.f{n}", _NAME[n], [_NAME[n]])
    result = e.let(f"call {_NAME[n]} @llvm.sqrt.f{n}({_NAME[n]} {f.number(x)})")
    magnitude = f.magnitude(result)

    def zero() -> str:
        return f.test("eq", magnitude, 0)

    sure = f.certain(magnitude, zero, zero)
    return e.unless(sure, n, f.operand(f.bits(result)), "arm_fp1", fc.SQRT, n, e.zext(n, x))


def _compare(e: Any, n: int, x: str, y: str, signal: int) -> str:
    """N, Z, C, V in bits 31 to 28."""
    f = Floats(e, n)
    a, b = f.number(x), f.number(y)
    less = e.select(f.compare("olt", a, b), 64, 8 << 28, 2 << 28)
    found = e.select(f.compare("oeq", a, b), 64, 6 << 28, less)
    return e.unless(f.compare("ord", a, b), 64, found, "arm_fpcmp", signal, n, e.zext(n, x), e.zext(n, y))


def _any2(e: Any, n: int, x: str, y: str, code: str) -> str:
    return e.trunc(64, e.plain_helper("arm_fp2", code, n, e.zext(n, x), e.zext(n, y)), n)


def _any3(e: Any, n: int, a: str, x: str, y: str) -> str:
    return e.trunc(64, e.plain_helper("arm_fp3", n, e.zext(n, a), e.zext(n, x), e.zext(n, y)), n)


def _any1(e: Any, n: int, to: int, x: str, code: str) -> str:
    return e.trunc(64, e.plain_helper("arm_fp1", code, n, e.zext(n, x)), to)


for _n in (32, 64):
    for _name in CERTAIN:
        _scalar2(_name, _n)
    row(f"arm_fsqrt{_n}", f"{dest(_n)} <- a{_n}", lambda e, x, n=_n: _sqrt(e, n, x))
    row(f"arm_fcmp{_n}", f"d64 <- a{_n} b{_n}", lambda e, x, y, n=_n: _compare(e, n, x, y, 0))
    row(f"arm_fcmpe{_n}", f"d64 <- a{_n} b{_n}", lambda e, x, y, n=_n: _compare(e, n, x, y, 1))
    row(f"arm_fcmp{_n}_any", f"d64 <- a{_n} b{_n} i64",
        lambda e, x, y, i, n=_n: e.plain_helper("arm_fpcmp", i, n, e.zext(n, x), e.zext(n, y)), cold=True)  # fmt: skip
    row(f"arm_fp2_{_n}_any", f"{dest(_n)} <- a{_n} b{_n} i64", lambda e, x, y, i, n=_n: _any2(e, n, x, y, i), cold=True)
    row(f"arm_fp3_{_n}_any", f"{dest(_n)} <- a{_n} b{_n} c{_n}",
        lambda e, a, x, y, n=_n: _any3(e, n, a, x, y), cold=True)  # fmt: skip
#: From format to format (integers are as wide as the result).
for _n, _to in ((32, 32), (64, 64), (32, 64), (64, 32), (16, 32), (32, 16)):
    row(f"arm_fp1_{_n}_{_to}_any", f"{dest(_to)} <- a{_n} i64",
        lambda e, x, i, n=_n, to=_to: _any1(e, n, to, x, i), cold=True)  # fmt: skip
for _n in (32, 64):
    row(f"arm_fneg{_n}", f"{dest(_n)} <- a{_n}", lambda e, x, n=_n: e.bin("xor", n, x, -(1 << n - 1)))
    row(f"arm_fabs{_n}", f"{dest(_n)} <- a{_n}", lambda e, x, n=_n: e.bin("and", n, x, (1 << n - 1) - 1))
row("arm_mov32", "d32= <- a32", lambda e, x: x)
row("arm_movi32", "d32= <- i32", lambda e, x: x)


# -- conversions of scalars ------------------------------------------------------------------------------------------


def _widen(e: Any, x: str) -> str:
    f = Floats(e, 32)
    number = f.number(x)
    result = e.let(f"bitcast double {e.let(f'fpext float {number} to double')} to i64")
    return e.unless(f.compare("ord", number, number), 64, result, "arm_fp1", fc.WIDEN, 32, e.zext(32, x))


def _narrow(e: Any, x: str) -> str:
    f, g = Floats(e, 32), Floats(e, 64)
    number = g.number(x)
    result = e.let(f"fptrunc double {number} to float")
    sure = f.certain(
        f.magnitude(result),
        lambda: g.compare("oeq", number, "0.0"),
        lambda: g.compare("oeq", e.let(f"fpext float {result} to double"), number),
    )
    return e.unless(sure, 32, f.bits(result), "arm_fp1", fc.NARROW, 64, x)


def _from_integer(e: Any, n: int, op: str, x: str) -> str:
    """A word as a number; as a double it is always exact."""
    f = Floats(e, n)
    result = e.let(f"{op} i32 {x} to {_NAME[n]}")
    if n == 64:
        return f.bits(result)
    wide = e.let(f"{op} i32 {x} to double")
    sure = f.unless_inexact(lambda: Floats(e, 64).compare("oeq", e.let(f"fpext float {result} to double"), wide))
    code = fc.fixed(fc.FROM_FIXED, 0, op == "uitofp", 32, False)
    return e.unless(sure, 32, f.bits(result), "arm_fp1", code, 32, e.zext(32, x))


def _to_integer(e: Any, n: int, unsigned: bool, x: str) -> str:
    """A number as a word, rounded towards zero."""
    f, g = Floats(e, n), Floats(e, 64)
    number = f.number(x) if n == 64 else e.let(f"fpext float {f.number(x)} to double")
    least, most = ("-1.0", "4294967296.0") if unsigned else ("-2147483649.0", "2147483648.0")
    sure = g.logic("and", g.compare("ogt", number, least), g.compare("olt", number, most))
    whole = e.let(f"fptosi double {g.select(sure, 'double', number, '0.0')} to i64")
    exact = g.unless_inexact(lambda: g.compare("oeq", e.let(f"sitofp i64 {whole} to double"), number))
    code = fc.fixed(fc.TO_FIXED, 0, unsigned, 32, True)
    return e.unless(e.bin("and", 1, sure, exact), 32, e.trunc(64, whole, 32), "arm_fp1", code, n, e.zext(n, x))


row("arm_fwiden", "d64 <- a32", _widen)
row("arm_fnarrow", "d32= <- a64", _narrow)
for _n in (32, 64):
    row(f"arm_fs32_{_n}", f"{dest(_n)} <- a32", lambda e, x, n=_n: _from_integer(e, n, "sitofp", x))
    row(f"arm_fu32_{_n}", f"{dest(_n)} <- a32", lambda e, x, n=_n: _from_integer(e, n, "uitofp", x))
    row(f"arm_f{_n}_s32", f"d32= <- a{_n}", lambda e, x, n=_n: _to_integer(e, n, False, x))
    row(f"arm_f{_n}_u32", f"d32= <- a{_n}", lambda e, x, n=_n: _to_integer(e, n, True, x))


# -- fused multiply and add ------------------------------------------------------------------------------------------


def certain_fused(e: Any, lanes: int, a: str, x: str, y: str) -> tuple[Floats, str, str]:
    """Single precision a + x * y by way of double precision, where the product is exact and the sum has bits to spare:
    its second rounding can only go wrong where the first one ended up half-way between two words."""
    f, g = Floats(e, 32, lanes), Floats(e, 64, lanes)
    numbers = [f.number(z) for z in (a, x, y)]
    wide_a, wide_x, wide_y = (f.cast("fpext", f.float_type, z, g.float_type) for z in numbers)
    product = g.do("fmul", wide_x, wide_y)
    total = g.do("fadd", wide_a, product)
    result = e.let(f"fptrunc {g.float_type} {total} to {f.float_type}")
    halfway = g.test("ne", g.int_do("and", g.bits(total), (1 << 29) - 1), 1 << 28)

    def exact() -> str:
        back = f.cast("fpext", f.float_type, result, g.float_type)
        return f.logic("and", g.compare("oeq", back, total), exact_sum(g, wide_a, product, total))

    sure = f.certain(f.magnitude(result), lambda: g.test("eq", g.magnitude(total), 0), exact, halfway,
                     *f.no_denormals(*numbers))  # fmt: skip
    return f, result, sure


def _fused32(e: Any, a: str, x: str, y: str) -> str:
    f, result, sure = certain_fused(e, 1, a, x, y)
    return e.unless(sure, 32, f.bits(result), "arm_fp3", 32, *(e.zext(32, z) for z in (a, x, y)))


def _fused64(e: Any, a: str, x: str, y: str) -> str:
    """With the host's own instruction, if it has one."""
    f = Floats(e, 64)
    e.declare("llvm.fma.f64", "double", ["double"] * 3)
    result = e.let("call double @llvm.fma.f64(" + ", ".join(f"double {f.number(z)}" for z in (x, y, a)) + ")")
    sure = e.bin("and", 1, f.inside(f.magnitude(result)), f.inexact_known())
    return e.unless(sure, 64, f.bits(result), "arm_fp3", 64, a, x, y)


row("arm_fma32", "d32= <- a32 b32 c32", _fused32)
if llvm.get_host_cpu_features().get("fma"):
    row("arm_fma64", "d64 <- a64 b64 c64", _fused64)
else:
    row("arm_fma64", "d64 <- a64 b64 c64", lambda e, a, x, y: _any3(e, 64, a, x, y), cold=True)
