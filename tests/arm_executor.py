"""Runs a few ARM instructions in our engine as the oracle does: User or System mode, the layout's pages mapped by short
descriptors, exceptions to vectors that are not mapped, so that the run ends there.
"""

from __future__ import annotations

import struct

from instruction_executor import MASK64, InstructionExecutor
from oracle.arm_state import PAGE, PLACES, ArmFault, ArmState, E, T, code_page

from frontends.arm import state as st
from frontends.arm.cpu import carry_overflow
from frontends.arm.frontend import ArmFrontend
from frontends.arm.vectors import EXC_DABORT, FSR_WRITE
from jitrr.engine.exits import Exit

TABLES, FRAMES = 0x100000, 0x200000
VECTORS = 0xF0000000
#: SCTLR without A: MMU, caches, branch prediction, and the bits that are 1.
SCTLR = 0x00C51879
#: From LR to the address of the instruction that an exception has interrupted, in A32; Undefined and SVC: its size.
_LR_OFFSET = {1: 4, 2: 4, 3: 4, 4: 8}


class ArmExecutor(InstructionExecutor):
    """``run(state, code, steps)``, and ``start`` and ``go_on`` for programs; ``tier`` as in InstructionExecutor."""

    def __init__(self, tier: str = "interp"):
        super().__init__(ArmFrontend(), 4 << 20, slice(st.T // 8, st.V // 8 + 16), tier)
        self.frames: dict[int, int] = {}
        self._map_pages()
        self._code = b""
        self.fpexc = 1 << 30
        for name, value in (("linear_mask", 0xFFFFFFFF), ("vbar", VECTORS), ("ttbr0", TABLES), ("dacr", 1),
                            ("cpacr", 0xF << 20)):  # fmt: skip
            self.engine.state[name] = value

    def _map_pages(self) -> None:
        second = TABLES + 0x4000
        for address in (*PLACES.pages, PLACES.code):
            self.frames[address] = FRAMES + PAGE * len(self.frames)
            entry = TABLES + (address >> 20) * 4
            if not any(self.ram[entry : entry + 4]):
                struct.pack_into("<I", self.ram, entry, second | 1)
                second += 0x400
            self.protect(address, True)

    def protect(self, address: int, user: bool) -> None:
        """Let User mode access a page of the layout as its kind says, or not at all."""
        (table,) = struct.unpack_from("<I", self.ram, TABLES + (address >> 20) * 4)
        rights = 0x10 if not user else 0x30 if address in PLACES.writable else 0x230  # AP
        entry = (table & ~0x3FF) + (address >> 12 & 0xFF) * 4
        struct.pack_into("<I", self.ram, entry, self.frames[address] | rights | 2)

    # -- one case -----------------------------------------------------------------------------------------------------
    def run(self, state: ArmState, code: bytes, steps: int = 1) -> tuple[ArmState, ArmFault | None]:
        """Twice: with an empty TLB, and with the one that left behind and other scratch registers. Both must agree."""
        self._put_code(state.r[15], code)
        found: tuple[ArmState, ArmFault | None] = self._twice(
            lambda: self._put(state), lambda: self._step(state, steps)
        )
        return found

    def start(self, state: ArmState, code: bytes) -> None:
        """Get ready for a program (within its page) at instruction count 0; translations are kept."""
        self._put_code(state.r[15], code)
        self._begin(lambda: self._put(state))

    def go_on(self, state: ArmState, icount: int) -> tuple[ArmState, ArmFault | None]:
        """The state after ``icount`` instructions of the program that started in ``state``, or at its fault."""
        self._run_to(icount)
        return self._get(state)

    def _step(self, state: ArmState, steps: int) -> tuple[ArmState, ArmFault | None]:
        self.engine.set_icount(1000)
        for n in range(steps):
            reason = self.engine.run(1001 + n)
            if reason == Exit.MISSING:
                raise AssertionError("announced and not there")
            if self._raised():
                break
        return self._get(state)

    def _put_code(self, pc: int, code: bytes) -> None:
        page = code_page(pc, code)
        if page != self._code:
            self._code = page
            self._put_page(self.frames[PLACES.code], page)

    def _put(self, state: ArmState) -> None:
        w, at, cpsr = self.words, self.engine.layout.offsets, state.cpsr
        for n in range(15):
            w[st.gpr(n) // 8] = state.r[n]
        for n in range(16):
            w[st.q(n) // 8], w[st.q(n) // 8 + 1] = state.q[n] & MASK64, state.q[n] >> 64
        for name, value in (
            ("pc", state.r[15]), ("nf", cpsr & st.N), ("zf", 0 if cpsr & st.Z else 1), ("cv_op", st.CV_PLAIN),
            ("cv_a", cpsr >> 29 & 1), ("cv_b", (cpsr & st.VBIT) << 3), ("qf", cpsr & st.QBIT),
            ("ge", cpsr & 0xF0000), ("thumb", cpsr >> 5 & 1),
            ("itstate", cpsr >> 25 & 3 | cpsr >> 8 & 0xFC), ("cpsr", cpsr & 0x1F | cpsr & (st.A | st.I | st.F | E)),
            ("sctlr", SCTLR | state.sctlr_a << 1), ("exc_vector", MASK64), ("leave", 0), ("exclusive", 0),
            ("fpexc", self.fpexc),
        ):  # fmt: skip
            w[at[name] // 8] = value
        self._put_fp(state.fpscr)
        for page in PLACES.pages:
            frame = self.frames[page]
            data = state.read(page, PAGE)
            if self.ram[frame : frame + PAGE] != data:
                self.ram[frame : frame + PAGE] = data
        self.engine.call("update_mode")

    def _put_fp(self, fpscr: int) -> None:
        w, at = self.words, self.engine.layout.offsets
        flags = 0x9F
        for name, value in (("fpscr", fpscr & 0x07FFFFFF & ~flags), ("fpcc", fpscr & 0xF0000000),
                            ("fpqc", fpscr & 1 << 27), ("fpflags", fpscr & flags)):  # fmt: skip
            w[at[name] // 8] = value

    def _get(self, before: ArmState) -> tuple[ArmState, ArmFault | None]:
        w, at = self.words, self.engine.layout.offsets
        out = before.copy()
        out.r[:] = [*w[st.GPR // 8 : st.GPR // 8 + 15], w[at["pc"] // 8]]
        for n in range(16):
            out.q[n] = w[st.q(n) // 8] | w[st.q(n) // 8 + 1] << 64
        it = w[at["itstate"] // 8]
        carry, overflow = carry_overflow(*(w[at[name] // 8] for name in ("cv_op", "cv_a", "cv_b")))
        cpsr = w[at["nf"] // 8] & st.N | (overflow & st.N) >> 3 | carry << 29 | w[at["qf"] // 8]
        cpsr |= (0 if w[at["zf"] // 8] else st.Z) | w[at["ge"] // 8] | (it & 3) << 25 | (it & 0xFC) << 8
        out.cpsr = cpsr | w[at["thumb"] // 8] << 5 | w[at["cpsr"] // 8]
        out.fpscr = w[at["fpscr"] // 8] | w[at["fpcc"] // 8] | w[at["fpqc"] // 8] | w[at["fpflags"] // 8]
        for page in PLACES.writable:
            frame = self.frames[page]
            if self.ram[frame : frame + PAGE] != before.read(page, PAGE):
                out.write(page, bytes(self.ram[frame : frame + PAGE]))
        return out, self._exception(out)

    def _raised(self) -> bool:
        return VECTORS <= int(self.engine.state["pc"]) < VECTORS + 32

    def _exception(self, out: ArmState) -> ArmFault | None:
        """Undo an exception's entry in ``out``; what it was."""
        if not self._raised():
            return None
        s, vector = self.engine.state, (int(self.engine.state["pc"]) - VECTORS) >> 2
        bank = {1: st.BANK_UND, 2: st.BANK_SVC}.get(vector, st.BANK_ABT)
        lr, out.cpsr = out.r[14], int(s["spsr"][bank])
        out.r[13], out.r[14] = int(s["banked_r13"][st.BANK_USER]), int(s["banked_r14"][st.BANK_USER])
        offset = _LR_OFFSET[vector]
        if out.cpsr & T and vector == 1:
            offset = 2
        out.r[15] = lr - offset if vector != 2 else lr
        if vector == EXC_DABORT:
            return ArmFault(vector, int(s["dfar"]), bool(int(s["dfsr"]) & FSR_WRITE))
        return ArmFault(vector)
