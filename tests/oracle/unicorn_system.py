"""Unicorn as an oracle for system instructions, in the worlds of ``world``.

It takes exceptions out before they are delivered: a hook gets the vector. The error code and the hidden parts of
segments are not in its interface, but in its contexts; where in there is found out once, by looking for known values.
"""

from __future__ import annotations

import ctypes
import functools
import struct
from typing import Any

import unicorn
from unicorn import x86_const as ux

from .state import GPR_NAMES
from .system_state import (
    CONTROL,
    FPU,
    MSRS,
    SEGMENTS,
    Exception_,
    Outcome,
    SystemCase,
    changed,
    image,
    is_software,
    outcome,
    start_registers,
)
from .world import BOOT, CODE, GDT, IDT, KERNEL_STACK, OBSERVED, PAGE, PC, RAM, world

_MODES = {16: unicorn.UC_MODE_16, 32: unicorn.UC_MODE_32, 64: unicorn.UC_MODE_64}
_WITH_ERROR = frozenset((8, 10, 11, 12, 13, 14, 17))
_GPR = {name: getattr(ux, f"UC_X86_REG_{name.upper()}") for name in GPR_NAMES}
_GPR32 = {name: getattr(ux, f"UC_X86_REG_E{name[1:].upper()}") for name in GPR_NAMES[:8]}
_CONTROL = {name: getattr(ux, f"UC_X86_REG_{name.upper()}") for name in CONTROL}
_FPU = dict(zip(FPU, (ux.UC_X86_REG_FPCW, ux.UC_X86_REG_FPSW, ux.UC_X86_REG_MXCSR), strict=True))
_CACHE = struct.Struct("<I4xQII")
_NOWHERE = KERNEL_STACK
"""Where no case goes; a page that is there, lest looking for it changes CR2."""


def port_value(port: int, size: int) -> int:
    """What a read of a port gives in these tests."""
    return (0x9E3779B1 * (port + 1) >> 3) & (1 << 8 * size) - 1


class UnicornSystem:
    """``run(case)`` for the cases of one world."""

    def __init__(self, name: str) -> None:
        """Boots the world. ValueError when there is none of that name."""
        self.world = world(name)
        self.wide = self.world.long
        self._uc = uc = unicorn.Uc(unicorn.UC_ARCH_X86, _MODES[16 if self.world.real else 64 if self.wide else 32])
        uc.ctl_set_cpu_model(ux.UC_CPU_X86_HASWELL)
        uc.mem_map(0, RAM)
        self._rip = ux.UC_X86_REG_RIP if self.wide else ux.UC_X86_REG_EIP
        self._completed, self._code = False, b"\x90"
        self._fault: Exception_ | None = None
        self._io: list[str] = []
        self._error, self._raised = 0, b""
        self.start: dict[str, int] = {}
        for page, data in self.world.memory.items():
            uc.mem_write(page, data)
        uc.hook_add(unicorn.UC_HOOK_INTR, self._on_interrupt)
        uc.hook_add(unicorn.UC_HOOK_INSN, self._on_in, None, 1, 0, ux.UC_X86_INS_IN)
        uc.hook_add(unicorn.UC_HOOK_INSN, self._on_out, None, 1, 0, ux.UC_X86_INS_OUT)
        uc.mem_write(PC, b"\x90")
        uc.emu_start(BOOT, PC)
        if self._fault:
            raise RuntimeError(f"{name} does not boot: {self._fault}")
        self._now = uc.context_save()
        self._start = uc.context_save()
        self._segments = self._find_segments()
        self._error = 0 if self.world.real else self._find_error()
        uc.context_restore(self._start)
        self._put(start_registers(self.world))
        self._start = uc.context_save()
        self.start = {**self._read(), "rip": PC}

    # -- contexts -----------------------------------------------------------------------------------------------------
    def _context(self) -> bytes:
        self._uc.context_update(self._now)
        return ctypes.string_at(self._now._context, self._now._size)

    def _find_segments(self) -> int:
        """Where the segments are: the ones of this world have known selectors."""
        data, place = self._context(), self.world
        for at in range(0, len(data) - 24 * 10, 8):
            selectors = [_CACHE.unpack_from(data, at + 24 * n)[0] for n in range(6)]
            bases = [_CACHE.unpack_from(data, at + 24 * n)[1] for n in (8, 9)]
            if selectors == [place.data, place.code, *[place.data] * 4] and bases == [GDT, IDT]:
                return at
        raise RuntimeError("no segments in Unicorn's context")

    def _find_error(self) -> int:
        """Where the error code is: two loads of selectors beyond the table leave them there."""
        found: set[int] | None = None
        for selector in (0x7F38, 0x6A50, 0x7F38):
            self._uc.context_restore(self._start)
            self._put({"rax": selector})
            self._uc.mem_write(PC, b"\x8e\xe8")
            self._uc.ctl_remove_cache(CODE, CODE + PAGE)
            self._uc.emu_start(PC, _NOWHERE, count=1)
            data = self._raised
            here = {at for at in range(0, len(data) - 4, 4) if struct.unpack_from("<I", data, at)[0] == selector}
            found = here if found is None else found & here
        assert found
        candidates = sorted(at for at in found if at > self._segments + 240)
        if len(candidates) != 1:
            raise RuntimeError(f"no error code in Unicorn's context: {candidates}")
        return candidates[0]

    # -- one case -----------------------------------------------------------------------------------------------------
    def run(self, case: SystemCase) -> Outcome:
        """The outcome of one instruction."""
        uc = self._uc
        before_memory = image(case)
        uc.context_restore(self._start)
        for page in OBSERVED:
            uc.mem_write(page, before_memory[page])
        uc.mem_write(CODE, b"\xeb\xfe" * (PAGE // 2))
        uc.mem_write(PC, case.code)
        uc.ctl_remove_cache(CODE, CODE + PAGE)
        uc.reg_write(ux.UC_X86_REG_CR3, self.start["cr3"])  # forgets translations
        self._put(case.registers)
        before = {**self.start, **case.registers}
        self._completed, self._code = False, case.code
        self._fault, self._io = None, []
        try:
            uc.emu_start(before["rip"] + self.start["cs.base"], _NOWHERE, count=1)
        except unicorn.UcError as error:
            if error.errno == unicorn.UC_ERR_INSN_INVALID:
                self._fault = Exception_(6)
            elif error.errno not in (unicorn.UC_ERR_FETCH_UNMAPPED, unicorn.UC_ERR_FETCH_PROT):
                raise
        after = self._read()
        if self._completed:
            after["cr2"] = before["cr2"]
        if is_software(case.code) and self._fault:
            after["rip"] = before["rip"]  # it has moved on to what is pushed
        memory = {page: bytes(uc.mem_read(page, PAGE)) for page in OBSERVED}
        return outcome(case, before, after, changed(before_memory, memory), self._fault, ",".join(self._io))

    def _put(self, registers: dict[str, int]) -> None:
        uc, patches = self._uc, {}
        for name, value in registers.items():
            if name in _GPR:
                if self.wide or name in _GPR32:
                    uc.reg_write(_GPR[name] if self.wide else _GPR32[name], value)
            elif name == "rflags":
                uc.reg_write(ux.UC_X86_REG_EFLAGS, value)
            elif name in _CONTROL:
                uc.reg_write(_CONTROL[name], value)
            elif name in MSRS:
                uc.msr_write(MSRS[name], value)
            elif name in _FPU:
                uc.reg_write(_FPU[name], value)
            elif name != "rip":
                patches[name] = value
        if patches:
            self._patch(patches)

    def _patch(self, patches: dict[str, int]) -> None:
        """Write segments and table registers into a context and load that."""
        self._uc.context_update(self._now)
        for name, value in patches.items():
            segment, _, part = name.partition(".")
            at = self._now._context.value + self._segments + 24 * (*SEGMENTS, "gdtr", "idtr").index(segment)
            fields = list(_CACHE.unpack(ctypes.string_at(at, 24)))
            fields[("", "base", "limit", "attr").index(part)] = value << 8 if part == "attr" else value
            ctypes.memmove(at, _CACHE.pack(*fields), 24)
        self._uc.context_restore(self._now)

    def _read(self) -> dict[str, int]:
        uc, out = self._uc, {}
        gpr = _GPR if self.wide else _GPR32
        out.update({name: uc.reg_read(number) for name, number in gpr.items()})
        out["rip"] = uc.reg_read(self._rip)
        out["rflags"] = uc.reg_read(ux.UC_X86_REG_EFLAGS) | 2
        out.update({name: uc.reg_read(number) for name, number in (_CONTROL | _FPU).items()})
        out.update({name: uc.msr_read(number) for name, number in MSRS.items()})
        data = self._context()
        for n, segment in enumerate((*SEGMENTS, "gdtr", "idtr")):
            selector, base, limit, flags = _CACHE.unpack_from(data, self._segments + 24 * n)
            out.update({f"{segment}.base": base, f"{segment}.limit": limit})
            if segment in SEGMENTS:
                out.update({segment: selector, f"{segment}.attr": flags >> 8 & 0xF0FF})
        out["cpl"] = struct.unpack_from("<I", data, self._segments - 8)[0] & 3
        return out

    # -- hooks --------------------------------------------------------------------------------------------------------
    def _on_interrupt(self, uc: unicorn.Uc, number: int, _: Any) -> None:
        """An exception that finds RIP elsewhere is that of fetching the next instruction, unless it is INT's."""
        uc.emu_stop()
        self._completed = uc.reg_read(self._rip) != PC and not is_software(self._code)
        if self._completed:
            return
        error = None
        if number in _WITH_ERROR and not self.world.real and not is_software(self._code):
            self._raised = self._context()
            error = struct.unpack_from("<I", self._raised, self._error)[0]
        self._fault = Exception_(number, error)

    def _on_in(self, _: unicorn.Uc, port: int, size: int, __: Any) -> int:
        self._io.append(f"r{size}:{port:x}")
        return port_value(port, size)

    def _on_out(self, _: unicorn.Uc, port: int, size: int, value: int, __: Any) -> None:
        self._io.append(f"w{size}:{port:x}:{value & (1 << 8 * size) - 1:x}")


@functools.cache
def unicorn_system(name: str) -> UnicornSystem:
    """The one instance for a world in this process."""
    return UnicornSystem(name)
