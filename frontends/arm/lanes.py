"""Vectors of 64 and 128 bits in the bodies of micro-ops: lanes, in LLVM IR."""

from __future__ import annotations

from typing import Any

from jitrr.microops.emit import llvm_type

BOTH = (64, 128)


class Lanes:
    """Emits operations on ``n`` lanes of ``k`` bits. Values are IR operands of vector type ``t``, conditions vectors of
    i1; :meth:`split` and :meth:`join` go between these and what operands of micro-ops are (i64, <2 x i64>)."""

    def __init__(self, e: Any, n: int, k: int):
        self.e, self.n, self.k, self.t = e, n, k, f"<{n} x i{k}>"

    def split(self, x: str) -> str:
        whole = llvm_type(self.n * self.k)
        return x if whole == self.t else self.e.let(f"bitcast {whole} {x} to {self.t}")

    def join(self, x: str) -> str:
        whole = llvm_type(self.n * self.k)
        return x if whole == self.t else self.e.let(f"bitcast {self.t} {x} to {whole}")

    def const(self, value: int) -> str:
        """A constant in every lane."""
        return "<" + ", ".join([f"i{self.k} {value}"] * self.n) + ">"

    def spread(self, value: str) -> str:
        """The low bits of an i64 in every lane."""
        narrow = self.e.trunc(64, value, self.k)
        one = self.e.let(f"insertelement {self.t} poison, i{self.k} {narrow}, i64 0")
        zeros = ", ".join(["i32 0"] * self.n)
        return self.e.let(f"shufflevector {self.t} {one}, {self.t} poison, <{self.n} x i32> <{zeros}>")

    def bin(self, op: str, x: str, y: str | int) -> str:
        return self.e.let(f"{op} {self.t} {x}, {self.const(y) if isinstance(y, int) else y}")

    def neg(self, x: str) -> str:
        return self.e.let(f"sub {self.t} zeroinitializer, {x}")

    def invert(self, x: str) -> str:
        return self.bin("xor", x, -1)

    def icmp(self, predicate: str, x: str, y: str | int) -> str:
        return self.e.let(f"icmp {predicate} {self.t} {x}, {self.const(y) if isinstance(y, int) else y}")

    def select(self, condition: str, x: str, y: str) -> str:
        return self.e.let(f"select <{self.n} x i1> {condition}, {self.t} {x}, {self.t} {y}")

    def mask(self, condition: str) -> str:
        """All ones where a condition holds."""
        return self.e.let(f"sext <{self.n} x i1> {condition} to {self.t}")

    def call(self, name: str, *args: str) -> str:
        """An intrinsic on lanes; ``i1 ..`` arguments are passed as they are."""
        suffix = f"v{self.n}i{self.k}"
        texts = [a if a.startswith("i1 ") else f"{self.t} {a}" for a in args]
        self.e.declare(f"llvm.{name}.{suffix}", self.t, ["i1" if a.startswith("i1 ") else self.t for a in args])
        return self.e.let(f"call {self.t} @llvm.{name}.{suffix}({', '.join(texts)})")

    def resize(self, how: str, x: str, to: Lanes) -> str:
        """``zext``, ``sext`` or ``trunc`` to as many lanes of another width."""
        return self.e.let(f"{how} {self.t} {x} to {to.t}")

    def pick(self, x: str, y: str, lanes: list[int]) -> str:
        """Lanes by number out of two vectors (``y``'s come behind ``x``'s)."""
        mask = ", ".join(f"i32 {n}" for n in lanes)
        return self.e.let(f"shufflevector {self.t} {x}, {self.t} {y}, <{len(lanes)} x i32> <{mask}>")

    def some(self, condition: str) -> str:
        """i1: whether a condition holds in any lane."""
        bits = self.e.let(f"bitcast <{self.n} x i1> {condition} to i{self.n}")
        return self.e.icmp("ne", self.n, bits, 0)

    def all(self, condition: str) -> str:
        """i1: whether a condition holds in every lane."""
        bits = self.e.let(f"bitcast <{self.n} x i1> {condition} to i{self.n}")
        return self.e.icmp("eq", self.n, bits, -1)


def saturates(e: Any, condition: str) -> None:
    """Set FPSCR.QC where an i1 holds."""
    e.set("fpqc", e.bin("or", 64, e.get("fpqc"), e.select(condition, 64, 1 << 27, 0)))
