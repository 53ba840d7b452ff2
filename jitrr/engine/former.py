"""Which blocks form a region, and how they lead to each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from jitrr.engine.tier import Tier

#: Blocks and cells of a region, at most: small ones compile soon. Where the guest is found again and again, a large one
#: takes the place of several (docs/performance.md).
SMALL, LARGE = (6, 100), (40, 600)


@dataclass
class Formed:
    """A region as found: its blocks by their heads, and what the worker and the cache need of them."""

    head: int
    pc: int
    heads: list[int]
    deltas: list[int]
    bodies: list[Body]
    edges: list[dict[int, list[tuple[int, bool]]]]
    pc_bits: int
    limits: tuple[int, int] = SMALL

    @property
    def literals(self) -> list[int]:
        """All blocks' literals, in the order in which the code finds them in the pool behind the heads."""
        return [value for body in self.bodies for value in body.literals]

    def request(self) -> tuple[int, list[Any]]:
        """What the worker compiles: cells whose ``patch`` is the number of their literal, counted from 1."""
        blocks = []
        before = 0
        for body, edges, delta in zip(self.bodies, self.edges, self.deltas, strict=True):
            cells = body.cells.copy()
            cells["patch"][cells["patch"] != 0] += before
            before += len(body.literals)
            blocks.append((cells, edges, delta))
        return self.pc_bits, blocks


@dataclass
class Body:
    """A block's cells without addresses: constants that look like kernel addresses are literals, kept apart, so that
    the same code at another place (KASLR) is the same region."""

    cells: np.ndarray
    literals: list[int]
    exits: list[int]
    digest: bytes


class Former:
    """Collects the blocks of one region, breadth first, along jumps whose target is known."""

    def __init__(self, tier: Tier, head: int, pc: int, limits: tuple[int, int]):
        self.tier, self.engine = tier, tier.engine
        self.limits = limits
        self.pc = pc
        self.heads, self.deltas, self.index = [head], [0], {head: 0}
        self.total = 0
        self.return_sites: list[int] = []
        self.mode = tier.mode_of(head)
        self.bits = (64, 32, 16)[self.engine.frontend.goto_kind(self.mode)]
        self.mask = (1 << self.bits) - 1

    def form(self) -> Formed:
        bodies: list[Body] = []
        edges = []
        while len(bodies) < len(self.heads):
            body = self.tier.body(self.heads[len(bodies)])
            self.total += len(body.cells)
            edges.append(self._follow(len(bodies), body))
            bodies.append(body)
        for number, body in enumerate(bodies):
            if int(body.cells[-1]["op"]) == self.tier.jump:
                edges[number] = {len(body.cells) - 1: self.indirect(number)}
        return Formed(self.heads[0], self.pc, self.heads, self.deltas, bodies, edges, self.bits, self.limits)

    def _follow(self, number: int, body: Body) -> dict[int, list[tuple[int, bool]]]:
        """Edges of a block: cell index -> [(block, guarded)]."""
        edges: dict[int, list[tuple[int, bool]]] = {}
        for i in body.exits:
            op = int(body.cells[i]["op"])
            delta = self.deltas[number] + int(body.cells[i]["imm"])
            if op in self.tier.near:
                target = self.tier.link(self.heads[number], i)
            elif op in self.tier.far or op == self.tier.poll:
                target = self.find((self.pc + delta) & self.mask)
            else:
                continue
            if target and self.include(target, delta):
                edges[i] = [self.edge(number, self.index[target])]
        if edges:
            self._return_site(number, body.cells)
        return edges

    def edge(self, source: int, target: int) -> tuple[int, bool]:
        """An edge from block to block. Within a page nothing can have been mapped elsewhere."""
        pages = [(self.pc + self.deltas[number] & self.mask) >> 12 for number in (source, target)]
        return target, pages[0] != pages[1]

    def include(self, head: int, delta: int) -> bool:
        if head in self.index:
            return self.deltas[self.index[head]] == delta
        blocks, cells = self.limits
        if len(self.heads) >= blocks or self.total >= cells or not self.tier.worth(head):
            return False
        self.index[head] = len(self.heads)
        self.heads.append(head)
        self.deltas.append(delta)
        return True

    def find(self, pc: int) -> int:
        """Head of the block at a virtual pc, if it is mapped and translated, else 0."""
        place = self.engine.peek_code(self.engine.linear(pc))
        return 0 if place is None else self.engine.call("find_block", place | self.mode << 44)

    def make(self, pc: int) -> int:
        """The same, and where it is not translated yet it is, unless that takes more than what is known already."""
        place = self.engine.peek_code(self.engine.linear(pc))
        if place is None:
            return 0
        found = self.engine.call("find_block", place | self.mode << 44)
        return found or self.engine.call("make_block", place, self.mode)

    def _return_site(self, number: int, cells: np.ndarray) -> None:
        """Behind a call that leads into the region, take the block it returns to as well."""
        length = int(cells[0]["patch"])
        # Bit 0 may be part of a return address without being one of the pc (ARM's T32).
        pushed = [int(c["imm"]) & ~1 for c in cells[-4:] if int(c["op"]) in self.tier.pcrel]
        delta = self.deltas[number] + length
        if length & ~1 not in pushed:
            return
        target = self.find((self.pc + delta) & self.mask)
        if target and self.include(target, delta):
            self.return_sites.append(self.index[target])

    def indirect(self, number: int) -> list[tuple[int, bool]]:
        """Where a block's indirect jump may well lead: (block, guarded)."""
        return [self.edge(number, site) for site in list(dict.fromkeys(self.return_sites))[:4]]
