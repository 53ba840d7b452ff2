"""Large regions along the guest's way: where code goes through many functions once (a system call), small regions are
left at each return, and no block is found often enough by samples.

A region counts how often it is entered. One that is entered again and again asks for a *trace*: for a while every run
ends at the next block, which shows the blocks in their order. What repeats in it is cut into large regions, each from
where the one before it ends.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import TYPE_CHECKING

from jitrr.engine.former import LARGE, Former

if TYPE_CHECKING:
    from jitrr.engine.tier import Tier

#: Blocks of a trace; how often a block must be in it to be part of a region; a region's blocks, at least; indirect
#: jumps are compared with so many of their targets.
TRACE, REPEATED, FEWEST, TARGETS = 800, 2, 3, 6
#: Instructions before a trace: it is asked for at a deadline, often the guest's tick, which is not what repeats.
BEFORE = 50_000


class Traced(Former):
    """A region of blocks that are known: those of a trace, from an entry on."""

    def __init__(self, tier: Tier, head: int, pc: int):
        super().__init__(tier, head, pc, LARGE)
        self.complete = False
        self.followers: dict[int, Counter[int]] = {}

    def add(self, head: int, pc: int, cells: int) -> bool:
        """Whether a block is part of the region, now or already."""
        delta = pc - self.pc
        if head in self.index:
            return self.deltas[self.index[head]] == delta
        blocks, most = self.limits
        if self.complete or self.tier.mode_of(head) != self.mode:
            return False
        if len(self.heads) >= blocks or self.total + cells > most:
            self.complete = True
            return False
        self.total += cells
        self.index[head] = len(self.heads)
        self.heads.append(head)
        self.deltas.append(delta)
        return True

    def include(self, head: int, delta: int) -> bool:
        return head in self.index and self.deltas[self.index[head]] == delta

    def indirect(self, number: int) -> list[tuple[int, bool]]:
        seen = self.followers.get(self.heads[number], Counter())
        inside = [self.index[head] for head, _ in seen.most_common() if head in self.index]
        return [self.edge(number, target) for target in inside[:TARGETS]]


class Trace:
    """Blocks in the order in which they run; filled by the machine, which asks :meth:`step` before each run."""

    def __init__(self, tier: Tier):
        self.tier, self.engine = tier, tier.engine
        self.blocks: list[tuple[int, int]] = []
        self._heads: dict[tuple[int, int], int] = {}
        self._begins = self.engine.icount + BEFORE

    def step(self) -> int:
        """Note the block at pc; instructions to its end."""
        if (left := self._begins - self.engine.icount) > 0:
            return left
        state = self.engine.state
        pc, mode = int(state["pc"]), int(state["mode"])
        head = self._heads.get((pc, mode), 0)
        if not head:
            place = self.engine.peek_code(self.engine.linear(pc))
            head = 0 if place is None else self.engine.call("find_block", place | mode << 44)
            self._heads[(pc, mode)] = head
        if not head:
            return 1
        self.blocks.append((head, pc))
        return self.tier.length(head)

    @property
    def done(self) -> bool:
        return len(self.blocks) >= TRACE

    def regions(self, known: dict[int, set[int]]) -> list[Traced]:
        """Regions that cover what repeats. ``known``: blocks of the large regions there are already, by entry."""
        often = Counter(head for head, _ in self.blocks)
        often = Counter({head: count for head, count in often.items() if count >= REPEATED})
        followers: dict[int, Counter[int]] = defaultdict(Counter)
        for (head, _), (after, _) in zip(self.blocks, self.blocks[1:], strict=False):
            followers[head][after] += 1
        sizes = {head: self.tier.size(head) for head in often}
        found: dict[int, Traced] = {}
        here: Traced | set[int] | None = None
        begun = False
        for head, pc in self.blocks:
            if head not in often:
                here = None
                continue
            cells, closed = sizes[head]
            inside = head in here if isinstance(here, set) else here is not None and here.add(head, pc, cells)
            if not inside and begun:
                here = known.get(head) or found.get(head)
                if here is None:
                    here = found[head] = Traced(self.tier, head, pc)
                    here.followers = followers
            if closed:
                here, begun = None, True
        return [region for region in found.values() if len(region.heads) >= FEWEST]
