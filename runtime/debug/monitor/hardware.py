"""Processors and their registers, as QEMU's monitor writes them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from runtime.debug.monitor.commands import MonitorError, command

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor
    from runtime.debug.target import Target

_SEGMENTS = ("ES", "CS", "SS", "DS", "FS", "GS", "LDT", "TR")
_FLAGS = ((11, "O"), (10, "D"), (7, "S"), (6, "Z"), (4, "A"), (2, "P"), (0, "C"))
#: Bits of a descriptor's attributes (SDM volume 3, 3.4.5), as the processor's field has them.
_CODE_OR_DATA, _PRESENT, _LONG, _BIG = 1 << 4, 1 << 7, 1 << 13, 1 << 14
_EXECUTABLE, _UP, _READ_OR_WRITE, _ACCESSED = 8, 4, 2, 1
_MODES = {0x10: "usr", 0x11: "fiq", 0x12: "irq", 0x13: "svc", 0x16: "mon", 0x17: "abt", 0x1B: "und", 0x1F: "sys"}


@command("cpu [NUMBER]", "the processor that commands look at until it moves; without one: whose turn it is")
def cpu_command(monitor: Monitor, text: str = "") -> str:
    monitor.target.chosen = numbered(monitor, text) if text else None
    return ""


def numbered(monitor: Monitor, text: str) -> int:
    """The processor of that number. MonitorError: there is none."""
    number, count = monitor.number_of(text), monitor.target.machine.processors
    if number >= count:
        raise MonitorError(f"there is no CPU {text}, only {'0' if count == 1 else f'0 to {count - 1}'}")
    return number


@command("info cpus", "the processors: what they do, and where; * is the one that commands look at")
def info_cpus(monitor: Monitor) -> str:
    lines, target = [], monitor.target
    looked_at = target.processor
    for number in range(target.machine.processors):
        with target.of(number):
            state = "" if target.status == "running" else f" ({target.status})"
            mark = "*" if number == looked_at else " "
            lines.append(f"{mark} CPU #{number}: pc={target.pc:#x}{monitor.names.marked(target.pc)}{state}\n")
    return "".join(lines)


@command("info registers [WHICH]", "the registers of the processor, of the one with a number, or (-a) of all")
def info_registers(monitor: Monitor, text: str = "") -> str:
    target = monitor.target
    if text == "-a":
        chosen = list(range(target.machine.processors))
    else:
        chosen = [numbered(monitor, text) if text else target.processor]
    lines = []
    for number in chosen:
        with target.of(number):
            name = monitor.names.of(target.pc)
            shown = _arm(target) if target.arch == "arm" else _x86(target)
            lines += [f"CPU#{number}", *shown, *filter(None, [name and f"pc: {name}"])]
    return "".join(line + "\n" for line in lines)


def _rows(cells: list[str], width: int) -> list[str]:
    return [" ".join(cells[at : at + width]) for at in range(0, len(cells), width)]


# -- x86 ---------------------------------------------------------------------------------------------------------------
def _x86(target: Target) -> list[str]:
    wide = target.arch == "x86_64"
    read, digits, first = target.read_register, 16 if wide else 8, "r" if wide else "e"
    names = [first + name for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp")]
    names += [f"r{number}" for number in range(8, 16)] if wide else []
    general = [f"{name.upper():<3}={read(name):0{digits}x}" for name in names]
    pc, flags = read(first + "ip"), read("eflags")
    letters = "".join(letter if flags >> bit & 1 else "-" for bit, letter in _FLAGS)
    machine, number = target.machine, target.processor
    with target.looking():
        level = machine.cpus[number].get("seg_attr", 2) >> 5 & 3
        segments = [_segment(machine.cpus[number], n, digits, bool(flags >> 17 & 1)) for n in range(8)]
    held = number == machine.turn and machine.in_shadow(machine.icount)
    state = f"[{_directed(letters)}] CPL={level} II={int(held)} A20=1 SMM=0"
    halted = int(target.status != "running")
    return [
        *_rows(general, 4),
        f"{first.upper()}IP={pc:0{digits}x} {'RFL' if wide else 'EFL'}={flags:08x} {state} HLT={halted}",
        *segments,
        *(f"{n}DT=     {read(f'{n.lower()}dtr_base'):0{digits}x} {read(f'{n.lower()}dtr_limit'):08x}" for n in "GI"),
        f"CR0={read('cr0'):08x} CR2={read('cr2'):0{digits}x} CR3={read('cr3'):0{digits}x} CR4={read('cr4'):08x}",
        " ".join(f"DR{number}={read(f'dr{number}'):0{digits}x}" for number in range(4)),
        f"DR6={read('dr6'):0{digits}x} DR7={read('dr7'):0{digits}x}",
        f"EFER={read('efer'):016x}",
        *_x87(target),
    ]  # fmt: skip


def _directed(letters: str) -> str:
    """QEMU shows D before O."""
    return letters[1] + letters[0] + letters[2:]


def _segment(cpu: Any, number: int, digits: int, virtual8086: bool) -> str:
    selector, base, limit, attributes = (
        cpu.get(field, number) for field in ("seg_sel", "seg_base", "seg_limit", "seg_attr")
    )
    line = f"{_SEGMENTS[number]:<3}={selector:04x} {base:0{digits}x} {limit & 0xFFFFFFFF:08x} {attributes << 8:08x}"
    if not cpu.get("cr0") & 1 or virtual8086 or not attributes & _PRESENT:
        return line
    line += f" DPL={attributes >> 5 & 3} "
    if not attributes & _CODE_OR_DATA:
        return line + ("LDT" if attributes & 15 == 2 else "TSS" if number == 7 else "system")
    if attributes & _EXECUTABLE:
        kind = "CS64" if attributes & _LONG else "CS32" if attributes & _BIG else "CS16"
        letters = "CR"
    else:
        kind, letters = "DS  " if attributes & _BIG or cpu.get("efer") >> 10 & 1 else "DS16", "EW"
    shown = zip(letters + "A", (_UP, _READ_OR_WRITE, _ACCESSED), strict=True)
    return f"{line}{kind} [{''.join(letter if attributes & bit else '-' for letter, bit in shown)}]"


def _x87(target: Target) -> list[str]:
    read = target.read_register
    top = read("fstat") >> 11 & 7
    tags = sum(1 << number for number in range(8) if read("ftag") >> 2 * number & 3 != 3)
    control = f"FCW={read('fctrl'):04x} FSW={read('fstat'):04x} [ST={top}] FTW={tags:02x} MXCSR={read('mxcsr'):08x}"
    stack = [f"FPR{n}={(v := read(f'st{n}')) & (1 << 64) - 1:016x} {v >> 64:04x}" for n in range(8)]
    count = sum(register.name.startswith("xmm") for register in target.registers)
    vectors = [f"XMM{n:02}={(v := read(f'xmm{n}')) >> 64:016x} {v & (1 << 64) - 1:016x}" for n in range(count)]
    return [control, *_rows(stack, 2), *_rows(vectors, 2)]


_LVT = {"LVTT": 0x320, "LVTTHMR": 0x330, "LVTPC": 0x340, "LVT0": 0x350, "LVT1": 0x360, "LVTERR": 0x370}
_DELIVERY = ("Fixed", "LowPri", "SMI", "3", "NMI", "INIT", "SIPI", "ExtINT")
_TIMER = ("one-shot", "periodic", "tsc-deadline", "3")


@command("info lapic [NUMBER]", "the local APIC of the processor, or of the one with a number (x86)")
def info_lapic(monitor: Monitor, text: str = "") -> str:
    machine, number = monitor.target.machine, numbered(monitor, text) if text else monitor.target.processor
    if monitor.target.arch == "arm":
        raise MonitorError("this machine has no local APIC")
    apic = machine.board.apics[number]

    def read(offset: int) -> int:
        return int(apic.read(offset, 4) & 0xFFFFFFFF)

    lines = [f"dumping local APIC state for CPU {number}, at {apic.base & -4096:#x}"]
    if not apic.base >> 11 & 1:
        return lines[0] + ", which is switched off\n"
    for name, offset in _LVT.items():
        value = read(offset)
        shown = "masked " if value >> 16 & 1 else ""
        shown += _TIMER[value >> 17 & 3] if name == "LVTT" else _DELIVERY[value >> 8 & 7]
        lines.append(f"{name:<8}0x{value:08x} {shown} (vec {value & 0xFF})")
    lines.append(f"Timer   DCR={read(0x3E0):#x} initial_count = {read(0x380)} current_count = {read(0x390)}")
    enabled = "enabled" if read(0xF0) >> 8 & 1 else "disabled"
    lines.append(f"SPIV    0x{read(0xF0):08x} APIC {enabled}, spurious vec {read(0xF0) & 0xFF}")
    lines.append(f"ICR     0x{read(0x300):08x} ICR2 0x{read(0x310):08x} ESR 0x{read(0x280):08x}")
    for name, offset in {"ISR": 0x100, "IRR": 0x200}.items():
        bits = sum(read(offset + 16 * word) << 32 * word for word in range(8))
        waiting = " ".join(str(vector) for vector in range(256) if bits >> vector & 1)
        lines.append(f"{name:<8}{waiting or '(none)'}")
    lines.append(f"TPR     0x{read(0x80):02x} PPR 0x{read(0xA0):02x} LDR 0x{read(0xD0):08x} DFR 0x{read(0xE0):08x}")
    return "".join(line + "\n" for line in lines)


# -- ARM ---------------------------------------------------------------------------------------------------------------
def _arm(target: Target) -> list[str]:
    read = target.read_register
    names = [*(f"r{number}" for number in range(13)), "sp", "lr", "pc"]
    psr = read("cpsr")
    letters = "".join(letter if psr >> bit & 1 else "-" for bit, letter in ((31, "N"), (30, "Z"), (29, "C"), (28, "V")))
    doubles = [f"d{number:02}={read(f'd{number}'):016x}" for number in range(32)]
    return [
        *_rows([f"R{number:02}={read(name):08x}" for number, name in enumerate(names)], 4),
        f"PSR={psr:08x} {letters} {'T' if psr & 32 else 'A'} {_MODES.get(psr & 31, '???')}32",
        *_rows(doubles, 4),
        f"FPSCR: {read('fpscr'):08x}",
    ]
