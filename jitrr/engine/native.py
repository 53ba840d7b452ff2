"""Native helpers written in Python and compiled by numba: page walks, refills, descriptor loads, block building.

A helper is a function over int64 values only that gives an int64; host memory is reached by ``ld*`` / ``st*`` on
addresses. All arithmetic is signed 64 bit with wrap-around: compare unsigned with :func:`ult`, shift right logically
with :func:`lsr`, and write constants above 2**63 as negative numbers. numba is imported only to build; the result is
cached as an object.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic as numba_intrinsic

from jitrr.engine.lower import declaration

I64 = ir.IntType(64)
#: numba passes the first argument of an intrinsic itself, which type checkers cannot know.
intrinsic: Any = numba_intrinsic
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
    return declaration(symbol, arity(function))


def arity(function: Callable[..., int]) -> int:
    """Number of int64 arguments of a helper."""
    return function.__code__.co_argcount


def _load(bits: int, signed: bool = False) -> Any:
    @intrinsic
    def load(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            ty = ir.IntType(bits)
            value = builder.load(builder.inttoptr(args[0], ty.as_pointer()))
            value.align = 1
            if bits == 64:
                return value
            return builder.sext(value, I64) if signed else builder.zext(value, I64)

        return types.int64(types.int64), codegen

    return load


def _store(bits: int) -> Any:
    @intrinsic
    def store(typingctx: Any, address: Any, value: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            ty = ir.IntType(bits)
            narrow = args[1] if bits == 64 else builder.trunc(args[1], ty)
            done = builder.store(narrow, builder.inttoptr(args[0], ty.as_pointer()))
            done.align = 1
            return ir.Constant(I64, 0)

        return types.int64(types.int64, types.int64), codegen

    return store


ld8, ld16, ld32, ld64 = (_load(b) for b in (8, 16, 32, 64))
lds8, lds16, lds32 = (_load(b, True) for b in (8, 16, 32))
st8, st16, st32, st64 = (_store(b) for b in (8, 16, 32, 64))


@intrinsic
def ult(typingctx: Any, a: Any, b: Any) -> Any:
    """Unsigned a < b, as a bool."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.icmp_unsigned("<", args[0], args[1])

    return types.boolean(types.int64, types.int64), codegen


@intrinsic
def lsr(typingctx: Any, a: Any, n: Any) -> Any:
    """Logical shift right by 0..63."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        return builder.lshr(args[0], args[1])

    return types.int64(types.int64, types.int64), codegen


def _umulh(typingctx: Any, a: Any, b: Any) -> Any:
    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        wide = ir.IntType(128)
        product = builder.mul(builder.zext(args[0], wide), builder.zext(args[1], wide))
        return builder.trunc(builder.lshr(product, ir.Constant(wide, 64)), I64)

    return types.int64(types.int64, types.int64), codegen


umulh = intrinsic(_umulh)


@intrinsic
def call4(typingctx: Any, target: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Call the C function at address ``target`` with four int64; MXCSR is the host program's then (see host_call)."""

    def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
        fnty = ir.FunctionType(I64, [I64] * 4)
        return builder.call(builder.inttoptr(args[0], fnty.as_pointer()), args[1:])

    return types.int64(*[types.int64] * 5), codegen


def _mxcsr(name: str) -> Any:
    @intrinsic
    def access(typingctx: Any, address: Any) -> Any:
        def codegen(context: Any, builder: Any, signature: Any, args: Any) -> Any:
            pointer = builder.inttoptr(args[0], ir.IntType(8).as_pointer())
            fnty = ir.FunctionType(ir.VoidType(), [pointer.type])
            builder.call(builder.module.declare_intrinsic(f"llvm.x86.sse.{name}", fnty=fnty), [pointer])
            return ir.Constant(I64, 0)

        return types.int64(types.int64), codegen

    return access


stmxcsr, ldmxcsr = _mxcsr("stmxcsr"), _mxcsr("ldmxcsr")
