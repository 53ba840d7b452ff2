"""The ARM oracle: Unicorn as a Cortex-A15, in User or System mode without an MMU; the layout's pages are all it has."""

from __future__ import annotations

import functools

import unicorn
from unicorn import arm_const as ua

from .arm_state import DATA, PAGE, PLACES, PREFETCH, SVC, UNDEF, ArmFault, ArmState, T, code_page
from .memory import ZERO_PAGE

_GPR = [ua.UC_ARM_REG_R0 + n for n in range(13)] + [ua.UC_ARM_REG_SP, ua.UC_ARM_REG_LR]
_Q = [ua.UC_ARM_REG_Q0 + n for n in range(16)]
_WRITES = (unicorn.UC_MEM_WRITE_UNMAPPED, unicorn.UC_MEM_WRITE_PROT)
_DATA = (unicorn.UC_MEM_READ_UNMAPPED, unicorn.UC_MEM_READ_PROT, *_WRITES)
_FETCH_ERRORS = (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT)
#: What a step out of the code page leaves undone is not of its instruction.
_INVALID = unicorn.UC_HOOK_MEM_UNMAPPED | unicorn.UC_HOOK_MEM_PROT
_VECTORS = {1: UNDEF, 2: SVC, 3: PREFETCH, 4: DATA}
CPSR_SETTABLE = 0xFF0FFFFF & ~(1 << 24)


class ArmUnicorn:
    """``run(state, code, steps)``: as every executor of ARM cases."""

    def __init__(self) -> None:
        self._uc = uc = unicorn.Uc(unicorn.UC_ARCH_ARM, unicorn.UC_MODE_ARM)
        uc.ctl_set_cpu_model(ua.UC_CPU_ARM_CORTEX_A15)
        uc.mem_map(PLACES.code, PAGE, unicorn.UC_PROT_READ | unicorn.UC_PROT_EXEC)
        for page in PLACES.pages:
            readable = unicorn.UC_PROT_READ
            uc.mem_map(page, PAGE, readable if page == PLACES.read_only else readable | unicorn.UC_PROT_WRITE)
        self._present = {page: ZERO_PAGE for page in PLACES.pages}
        self._fault: ArmFault | None = None
        uc.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(_INVALID, self._on_access)
        uc.reg_write(ua.UC_ARM_REG_C1_C0_2, 0xF << 20)
        uc.reg_write(ua.UC_ARM_REG_FPEXC, 1 << 30)
        self._start = uc.context_save()

    def run(self, state: ArmState, code: bytes, steps: int = 1) -> tuple[ArmState, ArmFault | None]:
        """``steps`` instructions of ``code`` at ``state.r[15]``: the state after them and the exception, if any, of the
        last."""
        uc = self._uc
        uc.context_restore(self._start)
        uc.mem_write(PLACES.code, code_page(state.r[15], code))
        uc.ctl_remove_cache(PLACES.code, PLACES.code + PAGE)
        self._write(state)
        self._fault = None
        # Unicorn may count an IT block as one; but what is not its last instruction does not branch.
        count = 0 if _within_it(state, code) else steps
        try:
            uc.emu_start(state.r[15] | (1 if state.thumb else 0), state.r[15] + len(code), count=count)
        except unicorn.UcError as error:
            if error.errno in (unicorn.UC_ERR_INSN_INVALID, unicorn.UC_ERR_EXCEPTION):
                self._fault = self._fault or ArmFault(UNDEF)
            elif self._fault is None and error.errno not in _FETCH_ERRORS:
                raise
        return self._read(state), self._fault

    def _write(self, state: ArmState) -> None:
        uc = self._uc
        for page, old in self._present.items():
            data = state.memory.get(page, ZERO_PAGE)
            if data is not old:
                uc.mem_write(page, data)
                self._present[page] = data
        uc.reg_write(ua.UC_ARM_REG_CPSR, state.cpsr)
        for register, value in zip(_GPR, state.r, strict=False):
            uc.reg_write(register, value)
        for register, value in zip(_Q, state.q, strict=True):
            uc.reg_write(register, value)
        uc.reg_write(ua.UC_ARM_REG_FPSCR, state.fpscr)

    def _read(self, before: ArmState) -> ArmState:
        uc, out = self._uc, before.copy()
        for n, register in enumerate(_GPR):
            out.r[n] = uc.reg_read(register)
        out.r[15] = uc.reg_read(ua.UC_ARM_REG_PC)
        out.cpsr = uc.reg_read(ua.UC_ARM_REG_CPSR)
        out.r[15] &= ~1 if out.cpsr & T else ~3
        for n, register in enumerate(_Q):
            out.q[n] = uc.reg_read(register)
        out.fpscr = uc.reg_read(ua.UC_ARM_REG_FPSCR)
        for page, old in self._present.items():
            data = bytes(uc.mem_read(page, PAGE))
            if data != old:
                self._present[page] = out.memory[page] = data
        return out

    def _on_interrupt(self, uc: unicorn.Uc, number: int, _: object) -> None:
        self._fault = self._fault or ArmFault(_VECTORS.get(number, number))
        uc.emu_stop()

    def _on_access(self, uc: unicorn.Uc, access: int, address: int, size: int, value: int, _: object) -> bool:
        if access in _DATA:
            self._fault = self._fault or ArmFault(DATA, address & 0xFFFFFFFF, access in _WRITES)
        return False


def _within_it(state: ArmState, code: bytes) -> bool:
    """The last instruction is in an IT block, but not the last there."""
    itstate = state.cpsr >> 25 & 3 | state.cpsr >> 8 & 0xFC
    if state.thumb and code[1] == 0xBF and code[0] & 15:
        itstate = code[0]
    return state.thumb and itstate & 7 != 0


@functools.cache
def arm_unicorn() -> ArmUnicorn:
    """The one instance of this process."""
    return ArmUnicorn()
