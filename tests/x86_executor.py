"""Runs one instruction in our engine, as the oracles do: user mode with paging, exceptions through a real IDT.

Addresses of the case's layout are mapped for user mode; tables, handlers and the ring-0 stack lie in a kernel mapping.
A handler is a HLT, so after the case the processor stands either behind its instruction or in the handler of its
exception.
"""

from __future__ import annotations

import struct

from instruction_executor import MASK64, InstructionExecutor
from oracle.state import PAGE, Fault, X86State, layout

from frontends.x86 import state as st
from frontends.x86.frontend import X86Frontend

KERNEL = 0xFFFF_8000_0000_0000
IDT, GDT, TSS, STACK_TOP, HANDLERS = 0x2000, 0x3000, 0x4000, 0x8000, 0x10000
PML4, TABLES, FRAMES = 0x100000, 0x101000, 0x200000
CS64, CS32, DATA = (0x33, 0xA0FB), (0x23, 0xC0FB), (0x2B, 0xC0F3)
_ERROR_VECTORS = {8, 10, 11, 12, 13, 14, 17, 21}
_ARITH = 0x8D5


class EngineExecutor(InstructionExecutor):
    """``run(state, code, mode)`` as tests.oracle wants it, ``start`` and ``go_on`` for programs; ``tier`` as in
    InstructionExecutor."""

    def __init__(self, tier: str = "interp"):
        super().__init__(X86Frontend(), 16 << 20, slice(st.T // 8, st.V // 8 + 16), tier)
        self.frames: dict[int, int] = {}
        self._tables_used = TABLES
        self._kernel()
        for mode in (32, 64):
            memory = layout(mode)
            for address in (*memory.pages, memory.code):
                if address not in self.frames:
                    frame = self.frames[address] = FRAMES + PAGE * len(self.frames)
                    self._map(address, frame, address in memory.writable)
        self._code = (0, b"")
        self.engine.call("update_mode")

    # -- set-up -------------------------------------------------------------------------------------------------------
    def _kernel(self) -> None:
        self._map_large(KERNEL, 0)
        for vector in range(256):
            target = KERNEL + HANDLERS + 16 * vector
            self.ram[HANDLERS + 16 * vector] = 0xF4
            dpl = 3 if vector in (3, 4) else 0
            low, middle, high = target & 0xFFFF, target >> 16 & 0xFFFF, target >> 32
            gate = struct.pack("<HHBBHII", low, 8, 0, 0x8E | dpl << 5, middle, high, 0)
            self.ram[IDT + 16 * vector : IDT + 16 * vector + 16] = gate
        descriptors = [0, 0x00AF9B000000FFFF, 0x00CF93000000FFFF]
        descriptors += [0, 0x00CFFB000000FFFF, 0x00CFF3000000FFFF, 0x00AFFB000000FFFF]
        self.ram[GDT : GDT + 8 * len(descriptors)] = struct.pack(f"<{len(descriptors)}Q", *descriptors)
        self.ram[TSS + 4 : TSS + 12] = struct.pack("<Q", KERNEL + STACK_TOP)
        for name, value in (
            ("gdtr_base", KERNEL + GDT), ("gdtr_limit", 0xFF), ("idtr_base", KERNEL + IDT), ("idtr_limit", 0xFFF),
            ("cr0", 0x80050033), ("cr3", PML4), ("cr4", 0x6A0 | 0x10), ("efer", 0xD01),
        ):  # fmt: skip
            self.engine.state[name] = value

    def _entry(self, table: int, index: int) -> int:
        at = table + 8 * index
        (value,) = struct.unpack_from("<Q", self.ram, at)
        if not value:
            value = self._tables_used | 7
            self._tables_used += PAGE
            struct.pack_into("<Q", self.ram, at, value)
        return value & ~0xFFF & ((1 << 52) - 1)

    def _map(self, address: int, frame: int, writable: bool) -> None:
        table = PML4
        for shift in (39, 30, 21):
            table = self._entry(table, address >> shift & 511)
        struct.pack_into("<Q", self.ram, table + 8 * (address >> 12 & 511), frame | (7 if writable else 5))

    def _map_large(self, address: int, frame: int) -> None:
        table = PML4
        for shift in (39, 30):
            table = self._entry(table, address >> shift & 511)
        struct.pack_into("<Q", self.ram, table + 8 * (address >> 21 & 511), frame | 0x83)

    def let_code_change(self, mode: int, alias: int) -> None:
        """Make the code page writable, at its own address and at ``alias``."""
        code = layout(mode).code
        for address in (code, alias):
            self._map(address, self.frames[code], True)

    def forget_code(self) -> None:
        """Nothing of what was translated is used any more; ``start`` writes its code again."""
        for frame in self.frames.values():
            self.engine.invalidate_page(frame >> 12)
        self._code = (0, b"")

    # -- one case -----------------------------------------------------------------------------------------------------
    def run(self, state: X86State, code: bytes, mode: int) -> tuple[X86State, Fault | None]:
        """Twice: with an empty TLB, and with the one that left behind and other scratch registers. Both must agree."""
        self._put_code(state.rip, code)
        found: tuple[X86State, Fault | None] = self._twice(
            lambda: self._put(state, mode), lambda: self._step(state, mode)
        )
        return found

    def start(self, state: X86State, code: bytes, mode: int) -> None:
        """Get ready for a program (within one page) at instruction count 0; its translations are kept from one start
        to the next."""
        self._put_code(state.rip, code)
        self._begin(lambda: self._put(state, mode))

    def go_on(self, state: X86State, icount: int, mode: int) -> tuple[X86State, Fault | None]:
        """The state after ``icount`` instructions of the program that started in ``state``, or at its fault."""
        self._run_to(icount)
        return self._get(state, mode)

    def _step(self, state: X86State, mode: int) -> tuple[X86State, Fault | None]:
        self.engine.set_icount(1000)
        self.engine.run(1001)
        return self._get(state, mode)

    def _put_code(self, rip: int, code: bytes) -> None:
        if (rip, code) == self._code:
            return
        self._code = rip, code
        blank = bytearray(b"\xf4" * PAGE)
        first = code[: PAGE - (rip & 4095)]
        blank[rip & 4095 : (rip & 4095) + len(first)] = first
        self._put_page(self.frames[rip & -PAGE], bytes(blank))

    def _put(self, state: X86State, mode: int) -> None:
        w, at = self.words, self.engine.layout.offsets
        for n in range(16):
            w[st.GPR // 8 + n] = state.gpr[n]
            w[st.XMM // 8 + 2 * n], w[st.XMM // 8 + 2 * n + 1] = state.xmm[n] & MASK64, state.xmm[n] >> 64
        w[st.CC_OP // 8], w[st.CC_A // 8] = st.CC_EFL, state.rflags & _ARITH
        w[st.EFLAGS // 8] = state.rflags & ~_ARITH | 2 | 0x200
        w[at["pc"] // 8] = state.rip
        w[st.MXCSR // 8] = state.mxcsr | 0x1F80 | (state.mxcsr >> 7 & 63 ^ 63) << 32
        top = state.fsw >> 11 & 7
        w[st.FCW // 8], w[st.FSW // 8], w[st.FTOP // 8] = state.fcw, state.fsw & ~0x3800, top
        w[st.FTAG // 8] = ~state.ftw & 0xFF
        for i in range(8):
            value = state.st[(i - top) & 7]
            w[st.FPR // 8 + 2 * i], w[st.FPR // 8 + 2 * i + 1] = value & MASK64, value >> 64
        segments = [DATA, CS64 if mode == 64 else CS32, DATA, DATA, DATA, DATA]
        for n, (selector, attributes) in enumerate(segments):
            w[st.SEG_SEL // 8 + n], w[st.SEG_ATTR // 8 + n] = selector, attributes
            w[st.SEG_BASE // 8 + n], w[st.SEG_LIMIT // 8 + n] = 0, 0xFFFFFFFF
        w[st.SEG_BASE // 8 + st.FS], w[st.SEG_BASE // 8 + st.GS] = state.fs_base, state.gs_base
        w[st.SEG_SEL // 8 + st.TR], w[st.SEG_ATTR // 8 + st.TR] = 0x40, 0x8B
        w[st.SEG_BASE // 8 + st.TR], w[st.SEG_LIMIT // 8 + st.TR] = KERNEL + TSS, 0x67
        for page in layout(mode).pages:
            frame = self.frames[page]
            data = state.read(page, PAGE)
            if self.ram[frame : frame + PAGE] != data:
                self.ram[frame : frame + PAGE] = data
        w[at["exc_vector"] // 8], w[at["leave"] // 8] = MASK64, 0
        self.engine.call("update_mode")

    def _get(self, before: X86State, mode: int) -> tuple[X86State, Fault | None]:
        w, at = self.words, self.engine.layout.offsets
        out = before.copy()
        out.gpr[:] = w[st.GPR // 8 : st.GPR // 8 + 16]
        out.rip = w[at["pc"] // 8]
        out.rflags = _arithmetic(*w[st.CC_OP // 8 : st.CC_OP // 8 + 4]) | w[st.EFLAGS // 8]
        out.mxcsr = w[st.MXCSR // 8] & 0xFFFFFFFF ^ w[st.MXCSR // 8] >> 32 << 7
        for n in range(16):
            out.xmm[n] = w[st.XMM // 8 + 2 * n] | w[st.XMM // 8 + 2 * n + 1] << 64
        top = w[st.FTOP // 8] & 7
        out.fcw, out.fsw = w[st.FCW // 8], w[st.FSW // 8] | top << 11
        out.ftw = ~w[st.FTAG // 8] & 0xFF
        for i in range(8):
            physical = (i + top) & 7
            out.st[i] = w[st.FPR // 8 + 2 * physical] | (w[st.FPR // 8 + 2 * physical + 1] & 0xFFFF) << 64
        out.fs_base, out.gs_base = w[st.SEG_BASE // 8 + st.FS], w[st.SEG_BASE // 8 + st.GS]
        for page in layout(mode).writable:
            frame = self.frames[page]
            if self.ram[frame : frame + PAGE] != before.read(page, PAGE):
                out.write(page, bytes(self.ram[frame : frame + PAGE]))
        fault = self._exception(out)
        out.rflags = out.rflags & ~0x202 | before.rflags & 0x202
        return out, fault

    def _exception(self, out: X86State) -> Fault | None:
        if not KERNEL + HANDLERS <= out.rip < KERNEL + HANDLERS + 4096:
            return None
        vector = (out.rip - KERNEL - HANDLERS) >> 4
        rsp = out.gpr[4] - KERNEL
        error = None
        if vector in _ERROR_VECTORS:
            (error,) = struct.unpack_from("<Q", self.ram, rsp)
            rsp += 8
        out.rip, _, out.rflags, out.gpr[4], _ = struct.unpack_from("<5Q", self.ram, rsp)
        address = int(self.engine.state["cr2"]) if vector == 14 else None
        return Fault(vector, error, address)


def _arithmetic(op: int, a: int, b: int, result: int) -> int:
    """The lazy flags of the CPU block (see frontends.x86.state) as RFLAGS bits."""
    if op == st.CC_EFL:
        return a
    negative = 1 << 63
    if op in (st.CC_SUB, st.CC_DEC):
        carry, over = (~a & b) | ((~a | b) & result), (a ^ b) & (a ^ result)
    else:
        carry, over = (a & b) | ((a | b) & ~result), (result ^ a) & (result ^ b)
    if op > st.CC_SUB:
        carry = b << 63
    flags = bool(carry & negative) | (a ^ b ^ result) & 0x10
    flags |= 0x800 if over & negative else 0
    flags |= 0x40 if result == 0 else 0
    flags |= 0x80 if result & negative else 0
    return flags | (0 if (result & 0xFF).bit_count() & 1 else 4)
