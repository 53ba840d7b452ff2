"""Commands that look: memory, mappings, expressions, the state of things. Output as QEMU's monitor writes it."""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING

from runtime.debug.disassemble import disassemble
from runtime.debug.monitor.commands import MonitorError, command
from runtime.debug.target import PAGE, MemoryFault

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor

_SIZES = {"b": 1, "h": 2, "w": 4, "g": 8, "l": 8}
_SHAPE = re.compile(r"(\d*)([xduocisa]?)([bhwgl]?)([xduocisa]?)")
#: The operand that a jump or call goes to, at the end of an instruction's text.
_TARGET = re.compile(r"#?(0x[0-9a-f]{8,16})$")
#: Most bytes that one command shows.
_MOST = 1 << 20


# -- memory ------------------------------------------------------------------------------------------------------------
@command("x [/FORMAT] ADDRESS...", "virtual memory: a number, x d u o c s i a, b h w g; x/10i $pc")
def x(monitor: Monitor, form: str, text: str) -> str:
    return _dump(monitor, form, monitor.address(text), False)


@command("xp [/FORMAT] ADDRESS...", "physical memory, in the same way")
def xp(monitor: Monitor, form: str, text: str) -> str:
    return _dump(monitor, form, monitor.value(text), True)


@command("print [/FORMAT] EXPRESSION...", "the value of an expression, with $registers", "any", "p")
def print_command(monitor: Monitor, form: str, text: str) -> str:
    count, kind, _ = _shape(monitor, form or "x")
    if count != 1 or kind in "isa":
        raise MonitorError("print has the formats x, d, u, o and c")
    return _number(monitor.value(text), kind, 8, padded=False) + "\n"


def _shape(monitor: Monitor, form: str) -> tuple[int, str, int]:
    """Count, kind and size of ``/FORMAT``; what is not said is as it was the last time."""
    found = _SHAPE.fullmatch(form)
    if found is None or (found[2] and found[4]):
        raise MonitorError(f"invalid format {form!r}: a number, one of x d u o c s i a, one of b h w g")
    count, kind, size = int(found[1] or 1), found[2] or found[4], _SIZES.get(found[3], 0)
    if kind in ("i", "s"):
        return count, kind, size
    if kind == "a":
        return count, kind, 8 if monitor.target.arch == "x86_64" else 4
    shape = kind or monitor.shape[0], 1 if kind == "c" else size or monitor.shape[1]
    monitor.shape = shape
    return count, *shape


def _dump(monitor: Monitor, form: str, address: int, physical: bool) -> str:
    count, kind, size = _shape(monitor, form)
    if count * max(size, 1) > _MOST:
        raise MonitorError(f"that is too much at once: at most {_MOST} bytes")
    if kind == "i":
        return _instructions(monitor, address, count, physical)
    if kind == "s":
        return _strings(monitor, address, count, physical)
    line = size if kind == "a" else 8 if size == 1 else 16
    lines = []
    for start in range(address, address + count * size, line):
        part = min(line, address + count * size - start)
        try:
            data = monitor.target.read(start, part, physical)
        except MemoryFault:
            lines.append(_address(monitor, start) + ": Cannot access memory\n")
            break
        numbers = [int.from_bytes(data[at : at + size], "little") for at in range(0, part, size)]
        shown = " ".join(_number(number, kind, size, padded=True) for number in numbers)
        name = monitor.names.marked(numbers[0]) if kind == "a" else ""
        at = "" if physical else monitor.names.marked(start)
        lines.append(f"{_address(monitor, start)}{at}: {shown}{name}\n")
    return "".join(lines)


def _address(monitor: Monitor, address: int) -> str:
    return f"{address:016x}" if monitor.target.arch == "x86_64" else f"{address:08x}"


def _number(value: int, kind: str, size: int, padded: bool) -> str:
    """As QEMU's ``print`` and, padded to the widest number, its ``x``."""
    bits = 8 * size
    if kind in "xa":
        return f"0x{value:0{bits // 4}x}" if padded else f"{value:#x}"
    if kind == "o":
        return f"0{value:0{(bits + 2) // 3}o}" if padded else f"0{value:o}"
    if kind == "c":
        return f"'{chr(value & 0x7F)}'" if 32 <= value < 127 else f"'\\x{value & 0xFF:02x}'"
    if kind == "d" and value >> bits - 1:
        value -= 1 << bits
    return f"{value:{(bits * 10 + 32) // 33}d}" if padded else str(value)


def _instructions(monitor: Monitor, address: int, count: int, physical: bool) -> str:
    try:
        found = disassemble(monitor.target, address, count, physical)
    except MemoryFault:
        raise MonitorError(f"Cannot access memory at {address:#x}") from None
    lines = []
    for at, data, text in found:
        name = "" if physical else monitor.names.marked(at)
        lines.append(f"0x{_address(monitor, at)}{name}:  {data.hex(' '):<24} {named(monitor, text)}\n")
    return "".join(lines)


def named(monitor: Monitor, text: str) -> str:
    """An instruction with the name of the place that it goes to."""
    target = _TARGET.search(text)
    return text + (monitor.names.marked(int(target[1], 0)) if target else "")


def _strings(monitor: Monitor, address: int, count: int, physical: bool) -> str:
    lines = []
    for _ in range(count):
        text = bytearray()
        while len(text) < PAGE and (byte := monitor.target.read(address + len(text), 1, physical)) != b"\0":
            text += byte
        lines.append(f"{_address(monitor, address)}: {text.decode('latin-1')!a}\n")
        address += len(text) + 1
    return "".join(lines)


# -- mappings ----------------------------------------------------------------------------------------------------------
@command("info mem", "the virtual memory mapped now: from, to, size, rights")
def info_mem(monitor: Monitor) -> str:
    ranges: list[tuple[int, int, str]] = []
    for virtual, _, size, flags in monitor.target.mappings():
        if ranges and ranges[-1][1] == virtual and ranges[-1][2] == flags:
            ranges[-1] = ranges[-1][0], virtual + size, flags
        else:
            ranges.append((virtual, virtual + size, flags))
    show = partial(_address, monitor)
    lines = [f"{show(start)}-{show(end)} {show(end - start)} {flags}\n" for start, end, flags in ranges]
    return "".join(lines) or "Paging is off: addresses are physical ones\n"


@command("info tlb", "the pages mapped now: virtual and physical address, size, rights")
def info_tlb(monitor: Monitor) -> str:
    lines = [
        f"{_address(monitor, virtual)}: {physical:016x} {size >> 10:>8} KiB {flags}\n"
        for virtual, physical, size, flags in monitor.target.mappings()
    ]
    return "".join(lines) or "Paging is off: addresses are physical ones\n"


@command("gva2gpa ADDRESS...", "the physical address of a virtual one")
def gva2gpa(monitor: Monitor, text: str) -> str:
    found = monitor.target.translate(monitor.address(text))
    return "Unmapped\n" if found is None else f"gpa: {found:#x}\n"


# -- the state of things -----------------------------------------------------------------------------------------------
@command("info status", "whether the machine runs")
def info_status(monitor: Monitor) -> str:
    return f"VM status: {'running' if monitor.running else 'paused'}\n"


@command("info replay", "what is recorded or replayed, and where it is")
def info_replay(monitor: Monitor) -> str:
    mode, name = replay_mode(monitor)
    if mode == "none":
        return "Record/replay is not active\n"
    verb = "Recording" if mode == "record" else "Replaying"
    return f"{verb} execution '{name}': instruction count = {monitor.icount}\n"


def replay_mode(monitor: Monitor) -> tuple[str, str]:
    """QEMU's ReplayMode ("none", "record", "play") and the name of the recording."""
    if monitor.travel is not None and monitor.live is None:
        return "play", str(monitor.travel.recording.path)
    path = monitor.live.path if monitor.live is not None else None
    return ("none", "") if path is None else ("record", str(path))


@command("info version", "the version of jitrr")
def info_version(monitor: Monitor) -> str:
    return f"{version()}\n"


def version() -> str:
    """Of the installed program."""
    from importlib.metadata import version as installed  # late: it takes long

    return installed("jitrr")
