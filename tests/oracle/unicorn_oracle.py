"""A second oracle: Unicorn, for what user mode of the host cannot run (real mode, privileged instructions).

It stands below the host: its x87 and SSE are software, and its memory has no page tables here, so that a page fault's
error code is put together from the kind of access. Use it for integer and system instructions.
"""

from __future__ import annotations

import functools

import unicorn
from unicorn import x86_const as ux

from .memory import ZERO_PAGE
from .state import (
    GPR_NAMES,
    PAGE,
    RF,
    SYSTEM_NAMES,
    TF,
    XMM_NAMES,
    Fault,
    X86State,
    layout,
)

_MODES = {16: unicorn.UC_MODE_16, 32: unicorn.UC_MODE_32, 64: unicorn.UC_MODE_64}
_GPR = [getattr(ux, f"UC_X86_REG_{name.upper()}") for name in GPR_NAMES]
_GPR32 = [getattr(ux, f"UC_X86_REG_E{name[1:].upper()}") for name in GPR_NAMES[:8]]
_XMM = [getattr(ux, f"UC_X86_REG_{name.upper()}") for name in XMM_NAMES]
_FP = [ux.UC_X86_REG_FP0 + i for i in range(8)]
_SYSTEM = {name: getattr(ux, f"UC_X86_REG_{name.upper()}") for name in SYSTEM_NAMES}
_WITH_ERROR = frozenset((8, 10, 11, 12, 13, 14, 17))
_USER, _WRITE, _PRESENT = 4, 2, 1
_ACCESS = {
    unicorn.UC_MEM_READ_UNMAPPED: 0, unicorn.UC_MEM_WRITE_UNMAPPED: _WRITE,
    unicorn.UC_MEM_READ_PROT: _PRESENT, unicorn.UC_MEM_WRITE_PROT: _WRITE | _PRESENT,
}  # fmt: skip
_FETCH_ERRORS = (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT)
"""A branch out of the code page is not executed any further; where it goes is all that the step says."""
_INVALID = unicorn.UC_HOOK_MEM_UNMAPPED | unicorn.UC_HOOK_MEM_PROT


class UnicornOracle:
    """Executes one step at privilege level 0, with the same interface and layout as the host oracle.

    What the state's `system` names is set before and read back after; the rest is Unicorn's reset state for the mode.
    Segments are flat (mode 16: base 0). A page fault has the error code of a user access, as the host's has.
    """

    def __init__(self, mode: int) -> None:
        """An instance for mode 16, 32 or 64."""
        self.mode = mode
        places = layout(mode)
        self._uc = uc = unicorn.Uc(unicorn.UC_ARCH_X86, _MODES[mode])
        uc.mem_map(places.code, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        for page in places.pages:
            readable = unicorn.UC_PROT_READ
            uc.mem_map(page, PAGE, readable if page == places.read_only else readable | unicorn.UC_PROT_WRITE)
        self._present = {page: ZERO_PAGE for page in places.pages}
        self._registers = _GPR if mode == 64 else _GPR32
        self._xmm = _XMM[: len(self._registers)]
        self._fault: Fault | None = None
        uc.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(_INVALID, self._on_access)
        self._start = uc.context_save()

    def run(self, state: X86State, code: bytes, mode: int) -> tuple[X86State, Fault | None]:
        """One step of `code` at `state.rip`. Raises ValueError when `mode` is not this instance's."""
        if mode != self.mode:
            raise ValueError(f"this instance runs mode {self.mode}")
        uc = self._uc
        uc.context_restore(self._start)
        page = layout(mode).code
        uc.mem_write(page, b"\x90" * PAGE)
        uc.mem_write(state.rip, code)
        uc.ctl_remove_cache(page, page + PAGE)
        self._write(state)
        self._fault = None
        try:
            uc.emu_start(state.rip, (1 << 64) - 1, count=1)
        except unicorn.UcError as error:
            if error.errno == unicorn.UC_ERR_INSN_INVALID:
                self._fault = self._fault or Fault(6)
            elif self._fault is None and error.errno not in _FETCH_ERRORS:
                raise
        return self._read(state), self._fault

    def _write(self, state: X86State) -> None:
        uc = self._uc
        for page, old in self._present.items():
            data = state.memory.get(page, ZERO_PAGE)
            if data is not old:
                uc.mem_write(page, data)
                self._present[page] = data
        for name, value in state.system.items():
            table = name in ("gdtr", "idtr")
            uc.reg_write(_SYSTEM[name], (0, value >> 16, value & 0xFFFF, 0) if table else value)
        for register, value in zip(self._registers, state.gpr, strict=False):
            uc.reg_write(register, value)
        for register, value in zip(self._xmm, state.xmm, strict=False):
            uc.reg_write(register, value)
        uc.reg_write(ux.UC_X86_REG_EFLAGS, state.rflags)
        uc.reg_write(ux.UC_X86_REG_MXCSR, state.mxcsr)
        if self.mode == 64:
            uc.reg_write(ux.UC_X86_REG_FS_BASE, state.fs_base)
            uc.reg_write(ux.UC_X86_REG_GS_BASE, state.gs_base)
        uc.reg_write(ux.UC_X86_REG_FPCW, state.fcw)
        uc.reg_write(ux.UC_X86_REG_FPSW, state.fsw)
        uc.reg_write(ux.UC_X86_REG_FPTAG, _full_tags(state.ftw))
        for i in range(8):
            value = state.physical(i)
            uc.reg_write(_FP[i], (value & (1 << 64) - 1, value >> 64))

    def _read(self, before: X86State) -> X86State:
        uc, out = self._uc, before.copy()
        out.rip = uc.reg_read(ux.UC_X86_REG_RIP if self.mode == 64 else ux.UC_X86_REG_EIP)
        for i, register in enumerate(self._registers):
            out.gpr[i] = uc.reg_read(register)
        for i, register in enumerate(self._xmm):
            out.xmm[i] = uc.reg_read(register)
        out.rflags = uc.reg_read(ux.UC_X86_REG_EFLAGS) & ~(TF | RF) | 2
        out.mxcsr = uc.reg_read(ux.UC_X86_REG_MXCSR)
        if self.mode == 64:
            out.fs_base, out.gs_base = uc.reg_read(ux.UC_X86_REG_FS_BASE), uc.reg_read(ux.UC_X86_REG_GS_BASE)
        out.fcw, out.fsw = uc.reg_read(ux.UC_X86_REG_FPCW), uc.reg_read(ux.UC_X86_REG_FPSW)
        out.ftw = _short_tags(uc.reg_read(ux.UC_X86_REG_FPTAG))
        for i in range(8):
            mantissa, exponent = uc.reg_read(_FP[i])
            out.set_physical(i, exponent << 64 | mantissa)
        for name in before.system:
            value = uc.reg_read(_SYSTEM[name])
            out.system[name] = value[1] << 16 | value[2] if isinstance(value, tuple) else value
        for page, old in self._present.items():
            data = bytes(uc.mem_read(page, PAGE))
            if data != old:
                self._present[page] = out.memory[page] = data
        return out

    def _on_interrupt(self, uc: unicorn.Uc, number: int, _: object) -> None:
        self._fault = Fault(number, 0 if number in _WITH_ERROR else None)
        uc.emu_stop()

    def _on_access(self, uc: unicorn.Uc, access: int, address: int, size: int, value: int, _: object) -> bool:
        if access in _ACCESS:
            self._fault = Fault(14, _ACCESS[access] | _USER, address)
        return False


def _full_tags(short: int) -> int:
    """The 16-bit tag word (empty = 3, else 0: the processor finds the kind itself) of an abridged tag byte."""
    return sum((0 if short >> i & 1 else 3) << 2 * i for i in range(8))


def _short_tags(full: int) -> int:
    """The abridged tag byte of a 16-bit tag word."""
    return sum(((full >> 2 * i & 3) != 3) << i for i in range(8))


@functools.cache
def unicorn_oracle(mode: int) -> UnicornOracle:
    """The one instance for `mode` of this process."""
    return UnicornOracle(mode)
