"""Integer Advanced SIMD micro-ops in plain LLVM IR (DDI 0406C, A8.8).

Rows are named ``arm_<mnemonic><lane bits>_<vector bits>``, with ``s`` or ``u`` before the lane bits where signs matter.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frontends.arm.lanes import BOTH, Lanes, saturates
from jitrr.microops.table import row, rows

Body = Callable[..., str]
NARROW = (8, 16, 32)
EVERY = (8, 16, 32, 64)


def lanewise(
    name: str, sizes: tuple[int, ...], body: Body, operands: str = "a b", widths: tuple[int, ...] = BOTH
) -> None:
    """Rows whose operands and result are vectors of the same lanes: ``body(lanes, *values)``."""
    for w in widths:
        for k in sizes:
            signature = f"d{w} <- " + " ".join(f"{o}{64 if o == 'i' else w}" for o in operands.split())

            def emit(e: Any, *values: str, w: int = w, k: int = k) -> str:
                lanes = Lanes(e, w // k, k)
                # The immediate is a number for all lanes.
                split = [
                    lanes.spread(v) if o == "i" else lanes.split(v)
                    for o, v in zip(operands.split(), values, strict=True)
                ]
                return lanes.join(body(lanes, *split))

            row(f"arm_{name}{k}_{w}", signature, emit)


# -- whole registers -------------------------------------------------------------------------------------------------

rows("arm_vand{w}", BOTH, "d{w} <- a{w} b{w}", lambda e, w, x, y: e.bin("and", w, x, y))
rows("arm_vorr{w}", BOTH, "d{w} <- a{w} b{w}", lambda e, w, x, y: e.bin("or", w, x, y))
rows("arm_veor{w}", BOTH, "d{w} <- a{w} b{w}", lambda e, w, x, y: e.bin("xor", w, x, y))


def _not(e: Any, w: int, x: str) -> str:
    return e.bin("xor", w, x, "-1" if w == 64 else "<i64 -1, i64 -1>")


rows("arm_vbic{w}", BOTH, "d{w} <- a{w} b{w}", lambda e, w, x, y: e.bin("and", w, x, _not(e, w, y)))
rows("arm_vorn{w}", BOTH, "d{w} <- a{w} b{w}", lambda e, w, x, y: e.bin("or", w, x, _not(e, w, y)))
rows("arm_vmvn{w}", BOTH, "d{w} <- a{w}", _not)
#: Bits of a where c has ones, of b elsewhere.
rows("arm_vbsl{w}", BOTH, "d{w} <- a{w} b{w} c{w}",
     lambda e, w, x, y, m: e.bin("xor", w, y, e.bin("and", w, e.bin("xor", w, x, y), m)))  # fmt: skip
#: The immediate in both halves.
row("arm_vsplat128", "d128 <- i64", lambda e, i: Lanes(e, 2, 64).spread(i))


# -- arithmetic ------------------------------------------------------------------------------------------------------


def _saturating(intrinsic: str, plain: str) -> Body:
    def body(v: Lanes, x: str, y: str) -> str:
        result = v.call(intrinsic, x, y)
        saturates(v.e, v.some(v.icmp("ne", result, v.bin(plain, x, y))))
        return result

    return body


def _halving_sub(shift: str) -> Body:
    def body(v: Lanes, x: str, y: str) -> str:
        borrow = v.bin("and", v.bin("and", v.invert(x), y), 1)
        return v.bin("sub", v.bin("sub", v.bin(shift, x, 1), v.bin(shift, y, 1)), borrow)

    return body


for _s, _shift in (("s", "ashr"), ("u", "lshr")):
    lanewise(f"vhadd{_s}", NARROW,
             lambda v, x, y, h=_shift: v.bin("add", v.bin("and", x, y), v.bin(h, v.bin("xor", x, y), 1)))  # fmt: skip
    lanewise(f"vrhadd{_s}", NARROW,
             lambda v, x, y, h=_shift: v.bin("sub", v.bin("or", x, y), v.bin(h, v.bin("xor", x, y), 1)))  # fmt: skip
    lanewise(f"vhsub{_s}", NARROW, _halving_sub(_shift))
    lanewise(f"vqadd{_s}", EVERY, _saturating(f"{_s}add.sat", "add"))
    lanewise(f"vqsub{_s}", EVERY, _saturating(f"{_s}sub.sat", "sub"))
    lanewise(f"vmax{_s}", NARROW, lambda v, x, y, s=_s: v.call(f"{s}max", x, y))
    lanewise(f"vmin{_s}", NARROW, lambda v, x, y, s=_s: v.call(f"{s}min", x, y))
    lanewise(f"vabd{_s}", EVERY, lambda v, x, y, s=_s: v.bin("sub", v.call(f"{s}max", x, y), v.call(f"{s}min", x, y)))
    lanewise(f"vcgt{_s}", NARROW, lambda v, x, y, s=_s: v.mask(v.icmp(f"{s}gt", x, y)))
    lanewise(f"vcge{_s}", NARROW, lambda v, x, y, s=_s: v.mask(v.icmp(f"{s}ge", x, y)))
lanewise("vadd", EVERY, lambda v, x, y: v.bin("add", x, y))
lanewise("vsub", EVERY, lambda v, x, y: v.bin("sub", x, y))
lanewise("vmul", NARROW, lambda v, x, y: v.bin("mul", x, y))
lanewise("vceq", NARROW, lambda v, x, y: v.mask(v.icmp("eq", x, y)))
lanewise("vtst", NARROW, lambda v, x, y: v.mask(v.icmp("ne", v.bin("and", x, y), 0)))
lanewise("vneg", NARROW, lambda v, x: v.neg(x), "a")
lanewise("vabs", NARROW, lambda v, x: v.call("abs", x, "i1 false"), "a")
lanewise("vclz", NARROW, lambda v, x: v.call("ctlz", x, "i1 false"), "a")
lanewise("vcnt", (8,), lambda v, x: v.call("ctpop", x), "a")


def _cls(v: Lanes, x: str) -> str:
    return v.bin("sub", v.call("ctlz", v.bin("xor", x, v.bin("ashr", x, v.k - 1)), "i1 false"), 1)


def _saturating_negation(v: Lanes, x: str) -> str:
    least = v.icmp("eq", x, -(1 << v.k - 1))
    saturates(v.e, v.some(least))
    return v.select(least, v.const((1 << v.k - 1) - 1), v.neg(x))


def _qabs(v: Lanes, x: str) -> str:
    return v.select(v.icmp("slt", x, 0), _saturating_negation(v, x), x)


lanewise("vcls", NARROW, _cls, "a")
lanewise("vqneg", NARROW, _saturating_negation, "a")
lanewise("vqabs", NARROW, _qabs, "a")


def _doubling_high(rounding: bool) -> Body:
    """VQDMULH: the high half of twice the product."""

    def body(v: Lanes, x: str, y: str) -> str:
        wide = Lanes(v.e, v.n, 2 * v.k)
        product = wide.bin("mul", v.resize("sext", x, wide), v.resize("sext", y, wide))
        if rounding:
            product = wide.bin("add", product, 1 << v.k - 2)
        result = wide.bin("ashr", product, v.k - 1)
        over = wide.icmp("eq", result, 1 << v.k - 1)
        saturates(v.e, wide.some(over))
        return v.select(over, v.const((1 << v.k - 1) - 1), wide.resize("trunc", result, v))

    return body


lanewise("vqdmulh", (16, 32), _doubling_high(False))
lanewise("vqrdmulh", (16, 32), _doubling_high(True))


def _polynomial(v: Lanes, x: str, y: str) -> str:
    """The carry-less product of bytes, in lanes at least as wide."""
    result = "zeroinitializer"
    for bit in range(8):
        chosen = v.neg(v.bin("and", v.bin("lshr", y, bit), 1))
        result = v.bin("xor", result, v.bin("and", v.bin("shl", x, bit), chosen))
    return result


lanewise("vmulp", (8,), _polynomial)


# -- twice as wide, half as wide, pairs ------------------------------------------------------------------------------


def widening(name: str, body: Callable[[Lanes, str, str], str], how: str, sizes: tuple[int, ...]) -> None:
    """Rows from two D registers to a Q register: ``body`` gets lanes of twice the width."""
    for k in sizes:

        def emit(e: Any, x: str, y: str, k: int = k) -> str:
            narrow, wide = Lanes(e, 64 // k, k), Lanes(e, 64 // k, 2 * k)
            return wide.join(body(wide, *(narrow.resize(how, narrow.split(z), wide) for z in (x, y))))

        row(f"arm_{name}{k}", "d128 <- a64 b64", emit)


def _doubled_product(v: Lanes, x: str, y: str) -> str:
    product = v.bin("mul", x, y)
    return _saturating("sadd.sat", "add")(v, product, product)


widening("vmulls", lambda v, x, y: v.bin("mul", x, y), "sext", NARROW)
widening("vmullu", lambda v, x, y: v.bin("mul", x, y), "zext", NARROW)
widening("vmullp", _polynomial, "zext", (8,))
widening("vqdmull", _doubled_product, "sext", (16, 32))


def _movl(e: Any, k: int, how: str, x: str) -> str:
    narrow, wide = Lanes(e, 64 // k, k), Lanes(e, 64 // k, 2 * k)
    return wide.join(narrow.resize(how, narrow.split(x), wide))


def _movn(e: Any, k: int, x: str) -> str:
    wide, narrow = Lanes(e, 64 // k, 2 * k), Lanes(e, 64 // k, k)
    return narrow.join(wide.resize("trunc", wide.split(x), narrow))


def _qmovn(e: Any, k: int, x: str, source: str, least: int, most: int) -> str:
    wide, narrow = Lanes(e, 64 // k, 2 * k), Lanes(e, 64 // k, k)
    value = wide.split(x)
    result = wide.call(f"{source}min", value, wide.const(most))
    if source == "s":
        result = wide.call("smax", result, wide.const(least))
    saturates(e, wide.some(wide.icmp("ne", result, value)))
    return narrow.join(wide.resize("trunc", result, narrow))


def _paddl(e: Any, w: int, k: int, shift: str, x: str) -> str:
    wide = Lanes(e, w // k // 2, 2 * k)
    value = wide.split(x)
    low = wide.bin(shift, wide.bin("shl", value, k), k)
    return wide.join(wide.bin("add", low, wide.bin(shift, value, k)))


for _k in NARROW:
    row(f"arm_vmovls{_k}", "d128 <- a64", lambda e, x, k=_k: _movl(e, k, "sext", x))
    row(f"arm_vmovlu{_k}", "d128 <- a64", lambda e, x, k=_k: _movl(e, k, "zext", x))
    row(f"arm_vmovn{_k}", "d64 <- a128", lambda e, x, k=_k: _movn(e, k, x))
    #: Signed to signed, unsigned to unsigned, signed to unsigned.
    row(f"arm_vqmovns{_k}", "d64 <- a128", lambda e, x, k=_k: _qmovn(e, k, x, "s", -(1 << k - 1), (1 << k - 1) - 1))
    row(f"arm_vqmovnu{_k}", "d64 <- a128", lambda e, x, k=_k: _qmovn(e, k, x, "u", 0, (1 << k) - 1))
    row(f"arm_vqmovun{_k}", "d64 <- a128", lambda e, x, k=_k: _qmovn(e, k, x, "s", 0, (1 << k) - 1))
    for _w in BOTH:
        row(f"arm_vpaddls{_k}_{_w}", f"d{_w} <- a{_w}", lambda e, x, k=_k, w=_w: _paddl(e, w, k, "ashr", x))
        row(f"arm_vpaddlu{_k}_{_w}", f"d{_w} <- a{_w}", lambda e, x, k=_k, w=_w: _paddl(e, w, k, "lshr", x))


def pairs(v: Lanes, x: str, y: str) -> tuple[str, str]:
    """Lanes with even and with odd numbers, of x and then of y."""
    return v.pick(x, y, list(range(0, 2 * v.n, 2))), v.pick(x, y, list(range(1, 2 * v.n, 2)))


def _pairwise(name: str, body: Body) -> None:
    """Rows on doublewords only: ``body(lanes, even, odd)``."""
    lanewise(name, NARROW, lambda v, x, y: body(v, *pairs(v, x, y)), widths=(64,))


_pairwise("vpadd", lambda v, x, y: v.bin("add", x, y))
for _s in "su":
    _pairwise(f"vpmax{_s}", lambda v, x, y, s=_s: v.call(f"{s}max", x, y))
    _pairwise(f"vpmin{_s}", lambda v, x, y, s=_s: v.call(f"{s}min", x, y))


# -- shifts ----------------------------------------------------------------------------------------------------------

lanewise("vshl", EVERY, lambda v, x, n: v.bin("shl", x, n), "a i")
lanewise("vshrs", EVERY, lambda v, x, n: v.bin("ashr", x, n), "a i")
lanewise("vshru", EVERY, lambda v, x, n: v.bin("lshr", x, n), "a i")


def _right(v: Lanes, x: str, n: str, signed: bool, rounding: bool) -> str:
    """x >> n for any n from 0 (not rounding) or 1 on (lanes of their own), in unlimited precision."""

    def plain(by: str) -> str:
        if signed:
            return v.bin("ashr", x, v.call("umin", by, v.const(v.k - 1)))
        inside = v.icmp("ult", by, v.k)
        return v.select(inside, v.bin("lshr", x, v.bin("and", by, v.k - 1)), v.const(0))

    result = plain(n)
    if rounding:
        result = v.bin("add", result, v.bin("and", plain(v.bin("sub", n, 1)), 1))
    return result


def _left(v: Lanes, x: str, n: str) -> str:
    return v.select(v.icmp("ult", n, v.k), v.bin("shl", x, v.bin("and", n, v.k - 1)), v.const(0))


def _saturating_left(v: Lanes, x: str, n: str, here: str, signed: bool) -> str:
    """x << n; QC where bits are lost in a lane that counts (``here``)."""
    result = _left(v, x, n)
    shift = v.bin("and", n, v.k - 1)
    lost = v.icmp("ne", v.bin("ashr" if signed else "lshr", result, shift), x)
    lost = v.e.let(f"or <{v.n} x i1> {lost}, {v.icmp('uge', n, v.k)}")
    lost = v.e.let(f"and <{v.n} x i1> {lost}, {v.icmp('ne', x, 0)}")
    lost = v.e.let(f"and <{v.n} x i1> {lost}, {here}")
    saturates(v.e, v.some(lost))
    most = v.const(-1)
    if signed:
        most = v.bin("xor", v.bin("ashr", x, v.k - 1), (1 << v.k - 1) - 1)
    return v.select(lost, most, result)


def _by_register(signed: bool, rounding: bool, saturating: bool) -> Body:
    """VSHL, VRSHL, VQSHL, VQRSHL by the signed low byte of each lane of y."""

    def body(v: Lanes, x: str, y: str) -> str:
        n = v.bin("ashr", v.bin("shl", y, v.k - 8), v.k - 8) if v.k > 8 else y
        to_left = v.icmp("sge", n, 0)
        left = _saturating_left(v, x, n, to_left, signed) if saturating else _left(v, x, n)
        return v.select(to_left, left, _right(v, x, v.neg(n), signed, rounding))

    return body


for _s in "su":
    lanewise(f"vshl{_s}", EVERY, _by_register(_s == "s", False, False))
    lanewise(f"vrshl{_s}", EVERY, _by_register(_s == "s", True, False))
    lanewise(f"vqshl{_s}", EVERY, _by_register(_s == "s", False, True))
    lanewise(f"vqrshl{_s}", EVERY, _by_register(_s == "s", True, True))


def _qshlu(v: Lanes, x: str, n: str) -> str:
    """VQSHLU: signed to unsigned, to the left by an immediate."""
    negative = v.icmp("slt", x, 0)
    saturates(v.e, v.some(negative))
    return _saturating_left(v, v.select(negative, v.const(0), x), n, v.icmp("sge", x, 0), False)


lanewise("vqshlun", EVERY, _qshlu, "a i")


# -- permutations ----------------------------------------------------------------------------------------------------


def _reversed(k: int, group: int) -> Body:
    def body(v: Lanes, x: str) -> str:
        n = group // k
        return v.pick(x, x, [at - at % n + n - 1 - at % n for at in range(v.n)])

    return body


for _group in (16, 32, 64):
    lanewise(
        f"vrev{_group}_", tuple(k for k in NARROW if k < _group), lambda v, x, g=_group: _reversed(v.k, g)(v, x), "a"
    )


def _transposed(n: int, half: int) -> list[int]:
    """VTRN's first or second register, of ``n`` lanes each."""
    return [at // 2 * 2 + half + n * (at % 2) for at in range(n)]


def _zipped(n: int, half: int) -> list[int]:
    return [half * n // 2 + at // 2 + n * (at % 2) for at in range(n)]


def _unzipped(n: int, half: int) -> list[int]:
    return [2 * at + half for at in range(n)]


for _name, _order in (("vtrn", _transposed), ("vzip", _zipped), ("vuzp", _unzipped)):
    for _half in (0, 1):
        lanewise(f"{_name}{_half}_", NARROW, lambda v, x, y, h=_half, o=_order: v.pick(x, y, o(v.n, h)))


def _ext(w: int, first: int) -> None:
    def emit(e: Any, x: str, y: str) -> str:
        v = Lanes(e, w // 8, 8)
        return v.join(v.pick(v.split(x), v.split(y), [first + at for at in range(w // 8)]))

    row(f"arm_vext{first}_{w}", f"d{w} <- a{w} b{w}", emit)


for _w in BOTH:
    for _first in range(1, _w // 8):
        _ext(_w, _first)


def _dup(w: int, k: int) -> None:
    def emit(e: Any, x: str) -> str:
        v = Lanes(e, w // k, k)
        return v.join(v.spread(e.zext(k, x)))

    row(f"arm_vdup{k}_{w}", f"d{w} <- a{k}", emit)


for _w in BOTH:
    for _k in NARROW:
        _dup(_w, _k)


def _three(e: Any, k: int, registers: tuple[str, str, str], lanes: list[int]) -> str:
    """A D register of lanes out of three."""
    v = Lanes(e, 64 // k, k)
    x, y, z = (v.split(r) for r in registers)
    both = Lanes(e, 2 * v.n, k)
    low = v.pick(x, y, list(range(2 * v.n)))
    high = v.pick(z, z, [*range(v.n), *range(v.n)])
    return v.join(both.pick(low, high, lanes))


def _every_third(n: int, at: int) -> list[int]:
    """VLD3: the lanes of structure member ``at`` among those in memory, ``n`` in a register."""
    return [at + 3 * lane for lane in range(n)]


def _in_turn(n: int, at: int) -> list[int]:
    """VST3: what is in the ``at``-th doubleword of memory, of the lanes of three registers."""
    return [n * (number % 3) + number // 3 for number in range(n * at, n * at + n)]


for _name, _places in (("vld3_", _every_third), ("vst3_", _in_turn)):
    for _k in NARROW:
        for _at in range(3):
            row(f"arm_{_name}{_at}_{_k}", "d64 <- a64 b64 c64",
                lambda e, x, y, z, k=_k, at=_at, o=_places: _three(e, k, (x, y, z), o(64 // k, at)))  # fmt: skip


# -- table lookup ----------------------------------------------------------------------------------------------------


def _vtbl(e: Any, indices: str, kept: str, where: str) -> str:
    """The immediate: CPU block offset of the table << 8, and its bytes."""
    table, size = e.bin("lshr", 64, where, 8), e.bin("and", 64, where, 255)
    return str(e.plain_helper("arm_vtbl", table, size, indices, kept))


row("arm_vtbl", "d64 <- a64 b64 i64", _vtbl, cold=True)
