"""Breakpoints of the debug registers (SDM volume 3, 17.2 and 17.3): a guest that prints each debug exception, and small
programs whose frames are looked at.

The guest's transcript is compared with QEMU's. QEMU 7.2 differs from the manual where a line begins with "~": it pushes
RF with no fault but where RF was set, reports one watchpoint of several, does not align addresses, repeats an
instruction breakpoint at every iteration, holds single-step traps off after STI but debug traps not after MOV SS, has
accesses to descriptors match, and knows neither DR7.GD nor what CR4.DE clear means.
"""

from __future__ import annotations

import shutil
import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bare_machine import BareMachine
from x86_guest_images import build, qemu_prints, transcript

from jitrr.engine.constants import PAGE_WATCH, READ, WATCH_LEAVE, WRITE
from jitrr.engine.exits import Exit

GDT, IDT, CODE, HANDLERS, STACK, DATA = 0x1000, 0x2000, 0x10000, 0x11000, 0x20000, 0x30000
RF, TF, IF = 1 << 16, 1 << 8, 1 << 9
LIMIT = 1_000_000
needs_binutils = pytest.mark.skipif(
    not (shutil.which("as") and shutil.which("ld")), reason="binutils are not installed"
)


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("debug", tmp_path_factory.mktemp("debug"))


@needs_binutils
@pytest.mark.parametrize("tier", ["interp", "jit"])
def test_transcript(image: Path, tier: str) -> None:
    machine = BareMachine(32 << 20, tier)
    machine.load(image.read_bytes())
    assert machine.run(LIMIT).splitlines() == transcript("debug")


@needs_binutils
def test_stops_at_every_instruction(image: Path) -> None:
    """The same, and from saved state only where a trap waits, with all else about breakpoints forgotten."""
    machine = BareMachine(32 << 20)
    machine.load(image.read_bytes())
    while not machine.ended:
        now = machine.engine.icount
        assert now < LIMIT
        while machine.engine.icount == now:
            assert machine.engine.run(now + 1) != Exit.SHUTDOWN, machine.cpu.describe_shutdown()
        if machine.cpu.get("debug_hits") or now % 10 == 0:
            state = machine.cpu.state_bytes()
            machine.cpu.reset()
            machine.cpu.restore_bytes(state)
    assert machine.printed.decode().splitlines() == transcript("debug")


@needs_binutils
def test_state_is_the_same_wherever_it_is_looked_at(image: Path) -> None:
    """One run is stopped often, the other is not: they agree at every stop of both."""
    often, seldom = BareMachine(32 << 20), BareMachine(32 << 20, "jit")
    for machine in (often, seldom):
        machine.load(image.read_bytes())
    for until in range(997, LIMIT, 997):
        for machine, step in ((often, 7), (seldom, 997)):
            while machine.engine.icount < until and not machine.ended:
                machine.engine.run(min(until, machine.engine.icount + step))
        assert often.cpu.state_bytes() == seldom.cpu.state_bytes(), until
        if often.ended:
            break
    assert often.ended
    assert seldom.ended


@needs_binutils
@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="QEMU is not installed")
def test_qemu_agrees(image: Path, tmp_path: Path) -> None:
    found, ours = qemu_prints(image, tmp_path), transcript("debug")
    assert [line.split(":")[0] for line in found] == [line.split(":")[0] for line in ours]
    for theirs, line in zip(found, ours, strict=True):
        assert line.startswith("~") or theirs == line


# -- frames, priorities and the engine's half, in 32-bit code ---------------------------------------------------------
@pytest.fixture(scope="module")
def shared() -> BareMachine:
    return BareMachine(1 << 20)


@pytest.fixture
def machine(shared: BareMachine) -> BareMachine:
    """In flat 32-bit protected mode; vector n is handled by the HLT at HANDLERS + n."""
    shared.ram[:] = bytes(len(shared.ram))
    shared.engine.flush_code()
    shared.cpu.reset()
    entry = SimpleNamespace(eip=CODE, eax=0, ebx=0, gdt_base=GDT, gdt_limit=0x1F, code_selector=8, data_selector=16)
    shared.ram[GDT : GDT + 24] = struct.pack("<3Q", 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF)
    for n in range(256):
        gate = struct.pack("<HHHH", (HANDLERS + n) & 0xFFFF, 8, 0x8E00, (HANDLERS + n) >> 16)
        shared.ram[IDT + 8 * n : IDT + 8 * n + 8] = gate
    shared.ram[HANDLERS : HANDLERS + 256] = b"\xf4" * 256
    shared.cpu.enter_flat32(entry)
    for name, value in (("idtr_base", IDT), ("idtr_limit", 0x7FF)):
        shared.cpu.set(name, value)
    shared.cpu.set("gpr", STACK, 4)
    shared.engine.set_icount(0)
    return shared


def arm(machine: BareMachine, address: int, dr7: int) -> None:
    machine.cpu.set("dr", address, 0)
    machine.cpu.set("dr", dr7 | 0x400, 7)
    machine.engine.call("arm")


def run(machine: BareMachine, code: str, until: int = 1000) -> Exit:
    data = bytes.fromhex(code)
    machine.engine.invalidate_page(CODE >> 12)
    machine.ram[CODE : CODE + len(data)] = data
    return machine.engine.run(until)


def vector(machine: BareMachine) -> int:
    """Which handler's HLT has stopped the processor."""
    return machine.cpu.get("pc") - 1 - HANDLERS


def pushed(machine: BareMachine, count: int) -> tuple[int, ...]:
    at = machine.cpu.get("gpr", 4)
    return struct.unpack(f"<{count}I", machine.ram[at : at + 4 * count])


def dr6(machine: BareMachine) -> int:
    return machine.cpu.get("dr", 6) & 0xE00F


EXECUTE, WRITE4, ACCESS4 = 1, 0x000D0001, 0x000F0001
STORE = "c70500000300 01000000 "  # mov dword [DATA], 1


def test_instruction_breakpoint_is_a_fault_without_rf(machine: BareMachine) -> None:
    arm(machine, CODE + 1, EXECUTE)
    assert run(machine, "90 90 f4") == Exit.HALT
    assert (vector(machine), dr6(machine)) == (1, 1)
    assert pushed(machine, 3) == (CODE + 1, 8, 2)
    assert machine.engine.icount == 2, "one NOP and the handler's HLT"


def test_breakpoints_are_linear_addresses(machine: BareMachine) -> None:
    machine.cpu.set_segment(1, 8, 0x100, 0xFFFFFFFF, 0xC09B)
    machine.engine.call("update_mode")
    machine.cpu.set("pc", CODE - 0x100)
    machine.ram[HANDLERS + 0x101 - 0x100] = 0xF4
    arm(machine, CODE + 1, EXECUTE)
    run(machine, "90 90 90 f4", until=2)
    assert dr6(machine) == 1


def test_watchpoint_is_a_trap(machine: BareMachine) -> None:
    arm(machine, DATA, WRITE4)
    assert run(machine, STORE + "90 f4") == Exit.HALT
    assert (vector(machine), dr6(machine)) == (1, 1)
    assert pushed(machine, 3) == (CODE + 10, 8, 2)
    assert machine.ram[DATA] == 1


def test_trap_goes_before_an_interrupt(machine: BareMachine) -> None:
    arm(machine, DATA, WRITE4)
    machine.cpu.set("eflags", IF | 2)
    run(machine, STORE + "90 f4", until=1)
    assert machine.cpu.trap_due
    machine.cpu.set("mov_ss", 1)
    assert not machine.cpu.trap_due, "MOV SS holds it off"
    machine.cpu.set("mov_ss", (1 << 64) - 1)
    machine.engine.run(2)
    assert not machine.cpu.trap_due
    assert vector(machine) == 1


def test_pushes_of_a_frame_trap_before_the_handler(machine: BareMachine) -> None:
    """INT n pushes three words; the trap is due at the first instruction of the handler."""
    arm(machine, STACK - 8, WRITE4)
    assert run(machine, "cd80 f4") == Exit.HALT
    assert vector(machine) == 1
    assert pushed(machine, 6) == (HANDLERS + 0x80, 8, 2, CODE + 2, 8, 2)


def test_frame_of_a_fault_traps_too(machine: BareMachine) -> None:
    arm(machine, STACK - 8, WRITE4)
    assert run(machine, "0f0b") == Exit.HALT
    assert vector(machine) == 1
    assert pushed(machine, 6) == (HANDLERS + 6, 8, 2, CODE, 8, 2 | RF)


def test_held_trap_comes_with_the_interrupt_that_follows(machine: BareMachine) -> None:
    """MOV SS from watched memory, then INT: #DB in the handler of INT."""
    arm(machine, DATA, ACCESS4)
    struct.pack_into("<H", machine.ram, DATA, 16)
    assert run(machine, "8e1500000300 cd80 f4") == Exit.HALT
    assert vector(machine) == 1
    assert pushed(machine, 1) == (HANDLERS + 0x80,)


def test_int1_brings_the_held_trap_along(machine: BareMachine) -> None:
    """MOV SS from watched memory, then INT1: one #DB."""
    arm(machine, DATA, ACCESS4)
    struct.pack_into("<H", machine.ram, DATA, 16)
    assert run(machine, "8e1500000300 f1 f4") == Exit.HALT
    assert (vector(machine), dr6(machine)) == (1, 1)
    assert pushed(machine, 3) == (CODE + 7, 8, 2)
    assert machine.cpu.get("gpr", 4) == STACK - 12


def test_general_detect_is_a_fault_with_rf(machine: BareMachine) -> None:
    arm(machine, 0, 0x2000)
    assert run(machine, "90 0f21c0 f4") == Exit.HALT
    assert (vector(machine), dr6(machine)) == (1, 0x2000)
    assert pushed(machine, 3) == (CODE + 1, 8, 2 | RF)
    assert machine.cpu.get("dr", 7) == 0x400, "the handler may use them"


def test_iret_keeps_rf_only_for_an_instruction_breakpoint(machine: BareMachine) -> None:
    frame = struct.pack("<3I", CODE + 1, 8, 2 | RF)
    for dr7, kept in ((EXECUTE, RF), (WRITE4, 0)):
        machine.ram[STACK : STACK + 12] = frame
        machine.cpu.set("pc", CODE)
        machine.cpu.set("gpr", STACK, 4)
        arm(machine, 0, dr7)
        run(machine, "cf 90 90 f4", until=machine.engine.icount + 1)
        assert machine.cpu.flags == 2 | kept
        machine.engine.run(machine.engine.icount + 1)
        assert machine.cpu.flags == 2


def test_mode_is_plain_without_breakpoints(machine: BareMachine) -> None:
    """A watchpoint, and breakpoints that are not enabled, leave blocks as they are."""
    plain = machine.cpu.get("mode")
    for dr7, same in ((WRITE4, True), (0x300, True), (EXECUTE, False), (0, True)):
        arm(machine, DATA, dr7)
        assert (machine.cpu.get("mode") == plain) is same
    assert machine.cpu.get("watches") == 0


@pytest.mark.parametrize("kind", [1 << READ, 1 << WRITE, 1 << READ | 1 << WRITE])
def test_watches_of_the_engine(machine: BareMachine, kind: int) -> None:
    """The run stops behind the instruction; the guest sees nothing of it."""
    machine.engine.call("set_watch", 7, DATA + 2, 300, kind | WATCH_LEAVE)
    code = "a100000300" + STORE + "880d2e010300 880d2d010300 f4"  # mov eax, [DATA]; ...; mov [DATA + 302], cl; ... 301
    stops = []
    while run(machine, code) == Exit.REQUEST:
        stops.append((machine.engine.icount, machine.cpu.get("watch_hits"), machine.cpu.get("watch_address")))
        machine.cpu.set("watch_hits", 0)
    expected = [(1, 128, DATA)] if kind & 1 << READ else []
    expected += [(2, 128, DATA), (4, 128, DATA + 301)] if kind & 1 << WRITE else []
    assert stops == expected
    assert machine.cpu.get("debug_hits") == 0
    machine.engine.call("set_watch", 7, 0, 0, 0)
    assert machine.cpu.get("watches") == 0


@pytest.mark.parametrize("physical", [False, True])
def test_watches_that_are_off_are_not_there(machine: BareMachine, physical: bool) -> None:
    """A debugger's, between two of its motions: accesses are as fast as without them, and end nothing."""
    breakpoints = machine.engine.breakpoints
    watch = breakpoints.watch_physical if physical else breakpoints.watch
    watch([(DATA, 4, "write")])
    for on in (False, True, False, True, True):
        breakpoints.enable(on)
        machine.cpu.set("pc", CODE)
        assert (run(machine, STORE + "ebfe", until=machine.engine.icount + 10) == Exit.REQUEST) is on
        assert bool(breakpoints.take_hits()) is on
        assert bool(machine.cpu.get("watches")) is (on and not physical)
        assert bool(machine.engine.page_flags[DATA >> 12] & PAGE_WATCH) is (on and physical)
    watch([])
    machine.cpu.set("pc", CODE)
    assert run(machine, STORE + "ebfe", until=machine.engine.icount + 10) != Exit.REQUEST
