"""The processor seen from its machine: interrupts, services, reset, canonical state, CPUID."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from bare_machine import BareMachine

from frontends.x86 import cpu as x86_cpu
from frontends.x86 import cpuid
from frontends.x86 import state as st
from jitrr.engine.exits import Exit

GDT, IDT, CODE, HANDLERS, STACK = 0x1000, 0x2000, 0x10000, 0x11000, 0x20000
K_CODE, K_DATA = 0x08, 0x10
IF, RF = 1 << 9, 1 << 16
HLT, NOP = b"\xf4", b"\x90"


@pytest.fixture(scope="module")
def shared() -> BareMachine:
    return BareMachine(1 << 20)


@pytest.fixture
def machine(shared: BareMachine) -> BareMachine:
    """In flat 32-bit protected mode; vector n is handled by the HLT at HANDLERS + n."""
    shared.ram[:] = bytes(len(shared.ram))
    shared.engine.flush_code()
    shared.cpu.reset()
    entry = SimpleNamespace(
        eip=CODE, eax=0, ebx=0, gdt_base=GDT, gdt_limit=0x1F, code_selector=K_CODE, data_selector=K_DATA
    )
    shared.ram[GDT : GDT + 24] = struct.pack("<3Q", 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF)
    for n in range(256):
        gate = struct.pack("<HHHH", (HANDLERS + n) & 0xFFFF, K_CODE, 0x8E00, (HANDLERS + n) >> 16)
        shared.ram[IDT + 8 * n : IDT + 8 * n + 8] = gate
    shared.ram[HANDLERS : HANDLERS + 256] = HLT * 256
    shared.cpu.enter_flat32(entry)
    shared.cpu.set("idtr_base", IDT)
    shared.cpu.set("idtr_limit", 0x7FF)
    shared.cpu.set("gpr", STACK, 4)
    shared.engine.set_icount(0)
    return shared


def run(machine: BareMachine, code: bytes, until: int = 1000) -> Exit:
    machine.engine.invalidate_page(CODE >> 12)
    machine.ram[CODE : CODE + len(code)] = code
    return machine.engine.run(until)


def vector(machine: BareMachine) -> int:
    """Which handler's HLT has stopped the processor."""
    return machine.cpu.get("pc") - 1 - HANDLERS


def pushed(machine: BareMachine, count: int) -> tuple[int, ...]:
    at = machine.cpu.get("gpr", 4)
    return struct.unpack(f"<{count}I", machine.ram[at : at + 4 * count])


def test_fault_is_pushed_with_rf_and_error_code(machine: BareMachine) -> None:
    assert run(machine, NOP + bytes.fromhex("b8f8000000 8ee8")) == Exit.HALT  # mov eax, 0xf8; mov gs, ax
    assert vector(machine) == 13
    assert pushed(machine, 4) == (0xF8, CODE + 6, K_CODE, 2 | RF)
    assert machine.engine.icount == 3  # two instructions and the HLT: the fault retires nothing


def test_interrupt_pushes_the_next_instruction_without_rf(machine: BareMachine) -> None:
    run(machine, b"\xfb" + NOP * 10, until=4)
    assert machine.cpu.interrupts_enabled
    assert machine.cpu.interrupt(0x20)
    assert not machine.cpu.interrupts_enabled
    assert machine.engine.run(100) == Exit.HALT
    assert vector(machine) == 0x20
    assert pushed(machine, 3) == (CODE + 4, K_CODE, 2 | IF)


def test_low_vectors_of_interrupts_are_not_exceptions(machine: BareMachine) -> None:
    """An interrupt controller that was not moved sends vector 8: no error code, no double fault."""
    run(machine, NOP * 10, until=2)
    assert machine.cpu.interrupt(8)
    machine.engine.run(100)
    assert vector(machine) == 8
    assert pushed(machine, 3) == (CODE + 2, K_CODE, 2)


def test_sti_holds_interrupts_off_for_one_instruction(machine: BareMachine) -> None:
    run(machine, NOP + b"\xfb" + NOP, until=2)
    assert machine.cpu.get("shadow") == 2
    machine.engine.set_icount(10)
    machine.cpu.set("pc", CODE + 1)
    machine.engine.run(11)
    assert machine.cpu.get("shadow") != 11, "interrupts were on already"


def test_nmi_is_blocked_until_iret(machine: BareMachine) -> None:
    run(machine, NOP * 10, until=2)
    machine.ram[HANDLERS + 2] = 0xCF
    machine.engine.invalidate_page(HANDLERS >> 12)
    assert machine.cpu.interrupt(2)
    assert machine.cpu.nmi_blocked
    machine.engine.run(3)
    assert not machine.cpu.nmi_blocked
    assert machine.cpu.get("pc") == CODE + 2


def test_triple_fault(machine: BareMachine) -> None:
    machine.cpu.set("idtr_limit", 0)
    assert run(machine, b"\x0f\x0b") == Exit.SHUTDOWN
    assert f"{CODE:#x}" in machine.cpu.describe_shutdown()


def test_unknown_msr_faults(machine: BareMachine) -> None:
    run(machine, bytes.fromhex("b9785634120f32"))
    assert vector(machine) == 13
    assert pushed(machine, 2) == (0, CODE + 5)


@pytest.mark.parametrize(
    ("msr", "value", "accepted"),
    [
        (0x277, 0x0007040600070406, True),
        (0x277, 2, False),
        (0x200, 0x80000006, True),
        (0x200, 0x80000002, False),
        (0x201, 0xFF80000800, True),
        (0x201, 1 << 41, False),
        (0x250, 0x0606060606060600, True),
        (0x250, 2, False),
        (0x2FF, 0xC06, True),
        (0x2FF, 0x1006, False),
        (0xFE, 0, False),
        (0x3B, 12345, True),
        (0x179, 4, False),
        (0x17A, 5, True),
        (0x17A, 8, False),
        (0x40C, 0x1234567887654321, True),
        (0x40D, 0, True),
        (0x40D, 1, False),
        (0x410, 0, False),
    ],
)
def test_reserved_bits_of_msrs(machine: BareMachine, msr: int, value: int, accepted: bool) -> None:
    code = b"\xb9" + struct.pack("<I", msr) + b"\xb8" + struct.pack("<I", value & 0xFFFFFFFF)
    code += b"\xba" + struct.pack("<I", value >> 32) + b"\x0f\x30\x31\xc0\x31\xd2\x0f\x32" + HLT
    run(machine, code)
    if accepted:
        assert machine.cpu.get("pc") == CODE + len(code)
        assert machine.cpu.get("gpr", 0) | machine.cpu.get("gpr", 2) << 32 == value
    else:
        assert vector(machine) == 13


def test_tsc_counts_instructions(machine: BareMachine) -> None:
    run(machine, NOP * 5 + bytes.fromhex("0f31") + HLT)
    assert machine.cpu.get("gpr", 0) == 5 << 3


def test_tsc_deadline_is_in_virtual_time(machine: BareMachine) -> None:
    armed: list[int] = []
    machine.apic.write_tsc_deadline = armed.append
    machine.cpu.set("tsc_offset", 1000)
    for value in (5000, 0, 10):
        machine.cpu.set("io_value", value)
        machine.cpu.service(x86_cpu.services.MSR_WRITE, x86_cpu.DEADLINE)
    assert armed == [4000, 0, 1], "relative to the offset; off; long past"


def test_undefined_instructions_of_features_not_announced(machine: BareMachine) -> None:
    for code in ("c5f877", "0f01d0", "0f01c8", "f30fc7f8", "0f3f"):  # vzeroupper xgetbv monitor rdpid 0f3f
        machine.cpu.set("pc", CODE)
        machine.cpu.set("gpr", STACK, 4)
        run(machine, bytes.fromhex(code) + NOP * 16, machine.engine.icount + 100)
        assert vector(machine) == 6, code


def test_reset_state(machine: BareMachine) -> None:
    machine.cpu.reset()
    names = machine.cpu.registers()
    assert (names["rip"], names["cs"], names["rdx"], names["cr0"]) == (0xFFF0, 0xF000, 0x106CA, 0x60000010)
    assert machine.cpu.get("mode") & 3 == st.MODE_16
    assert machine.cpu.get("code_base") == 0xFFFF0000


def test_start_up_is_the_state_of_init_at_a_page(machine: BareMachine) -> None:
    """What the processor did before leaves nothing behind but what INIT keeps."""
    cpu = machine.cpu
    cpu.reset()
    cpu.start(0x9A)
    fresh = cpu.state_bytes()
    kept = {"xmm": 3, "mxcsr": 0x1F00, "fcw": 0x37F, "fsw": 0x4000, "pat": 6, "star": 5, "tsc_offset": 6}
    lost = {"gpr": 7, "cr2": 8, "cr3": 0x5000, "cr4": 0x20, "dr": 9, "gdtr_base": 10, "nmi_blocked": 1, "cc_res": 11}
    for name, value in (kept | lost).items():
        cpu.set(name, value)
    cpu.set("efer", 0x500)
    cpu.set("cr0", 0xA0010031)
    cpu.set_segment(st.CS, 0x10, 0, 0xFFFFFFFF, 0xA09B)
    cpu.set_flags(0x246)
    cpu.stored[x86_cpu.VARIABLE_MTRRS[4]] = 0x12345000
    cpu.start(0x9A)
    assert {name: cpu.get(name) for name in kept} == kept
    assert cpu.stored[x86_cpu.VARIABLE_MTRRS[4]] == 0x12345000
    assert cpu.get("cr0") == 0x20000010, "CD and NW as they were"
    assert cpu.get("gpr", 2) == 0x106CA
    assert (cpu.get("seg_sel", st.CS), cpu.get("seg_base", st.CS), cpu.get("pc")) == (0x9A00, 0x9A000, 0)
    assert cpu.get("mode") & 3 == st.MODE_16
    cpu.reset()
    cpu.start(0x9A)
    assert cpu.state_bytes() == fresh


def test_a_started_processor_runs_in_its_page(machine: BareMachine) -> None:
    code = bytes.fromhex("8cc8 8ed8 a11000") + HLT  # mov ax, cs; mov ds, ax; mov ax, [0x10]
    machine.ram[0x9000 : 0x9000 + len(code)] = code
    machine.ram[0x9010:0x9012] = b"\x34\x12"
    machine.cpu.start(9)
    machine.engine.run(machine.engine.icount + 4)
    assert (machine.cpu.get("gpr"), machine.cpu.get("pc")) == (0x1234, len(code))


def test_every_field_is_in_the_state_or_temporary() -> None:
    names = list(st.LAYOUT.offsets)
    declared = names[names.index("gpr") :]
    assert sorted(declared) == sorted((*x86_cpu.FIELDS, *x86_cpu.TEMPORARY))


def test_state_is_canonical(machine: BareMachine) -> None:
    """The same flags from different recipes, and bytes that no one can see, give the same state."""
    cpu = machine.cpu
    cpu.set_flags(2 | st.ZF | st.PF)
    before = cpu.state_bytes()
    for name, value in (("cc_op", st.CC_SUB), ("cc_a", 5), ("cc_b", 5), ("cc_res", 0), ("t", 77), ("ftmp", 3)):
        cpu.set(name, value)
    cpu.set("fpr", 0xABCD << 16, 1)
    assert cpu.state_bytes() == before
    cpu.set("gpr", 1, 9)
    changed = cpu.state_bytes()
    assert changed != before
    cpu.restore_bytes(before)
    assert cpu.state_bytes() == before
    cpu.restore_bytes(changed)
    assert cpu.get("gpr", 9) == 1


@pytest.mark.parametrize("wide", [False, True])
def test_a_walk_that_faults_sets_no_accessed_bits(machine: BareMachine, wide: bool) -> None:
    """The page above 2 or 4 MiB is not there; then it is."""
    directory, table, size = 0x30000, 0x31000, 8 if wide else 4
    span = 1 << (21 if wide else 22)
    entries = {directory: 0x83, directory + size: table + 3, table: 0}
    for at, entry in entries.items():
        machine.ram[at : at + size] = entry.to_bytes(size, "little")
    machine.cpu.set("cr4", 0x30 if wide else 0x10)
    machine.cpu.set("cr3", directory)
    machine.cpu.set("pdpte", directory + 1, 0)
    machine.cpu.set("cr0", 0x80000011)
    machine.cpu.restore_bytes(machine.cpu.state_bytes())
    load = b"\xa1" + span.to_bytes(4, "little")
    run(machine, load)
    assert vector(machine) == 14
    assert machine.ram[directory + size] == 0x03
    machine.ram[table] = 0x03
    machine.cpu.set("pc", CODE)
    run(machine, load + HLT)
    assert machine.cpu.get("pc") == CODE + len(load) + 1
    assert (machine.ram[directory + size], machine.ram[table]) == (0x23, 0x23)


def test_cpuid_of_a_leaf_that_is_too_high_is_the_highest(machine: BareMachine) -> None:
    run(machine, bytes.fromhex("b8ffffff4f 0fa2") + HLT)
    highest = next(leaf for leaf in cpuid.table() if leaf.leaf == 0x16)
    assert [machine.cpu.get("gpr", n) for n in (0, 3, 1)] == [highest.eax, highest.ebx, highest.ecx]


@pytest.mark.parametrize("base", [0xFEE00900, 0xFED40900, 0xFEE00100])
def test_cpuid_announces_the_apic_while_it_is_enabled(machine: BareMachine, base: int) -> None:
    machine.apic.base = base
    run(machine, bytes.fromhex("b801000000 0fa2") + HLT)
    assert machine.cpu.get("gpr", 2) >> 9 & 1 == base >> 11 & 1


@pytest.mark.parametrize(("msr", "value", "allowed"), [
    (0xC0000080, 1 << 11, True), (0xC0000080, 1 << 8, False), (0xC0000080, 1, False), (0xC0000081, 0, False),
    (0xC0000082, 0, False), (0xC0000100, 0, False), (0xC0000102, 0, False), (0xC0000103, 5, True), (0x176, 5, True),
    (0x6E0, 0, False),
])  # fmt: skip
def test_msrs_of_long_mode_are_not_there_without_it(machine: BareMachine, msr: int, value: int, allowed: bool) -> None:
    """WRMSR, and RDMSR of those that are written."""
    machine.cpu.set("has_long_mode", 0)
    code = b"\xb9" + struct.pack("<I", msr) + b"\xb8" + struct.pack("<I", value) + bytes.fromhex("31d2 0f30 31c0 0f32")
    run(machine, code + HLT)
    if allowed:
        assert machine.cpu.get("pc") == CODE + len(code) + 1
        assert machine.cpu.get("gpr", 0) == value
    else:
        assert vector(machine) == 13


@pytest.mark.parametrize("long_mode", [True, False])
def test_cpuid_table_is_consistent(long_mode: bool) -> None:
    leaves = cpuid.table(long_mode)
    found = {(leaf.leaf, leaf.subleaf): leaf for leaf in leaves}
    assert len(found) == len(leaves)
    assert found[0x80000001, cpuid.ANY].edx >> 29 & 1 == long_mode
    assert found[1, cpuid.ANY].ecx >> 24 & 1 == long_mode, "TSC deadlines"
    assert found[0, cpuid.ANY].eax == max(leaf for leaf, _ in found if leaf < 0x80000000)
    assert found[0x80000000, cpuid.ANY].eax == max(leaf for leaf, _ in found)
    size = found[0x80000008, cpuid.ANY].eax
    assert size & 255 == st.PHYSICAL_BITS


@pytest.mark.parametrize("processors", [2, 3, 4, 8])
def test_cpuid_numbers_the_cores_of_a_package(processors: int) -> None:
    """The ways SDM volume 3, 8.9 gives to take an APIC ID apart: leaf 0xB, and leaves 1 and 4."""
    alone = {(leaf.leaf, leaf.subleaf): leaf for leaf in cpuid.table()}
    for number in range(processors):
        found = {(leaf.leaf, leaf.subleaf): leaf for leaf in cpuid.table(True, number, processors)}
        first, cache = found[1, cpuid.ANY], found[4, 2]
        assert first.edx == alone[1, cpuid.ANY].edx | 1 << 28
        assert (first.ebx >> 24, first.ebx >> 16 & 255) == (number, processors)
        cores, sharing = (cache.eax >> 26) + 1, (cache.eax >> 14 & 0xFFF) + 1
        assert (cores // 2 < processors <= cores, sharing) == (True, 1)
        thread, core, end = (found[0xB, level] for level in range(3))
        assert (thread.eax, thread.ebx, thread.ecx) == (0, 1, 0x100)
        assert (1 << core.eax, core.ebx, core.ecx) == (cores, processors, 0x201)
        assert (end.eax, end.ebx, end.ecx) == (0, 0, 2), "no further level"
        assert thread.edx == core.edx == end.edx == number
        same = [key for key in alone if key[0] not in (1, 4, 0xB)]
        assert [found[key] for key in same] == [alone[key] for key in same]


def test_cpuid_of_one_processor_has_no_others() -> None:
    found = [(leaf.leaf, leaf.subleaf, leaf.eax, leaf.ebx, leaf.ecx, leaf.edx) for leaf in cpuid.table()]
    assert [entry for entry in found if entry[0] == 0xB] == [(0xB, 0, 0, 1, 0x100, 0), (0xB, 1, 0, 1, 0x201, 0)]
    assert [(entry[3], entry[5] >> 28 & 1) for entry in found if entry[0] == 1] == [(0x00010800, 0)]
    assert [entry[2] for entry in found if entry[0] == 4] == [0x121, 0x122, 0x143]
