"""Instructions of a stopped machine as text, by Capstone; x86 in AT&T syntax, as gdb and QEMU's monitor show it."""

from __future__ import annotations

from functools import cache

import capstone

from runtime.debug.target import PAGE, MemoryFault, Target

_MODES = {
    "16": (capstone.CS_ARCH_X86, capstone.CS_MODE_16), "32": (capstone.CS_ARCH_X86, capstone.CS_MODE_32),
    "64": (capstone.CS_ARCH_X86, capstone.CS_MODE_64), "arm": (capstone.CS_ARCH_ARM, capstone.CS_MODE_ARM),
    "thumb": (capstone.CS_ARCH_ARM, capstone.CS_MODE_THUMB),
}  # fmt: skip
#: Longest and shortest instruction, in bytes.
_LONGEST = {"arm": 4, "thumb": 4}
_SHORTEST = {"arm": 4, "thumb": 2}


@cache
def _decoder(code: str) -> capstone.Cs:
    decoder = capstone.Cs(*_MODES[code])
    if code.isdigit():
        decoder.syntax = capstone.CS_OPT_SYNTAX_ATT
    return decoder


def disassemble(target: Target, address: int, count: int = 1, physical: bool = False) -> list[tuple[int, bytes, str]]:
    """``count`` instructions from ``address`` on: address, bytes, text; fewer when memory ends. What is no instruction
    is shown as bytes. MemoryFault: there is no memory at ``address``."""
    code = target.code
    found: list[tuple[int, bytes, str]] = []
    longest, shortest = _LONGEST.get(code, 15), _SHORTEST.get(code, 1)
    while len(found) < count:
        try:
            data = _readable(target, address, longest, physical)
        except MemoryFault:
            if found:
                break
            raise
        _, size, name, operands = next(_decoder(code).disasm_lite(data, address, 1), (0, shortest, "", ""))
        text = f"{name} {operands}".strip() or ".byte " + ", ".join(f"0x{byte:02x}" for byte in data[:size])
        found.append((address, data[:size], text))
        address += size
    return found


def _readable(target: Target, address: int, size: int, physical: bool) -> bytes:
    """At most ``size`` bytes, fewer when the next page is not there."""
    try:
        return target.read(address, size, physical)
    except MemoryFault:
        return target.read(address, min(size, PAGE - address % PAGE), physical)
