"""Native helpers written in Python and compiled by numba: page walks, refills, descriptor loads, block building.

A helper is a function over int64 values only that gives an int64; host memory is reached by ``ld*`` / ``st*`` on
addresses. All arithmetic is signed 64 bit with wrap-around: compare unsigned with :data:`ult`, shift right logically
with :data:`lsr`, and write constants above 2**63 as negative numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from jitrr.microops.emit import Text


class _Native:
    def __call__(self, *arguments: int) -> int:
        raise TypeError(f"{self} is called by native code only")


@dataclass(frozen=True)
class Function(_Native):
    """What a helper, or a function of helpers, is to those that call it."""

    symbol: str
    arity: int


@dataclass(frozen=True)
class Intrinsic(_Native):
    """A function of helpers that is a few instructions: ``body(text, *operands)`` emits them and gives the result (i64)
    of each call."""

    body: Callable[..., str]


#: name -> Python function, in order of declaration.
HELPERS: dict[str, Callable[..., int]] = {}
#: Every function by its symbol: the helpers, and what only they use.
FUNCTIONS: dict[str, Callable[..., int]] = {}


def helper(function: Callable[..., int]) -> Any:
    """Export a native helper under its own name; other helpers may call it too."""
    if function.__name__ in HELPERS:
        raise ValueError(f"helper {function.__name__} is declared twice")
    HELPERS[function.__name__] = function
    return _declared(function.__name__, function)


def inner(function: Callable[..., int]) -> Any:
    """A function used by helpers only."""
    return _declared(f"{function.__name__}.{len(FUNCTIONS)}", function)


def _declared(symbol: str, function: Callable[..., int]) -> Any:
    FUNCTIONS[symbol] = function
    return Function(symbol, arity(function))


def arity(function: Callable[..., int]) -> int:
    """Number of int64 arguments of a helper."""
    return function.__code__.co_argcount


def _load(bits: int, extend: str = "zext") -> Intrinsic:
    def body(e: Text, address: str) -> str:
        value = e.let(f"load i{bits}, ptr {_pointer(e, address)}, align 1")
        return e.cast(extend, bits, value, 64)

    return Intrinsic(body)


def _store(bits: int) -> Intrinsic:
    def body(e: Text, address: str, value: str) -> str:
        e.line(f" store i{bits} {e.trunc(64, value, bits)}, ptr {_pointer(e, address)}, align 1")
        return "0"

    return Intrinsic(body)


def _pointer(e: Text, address: str) -> str:
    return e.let(f"inttoptr i64 {address} to ptr")


ld8, ld16, ld32, ld64 = (_load(b) for b in (8, 16, 32, 64))
lds8, lds16, lds32 = (_load(b, "sext") for b in (8, 16, 32))
st8, st16, st32, st64 = (_store(b) for b in (8, 16, 32, 64))

#: Unsigned a < b.
ult = Intrinsic(lambda e, a, b: e.zext(1, e.icmp("ult", 64, a, b)))
#: Logical shift right by 0..63.
lsr = Intrinsic(lambda e, a, n: e.bin("lshr", 64, a, n))
#: Leading zeros of a value that is not 0.
clz = Intrinsic(lambda e, value: e.intrinsic("ctlz", 64, value, "i1 true"))


def _umulh(e: Text, a: str, b: str) -> str:
    product = e.let(f"mul i128 {e.zext(64, a, 128)}, {e.zext(64, b, 128)}")
    return e.trunc(128, e.let(f"lshr i128 {product}, 64"), 64)


#: Upper half of an unsigned product.
umulh = Intrinsic(_umulh)


def _call4(e: Text, target: str, *arguments: str) -> str:
    return e.let(f"call i64 {_pointer(e, target)}({', '.join(f'i64 {each}' for each in arguments)})")


#: Call the C function at address ``target`` with four int64; MXCSR is the host program's then (see host_call).
call4 = Intrinsic(_call4)


def _mxcsr(name: str) -> Intrinsic:
    def body(e: Text, address: str) -> str:
        e.declare(f"llvm.x86.sse.{name}", "void", ["ptr"])
        e.line(f" call void @llvm.x86.sse.{name}(ptr {_pointer(e, address)})")
        return "0"

    return Intrinsic(body)


stmxcsr, ldmxcsr = _mxcsr("stmxcsr"), _mxcsr("ldmxcsr")
