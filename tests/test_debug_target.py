"""What a debugger sees of a stopped machine: registers, memory, mappings; and that looking changes nothing."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest
from debug_recordings import ARCHITECTURES, demo_recording

from frontends.arm.inspect import ArmInspector
from frontends.registers import NotWritable
from frontends.x86.inspect import X86Inspector
from runtime.debug.target import MemoryFault, Target, make_target
from runtime.timeline.replay import Replay

GENERAL = {
    "x86_64": ("rax", "rbx", "rcx", "rdx", "rsi", "rdi", "rbp", "rsp", "r8", "r15", "rip"),
    "i386": ("eax", "ebx", "ecx", "edx", "esi", "edi", "ebp", "esp", "eip"),
    "arm": (*(f"r{n}" for n in range(13)), "sp", "lr", "pc", "cpsr"),
}
#: How the reports of the processor (Cpu.registers) call them, where it is otherwise.
REPORTED = {
    "eflags": "rflags",
    **{f"e{name}": f"r{name}" for name in ("ax", "bx", "cx", "dx", "si", "di", "bp", "sp", "ip")},
}


@pytest.fixture(scope="module", params=ARCHITECTURES)
def replay(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Replay]:
    recording = demo_recording(request.param, tmp_path_factory.getbasetemp())
    replay = Replay(recording)
    replay.seek(recording.icount * 3 // 4)
    yield replay
    replay.close()


@pytest.fixture
def target(replay: Replay) -> Target:
    return make_target(replay.machine)


def engine_of(replay: Replay) -> Any:
    return cast(Any, replay.machine).engine


def test_registers_are_the_processors(replay: Replay, target: Target) -> None:
    reported = cast(Any, replay.machine).cpu.registers()
    for name in GENERAL[target.arch]:
        assert target.read_register(name) == reported[REPORTED.get(name, name)], name
    assert target.read_register("icount") == replay.icount
    assert {register.name for register in target.registers} >= set(GENERAL[target.arch])


def test_every_register_fits_its_width(target: Target) -> None:
    for register in target.registers:
        assert 0 <= target.read_register(register.name) < 1 << register.bits, register


def test_looking_leaves_no_trace(replay: Replay, target: Target) -> None:
    before = replay.digest()
    for register in target.registers:
        target.read_register(register.name)
    for virtual, _, size, _ in target.mappings():
        target.translate(virtual + size // 2)
        with pytest.raises(MemoryFault):
            target.read(0xFFFF << 32, 8, physical=True)
    assert replay.digest() == before


def test_written_registers_are_read_back(replay: Replay, target: Target) -> None:
    state = replay.machine.cpu_state()
    refused = set()
    for number, register in enumerate(target.registers):
        value = (0x0123456789ABCDEF0123456789ABCDEF >> number) & (1 << register.bits) - 1
        if register.name in ("cpsr", "eflags"):
            value = target.read_register(register.name) ^ (1 << 30 if register.name == "cpsr" else 1)
        try:
            target.write_register(register.name, value)
        except NotWritable:
            refused.add(register.name)
            continue
        assert target.read_register(register.name) == value, register
    replay.machine.restore_cpu(state, replay.icount)
    assert refused and refused.isdisjoint(GENERAL[target.arch])
    assert "icount" in refused
    with pytest.raises(KeyError):
        target.read_register("nothing")


def test_a_mode_of_arm_cannot_be_written(target: Target) -> None:
    if target.arch != "arm":
        pytest.skip("ARM's")
    with pytest.raises(NotWritable):
        target.write_register("cpsr", target.read_register("cpsr") ^ 1)


def test_mappings_and_translations_agree(target: Target) -> None:
    last = -1
    for virtual, physical, size, flags in target.mappings():
        assert virtual > last and len(flags) == 4
        last = virtual + size - 1
        for at in (virtual, virtual + size // 2, last):
            assert target.translate(at) == physical + at - virtual
    assert last > 0


def test_page_tables_of_the_demo_guests(target: Target) -> None:
    """As their boot.S builds them."""
    pages = {virtual: (physical, size, flags) for virtual, physical, size, flags in target.mappings()}
    if target.arch == "x86_64":
        assert pages[0] == (0, 2 << 20, "-rwx") and pages[2 << 20] == (2 << 20, 2 << 20, "-rwx")
        user = [flags for virtual, (_, size, flags) in pages.items() if virtual >= 1 << 30 and size == 4096]
        assert set(user) == {"ur-x", "urw-"}
    elif target.arch == "i386":
        assert pages[4096] == (4096, 4096, "-rwx") and pages[4 << 20] == (4 << 20, 4 << 20, "-rwx")
        assert {flags for virtual, (_, _, flags) in pages.items() if virtual >= 1 << 30} == {"ur-x", "urwx"}
    else:
        assert pages[0x40000000][:2] == (0x40000000, 1 << 20)


def test_memory_by_both_addresses(replay: Replay, target: Target) -> None:
    where = target.translate(target.pc)
    assert where is not None
    code = target.read(target.pc, 16)
    assert code == target.read(where, 16, physical=True)
    place = engine_of(replay).locate(where)
    assert code == bytes(replay.machine.ram[place : place + 16])
    unmapped = {"x86_64": 0x7FFFF0000000, "i386": 0xE0000000, "arm": 0x20000000}[target.arch]
    assert target.translate(unmapped) is None
    with pytest.raises(MemoryFault) as raised:
        target.read(unmapped, 4)
    assert raised.value.address == unmapped


def test_a_write_is_all_or_nothing_and_is_seen(replay: Replay, target: Target) -> None:
    (base, size, _), *_ = engine_of(replay).ranges
    at, end = base + size // 2 - 2, base + size
    before, digest = target.read(at, 4096 + 4, physical=True), replay.digest()
    target.write(at, b"abcd", physical=True)
    assert target.read(at, 4, physical=True) == b"abcd" and replay.digest() != digest
    target.write(at, before, physical=True)
    assert replay.digest() == digest
    tail = target.read(end - 4, 4, physical=True)
    if engine_of(replay).locate(end) is None:
        with pytest.raises(MemoryFault):
            target.write(end - 4, bytes(8), physical=True)
    assert target.read(end - 4, 4, physical=True) == tail


# -- page tables written by hand ---------------------------------------------------------------------------------------
class Tables:
    """A processor that has nothing but control registers and a little RAM at ``base``."""

    def __init__(self, base: int = 0, **registers: Any):
        self.base, self.ram, self.registers = base, bytearray(1 << 20), registers
        self.engine = SimpleNamespace(state=registers, ram=SimpleNamespace(map=self.ram), locate=self.locate)

    def locate(self, physical: int) -> int | None:
        return physical - self.base if 0 <= physical - self.base < len(self.ram) else None

    def get(self, name: str, index: int = 0) -> int:
        value = self.registers.get(name, 0)
        return value[index] if isinstance(value, list) else value

    def put(self, at: int, value: int, size: int) -> None:
        struct.pack_into("<Q" if size == 8 else "<I", self.ram, at - self.base, value)


def listed(inspector: Any) -> list[tuple[int, int, int, str]]:
    found = list(inspector.mappings())
    for virtual, physical, size, _ in found:
        for at in (virtual, virtual + size - 1):
            assert inspector.physical(at) == physical + at - virtual
    return found


NX = 1 << 63


def test_x86_32_bit_tables() -> None:
    tables = Tables(cr0=1 << 31, cr3=0x1000, cr4=16, efer=0)
    tables.put(0x1000, 0x2007, 4)
    tables.put(0x2000 + 4 * 3, 0x5005, 4)
    tables.put(0x1000 + 4 * 1023, 0x80 | 0x2000 | 0x00C00003, 4)  # PSE-36: bit 32 of the address
    assert listed(X86Inspector(tables)) == [
        (0x3000, 0x5000, 4096, "ur-x"), (0xFFC00000, 0x1_00C00000, 4 << 20, "-rwx"),
    ]  # fmt: skip


def test_x86_pae_tables() -> None:
    tables = Tables(cr0=1 << 31, cr3=0, cr4=32, efer=1 << 11, pdpte=[0, 0x1001, 0, 0])
    tables.put(0x1000 + 8 * 2, 0x2007, 8)
    tables.put(0x1000 + 8 * 5, 0x00E000E3, 8)
    tables.put(0x2000 + 8 * 511, NX | 0x7067, 8)
    assert listed(X86Inspector(tables)) == [
        (0x405FF000, 0x7000, 4096, "urw-"), (0x40A00000, 0x00E00000, 2 << 20, "-rwx"),
    ]  # fmt: skip


def test_x86_4_level_tables() -> None:
    tables = Tables(cr0=1 << 31, cr3=0x1000, cr4=32, efer=1 << 10 | 1 << 11, has_long_mode=1)
    tables.put(0x1000 + 8 * 511, 0x2003, 8)
    tables.put(0x2000 + 8 * 510, 0x3007, 8)
    tables.put(0x2000 + 8 * 511, 0x4000_0083, 8)
    tables.put(0x3000, NX | 0x20_0087, 8)
    tables.put(0x5000, 0x6001, 8)
    tables.put(0x3000 + 8, 0x5007, 8)
    assert listed(X86Inspector(tables)) == [
        (0xFFFFFFFF80000000, 0x20_0000, 2 << 20, "-rw-"), (0xFFFFFFFF80200000, 0x6000, 4096, "-r-x"),
        (0xFFFFFFFFC0000000, 0x4000_0000, 1 << 30, "-rwx"),
    ]  # fmt: skip


def test_nothing_is_listed_without_paging() -> None:
    x86, arm = X86Inspector(Tables(cr0=1, cr4=0)), ArmInspector(Tables(sctlr=0))
    assert not list(x86.mappings()) and x86.physical(0x1234) == 0x1234
    assert not list(arm.mappings()) and arm.physical(0x1234) == 0x1234


BASE = 0x40000000


def test_arm_short_descriptors() -> None:
    tables = Tables(BASE, sctlr=1, ttbcr=1, ttbr0=BASE + 0x4000, ttbr1=BASE + 0x8000, dacr=0b0111)
    tables.put(BASE + 0x4000 + 4 * 1, 0x50000C02, 4)  # section, AP 3
    tables.put(BASE + 0x4000 + 4 * 2, BASE + 0xC000 | 1 << 5 | 1, 4)  # table, domain 1: client
    tables.put(BASE + 0xC000 + 4 * 5, 0x60001212, 4)  # small page, AP 1 and AP2: read-only for privileged modes
    for number in range(16, 32):
        tables.put(BASE + 0xC000 + 4 * number, 0x70008021, 4)  # large page, XN, AP 2
    for number in range(0xC00, 0xC10):
        tables.put(BASE + 0x8000 + 4 * number, 0x81040402, 4)  # supersection
    tables.put(BASE + 0x8000 + 4 * 7, 0x50000C02, 4)  # TTBR0's half
    found = listed(ArmInspector(tables))
    assert found == [
        (0x00100000, 0x50000000, 1 << 20, "urwx"), (0x00205000, 0x60001000, 4096, "-r-x"),
        (0x00210000, 0x70000000, 1 << 16, "urw-"), (0xC0000000, 0x81000000, 1 << 24, "urwx"),
    ]  # fmt: skip


def test_arm_long_descriptors() -> None:
    tables = Tables(BASE, sctlr=1, ttbcr=1 << 31 | 1 << 16, ttbr0=BASE + 0x1000, ttbr1=BASE + 0x2000)
    tables.put(BASE + 0x1000, 0x1_00000741, 8)  # a block of 1 GiB, user may write
    tables.put(BASE + 0x1008, 1 << 61 | BASE + 0x3003, 8)  # a table without user access
    tables.put(BASE + 0x3000, 0x2_00200701, 8)
    tables.put(BASE + 0x2000, BASE + 0x4003, 8)
    tables.put(BASE + 0x4008, BASE + 0x5003, 8)
    tables.put(BASE + 0x5000 + 8 * 9, 1 << 54 | 0x48000783, 8)
    found = listed(ArmInspector(tables))
    assert found == [
        (0x00000000, 0x1_00000000, 1 << 30, "urwx"), (0x40000000, 0x2_00200000, 2 << 20, "-rwx"),
        (0x80209000, 0x48000000, 4096, "-r--"),
    ]  # fmt: skip
