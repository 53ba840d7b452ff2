"""Integer vector micro-ops in plain LLVM IR, for 64 bits (MMX) and 128 bits (SSE) alike.

Rows are named ``x86_<mnemonic><bits>``. Values come as i64 or <2 x i64> and are seen as vectors of lanes here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from frontends.x86.flags import flag, set_bits
from frontends.x86.state import CF, ZF
from jitrr.microops.emit import llvm_type
from jitrr.microops.table import row, rows

BOTH = (64, 128)


def vec(w: int, k: int) -> str:
    """The vector type of ``w`` bits in lanes of ``k``."""
    return f"<{w // k} x i{k}>"


def split(e: Any, w: int, k: int, x: str) -> str:
    """A value as lanes of ``k`` bits."""
    return x if (w, k) == (128, 64) else e.let(f"bitcast {llvm_type(w)} {x} to {vec(w, k)}")


def join(e: Any, w: int, k: int, x: str) -> str:
    """Lanes of ``k`` bits as a value."""
    return x if (w, k) == (128, 64) else e.let(f"bitcast {vec(w, k)} {x} to {llvm_type(w)}")


def op(e: Any, name: str, t: str, x: str, y: str) -> str:
    """A binary IR operation on vectors."""
    return e.let(f"{name} {t} {x}, {y}")


def call(e: Any, name: str, t: str, *args: str) -> str:
    """A vector intrinsic whose arguments and result are all of type ``t``; ``i1 ..`` arguments are passed as they
    are."""
    suffix = "v" + t[1:-1].replace(" x ", "")
    texts = [a if a.startswith("i1 ") else f"{t} {a}" for a in args]
    e.declare(f"llvm.{name}.{suffix}", t, ["i1" if a.startswith("i1 ") else t for a in args])
    return e.let(f"call {t} @llvm.{name}.{suffix}({', '.join(texts)})")


def splat(t: str, value: int) -> str:
    """A constant in every lane."""
    count, lane = t[1:-1].split(" x ")
    return "<" + ", ".join([f"{lane} {value}"] * int(count)) + ">"


def pick(e: Any, w: int, k: int, x: str, y: str, lanes: list[int]) -> str:
    """Lanes by number out of two vectors of ``w`` bits (``y``'s come behind ``x``'s)."""
    mask = ", ".join(f"i32 {n}" for n in lanes)
    t = vec(w, k)
    return e.let(f"shufflevector {t} {x}, {t} {y}, <{len(lanes)} x i32> <{mask}>")


def spread(e: Any, how: str, w: int, k: int, x: str) -> tuple[str, str]:
    """Lanes extended to twice their width: (type, value)."""
    wide = f"<{w // k} x i{2 * k}>"
    return wide, e.let(f"{how} {vec(w, k)} {x} to {wide}")


def narrow(e: Any, w: int, k: int, wide: str, x: str) -> str:
    return e.let(f"trunc {wide} {x} to {vec(w, k)}")


Lanes = Callable[[Any, int, str, str], str]  # (emit, w, a, b) in lanes of the row's width, giving the same


def lane_rows(name: str, k: int, body: Lanes, widths: tuple[int, ...] = BOTH) -> None:
    """A two-operand row per width over lanes of ``k`` bits."""
    rows(f"x86_{name}{{w}}", widths, "d{w} <- a{w} b{w}",
         lambda e, w, a, b: join(e, w, k, body(e, w, split(e, w, k, a), split(e, w, k, b))))  # fmt: skip


def simple(name: str, k: int, ir: str, widths: tuple[int, ...] = BOTH) -> None:
    """A row that is one IR operation, or one intrinsic when its name has a dot or is one of min and max."""
    if ir.endswith(("min", "max", ".sat")):
        lane_rows(name, k, lambda e, w, a, b: call(e, ir, vec(w, k), a, b), widths)
    else:
        lane_rows(name, k, lambda e, w, a, b: op(e, ir, vec(w, k), a, b), widths)


for _letter, _k in (("b", 8), ("w", 16), ("d", 32), ("q", 64)):
    simple(f"padd{_letter}", _k, "add")
    simple(f"psub{_letter}", _k, "sub")
for _letter, _k in (("b", 8), ("w", 16)):
    simple(f"padds{_letter}", _k, "sadd.sat")
    simple(f"paddus{_letter}", _k, "uadd.sat")
    simple(f"psubs{_letter}", _k, "ssub.sat")
    simple(f"psubus{_letter}", _k, "usub.sat")
for _letter, _k in (("b", 8), ("w", 16), ("d", 32)):
    simple(f"pmins{_letter}", _k, "smin")
    simple(f"pmaxs{_letter}", _k, "smax")
    simple(f"pminu{_letter}", _k, "umin")
    simple(f"pmaxu{_letter}", _k, "umax")
simple("pmullw", 16, "mul")
simple("pmulld", 32, "mul", (128,))
for _name in ("and", "or", "xor"):
    simple(f"p{_name}", 64, _name)
lane_rows(
    "pandn", 64, lambda e, w, a, b: op(e, "and", vec(w, 64), op(e, "xor", vec(w, 64), a, splat(vec(w, 64), -1)), b)
)


def _compare(predicate: str, k: int) -> Lanes:
    def body(e: Any, w: int, a: str, b: str) -> str:
        found = e.let(f"icmp {predicate} {vec(w, k)} {a}, {b}")
        return e.let(f"sext <{w // k} x i1> {found} to {vec(w, k)}")

    return body


for _letter, _k in (("b", 8), ("w", 16), ("d", 32), ("q", 64)):
    lane_rows(f"pcmpeq{_letter}", _k, _compare("eq", _k), BOTH if _k < 64 else (128,))
    lane_rows(f"pcmpgt{_letter}", _k, _compare("sgt", _k), BOTH if _k < 64 else (128,))


def _average(k: int) -> Lanes:
    def body(e: Any, w: int, a: str, b: str) -> str:
        wide, x = spread(e, "zext", w, k, a)
        total = op(e, "add", wide, op(e, "add", wide, x, spread(e, "zext", w, k, b)[1]), splat(wide, 1))
        return narrow(e, w, k, wide, op(e, "lshr", wide, total, splat(wide, 1)))

    return body


lane_rows("pavgb", 8, _average(8))
lane_rows("pavgw", 16, _average(16))


def _high_product(how: str) -> Lanes:
    def body(e: Any, w: int, a: str, b: str) -> str:
        wide, x = spread(e, how, w, 16, a)
        product = op(e, "mul", wide, x, spread(e, how, w, 16, b)[1])
        return narrow(e, w, 16, wide, op(e, "lshr", wide, product, splat(wide, 16)))

    return body


lane_rows("pmulhw", 16, _high_product("sext"))
lane_rows("pmulhuw", 16, _high_product("zext"))


def _rounded_product(e: Any, w: int, a: str, b: str) -> str:
    wide, x = spread(e, "sext", w, 16, a)
    product = op(e, "mul", wide, x, spread(e, "sext", w, 16, b)[1])
    rounded = op(e, "add", wide, op(e, "lshr", wide, product, splat(wide, 14)), splat(wide, 1))
    return narrow(e, w, 16, wide, op(e, "lshr", wide, rounded, splat(wide, 1)))


lane_rows("pmulhrsw", 16, _rounded_product)


def _low_product(signed: bool) -> Lanes:
    def extend(e: Any, t: str, x: str) -> str:
        if not signed:
            return op(e, "and", t, x, splat(t, 0xFFFFFFFF))
        return op(e, "ashr", t, op(e, "shl", t, x, splat(t, 32)), splat(t, 32))

    return lambda e, w, a, b: op(e, "mul", vec(w, 64), extend(e, vec(w, 64), a), extend(e, vec(w, 64), b))


lane_rows("pmuludq", 64, _low_product(False))
lane_rows("pmuldq", 64, _low_product(True), (128,))


def _evens(e: Any, w: int, k: int, x: str, y: str) -> str:
    """Lanes 0, 2, 4... of the pair of vectors."""
    return pick(e, w, k, x, y, list(range(0, 2 * w // k, 2)))


def _odds(e: Any, w: int, k: int, x: str, y: str) -> str:
    return pick(e, w, k, x, y, list(range(1, 2 * w // k, 2)))


def _multiply_add(e: Any, w: int, a: str, b: str) -> str:
    """PMADDWD: products of signed words, added in pairs."""
    wide, x = spread(e, "sext", w, 16, split(e, w, 16, a))
    product = op(e, "mul", wide, x, spread(e, "sext", w, 16, split(e, w, 16, b))[1])
    n = w // 16
    first, second = (
        e.let(f"shufflevector {wide} {product}, {wide} {product}, <{n // 2} x i32> <"
              + ", ".join(f"i32 {lane}" for lane in range(start, n, 2)) + ">")
        for start in (0, 1)
    )  # fmt: skip
    return join(e, w, 32, op(e, "add", vec(w, 32), first, second))


def _multiply_add_bytes(e: Any, w: int, a: str, b: str) -> str:
    """PMADDUBSW: unsigned bytes times signed bytes, added in pairs with saturation."""
    wide, x = spread(e, "zext", w, 8, split(e, w, 8, a))
    product = op(e, "mul", wide, x, spread(e, "sext", w, 8, split(e, w, 8, b))[1])
    n = w // 8
    first, second = (
        e.let(f"shufflevector {wide} {product}, {wide} {product}, <{n // 2} x i32> <"
              + ", ".join(f"i32 {lane}" for lane in range(start, n, 2)) + ">")
        for start in (0, 1)
    )  # fmt: skip
    return join(e, w, 16, call(e, "sadd.sat", vec(w, 16), first, second))


rows("x86_pmaddwd{w}", BOTH, "d{w} <- a{w} b{w}", _multiply_add)
rows("x86_pmaddubsw{w}", BOTH, "d{w} <- a{w} b{w}", _multiply_add_bytes)


def _horizontal(k: int, ir: str, how: Callable[..., str]) -> Lanes:
    """Neighbours with each other: an IR operation or intrinsic of even and odd lanes."""
    return lambda e, w, a, b: how(e, ir, vec(w, k), _evens(e, w, k, a, b), _odds(e, w, k, a, b))


for _name, _k, _ir in (("phaddw", 16, "add"), ("phaddd", 32, "add"), ("phsubw", 16, "sub"), ("phsubd", 32, "sub")):
    lane_rows(_name, _k, _horizontal(_k, _ir, op))
for _name, _ir in (("phaddsw", "sadd.sat"), ("phsubsw", "ssub.sat")):
    lane_rows(_name, 16, _horizontal(16, _ir, call))


def _sign(k: int) -> Lanes:
    def body(e: Any, w: int, a: str, b: str) -> str:
        t, bits = vec(w, k), f"<{w // k} x i1>"
        minus = op(e, "sub", t, "zeroinitializer", a)
        below = e.let(f"icmp slt {t} {b}, zeroinitializer")
        zero = e.let(f"icmp eq {t} {b}, zeroinitializer")
        kept = e.let(f"select {bits} {zero}, {t} zeroinitializer, {t} {a}")
        return e.let(f"select {bits} {below}, {t} {minus}, {t} {kept}")

    return body


for _letter, _k in (("b", 8), ("w", 16), ("d", 32)):
    lane_rows(f"psign{_letter}", _k, _sign(_k))
    rows(f"x86_pabs{_letter}{{w}}", BOTH, "d{w} <- a{w}",
         lambda e, w, a, k=_k: join(e, w, k, call(e, "abs", vec(w, k), split(e, w, k, a), "i1 false")))  # fmt: skip


# -- unpacking, packing, shuffling -----------------------------------------------------------------------------------


def _interleave(k: int, high: bool) -> Lanes:
    def body(e: Any, w: int, a: str, b: str) -> str:
        n = w // k
        first = n // 2 if high else 0
        return pick(e, w, k, a, b, [lane for j in range(n // 2) for lane in (first + j, n + first + j)])

    return body


for _letters, _k in (("bw", 8), ("wd", 16), ("dq", 32), ("qdq", 64)):
    lane_rows(f"punpckl{_letters}", _k, _interleave(_k, False), BOTH if _k < 64 else (128,))
    lane_rows(f"punpckh{_letters}", _k, _interleave(_k, True), BOTH if _k < 64 else (128,))


def _pack(k: int, low: int, high: int) -> Callable[[Any, int, str, str], str]:
    """Lanes of ``k`` bits, taken as signed, limited to low..high and halved in width."""

    def body(e: Any, w: int, a: str, b: str) -> str:
        n = w // k
        both = e.let(f"shufflevector {vec(w, k)} {split(e, w, k, a)}, {vec(w, k)} {split(e, w, k, b)}, "
                     f"<{2 * n} x i32> <" + ", ".join(f"i32 {lane}" for lane in range(2 * n)) + ">")  # fmt: skip
        t = vec(2 * w, k)
        limited = call(e, "smin", t, call(e, "smax", t, both, splat(t, low)), splat(t, high))
        return join(e, w, k // 2, e.let(f"trunc {t} {limited} to {vec(w, k // 2)}"))

    return body


rows("x86_packsswb{w}", BOTH, "d{w} <- a{w} b{w}", _pack(16, -128, 127))
rows("x86_packuswb{w}", BOTH, "d{w} <- a{w} b{w}", _pack(16, 0, 255))
rows("x86_packssdw{w}", BOTH, "d{w} <- a{w} b{w}", _pack(32, -32768, 32767))
rows("x86_packusdw{w}", (128,), "d{w} <- a{w} b{w}", _pack(32, 0, 65535))


def _byte_shuffle(e: Any, x: str, mask: str) -> str:
    """PSHUFB on <16 x i8>."""
    name = "llvm.x86.ssse3.pshuf.b.128"
    e.declare(name, "<16 x i8>", ["<16 x i8>"] * 2)
    return e.let(f"call <16 x i8> @{name}(<16 x i8> {x}, <16 x i8> {mask})")


def _wide_bytes(e: Any, w: int, x: str) -> str:
    """A value as <16 x i8>, zero above 64 bits."""
    if w == 64:
        x = e.let(f"insertelement <2 x i64> zeroinitializer, i64 {x}, i64 0")
    return split(e, 128, 8, x)


def _from_bytes(e: Any, w: int, x: str) -> str:
    value = join(e, 128, 8, x)
    return value if w == 128 else e.let(f"extractelement <2 x i64> {value}, i64 0")


def _pshufb(e: Any, w: int, a: str, b: str) -> str:
    mask = _wide_bytes(e, w, b)
    if w == 64:
        mask = op(e, "and", "<16 x i8>", mask, splat("<16 x i8>", 0x87 - 256))
    return _from_bytes(e, w, _byte_shuffle(e, _wide_bytes(e, w, a), mask))


rows("x86_pshufb{w}", BOTH, "d{w} <- a{w} b{w}", _pshufb)


def _nibbles(e: Any, i: str) -> str:
    """The 16 nibbles of an i64 as bytes, lowest first."""
    t = "<16 x i8>"
    bytes8 = split(e, 128, 8, e.let(f"insertelement <2 x i64> zeroinitializer, i64 {i}, i64 0"))
    low = op(e, "and", t, bytes8, splat(t, 15))
    return pick(e, 128, 8, low, op(e, "lshr", t, bytes8, splat(t, 4)), [n for j in range(8) for n in (j, 16 + j)])


#: Nibble n of the immediate is the number of the source byte for byte n of the result.
rows("x86_shuffle{w}", BOTH, "d{w} <- a{w} i64",
     lambda e, w, a, i: _from_bytes(e, w, _byte_shuffle(e, _wide_bytes(e, w, a), _nibbles(e, i))))  # fmt: skip


def _shuffle_two(e: Any, a: str, b: str, i: str) -> str:
    """The lower half of the result out of ``a``, the upper out of ``b``."""
    mask = _nibbles(e, i)
    first = _byte_shuffle(e, split(e, 128, 8, a), mask)
    second = _byte_shuffle(e, split(e, 128, 8, b), mask)
    return join(e, 128, 8, pick(e, 128, 8, first, second, [*range(8), *range(24, 32)]))


row("x86_shuffle_two", "d128 <- a128 b128 i64", _shuffle_two)


def _align_right(e: Any, w: int, a: str, b: str, i: str) -> str:
    """PALIGNR: bytes i.. of the pair b (low), a (high); 0 <= i <= 2 * w / 8."""
    t, n = "<16 x i8>", w // 8
    count = e.trunc(64, i, 8)
    first = e.let(f"insertelement {t} zeroinitializer, i8 {count}, i64 0")
    index = op(e, "add", t, e.let(f"shufflevector {t} {first}, {t} {first}, <16 x i32> zeroinitializer"),
               "<" + ", ".join(f"i8 {j}" for j in range(16)) + ">")  # fmt: skip
    below, above = (e.let(f"icmp ult {t} {index}, {splat(t, limit)}") for limit in (n, 2 * n))
    high = op(e, "sub", t, index, splat(t, n))
    from_low = e.let(f"select <16 x i1> {below}, {t} {index}, {t} {splat(t, -128)}")
    inside = e.let(f"select <16 x i1> {above}, {t} {high}, {t} {splat(t, -128)}")
    from_high = e.let(f"select <16 x i1> {below}, {t} {splat(t, -128)}, {t} {inside}")
    low_part = _byte_shuffle(e, _wide_bytes(e, w, b), from_low)
    return _from_bytes(e, w, op(e, "or", t, low_part, _byte_shuffle(e, _wide_bytes(e, w, a), from_high)))


rows("x86_palignr{w}", BOTH, "d{w} <- a{w} b{w} i64", _align_right)


def _by_mask(e: Any, mask: str, a: str, b: str) -> str:
    """Bytes of ``b`` where the bit of an i16 is set, else of ``a``."""
    t = "<16 x i8>"
    bits = e.let(f"bitcast i16 {mask} to <16 x i1>")
    return join(e, 128, 8, e.let(f"select <16 x i1> {bits}, {t} {split(e, 128, 8, b)}, {t} {split(e, 128, 8, a)}"))


#: Bytes of b where the bit of the immediate is set, else of a; and bytes of a where it is set, else zero.
row("x86_blend", "d128 <- a128 b128 i16", lambda e, a, b, i: _by_mask(e, i, a, b))
row("x86_keep", "d128 <- a128 i16", lambda e, a, i: _by_mask(e, i, "zeroinitializer", a))


def _blend_by_sign(e: Any, k: int, a: str, b: str, mask: str) -> str:
    t = vec(128, k)
    chosen = e.let(f"icmp slt {t} {split(e, 128, k, mask)}, zeroinitializer")
    picked = e.let(f"select <{128 // k} x i1> {chosen}, {t} {split(e, 128, k, b)}, {t} {split(e, 128, k, a)}")
    return join(e, 128, k, picked)


for _name, _k in (("pblendvb", 8), ("blendvps", 32), ("blendvpd", 64)):
    row(f"x86_{_name}", "d128 <- a128 b128 c128", lambda e, a, b, c, k=_k: _blend_by_sign(e, k, a, b, c))


def _insert(e: Any, k: int, a: str, b: str, i: str) -> str:
    return join(e, 128, k, e.let(f"insertelement {vec(128, k)} {split(e, 128, k, a)}, i{k} {b}, i64 {i}"))


row("x86_insert32", "d128 <- a128 b32 i64", lambda e, a, b, i: _insert(e, 32, a, b, i))
row("x86_low32", "d128 <- a128 b32", lambda e, a, b: _insert(e, 32, a, b, "0"))
for _w in (32, 64):
    row(f"x86_zero{_w}", f"d128 <- a{_w}", lambda e, a, w=_w: _insert(e, w, "zeroinitializer", a, "0"))
row("x86_twice64", "d128 <- a64", lambda e, a: _insert(e, 64, _insert(e, 64, "zeroinitializer", a, "0"), a, "1"))


# -- shifts ----------------------------------------------------------------------------------------------------------


def _shift(e: Any, w: int, k: int, ir: str, a: str, count: str) -> str:
    """All lanes by an i64 count; as the instructions have it, a count of the lane width or more shifts everything
    out."""
    t = vec(w, k)
    big = e.icmp("ugt", 64, count, k - 1)
    small = e.trunc(64, e.select(big, 64, k - 1, count), k)
    one = e.let(f"insertelement {t} zeroinitializer, i{k} {small}, i64 0")
    each = e.let(f"shufflevector {t} {one}, {t} {one}, <{w // k} x i32> zeroinitializer")
    shifted = op(e, ir, t, split(e, w, k, a), each)
    if ir != "ashr":
        shifted = e.let(f"select i1 {big}, {t} zeroinitializer, {t} {shifted}")
    return join(e, w, k, shifted)


for _name, _ir in (("psll", "shl"), ("psrl", "lshr"), ("psra", "ashr")):
    for _letter, _k in (("w", 16), ("d", 32), ("q", 64)):
        if (_name, _letter) != ("psra", "q"):
            rows(f"x86_{_name}{_letter}{{w}}", BOTH, "d{w} <- a{w} b64",
                 lambda e, w, a, b, k=_k, ir=_ir: _shift(e, w, k, ir, a, b))  # fmt: skip
            rows(f"x86_{_name}{_letter}{{w}}i", BOTH, "d{w} <- a{w} i64",
                 lambda e, w, a, i, k=_k, ir=_ir: _shift(e, w, k, ir, a, i))  # fmt: skip


# -- sums, masks, widening -------------------------------------------------------------------------------------------


def _sum_differences(e: Any, w: int, a: str, b: str) -> str:
    """PSADBW: in each 64 bits, the sum of the absolute differences of the bytes."""
    t = vec(w, 8)
    x, y = split(e, w, 8, a), split(e, w, 8, b)
    difference = op(e, "sub", t, call(e, "umax", t, x, y), call(e, "umin", t, x, y))
    wide, value = spread(e, "zext", w, 8, difference)
    e.declare("llvm.vector.reduce.add.v8i16", "i16", ["<8 x i16>"])
    sums = []
    for first in range(0, w // 8, 8):
        lanes = ", ".join(f"i32 {first + j}" for j in range(8))
        part = e.let(f"shufflevector {wide} {value}, {wide} {value}, <8 x i32> <{lanes}>")
        sums.append(e.zext(16, e.let(f"call i16 @llvm.vector.reduce.add.v8i16(<8 x i16> {part})")))
    if w == 64:
        return sums[0]
    return _insert(e, 64, _insert(e, 64, "zeroinitializer", sums[0], "0"), sums[1], "1")


rows("x86_psadbw{w}", BOTH, "d{w} <- a{w} b{w}", _sum_differences)


def _sign_mask(e: Any, w: int, k: int, a: str) -> str:
    """The sign bit of every lane, as an i32."""
    n = w // k
    bits = e.let(f"icmp slt {vec(w, k)} {split(e, w, k, a)}, zeroinitializer")
    return e.let(f"zext i{n} {e.let(f'bitcast <{n} x i1> {bits} to i{n}')} to i32")


rows("x86_pmovmskb{w}", BOTH, "d32 <- a{w}", lambda e, w, a: _sign_mask(e, w, 8, a))
row("x86_movmskps", "d32 <- a128", lambda e, a: _sign_mask(e, 128, 32, a))
row("x86_movmskpd", "d32 <- a128", lambda e, a: _sign_mask(e, 128, 64, a))


def _widen(e: Any, how: str, k: int, to: int, a: str) -> str:
    n = 128 // to
    lanes = e.let(f"bitcast i{n * k} {a} to <{n} x i{k}>")
    return join(e, 128, to, e.let(f"{how} <{n} x i{k}> {lanes} to <{n} x i{to}>"))


for _letters, _k, _to in (("bw", 8, 16), ("bd", 8, 32), ("bq", 8, 64), ("wd", 16, 32), ("wq", 16, 64), ("dq", 32, 64)):
    for _name, _how in (("pmovsx", "sext"), ("pmovzx", "zext")):
        row(f"x86_{_name}{_letters}", f"d128 <- a{128 // _to * _k}",
            lambda e, a, how=_how, k=_k, to=_to: _widen(e, how, k, to, a))  # fmt: skip


def _minimum_position(e: Any, a: str) -> str:
    """PHMINPOSUW: the smallest word and where it is (the first of equals)."""
    t = "<8 x i32>"
    wide = e.let(f"zext <8 x i16> {split(e, 128, 16, a)} to {t}")
    keyed = op(e, "or", t, op(e, "shl", t, wide, splat(t, 3)), "<" + ", ".join(f"i32 {j}" for j in range(8)) + ">")
    e.declare("llvm.vector.reduce.umin.v8i32", "i32", [t])
    least = e.zext(32, e.let(f"call i32 @llvm.vector.reduce.umin.v8i32({t} {keyed})"))
    where = e.bin("shl", 64, e.bin("and", 64, least, 7), 16)
    return _insert(e, 64, "zeroinitializer", e.bin("or", 64, e.bin("lshr", 64, least, 3), where), "0")


row("x86_phminposuw", "d128 <- a128", _minimum_position)


def _sliding_differences(e: Any, a: str, b: str) -> str:
    """MPSADBW for offsets 0 and 0: word n is the sum over j of |a[n + j] - b[j]|, j = 0..3."""
    x, y, t = split(e, 128, 8, a), split(e, 128, 8, b), "<8 x i16>"
    total = "zeroinitializer"
    for j in range(4):
        run = e.let(f"zext <8 x i8> {pick(e, 128, 8, x, x, list(range(j, j + 8)))} to {t}")
        byte = e.let(f"zext <8 x i8> {pick(e, 128, 8, y, y, [j] * 8)} to {t}")
        total = op(e, "add", t, total, call(e, "abs", t, op(e, "sub", t, run, byte), "i1 false"))
    return join(e, 128, 16, total)


row("x86_mpsadbw", "d128 <- a128 b128", _sliding_differences)


def _test(e: Any, a: str, b: str) -> None:
    """PTEST: ZF: nothing of b in a; CF: all of b in a."""

    def empty(x: str) -> str:
        return e.icmp("eq", 128, e.let(f"bitcast <2 x i64> {x} to i128"), 0)

    outside = op(e, "and", "<2 x i64>", op(e, "xor", "<2 x i64>", a, splat("<2 x i64>", -1)), b)
    zero, carry = empty(op(e, "and", "<2 x i64>", a, b)), empty(outside)
    set_bits(e, e.bin("or", 64, flag(e, zero, ZF), flag(e, carry, CF)))


row("x86_ptest", "a128 b128", _test)
