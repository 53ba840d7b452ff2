"""What a row's body talks to: it emits LLVM IR as text, whichever executor is being generated.

Values are IR operand strings (``%t7`` or a literal). An executor subclasses :class:`Emit` and says how state, guest
memory and exceptions are reached. A body does everything that can fault before it changes any state.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from jitrr.engine.layout import SIZES, Layout


def llvm_type(bits: int) -> str:
    """The IR type of a value of ``bits``."""
    return "<2 x i64>" if bits == 128 else f"i{bits}"


class Text:
    """Lines of a function's IR, and arithmetic."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.count = 0

    # -- text ---------------------------------------------------------------------------------------------------------
    def fresh(self) -> str:
        self.count += 1
        return f"%t{self.count}"

    def label(self) -> str:
        self.count += 1
        return f"L{self.count}"

    def line(self, text: str) -> None:
        self.lines.append(text)

    def let(self, expression: str) -> str:
        """A new value defined by an IR expression."""
        name = self.fresh()
        self.lines.append(f" {name} = {expression}")
        return name

    # -- arithmetic ---------------------------------------------------------------------------------------------------
    def bin(self, op: str, w: int, x: str, y: str | int) -> str:
        return self.let(f"{op} {llvm_type(w)} {x}, {y}")

    def icmp(self, predicate: str, w: int, x: str, y: str | int) -> str:
        return self.let(f"icmp {predicate} i{w} {x}, {y}")

    def select(self, condition: str, w: int, x: str | int, y: str | int) -> str:
        ty = llvm_type(w)
        return self.let(f"select i1 {condition}, {ty} {x}, {ty} {y}")

    def cast(self, op: str, w: int, x: str, to: int) -> str:
        """``zext``, ``sext`` or ``trunc``; the identity where the widths agree."""
        return x if w == to else self.let(f"{op} i{w} {x} to i{to}")

    def zext(self, w: int, x: str, to: int = 64) -> str:
        return self.cast("zext", w, x, to)

    def sext(self, w: int, x: str, to: int = 64) -> str:
        return self.cast("sext", w, x, to)

    def trunc(self, w: int, x: str, to: int) -> str:
        return self.cast("trunc", w, x, to)

    def intrinsic(self, name: str, w: int, *args: str) -> str:
        """``llvm.<name>.i<w>(args...)``; i1 arguments are passed as ``("i1", value)``."""
        texts = ", ".join(a if " " in a else f"i{w} {a}" for a in args)
        self.declare(f"llvm.{name}.i{w}", f"i{w}", [t.split()[0] for t in texts.split(", ")])
        return self.let(f"call i{w} @llvm.{name}.i{w}({texts})")

    declarations: ClassVar[dict[str, str]] = {}  # shared: intrinsics used by any module

    def declare(self, name: str, result: str, args: list[str]) -> None:
        Text.declarations[name] = f"declare {result} @{name}({', '.join(args)})"


class Emit(Text):
    """Base of the two executors' emitters."""

    def __init__(self, layout: Layout):
        super().__init__()
        self.layout = layout
        #: What is statically known at this point (lazy flags recipes); cleared where control flow joins.
        self.notes: dict[str, Any] = {}

    # -- state --------------------------------------------------------------------------------------------------------
    def pointer(self, offset: int) -> str:
        """Address of a CPU block offset known at generation time."""
        raise NotImplementedError

    def get(self, name: str, w: int = 0, index: int = 0) -> str:
        """Value of a named field (its declared width by default)."""
        w = w or 8 * SIZES[self.layout.types[name]]
        at = self.pointer(self.layout[name] + index * self.layout.stride(name))
        return self.let(f"load {llvm_type(w)}, ptr {at}")

    def set(self, name: str, value: str | int, w: int = 0, index: int = 0) -> None:
        """Write a named field."""
        w = w or 8 * SIZES[self.layout.types[name]]
        self.line(
            f" store {llvm_type(w)} {value}, ptr {self.pointer(self.layout[name] + index * self.layout.stride(name))}"
        )

    def set_signed(self, name: str, w: int, value: str) -> None:
        """Write a 64-bit field with ``value`` sign-extended from ``w`` bits. A compiled region puts it off: what is
        written again before anybody can see it is never computed."""
        self.set(name, self.sext(w, value))

    # -- what the executors decide ------------------------------------------------------------------------------------
    def load(self, w: int, address: str, write: bool = False) -> str:
        """Guest memory, ``w`` bits (8..64, 128) at a 64-bit linear address; may fault. ``write``: as a store to it
        would, which then cannot any more."""
        raise NotImplementedError

    def store(self, w: int, address: str, value: str) -> None:
        """Guest memory; may fault."""
        raise NotImplementedError

    def raise_if(self, condition: str, vector: int, error: int | str = -1) -> None:
        """Architectural exception of this instruction when ``condition`` (i1) holds; ``error`` -1: no error code."""
        raise NotImplementedError

    def rarely(self, condition: str, body: Callable[[], None]) -> None:
        """Run what ``body`` emits when ``condition`` (i1) holds; it must not define values for later. A compiled region
        goes on in the interpreter at this micro-op instead."""
        raise NotImplementedError

    def only_if(self, sure: str, helper: str, *args: str | int) -> None:
        """What the body emits from here on is for when ``sure`` (i1) holds; else a native helper does all that the
        micro-op does (it has no destination, and nothing has been changed yet). A compiled region goes on in the
        interpreter instead."""
        raise NotImplementedError

    def peek(self, w: int, address: str) -> tuple[str, str]:
        """(i1, value of ``w`` bits): what is at a linear address, if the TLB says where that is; no exception and no
        watch comes of it. A compiled region goes on in the interpreter where the TLB does not say."""
        raise NotImplementedError

    def unless(self, sure: str, w: int, value: str, helper: str, *args: str | int) -> str:
        """``value`` of ``w`` bits where ``sure`` (i1) holds, else the result of a native helper that raises nothing (of
        128 bits the upper half is in field ``value_hi``). A compiled region goes on in the interpreter instead."""
        raise NotImplementedError

    def plain_helper(self, name: str, *args: str | int) -> str:
        """Call a native helper that raises nothing and wants no exit; its result (i64). For cold rows."""
        raise NotImplementedError

    def helper(self, name: str, *args: str | int) -> str:
        """Call a native helper with i64 arguments; its result (i64). In cold rows it may leave an exception pending."""
        raise NotImplementedError

    def pc_here(self) -> str:
        """Virtual pc of this instruction."""
        raise NotImplementedError

    def icount_here(self) -> str:
        """Instructions retired before this one."""
        raise NotImplementedError
