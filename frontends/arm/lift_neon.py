"""Advanced SIMD: registers of the same length, of different lengths, with a scalar (DDI 0406C, A7.4.1 to A7.4.3)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import frontends.arm.ops_float_vector
import frontends.arm.ops_neon  # noqa: F401  (declares rows)
from frontends.arm import state as st
from frontends.arm.lift import Insn
from frontends.arm.patterns import Fields
from frontends.arm.simd import Bad, double, half, neon, odd, scratch


@dataclass
class Vector:
    """An instruction on vectors of ``w`` bits in lanes of ``k``; registers are CPU block offsets. ``s``: "s" or "u"."""

    i: Insn
    w: int
    k: int
    s: str
    d: int
    n: int
    m: int

    def emit(self, name: str, d: int = 0, a: int = 0, b: int = 0, c: int = 0, imm: int = 0) -> None:
        """A row named by what it does, its lanes and its width."""
        self.i.emit(f"arm_{name}{self.k}_{self.w}", d, a, b, c, imm)

    def whole(self, name: str, d: int = 0, a: int = 0, b: int = 0, c: int = 0, imm: int = 0) -> None:
        """A row that does not depend on lanes."""
        self.i.emit(f"arm_{name}{self.w}", d, a, b, c, imm)


Lift = Callable[[Vector], None]


def vector(i: Insn) -> Vector:
    """The instruction's vectors: lanes by field ``z``, width by ``Q``, signs by ``U``, registers d, n and m."""
    fields = i.fields
    registers = [st.d(double(i, letter)) if letter in fields else 0 for letter in "dnm"]
    s = "u" if fields.get("U") else "s"
    return Vector(i, 128 if fields.get("Q") else 64, 8 << fields.get("z", 2), s, *registers)


def same(u: str, a: str, b: int, name: str, sizes: str, lift: Lift, quad: bool = True) -> None:
    """Three registers of the same length. ``sizes``: the values of size there are, all others are UNDEFINED."""
    q, allowed = "Q" if quad else "0", {int(c) for c in sizes}
    unaligned = odd("d", "n", "m")

    def bad(f: Fields) -> bool:
        return f["z"] not in allowed or (quad and bool(unaligned(f)))

    neon(f"1111 001{u} 0Dzz nnnn dddd {a} N{q}M{b} mmmm", name, bad=bad)(lambda i: lift(vector(i)))


def _row(name: str) -> Lift:
    """d = n <row> m."""
    return lambda v: v.emit(name, v.d, v.n, v.m)


def _signed(name: str) -> Lift:
    return lambda v: v.emit(name + v.s, v.d, v.n, v.m)


def _signed_shift(name: str) -> Lift:
    """The register shifted is Vm."""
    return lambda v: v.emit(name + v.s, v.d, v.m, v.n)


def accumulate(v: Vector, name: str, a: int, b: int, by: str) -> None:
    """d = d <by> (a <name> b)."""
    v.emit(name, scratch(0), a, b)
    v.emit(by, v.d, v.d, scratch(0))


for _a, _b, _name, _sizes in (
    ("0000", 0, "vhadd", "012"), ("0000", 1, "vqadd", "0123"), ("0001", 0, "vrhadd", "012"),
    ("0010", 0, "vhsub", "012"), ("0010", 1, "vqsub", "0123"), ("0011", 0, "vcgt", "012"), ("0011", 1, "vcge", "012"),
    ("0110", 0, "vmax", "012"), ("0110", 1, "vmin", "012"), ("0111", 0, "vabd", "012"),
):  # fmt: skip
    same("U", _a, _b, _name, _sizes, _signed(_name))
for _a, _b, _name in (("0100", 0, "vshl"), ("0100", 1, "vqshl"), ("0101", 0, "vrshl"), ("0101", 1, "vqrshl")):
    same("U", _a, _b, f"{_name}_reg", "0123", _signed_shift(_name))
same("U", "0111", 1, "vaba", "012", lambda v: accumulate(v, f"vabd{v.s}", v.n, v.m, "vadd"))
same("U", "1010", 0, "vpmax", "012", _signed("vpmax"), quad=False)
same("U", "1010", 1, "vpmin", "012", _signed("vpmin"), quad=False)
same("0", "1000", 0, "vadd", "0123", _row("vadd"))
same("1", "1000", 0, "vsub", "0123", _row("vsub"))
same("0", "1000", 1, "vtst", "012", _row("vtst"))
same("1", "1000", 1, "vceq", "012", _row("vceq"))
same("0", "1001", 0, "vmla", "012", lambda v: accumulate(v, "vmul", v.n, v.m, "vadd"))
same("1", "1001", 0, "vmls", "012", lambda v: accumulate(v, "vmul", v.n, v.m, "vsub"))
same("0", "1001", 1, "vmul", "012", _row("vmul"))
same("1", "1001", 1, "vmul_p8", "0", _row("vmulp"))
same("0", "1011", 0, "vqdmulh", "12", _row("vqdmulh"))
same("1", "1011", 0, "vqrdmulh", "12", _row("vqrdmulh"))
same("0", "1011", 1, "vpadd", "012", _row("vpadd"), quad=False)


def _logical(u: int, size: int, name: str, lift: Lift) -> None:
    pattern = f"1111 001{u} 0D{size >> 1}{size & 1} nnnn dddd 0001 NQM1 mmmm"
    neon(pattern, name, capstone=f"{name} vmov", bad=odd("d", "n", "m"))(lambda i: lift(vector(i)))


def _whole(name: str) -> Lift:
    return lambda v: v.whole(name, v.d, v.n, v.m)


for _size, _name in enumerate(("vand", "vbic", "vorr", "vorn")):
    _logical(0, _size, _name, _whole(_name))
_logical(1, 0, "veor", _whole("veor"))
_logical(1, 1, "vbsl", lambda v: v.whole("vbsl", v.d, v.n, v.m, v.d))
_logical(1, 2, "vbit", lambda v: v.whole("vbsl", v.d, v.n, v.d, v.m))
_logical(1, 3, "vbif", lambda v: v.whole("vbsl", v.d, v.d, v.n, v.m))


# -- single precision ------------------------------------------------------------------------------------------------


def numbers(u: int, a: str, b: int, op: int, name: str, lift: Lift, quad: bool = True) -> None:
    """Three registers of the same length, of numbers."""
    q = "Q" if quad else "0"
    bad: Bad | None = odd("d", "n", "m") if quad else None
    neon(f"1111 001{u} 0D{op}0 nnnn dddd {a} N{q}M{b} mmmm", name, bad=bad)(lambda i: lift(vector(i)))


def _number_row(name: str) -> Lift:
    return lambda v: v.whole(f"vf{name}_", v.d, v.n, v.m)


def accumulate_numbers(v: Vector, n: int, m: int, by: str) -> None:
    """d = d <by> n * m; the product is rounded by itself."""
    v.whole("vfmul_", scratch(0), n, m)
    v.whole(f"vf{by}_", v.d, v.d, scratch(0))


def _fused(v: Vector, negate: bool) -> None:
    factor = v.n
    if negate:
        factor = scratch(0)
        v.whole("vfneg_", factor, v.n)
    v.whole("vfma_", v.d, v.d, factor, v.m)


def _absolute_difference(v: Vector) -> None:
    v.whole("vfsub_", v.d, v.n, v.m)
    v.whole("vfabs_", v.d, v.d)


def _pairwise(name: str) -> Lift:
    def lift(v: Vector) -> None:
        v.i.emit("arm_vfpairs0", half(0), v.n, v.m)
        v.i.emit("arm_vfpairs1", half(1), v.n, v.m)
        v.i.emit(f"arm_vf{name}_64", v.d, half(0), half(1))

    return lift


numbers(0, "1100", 1, 0, "vfma_f32", lambda v: _fused(v, False))
numbers(0, "1100", 1, 1, "vfms_f32", lambda v: _fused(v, True))
numbers(0, "1101", 0, 0, "vadd_f32", _number_row("add"))
numbers(0, "1101", 0, 1, "vsub_f32", _number_row("sub"))
numbers(1, "1101", 0, 0, "vpadd_f32", _pairwise("add"), quad=False)
numbers(1, "1101", 0, 1, "vabd_f32", _absolute_difference)
numbers(0, "1101", 1, 0, "vmla_f32", lambda v: accumulate_numbers(v, v.n, v.m, "add"))
numbers(0, "1101", 1, 1, "vmls_f32", lambda v: accumulate_numbers(v, v.n, v.m, "sub"))
numbers(1, "1101", 1, 0, "vmul_f32", _number_row("mul"))
numbers(0, "1110", 0, 0, "vceq_f32", _number_row("ceq"))
numbers(1, "1110", 0, 0, "vcge_f32", _number_row("cge"))
numbers(1, "1110", 0, 1, "vcgt_f32", _number_row("cgt"))
numbers(1, "1110", 1, 0, "vacge_f32", _number_row("acge"))
numbers(1, "1110", 1, 1, "vacgt_f32", _number_row("acgt"))
numbers(0, "1111", 0, 0, "vmax_f32", _number_row("max"))
numbers(0, "1111", 0, 1, "vmin_f32", _number_row("min"))
numbers(1, "1111", 0, 0, "vpmax_f32", _pairwise("max"), quad=False)
numbers(1, "1111", 0, 1, "vpmin_f32", _pairwise("min"), quad=False)
numbers(0, "1111", 1, 0, "vrecps_f32", _number_row("recps"))
numbers(0, "1111", 1, 1, "vrsqrts_f32", _number_row("rsqrts"))


# -- different lengths -----------------------------------------------------------------------------------------------


def different(u: str, a: str, name: str, sizes: str, lift: Lift, wide: str = "d") -> None:
    """Three registers of different lengths: those in ``wide`` are quadwords."""
    allowed = {int(c) for c in sizes}

    def bad(f: Fields) -> bool:
        return f["z"] not in allowed or any(f[letter] & 1 for letter in wide)

    neon(f"1111 001{u} 1Dzz nnnn dddd {a} N0M0 mmmm", name, bad=bad)(lambda i: lift(doubled(i)))


def doubled(i: Insn) -> Vector:
    """The quadwords of an instruction on doublewords: lanes of twice the width."""
    v = vector(i)
    v.w, v.k = 128, 2 * v.k
    return v


def _extended(v: Vector, number: int, source: int) -> int:
    """A doubleword register's lanes, extended, in a scratch register."""
    v.i.emit(f"arm_vmovl{v.s}{v.k // 2}", scratch(number), source)
    return scratch(number)


def _long(name: str, wide_first: bool) -> Lift:
    """VADDL, VSUBL, and (``wide_first``) VADDW, VSUBW."""

    def lift(v: Vector) -> None:
        first = v.n if wide_first else _extended(v, 0, v.n)
        v.emit(name, v.d, first, _extended(v, 1, v.m))

    return lift


def _difference(v: Vector, accumulates: bool) -> None:
    a, b = _extended(v, 0, v.n), _extended(v, 1, v.m)
    v.emit(f"vabd{v.s}", scratch(2) if accumulates else v.d, a, b)
    if accumulates:
        v.emit("vadd", v.d, v.d, scratch(2))


def _high_half(name: str, rounding: bool) -> Lift:
    """VADDHN and the like."""

    def lift(v: Vector) -> None:
        n = v.k // 2
        v.emit(name, scratch(0), v.n, v.m)
        if rounding:
            v.i.emit("arm_vsplat128", scratch(1), imm=_splat(1 << n - 1, v.k))
            v.emit("vadd", scratch(0), scratch(0), scratch(1))
        v.emit("vshru", scratch(0), scratch(0), imm=n)
        v.i.emit(f"arm_vmovn{n}", v.d, scratch(0))

    return lift


def _splat(value: int, k: int) -> int:
    """A value in all lanes of 64 bits, as a signed number."""
    bits = sum((value & (1 << k) - 1) << at for at in range(0, 64, k))
    return bits - (bits >> 63 << 64)


def product_long(v: Vector, n: int, m: int, by: str) -> None:
    """VMULL, and with ``by`` VMLAL and VMLSL."""
    v.i.emit(f"arm_vmull{v.s}{v.k // 2}", scratch(0) if by else v.d, n, m)
    if by:
        v.emit(by, v.d, v.d, scratch(0))


def product_doubled(v: Vector, n: int, m: int, by: str) -> None:
    """VQDMULL, and with ``by`` VQDMLAL and VQDMLSL."""
    v.i.emit(f"arm_vqdmull{v.k // 2}", scratch(0) if by else v.d, n, m)
    if by:
        v.emit(by, v.d, v.d, scratch(0))


different("U", "0000", "vaddl", "012", _long("vadd", False))
different("U", "0001", "vaddw", "012", _long("vadd", True), "dn")
different("U", "0010", "vsubl", "012", _long("vsub", False))
different("U", "0011", "vsubw", "012", _long("vsub", True), "dn")
different("0", "0100", "vaddhn", "012", _high_half("vadd", False), "nm")
different("1", "0100", "vraddhn", "012", _high_half("vadd", True), "nm")
different("0", "0110", "vsubhn", "012", _high_half("vsub", False), "nm")
different("1", "0110", "vrsubhn", "012", _high_half("vsub", True), "nm")
different("U", "0101", "vabal", "012", lambda v: _difference(v, True))
different("U", "0111", "vabdl", "012", lambda v: _difference(v, False))
different("U", "1000", "vmlal", "012", lambda v: product_long(v, v.n, v.m, "vadd"))
different("U", "1010", "vmlsl", "012", lambda v: product_long(v, v.n, v.m, "vsub"))
different("U", "1100", "vmull", "012", lambda v: product_long(v, v.n, v.m, ""))
different("0", "1001", "vqdmlal", "12", lambda v: product_doubled(v, v.n, v.m, "vqadds"))
different("0", "1011", "vqdmlsl", "12", lambda v: product_doubled(v, v.n, v.m, "vqsubs"))
different("0", "1101", "vqdmull", "12", lambda v: product_doubled(v, v.n, v.m, ""))
different("0", "1110", "vmull_p8", "0", lambda v: v.i.emit("arm_vmullp8", v.d, v.n, v.m))


# -- with a scalar ---------------------------------------------------------------------------------------------------


def _scalar(i: Insn, w: int) -> int:
    """The scalar in all lanes of a scratch register."""
    size = 8 << i["z"]
    half_word = st.d(i["m"] & 7) + 2 * (i["M"] << 1 | i["m"] >> 3)
    source = half_word if size == 16 else st.d(i["m"]) + 4 * i["M"]
    i.emit(f"arm_vdup{size}_{w}", scratch(3), source)
    return scratch(3)


def by_scalar(a: str, name: str, sizes: str, lift: Callable[[Vector, int], None]) -> None:
    """Two registers of the same length and a scalar; ``lift(vector, scalar)``."""
    allowed, unaligned = {int(c) for c in sizes}, odd("d", "n")
    pattern = f"1111 001Q 1Dzz nnnn dddd {a} N1M0 mmmm"

    def register(i: Insn) -> None:
        v = vector(i)
        lift(v, _scalar(i, v.w))

    neon(pattern, f"{name}_scalar", bad=lambda f: f["z"] not in allowed or unaligned(f))(register)


def long_by_scalar(u: str, a: str, name: str, lift: Callable[[Vector, int], None]) -> None:
    """A doubleword register and a scalar, to a quadword."""

    def bad(f: Fields) -> bool:
        return f["z"] not in (1, 2) or bool(f["d"] & 1)

    neon(f"1111 001{u} 1Dzz nnnn dddd {a} N1M0 mmmm", f"{name}_scalar", bad=bad)(
        lambda i: lift(doubled(i), _scalar(i, 64))
    )


by_scalar("0000", "vmla", "12", lambda v, x: accumulate(v, "vmul", v.n, x, "vadd"))
by_scalar("0100", "vmls", "12", lambda v, x: accumulate(v, "vmul", v.n, x, "vsub"))
by_scalar("1000", "vmul", "12", lambda v, x: v.emit("vmul", v.d, v.n, x))
by_scalar("0001", "vmla_f32", "2", lambda v, x: accumulate_numbers(v, v.n, x, "add"))
by_scalar("0101", "vmls_f32", "2", lambda v, x: accumulate_numbers(v, v.n, x, "sub"))
by_scalar("1001", "vmul_f32", "2", lambda v, x: v.whole("vfmul_", v.d, v.n, x))
by_scalar("1100", "vqdmulh", "12", lambda v, x: v.emit("vqdmulh", v.d, v.n, x))
by_scalar("1101", "vqrdmulh", "12", lambda v, x: v.emit("vqrdmulh", v.d, v.n, x))
long_by_scalar("U", "0010", "vmlal", lambda v, x: product_long(v, v.n, x, "vadd"))
long_by_scalar("U", "0110", "vmlsl", lambda v, x: product_long(v, v.n, x, "vsub"))
long_by_scalar("U", "1010", "vmull", lambda v, x: product_long(v, v.n, x, ""))
long_by_scalar("0", "0011", "vqdmlal", lambda v, x: product_doubled(v, v.n, x, "vqadds"))
long_by_scalar("0", "0111", "vqdmlsl", lambda v, x: product_doubled(v, v.n, x, "vqsubs"))
long_by_scalar("0", "1011", "vqdmull", lambda v, x: product_doubled(v, v.n, x, ""))
