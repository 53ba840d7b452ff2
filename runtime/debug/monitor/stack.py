"""Commands about the kernel's functions: what an address is called, and who called whom."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.debug.monitor.commands import command
from runtime.debug.monitor.moves import count
from runtime.debug.target import MemoryFault, Target

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor

#: Words of the stack that are looked through, at most: a kernel's stack has 16 KiB.
_WORDS = 4096
#: Lengths of x86's indirect calls (opcode FF /2).
_INDIRECT = (2, 3, 4, 6, 7)


@command("info symbol ADDRESS...", "the kernel's symbol that an address belongs to")
def info_symbol(monitor: Monitor, text: str) -> str:
    address = monitor.address(text)
    found = monitor.names.symbol(address)
    if found is None:
        return f"No symbol matches {address:#x}.\n"
    name, offset = found
    return f"{name} + {offset}\n" if offset else f"{name}\n"


@command("backtrace [COUNT]", "where the kernel is, and return addresses on its stack, some perhaps stale", "any", "bt")
def backtrace(monitor: Monitor, text: str = "16") -> str:
    """A word counts that is an address in a function, behind an instruction that calls."""
    found, wanted = [monitor.target.pc], count(monitor, text)
    if monitor.target.arch == "arm":
        found.append(monitor.register("lr"))
    size = 8 if monitor.target.arch == "x86_64" else 4
    start = monitor.register("sp") & -size
    for at in range(start, start + _WORDS * size, size):
        if len(found) > wanted:
            break
        try:
            found.append(int.from_bytes(monitor.target.read(at, size), "little"))
        except MemoryFault:
            break
        if not _returned_to(monitor, found[-1]):
            found.pop()
    lines = [f"#0   {found[0]:#x}{monitor.names.marked(found[0])}\n"]
    for number, address in enumerate(found[1 : wanted + 1], 1):
        name, offset = monitor.names.symbol(address - 1) or ("?", 0)  # a call may be the last instruction of a function
        lines.append(f"#{number:<3} {address:#x} <{name}+{offset + 1:#x}>\n")
    return "".join(lines)


def _returned_to(monitor: Monitor, address: int) -> bool:
    if monitor.names.symbol(address - 1, code=True) is None:
        return False
    try:
        return _behind_call(monitor.target, address)
    except MemoryFault:
        return False


def _behind_call(target: Target, address: int) -> bool:
    """Whether the instruction before an address calls: E8 and FF /2 (SDM volume 2, CALL), BL and BLX (DDI 0406C,
    A8.8.25 and A8.8.26). MemoryFault."""
    if target.arch != "arm":
        code = target.read(address - 7, 7)
        return code[-5] == 0xE8 or any(code[-n] == 0xFF and code[1 - n] >> 3 & 7 == 2 for n in _INDIRECT)
    if address & 1:
        first = int.from_bytes(target.read(address - 5, 2), "little")
        return first >> 11 == 0b11110 or target.read(address - 3, 2)[1] == 0x47
    word = int.from_bytes(target.read(address - 4, 4), "little")
    return word >> 24 & 15 == 11 or word >> 25 == 0b1111101 or word & 0x0FFFFFF0 == 0x012FFF30
