"""The oracle that counts: the host processor executes the instruction itself, in 64-bit or in compatibility mode."""

from __future__ import annotations

import atexit
import functools
import mmap
import os
import platform
import struct
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from .memory import ZERO_PAGE
from .state import ID, PAGE, RF, TF, USER_FLAGS, Fault, X86State, default_state, layout
from .tracee import REGISTERS, Mapping, Tracee, TraceError

_SELECTORS = {64: (0x33, 0x2B, 0), 32: (0x23, 0x2B, 0x2B)}
"""Linux user selectors by mode: cs, ss, and ds = es."""
_WITH_ERROR = frozenset((8, 10, 11, 12, 13, 14, 17, 21))
_FX = struct.Struct("<HHBBHQQII" + "10s6x" * 8 + "16s" * 16 + "96x")
_PREFIXES = frozenset(b"\x26\x2e\x36\x3e\x64\x65\x66\x67\xf0\xf2\xf3" + bytes(range(0x40, 0x50)))
_FILL = b"\x90" * 16
_BACKGROUND_FLAGS = 0x202
_M64 = (1 << 64) - 1


class HostOracle:
    """Executes one step of an instruction on this machine's processor, at privilege level 3.

    A REP string instruction makes one iteration a step, as the single-step trap does. TF, RF and IF of the input are
    ignored and come back as IF = 1, the others 0. CS is 0x33 and SS 0x2B, DS and ES are null in 64-bit mode and flat
    in mode 32; FS and GS are null selectors, with the state's bases in 64-bit mode. Use it from one thread.
    """

    def __init__(self) -> None:
        """Start the child process. Raises TraceError when the host does not allow ptrace."""
        places = layout(64)
        writable = mmap.PROT_READ | mmap.PROT_WRITE
        self._code = places.code
        self._tracee = Tracee(
            [
                Mapping(places.code, PAGE, mmap.PROT_READ | mmap.PROT_EXEC),
                *(Mapping(page, PAGE, writable) for page in places.writable),
                *(Mapping(page, PAGE, mmap.PROT_READ) for page in (places.read_only,) if page is not None),
            ]
        )
        self._view = self._tracee.view
        self._code_offset = self._tracee.offset(places.code)
        self._pages = [(page, self._tracee.offset(page)) for page in places.pages]
        self._id_is_set = False
        self._present: dict[int, bytes] = {page: ZERO_PAGE for page, _ in self._pages}

    def run(self, state: X86State, code: bytes, mode: int) -> tuple[X86State, Fault | None]:
        """One step of `code` at `state.rip` (in the code page). On a fault the state is that which a handler would see.

        Raises ValueError when the state does not fit the layout or mode is 16, TraceError when the code is a system
        call.
        """
        cs, ss, ds = _SELECTORS[mode]
        start = state.rip - self._code
        if not 0 <= start <= PAGE - len(code):
            raise ValueError(f"rip {state.rip:#x} leaves no room for the code in its page")
        if self._id_is_set:
            self._clear_id()
        where = self._code_offset + start
        self._view[where : where + min(16 + len(code), PAGE - start)] = (code + _FILL)[: PAGE - start]
        self._write_memory(state)
        self._write_registers(state, cs, ss, ds)
        _write_fx(self._tracee.fx, state)
        trap = self._tracee.step()
        if trap is None and (b"\xcc" in code or b"\xcd" in code):
            trap = self._tracee.software_trap()
        out = self._read(state)
        self._id_is_set = bool(out.rflags & ID)
        if trap is None:
            _hide_stepping(out, code, mode)
            return out, None
        error = trap.error if trap.vector in _WITH_ERROR else None
        return out, Fault(trap.vector, error, trap.cr2 if trap.vector == 14 else None)

    @contextmanager
    def pinned(self) -> Iterator[None]:
        """Keep this thread and the child on one processor meanwhile: a step is then three times as fast."""
        allowed = os.sched_getaffinity(0)
        one = {sorted(allowed)[os.getpid() % len(allowed)]}
        os.sched_setaffinity(0, one)
        try:
            os.sched_setaffinity(self._tracee.pid, one)
            yield
        finally:
            os.sched_setaffinity(0, allowed)
            os.sched_setaffinity(self._tracee.pid, allowed)

    def close(self) -> None:
        """End the child process."""
        self._tracee.close()

    def _clear_id(self) -> None:
        """Take RFLAGS.ID out of the child: ptrace leaves that bit as it is, so that POPF has to do it."""
        self._id_is_set = False
        state = default_state(64)
        state.write(state.gpr[4], _BACKGROUND_FLAGS.to_bytes(8, "little"))
        self.run(state, b"\x9d", 64)

    def _write_memory(self, state: X86State) -> None:
        memory, present = state.memory, self._present
        if not memory.keys() <= present.keys():
            raise ValueError("the state has memory outside the layout")
        for page, offset in self._pages:
            data = memory.get(page, ZERO_PAGE)
            if present[page] is not data:
                self._view[offset : offset + PAGE] = data
                present[page] = data

    def _write_registers(self, state: X86State, cs: int, ss: int, ds: int) -> None:
        rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15 = state.gpr
        flags = state.rflags & USER_FLAGS | _BACKGROUND_FLAGS
        REGISTERS.pack_into(
            self._tracee.registers, 0, r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, _M64,
            state.rip, cs, flags, rsp, ss, state.fs_base, state.gs_base, ds, ds, 0, 0,
        )  # fmt: skip

    def _read(self, before: X86State) -> X86State:
        """The state after the step; pages that did not change are the same objects as in `before`."""
        (
            r15, r14, r13, r12, rbp, rbx, r11, r10, r9, r8, rax, rcx, rdx, rsi, rdi, _, rip, _, flags, rsp, _,
            fs, gs, *_,
        ) = REGISTERS.unpack(self._tracee.registers)  # fmt: skip
        out = X86State([rax, rcx, rdx, rbx, rsp, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15], rip)
        out.rflags = flags & ~(TF | RF)
        out.fs_base, out.gs_base = fs, gs
        out.system = dict(before.system)
        _read_fx(self._tracee.fx, out)
        memory, present, view = dict(before.memory), self._present, self._view
        for page, offset in self._pages:
            data = view[offset : offset + PAGE]
            if data != present[page]:
                present[page] = memory[page] = data
        out.memory = memory
        return out


def _write_fx(image: bytearray, state: X86State) -> None:
    _FX.pack_into(
        image, 0, state.fcw, state.fsw, state.ftw, 0, state.fop, state.fip, state.fdp, state.mxcsr, 0,
        *[value.to_bytes(10, "little") for value in state.st], *[value.to_bytes(16, "little") for value in state.xmm],
    )  # fmt: skip


def _read_fx(image: bytearray, state: X86State) -> None:
    fields = _FX.unpack(image)
    state.fcw, state.fsw, state.ftw, _, state.fop, state.fip, state.fdp, state.mxcsr = fields[:8]
    state.st = [int.from_bytes(value, "little") for value in fields[9:17]]
    state.xmm = [int.from_bytes(value, "little") for value in fields[17:33]]


def _hide_stepping(out: X86State, code: bytes, mode: int) -> None:
    """PUSHF stores the TF that the single step needs: take it out of the stack again."""
    opcode = next((byte for byte in code if byte not in _PREFIXES or (mode == 32 and byte >> 4 == 4)), 0)
    if opcode == 0x9C:
        address = out.gpr[4] + 1
        out.write(address, bytes([out.read(address, 1)[0] & ~(TF >> 8)]))


@functools.cache
def host() -> HostOracle:
    """The one host oracle of this process. Raises TraceError when there can be none; see `host_available`."""
    oracle = HostOracle()
    atexit.register(oracle.close)
    return oracle


@functools.cache
def host_available() -> str | None:
    """None when this machine can be the oracle, else the reason why not, as one line for a skipped test."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        return "the host is not x86-64 Linux"
    try:
        host()
    except (TraceError, OSError) as error:
        return f"no ptrace: {error}"
    return None
