"""Expressions of the monitor: integers, ``$registers``, names of the kernel's symbols, ``[ADDRESS]`` (the word there),
arithmetic as in Python."""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable
from functools import partial
from typing import Any

from runtime.debug.monitor.commands import MonitorError

_BINARY: dict[type[ast.operator], Callable[[int, int], int]] = {
    ast.Add: operator.add, ast.Sub: operator.sub, ast.Mult: operator.mul, ast.Div: operator.floordiv,
    ast.FloorDiv: operator.floordiv, ast.Mod: operator.mod, ast.BitAnd: operator.and_, ast.BitOr: operator.or_,
    ast.BitXor: operator.xor, ast.LShift: lambda a, b: a << min(b, 64), ast.RShift: lambda a, b: a >> min(b, 64),
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], Callable[[int], int]] = {
    ast.USub: operator.neg, ast.UAdd: operator.pos, ast.Invert: operator.invert,
}  # fmt: skip
_NAME = re.compile(r"(\$?)(?<![\w.])([A-Za-z_][\w.]*)")
_STAND_IN = "name{}"
_LONGEST = 1000


def evaluate(
    text: str, register: Callable[[str], int], memory: Callable[[int], int], symbol: Callable[[str], int]
) -> int:
    """The value of an expression, any integer; ``register`` gives a register's value (KeyError: there is none),
    ``memory`` the word at an address, ``symbol`` the address of a name. MonitorError says what is wrong."""
    if len(text) > _LONGEST:
        raise MonitorError("the expression is too long")
    try:
        names: list[Callable[[], int]] = []

        def stand_in(match: re.Match[str]) -> str:
            names.append(partial(_register, register, match[2]) if match[1] else partial(symbol, match[2]))
            return _STAND_IN.format(len(names) - 1)

        parsed = ast.parse(_NAME.sub(stand_in, text.strip()), mode="eval")
        values = {_STAND_IN.format(number): value for number, value in enumerate(names)}
        return _value(parsed.body, values, memory)
    except (SyntaxError, ValueError, RecursionError):
        raise MonitorError(f"invalid expression {text.strip()!r}") from None
    except ZeroDivisionError:
        raise MonitorError("division by zero") from None


def _register(register: Callable[[str], int], name: str) -> int:
    try:
        return register(name)
    except KeyError:
        raise MonitorError(f"unknown register ${name}") from None


def _value(node: Any, names: dict[str, Callable[[], int]], memory: Callable[[int], int]) -> int:
    if isinstance(node, ast.BinOp) and type(node.op) in _BINARY:
        left, right = _value(node.left, names, memory), _value(node.right, names, memory)
        return _BINARY[type(node.op)](left, right) % (1 << 128)
    if isinstance(node, ast.List) and len(node.elts) == 1:
        return memory(_value(node.elts[0], names, memory))
    if isinstance(node, ast.UnaryOp) and type(node.op) in _UNARY:
        return _UNARY[type(node.op)](_value(node.operand, names, memory))
    if isinstance(node, ast.Constant) and type(node.value) is int:
        return node.value
    if isinstance(node, ast.Name):
        return names[node.id]()
    raise ValueError
