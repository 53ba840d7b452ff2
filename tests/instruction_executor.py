"""What the executors of single instructions share: an engine in one of the tiers, cases run twice, programs."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from typing import Any

from jitrr.engine.engine import Engine
from jitrr.engine.exits import Exit
from jitrr.engine.former import SMALL, Former
from jitrr.engine.frontend import Frontend
from jitrr.engine.region_ir import Block, Region
from jitrr.engine.tier import Tier
from jitrr.engine.worker import compile_region

MASK64 = (1 << 64) - 1


class InstructionExecutor:
    """``ram``: bytes of memory; ``scratch``: the words of the CPU block that no instruction may find anything in.

    ``tier``: "interp", "jit" to run a compiled region of the first block, or "auto": regions are compiled where a
    program is hot."""

    def __init__(self, frontend: Frontend, ram: int, scratch: slice, tier: str):
        self.engine = Engine(frontend, ram, self._host_call)
        self.ram = memoryview(self.engine.ram.map)
        self.words = memoryview(self.engine.block.map).cast("Q")
        self.compile_all = tier == "jit"
        self.tier = None
        if tier != "interp":
            threshold, patience = (1 << 60, 1 << 60) if self.compile_all else (8, 16)
            self.tier = Tier(self.engine, threshold, patience, synchronous=True)
        self.engine.tier = self.tier
        self._scratch = scratch
        self._poison = memoryview(
            array("Q", [0xBAD0_0000_DEAD_0001 * n & MASK64 for n in range(1, 1 + scratch.stop - scratch.start)])
        )

    def _host_call(self, kind: int, a: int, b: int) -> int:
        raise AssertionError(f"device access {kind} {a:#x} {b} in an instruction test")

    def _twice(self, put: Callable[[], None], step: Callable[[], tuple[Any, Any]]) -> Any:
        """With an empty TLB, and with the one that left behind and other scratch registers: what ``step`` gives, a
        state and a fault. Both must agree. ``put`` makes the state the case begins with; its code is in memory."""
        self.engine.call("flush_tlb")
        put()
        if self.compile_all:
            self._compile()
        cold = step()
        put()
        self.words[self._scratch] = self._poison
        warm = step()
        if cold != warm:
            raise AssertionError(f"{cold[1]} with an empty TLB, {warm[1]} with a full one: {cold[0]} and {warm[0]}")
        return warm

    def _begin(self, put: Callable[[], None]) -> None:
        """Instruction count 0 of a program in the state that ``put`` makes."""
        put()
        self.words[self._scratch] = self._poison
        self.engine.set_icount(0)

    def _run_to(self, icount: int) -> None:
        """Run a program to an instruction count, or to its fault."""
        while self.engine.icount < icount and self.engine.run(icount) == Exit.REQUEST:
            pass  # it has written its own code: the runtime would go on too
        if self.tier is not None:
            self.tier.service()

    def _put_page(self, frame: int, content: bytes) -> None:
        """Other code in a page of RAM."""
        self.engine.invalidate_page(frame >> 12)
        self.ram[frame : frame + len(content)] = content

    def _compile(self) -> None:
        """Translate the block and put a region in place of it."""
        engine = self.engine
        phys = engine.call("check_exec", int(engine.state["pc"]))
        if phys == -1:
            engine.state["exc_vector"] = MASK64
            return
        head = engine.translate(int(engine.state["pc"]), phys)
        assert self.tier is not None
        formed = Former(self.tier, head, int(engine.state["pc"]), SMALL).form()
        bits, blocks = formed.request()
        code = compile_region(engine.frontend, Region([Block(*b) for b in blocks], bits))
        self.tier._install(formed, code)
        self.tier.arena.used = self.tier.pool_used = 0
