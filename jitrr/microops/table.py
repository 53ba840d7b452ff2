"""The table of micro-ops. One row says what an operation reads, writes and means; executors are generated from it.

A row's signature is ``"d64 <- a64 b64"``: destination and sources by cell field and width. Fields ``a b c d`` name
offsets into the CPU block, ``i`` is the cell's immediate. ``*a`` passes the address of the operand instead of its
value. Widths are in bits; 128 is an LLVM ``<2 x i64>``. A 32-bit destination is written zero-extended to 64 bits, or
alone where it is written ``d32=``; 8 and 16 bits leave the rest alone, and 1-bit comparison results are given as i1 by
``branch`` rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, NamedTuple

Body = Callable[..., Any]


@dataclass(frozen=True)
class Operand:
    field: str  # a b c d i
    bits: int
    pointer: bool = False
    #: A destination of 32 bits that leaves the upper half alone.
    exact: bool = False


class Outline(NamedTuple):
    """What is to be known of a row in order to run code that was made from it: no body."""

    name: str
    kind: str
    cold: bool
    #: Width of its immediate if that may be an address or a number, else 0.
    bits: int


@dataclass(frozen=True)
class Row:
    """One micro-op. ``body(emit, *sources)`` emits its meaning and returns the value of the destination, if any."""

    name: str
    dest: Operand | None
    sources: tuple[Operand, ...]
    body: Body
    #: plain; branch (body gives i1; the next two cells are the exits); skip (body gives i1: leave out as many cells of
    #: this instruction as the cell's immediate says); exit (ends the block).
    kind: str
    #: Never part of a compiled region: reached through the interpreter only.
    cold: bool
    #: Place in its architecture's table (rows_of).
    number: int = -1
    #: Of every architecture's table.
    neutral: bool = False

    @property
    def outline(self) -> Outline:
        """See Outline."""
        bits = next((source.bits for source in self.sources if source.field == "i" and self.kind != "exit"), 0)
        return Outline(self.name, self.kind, self.cold, bits)


class Rows:
    """The table of one architecture, for its front end. Native code brings the outlines with it (``outlines`` is set by
    jitrr.engine.build), so that the table itself is imported only where code is made."""

    @cached_property
    def rows(self) -> list[Row]:
        """The rows by number."""
        raise NotImplementedError

    @cached_property
    def outlines(self) -> list[Outline]:
        """Of each row, by number."""
        return [row.outline for row in self.rows]

    @cached_property
    def row_numbers(self) -> dict[str, int]:
        """The numbers by name."""
        return {row.name: number for number, row in enumerate(self.outlines)}


#: Every row declared in this process, by name.
TABLE: dict[str, Row] = {}
_OPERAND = re.compile(r"(\*?)([abcdi])(\d*)(=?)$")


def _operand(text: str) -> Operand:
    match = _OPERAND.match(text)
    if match is None:
        raise ValueError(f"operand {text!r} is not *?[abcdi]<bits>=?")
    return Operand(match[2], int(match[3] or 64), bool(match[1]), bool(match[4]))


def row(name: str, signature: str, body: Body, *, kind: str = "plain", cold: bool = False) -> Row:
    """Add a row to the table."""
    if name in TABLE:
        raise ValueError(f"micro-op {name} is declared twice")
    left, arrow, right = signature.partition("<-")
    if not arrow:
        left, right = "", signature
    dest = _operand(left.strip()) if left.strip() else None
    new = Row(name, dest, tuple(_operand(t) for t in right.split()), body, kind, cold)
    TABLE[name] = new
    return new


def rows_of(*prefixes: str) -> list[Row]:
    """The table of one architecture: the neutral rows and those whose names begin with one of its prefixes, numbered by
    name. Caches on disk and the compile worker know rows by number, and modules that declare rows may have been
    imported in any order, those of other architectures too."""
    found = sorted((r for r in TABLE.values() if r.neutral or r.name.startswith(prefixes)), key=lambda each: each.name)
    return [replace(each, number=number) for number, each in enumerate(found)]


def rows(template: str, widths: tuple[int, ...], signature: str, body: Body, **options: Any) -> None:
    """Add one row per width: ``{w}`` in the name and the signature stands for it; ``body(emit, w, *sources)``."""
    for w in widths:
        row(
            template.replace("{w}", str(w)),
            signature.replace("{w}", str(w)),
            lambda e, *s, _w=w: body(e, _w, *s),
            **options,
        )


# How a lifter's immediate is completed when a template is instantiated for concrete instruction bytes.
P_DISP, P_IMM, P_NEXT, P_HERE = 1, 2, 4, 8
#: Completes nothing: the cell accesses memory through the stack segment, whose exceptions may be others.
P_STACK = 16


@dataclass(frozen=True)
class Imm:
    """A constant plus, per ``patch``, the displacement, the immediate, or the offset of the next / this instruction."""

    value: int = 0
    patch: int = 0

    def __add__(self, other: int) -> Imm:
        return Imm(self.value + other, self.patch)


@dataclass
class UOp:
    """One micro-op as a lifter emits it; operands are CPU block offsets."""

    name: str
    d: int = 0
    a: int = 0
    b: int = 0
    c: int = 0
    imm: Imm = Imm()
