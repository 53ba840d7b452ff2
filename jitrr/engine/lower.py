"""From one helper's Python function to LLVM IR: numba's front end, and behind it nothing of numba.

numba reads a function's bytecode and gives a control flow graph of simple statements. Helpers take and give int64 only,
so nothing is left to find out about types: each variable is an ``i64``, truth is 0 or 1, and what is no number
(functions, modules, tuples, ranges) must be known when the helper is lowered. Arithmetic wraps around. Imported only to
build.
"""

from __future__ import annotations

import operator
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any

import numpy as np
from numba.core import ir
from numba.core.bytecode import ByteCode, FunctionIdentity
from numba.core.interpreter import Interpreter

from jitrr.engine.native import Function, Intrinsic
from jitrr.microops.emit import Text

_ARITHMETIC = {
    operator.add: "add", operator.sub: "sub", operator.mul: "mul", operator.and_: "and", operator.or_: "or",
    operator.xor: "xor", operator.lshift: "shl", operator.rshift: "ashr",
}  # fmt: skip
_COMPARISON = {
    operator.eq: "eq", operator.ne: "ne", operator.lt: "slt", operator.le: "sle", operator.gt: "sgt",
    operator.ge: "sge",
}  # fmt: skip
#: Functions of at most so many lines of IR become part of those that call them.
INLINE = 60
_MIN, _MAX = -(1 << 63), (1 << 63) - 1


@dataclass(frozen=True)
class _Range:
    """A ``range``: IR operands, and the step's number."""

    start: str
    stop: str
    step: int


@dataclass(frozen=True)
class _Iterator:
    """Where a loop is: the slot of the next value of a range, or of the next index of a tuple."""

    over: Any
    slot: str


def to_ir(symbol: str, function: Callable[..., int]) -> list[str]:
    """Module-level pieces of IR that together define ``i64 @symbol(i64...)``; equal ones are to be put in once.
    Raises TypeError for Python that helpers cannot have."""
    lowering = _Lowering(symbol, function)
    text = lowering.function()
    return [*Text.declarations.values(), *lowering.tables, text]


class _Lowering(Text):
    """Lowers one function. A variable's value is an IR operand (str) or something known now (anything else)."""

    def __init__(self, symbol: str, function: Callable[..., int]):
        super().__init__()
        self.symbol = symbol
        identity = FunctionIdentity.from_function(function)
        self.graph = Interpreter(identity).interpret(ByteCode(identity))
        self.arguments = function.__code__.co_argcount
        assigned = (s.target.name for block in self.graph.blocks.values() for s in block.find_insts(ir.Assign))
        #: How often each variable is assigned.
        self.assigned = Counter(assigned)
        #: What has one value, by name: temporaries, constants, whatever is no number.
        self.values: dict[str, Any] = {}
        #: Stack slots: of variables, by name, and of loops.
        self.slots: dict[str, str] = {}
        self.tables: list[str] = []

    def function(self) -> str:
        """The whole function."""
        blocks = sorted(self.graph.blocks.items())
        for label, block in blocks:
            self.line(f"B{label}:")
            for statement in block.body:
                try:
                    self._statement(statement)
                except TypeError as error:
                    raise TypeError(f"{self.symbol}: {statement}: {error}") from None
        slots = [f" {slot} = alloca i64\n store i64 0, ptr {slot}" for slot in self.slots.values()]
        parameters = ", ".join(f"i64 %a{n}" for n in range(self.arguments))
        body = "\n".join([*slots, f" br label %B{blocks[0][0]}", *self.lines])
        inline = " alwaysinline" if len(self.lines) <= INLINE else ""
        return f"define i64 @{self.symbol}({parameters}) nounwind{inline} {{\n{body}\n}}\n"

    # -- statements and variables -------------------------------------------------------------------------------------
    def _statement(self, statement: Any) -> None:
        match statement:
            case ir.Assign():
                self._assign(statement.target.name, self._value(statement.value))
            case ir.Jump():
                self.line(f" br label %B{statement.target}")
            case ir.Branch():
                condition = self.icmp("ne", 64, self.number(statement.cond), 0)
                self.line(f" br i1 {condition}, label %B{statement.truebr}, label %B{statement.falsebr}")
            case ir.Return():
                self.line(f" ret i64 {self.number(statement.value)}")
            case ir.Del():
                pass
            case _:
                raise TypeError("helpers cannot do this")

    def _assign(self, name: str, value: Any) -> None:
        temporary = name.startswith("$") and not name.startswith("$phi")  # used in its own block only
        once = self.assigned[name] == 1
        if temporary or (once and not (isinstance(value, str) and value.startswith("%t"))):
            self.values[name] = value
        elif isinstance(value, str):
            self.line(f" store i64 {value}, ptr {self._slot(name)}")
        elif self.values.setdefault(name, value) is not value:
            raise TypeError("what is no number has one value")

    def _slot(self, name: str) -> str:
        return self.slots.setdefault(name, f"%slot{len(self.slots)}")

    def _value(self, value: Any) -> Any:
        match value:
            case ir.Arg():
                return f"%a{value.index}"
            case ir.Const() | ir.Global() | ir.FreeVar():
                return self._constant(value.value)
            case ir.Var():
                return self.use(value)
            case ir.Expr() if hasattr(self, f"_{value.op}"):
                return getattr(self, f"_{value.op}")(value)
        raise TypeError("helpers cannot do this")

    def _constant(self, value: Any) -> Any:
        if isinstance(value, int | np.integer):
            if not _MIN <= value <= _MAX:
                raise TypeError(f"{value} does not fit into 64 signed bits")
            return str(int(value))
        return tuple(map(self._constant, value)) if isinstance(value, tuple) else value

    def use(self, variable: Any) -> Any:
        """What a variable is now."""
        name = variable.name
        if name in self.values:
            return self.values[name]
        if name not in self.slots and self.assigned[name] < 2:
            raise TypeError(f"{name} has no value yet")
        return self.let(f"load i64, ptr {self._slot(name)}")

    def number(self, variable: Any) -> str:
        """The same, an operand."""
        value = self.use(variable)
        if not isinstance(value, str):
            raise TypeError(f"{variable.name} is no number")
        return value

    def truth(self, bit: str) -> str:
        """0 or 1 from an i1."""
        return self.zext(1, bit)

    # -- expressions, by numba's names --------------------------------------------------------------------------------
    def _binop(self, e: Any) -> str:
        if e.fn is operator.contains:
            return self._contains(self._tuple(e.lhs), self.number(e.rhs))
        return self.arithmetic(e.fn, self.number(e.lhs), self.number(e.rhs))

    def _inplace_binop(self, e: Any) -> str:
        return self.arithmetic(e.immutable_fn, self.number(e.lhs), self.number(e.rhs))

    def arithmetic(self, function: Any, x: str, y: str) -> str:
        """An operator's result."""
        if function in _ARITHMETIC:
            return self.bin(_ARITHMETIC[function], 64, x, y)
        if function in _COMPARISON:
            return self.truth(self.icmp(_COMPARISON[function], 64, x, y))
        if function is operator.floordiv:
            return self._divided(x, y)
        raise TypeError("helpers have no such operator")

    def _divided(self, x: str, y: str) -> str:
        """Rounded down; by 0: 0. Division by -1 is none, for it may overflow."""
        plain = self.icmp("ugt", 64, self.bin("add", 64, y, 1), 1)
        divisor = self.select(plain, 64, y, 1)
        quotient, rest = self.bin("sdiv", 64, x, divisor), self.bin("srem", 64, x, divisor)
        below = self.icmp("slt", 64, self.bin("xor", 64, rest, divisor), 0)
        down = self.bin("and", 1, below, self.icmp("ne", 64, rest, 0))
        rounded = self.bin("add", 64, quotient, self.sext(1, down))
        return self.select(plain, 64, rounded, self.bin("mul", 64, x, y))

    def _contains(self, values: tuple[str, ...], x: str) -> str:
        found = "false"
        for each in values:
            found = self.bin("or", 1, found, self.icmp("eq", 64, x, each))
        return self.truth(found)

    def _unary(self, e: Any) -> str:
        x = self.number(e.value)
        if e.fn is operator.neg:
            return self.bin("sub", 64, "0", x)
        if e.fn is operator.invert:
            return self.bin("xor", 64, x, -1)
        if e.fn is operator.not_:
            return self.truth(self.icmp("eq", 64, x, 0))
        raise TypeError("helpers have no such operator")

    def _cast(self, e: Any) -> Any:
        return self.use(e.value)

    def _call(self, e: Any) -> Any:
        function = self.use(e.func)
        if e.kws or e.vararg:
            raise TypeError("helpers call by position only")
        arguments = [self.number(each) for each in e.args]
        if isinstance(function, Function):
            if len(arguments) != function.arity:
                raise TypeError(f"{function.symbol} takes {function.arity} arguments")
            return self.let(f"call i64 @{function.symbol}({', '.join(f'i64 {each}' for each in arguments)})")
        if isinstance(function, Intrinsic):
            return function.body(self, *arguments)
        if function in _BUILTINS:
            return _BUILTINS[function](self, *arguments)
        raise TypeError(f"helpers cannot call {function}")

    def _getattr(self, e: Any) -> Any:
        owner = self.use(e.value)
        if not isinstance(owner, ModuleType):
            raise TypeError("only modules have attributes")
        return self._constant(getattr(owner, e.attr))

    # -- tuples and tables --------------------------------------------------------------------------------------------
    def _tuple(self, variable: Any) -> tuple[str, ...]:
        value = self.use(variable)
        if not isinstance(value, tuple):
            raise TypeError(f"{variable.name} is no tuple")
        return value

    def _build_tuple(self, e: Any) -> tuple[str, ...]:
        return tuple(self.number(each) for each in e.items)

    def _exhaust_iter(self, e: Any) -> tuple[str, ...]:
        value = self._tuple(e.value)
        if len(value) != e.count:
            raise TypeError(f"{len(value)} values for {e.count} names")
        return value

    def _static_getitem(self, e: Any) -> Any:
        return self._tuple(e.value)[e.index]

    def _getitem(self, e: Any) -> str:
        """An element of a table: an array of numpy's, one axis. The index is not checked."""
        table = self.use(e.value)
        if not isinstance(table, np.ndarray) or table.ndim != 1 or table.dtype.kind not in "iu":
            raise TypeError("not a table of integers")
        bits = 8 * table.itemsize
        name = f"@{self.symbol}.table{len(self.tables)}"
        entries = ", ".join(f"i{bits} {each}" for each in table.tolist())
        self.tables.append(f"{name} = private constant [{len(table)} x i{bits}] [{entries}]")
        at = self.let(f"getelementptr i{bits}, ptr {name}, i64 {self.number(e.index)}")
        value = self.let(f"load i{bits}, ptr {at}")
        return self.cast("zext" if table.dtype.kind == "u" else "sext", bits, value, 64)

    # -- loops --------------------------------------------------------------------------------------------------------
    def _getiter(self, e: Any) -> _Iterator:
        over = self.use(e.value)
        if not isinstance(over, _Range | tuple):
            raise TypeError("helpers loop over ranges and tuples only")
        iterator = _Iterator(over, self._slot(f"iter({e.value.name})"))
        self.line(f" store i64 {over.start if isinstance(over, _Range) else 0}, ptr {iterator.slot}")
        return iterator

    def _iternext(self, e: Any) -> tuple[str, str]:
        """(value, whether there is one)."""
        iterator = self.use(e.value)
        at = self.let(f"load i64, ptr {iterator.slot}")
        over = iterator.over
        if isinstance(over, _Range):
            value, step = at, over.step
            more = self.icmp("slt" if step > 0 else "sgt", 64, at, over.stop)
        else:
            value, step = "0", 1
            for index, each in enumerate(over):
                value = self.select(self.icmp("eq", 64, at, index), 64, each, value)
            more = self.icmp("slt", 64, at, len(over))
        self.line(f" store i64 {self.bin('add', 64, at, step)}, ptr {iterator.slot}")
        return value, self.truth(more)

    def _pair_first(self, e: Any) -> str:
        return self._tuple(e.value)[0]

    def _pair_second(self, e: Any) -> str:
        return self._tuple(e.value)[1]


def _range(e: Text, *bounds: str) -> _Range:
    start, stop, step = ("0", *bounds, "1") if len(bounds) == 1 else (*bounds, "1")[:3]
    if step.startswith("%") or int(step) == 0:
        raise TypeError("the step of a range must be known")
    return _Range(start, stop, int(step))


def _smaller(e: Text, x: str, y: str) -> str:
    return e.select(e.icmp("slt", 64, x, y), 64, x, y)


def _greater(e: Text, x: str, y: str) -> str:
    return e.select(e.icmp("sgt", 64, x, y), 64, x, y)


_BUILTINS: dict[Any, Callable[..., Any]] = {
    range: _range,
    min: _smaller,
    max: _greater,
    abs: lambda e, x: _greater(e, x, e.bin("sub", 64, "0", x)),
    bool: lambda e, x: e.zext(1, e.icmp("ne", 64, x, 0)),
    int: lambda e, x: x,
}
