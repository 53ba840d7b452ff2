"""Helpers mean what Python says they mean, in 64 bits that wrap around; what they cannot have is refused by name."""

from __future__ import annotations

import ctypes
import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from jitrr.engine import native
from jitrr.engine.codegen import compile_ir
from jitrr.engine.lower import to_ir
from jitrr.engine.memory import CodeArena
from jitrr.engine.native import Function, ld16, lds8, lsr, st32, ult, umulh
from jitrr.engine.object_file import link

EDGES = (0, 1, 2, 3, 7, 63, -1, -2, -64, 255, 1 << 31, -(1 << 31), (1 << 63) - 1, -(1 << 63))
TABLE = np.array([5, -3, 1 << 40, 7], np.int64)
BYTES = np.array([200, 3, 255], np.uint8)
BIAS = -(1 << 62)


def arithmetic(a, b):
    c = a * b - (a ^ b) + (~a | BIAS) - -b
    c &= a + b
    c -= 1
    return (c << 3) ^ (a >> 5)


def comparisons(a, b):
    return (a < b) + 2 * (a <= b) + 4 * (a == b) + 8 * (a != b) + 16 * (a > b) + 32 * (a >= b) + 64 * (not a)


def division(a, b):
    return a // b if b != 0 else a // 7


def choices(a, b):
    if (a and b) or a == 2:
        c = b if b > a else a
    elif a < 0 <= b:
        c = True
    else:
        c = a in (3, 7, b) or bool(a)
    return c + min(a, b) - max(a, 5) + abs(b)


def loops(a, b):
    total, at = 0, a & 15
    for i in range(at):
        for j in range(i, 12, 3):
            if j == b:
                break
            total += j * i
        else:
            total ^= 1 << i
    for i in range(at, -1, -2):
        total += i
    for each in (a, b, 9):
        if each == 7:
            continue
        total = total * 3 + each
    while at > 2:
        at -= 1
        total |= at
    first, second = total, a
    return first - second


def tables(a, b):
    return int(TABLE[a & 3]) - int(BYTES[b & 1]) * 3


def arguments(a, b):
    a, b = b, a
    b += 1
    return a - 2 * b


def wrapped(value: int) -> int:
    return (value + (1 << 63)) % (1 << 64) - (1 << 63)


def compiled(**functions: Callable[..., Any]) -> Callable[..., int]:
    """The last of the functions, natively."""
    pieces = [piece for item in functions.items() for piece in to_ir(*item)]
    name, function = list(functions.items())[-1]
    code, symbols = link(compile_ir("\n".join(dict.fromkeys(pieces)), keep=[name]))
    arena = CodeArena(len(code))
    address = (arena.add(code) or 0) + symbols[name]
    call = ctypes.CFUNCTYPE(ctypes.c_int64, *[ctypes.c_int64] * function.__code__.co_argcount)(address)
    call.arena = arena  # type: ignore[attr-defined]  # its memory holds the code
    return call


@pytest.mark.parametrize(
    "function", [arithmetic, comparisons, division, choices, loops, tables, arguments], ids=lambda f: f.__name__
)
def test_helpers_give_what_python_gives(function: Callable[..., int]) -> None:
    call = compiled(helper=function)
    draw = random.Random(1)
    pairs = [(a, b) for a in EDGES for b in EDGES]
    pairs += [(draw.randrange(-(1 << 63), 1 << 63), draw.randrange(-40, 40)) for _ in range(100)]
    for a, b in pairs:
        assert call(a, b) == wrapped(int(function(a, b))), (a, b)


def test_division_by_0_gives_0() -> None:
    call = compiled(helper=lambda a, b: a // b)
    assert [call(a, 0) for a in EDGES] == [0] * len(EDGES)


def test_helpers_call_each_other_and_intrinsics() -> None:
    inner = Function("inner.1", 1)
    clz = native.clz

    def outer(a: int, at: int) -> int:
        st32(at, a)
        return inner(ult(a, -1)) + lsr(a, 60) + umulh(a, 1 << 62) + clz(a) + ld16(at) + lds8(at)

    functions: dict[str, Callable[..., int]] = {"inner.1": lambda x: x * 1000, "outer": outer}
    call = compiled(**functions)
    memory = ctypes.create_string_buffer(8)
    a = -(1 << 63) | 0x1234_80F0
    expected = 1000 + 8 + ((a % (1 << 64)) >> 2) + 0 + 0x80F0 - 0x10
    assert call(a, ctypes.addressof(memory)) == expected
    assert memory.raw[:4] == b"\xf0\x80\x34\x12"


def too_large(a):
    return a & 1 << 63


def unknown_function(a):
    return divmod(a, 2)


def unknown_operator(a):
    return a / 2


def two_tuples(a):
    x, y = (a, 1) if a else (2, a)
    return x + y


def unknown_step(a):
    total = 0
    for i in range(0, 9, a):
        total += i
    return total


def raising(a):
    if a:
        raise ValueError
    return 0


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (too_large, "does not fit"),
        (unknown_function, "cannot call"),
        (unknown_operator, "no such operator"),
        (two_tuples, "one value"),
        (unknown_step, "must be known"),
        (raising, "cannot do this"),
    ],
)
def test_what_helpers_cannot_have_is_refused_with_its_name(function: Callable[..., int], reason: str) -> None:
    with pytest.raises(TypeError, match=f"^the_helper: .*{reason}"):
        to_ir("the_helper", function)


def test_code_with_constants_of_its_own_can_be_anywhere() -> None:
    text = """@table = private unnamed_addr constant [4 x i64] [i64 5, i64 -3, i64 9, i64 7], align 32
    define i64 @pick(i64 %n) nounwind {
      %at = getelementptr [4 x i64], ptr @table, i64 0, i64 %n
      %value = load i64, ptr %at
      ret i64 %value
    }"""
    code, symbols = link(compile_ir(text, keep=["pick"]))
    arena = CodeArena(4 * len(code) + 4096)
    places = [(arena.add(code) or 0) + symbols["pick"] for _ in range(3)]
    assert len(set(places)) == 3
    for place in places:
        pick = ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(place)
        assert [pick(n) for n in range(4)] == [5, -3, 9, 7]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (
            "declare i64 @elsewhere(i64) nounwind\n"
            "define i64 @f(i64 %n) nounwind { %r = call i64 @elsewhere(i64 %n)\n ret i64 %r }",
            "relocation 4 .* to section 0$",  # by R_X86_64_PLT32, nowhere
        ),
        ("@kept = global i64 0\ndefine i64 @f(i64 %n) nounwind { store i64 %n, ptr @kept\n ret i64 %n }", "kind 0x8,"),
        (
            "@table = private constant [1 x ptr] [ptr @f]\ndefine ptr @f(i64 %n) nounwind {"
            " %p = getelementptr ptr, ptr @table, i64 %n\n %r = load ptr, ptr %p\n ret ptr %r }",
            "relocation 42 .* to section 2$",  # by R_X86_64_REX_GOTPCRELX, to code
        ),
    ],
    ids=["calls outside", "variables", "addresses"],
)
def test_code_that_cannot_be_anywhere_is_refused(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        link(compile_ir(text))
