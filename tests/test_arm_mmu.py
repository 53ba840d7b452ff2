"""Translation of addresses: our native walk against the reference in oracle/arm_walk.py, over random tables and
registers, every kind of access; and what the TLB must not remember.
"""

from __future__ import annotations

import random
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arm_machine import RAM_BASE, BareMachine
from oracle.arm_walk import Fault, Regime, translate

from frontends.arm import cp15
from frontends.arm.vectors import EXTERNAL_LONG, EXTERNAL_SHORT

SIZE = 1 << 20
MASK64 = (1 << 64) - 1
ACCESSES = ("read", "write", "exec")
LPAE = 1 << 31
Result = tuple[str, int]


@pytest.fixture(scope="module")
def machine() -> BareMachine:
    return BareMachine(SIZE)


def set_regime(machine: BareMachine, regime: Regime) -> None:
    for name in ("sctlr", "ttbr0", "ttbr1", "ttbcr", "dacr"):
        machine.cpu.set(name, getattr(regime, name))
    machine.engine.call("flush_tlb")


def ours(machine: BareMachine, va: int, access: str, user: bool) -> Result:
    """("address", physical) or ("fault", status), by ATS1C and by fetching."""
    cpu, engine = machine.cpu, machine.engine
    cpu.set("exc_vector", MASK64)
    cpu.set("cpsr", 0x10 if user else 0x13)
    engine.call("update_mode")
    if access == "exec":
        place = engine.call("check_exec", va)
        if cpu.get("exc_vector") != MASK64:
            return "fault", cpu.get("exc_error")
        return "address", place + RAM_BASE
    engine.call("cp15_write", cp15.W_TRANSLATE + (access == "write") + 2 * user, va, 0)
    par = cpu.get("par")
    if par & 1:
        return "fault", cpu.get("exc_error")
    return "address", par & 0xFFFFFFF000 | va & 0xFFF


class Memory:
    """RAM whose table entries are made up when they are first read."""

    def __init__(self, machine: BareMachine, rng: random.Random):
        self.machine, self.rng = machine, rng
        self.made: set[int] = set()

    def _entry(self, size: int) -> int:
        rng = self.rng
        entry = rng.getrandbits(8 * size)
        if size == 4:
            table = RAM_BASE + rng.randrange(0, SIZE, 1024) | entry & 0x3FC | 1
            return table if not self.made and rng.random() < 0.5 else entry
        entry |= rng.random() < 0.9
        if rng.random() < 0.6:
            entry = entry & (15 << 59 | 7) | 3 | RAM_BASE + rng.randrange(0, SIZE, 4096)
        elif rng.random() < 0.7:
            entry |= 1 << 10
        return entry & ~(15 << 59) if rng.random() < 0.5 else entry

    def read(self, at: int, size: int) -> int | None:
        place = at - RAM_BASE
        if not 0 <= place < SIZE:
            return None
        if at not in self.made:
            self.machine.ram[place : place + size] = self._entry(size).to_bytes(size, "little")
            self.made.add(at)
        return int.from_bytes(self.machine.ram[place : place + size], "little")


def short_regime(rng: random.Random) -> Regime:
    ttbcr = rng.choice((0, 0, 1, 2, 7)) | (rng.random() < 0.05) << 4 | (rng.random() < 0.05) << 5
    tables = (RAM_BASE + rng.randrange(0, SIZE // 2, 16384) for _ in range(2))
    dacr = rng.getrandbits(32) if rng.random() < 0.5 else 0x55555555
    return Regime(1 | rng.getrandbits(1) << 29, next(tables) | rng.getrandbits(7), next(tables), ttbcr, dacr)


def long_regime(rng: random.Random) -> Regime:
    sizes = rng.choice((0, 0, 1, 2, 3, 7)) | rng.choice((0, 0, 1, 2, 3, 7)) << 16
    off = (rng.random() < 0.05) << 7 | (rng.random() < 0.05) << 23
    tables = RAM_BASE + rng.randrange(0, SIZE, 4096), RAM_BASE + rng.randrange(0, SIZE, 32)
    return Regime(1, *tables, LPAE | sizes | off, rng.getrandbits(32))


@pytest.mark.parametrize("make", [short_regime, long_regime])
def test_random_tables(machine: BareMachine, make: Callable[[random.Random], Regime]) -> None:
    rng, seen = random.Random(7), Counter[Result]()
    for _ in range(1500):
        regime, va, memory = make(rng), rng.getrandbits(32), Memory(machine, rng)
        for access in ACCESSES:
            for user in (False, True):
                try:
                    wanted: Result = "address", translate(regime, memory.read, va, access, user)
                except Fault as fault:
                    wanted = "fault", fault.fsr
                set_regime(machine, regime)
                found = ours(machine, va, access, user)
                if access != "exec" and not regime.ttbcr & LPAE and wanted[0] == "address":
                    wanted = "address", wanted[1] & 0xFFFFFFFF  # PAR has 32 bits
                if access == "exec" and wanted[0] == "address" and not 0 <= wanted[1] - RAM_BASE < SIZE:
                    wanted = "fault", EXTERNAL_LONG if regime.ttbcr & LPAE else EXTERNAL_SHORT
                assert found == wanted, (regime, hex(va), access, user)
                seen["fault", wanted[1] & 0xF] += wanted[0] == "fault"
                seen["address", 0] += wanted[0] == "address"
    kinds = {kind for kind, count in seen.items() if count}
    assert len(kinds) >= 10


def test_the_tables_can_be_changed(machine: BareMachine) -> None:
    """Every change of a table, by a store of the guest, is seen at once, without TLB maintenance."""
    table, engine = RAM_BASE + 0x4000, machine.engine
    machine.put(table + 4 * 0x400, 0x40000C02)
    set_regime(machine, Regime(1, table, 0, 0, 1))

    def store(entry: int) -> None:
        machine.cpu.set("exc_vector", MASK64)
        engine.call("store_user", table + 4 * 0x123, 4, entry)
        assert machine.cpu.get("exc_vector") == MASK64

    def found(access: str) -> Result:
        return ours(machine, 0x12345678, access, True)

    store(0x40000C02)
    assert found("read") == found("write") == found("exec") == ("address", 0x40045678)
    store(0x40100C02)
    assert found("read") == ("address", 0x40145678)
    assert found("exec") == ("fault", EXTERNAL_SHORT)  # there is no RAM
    store(0x40100802)  # read-only
    assert found("read") == ("address", 0x40145678)
    assert found("write") == ("fault", 0x80D)
    store(0x40100C12)  # execute never
    assert found("write") == ("address", 0x40145678)
    assert found("exec") == ("fault", 0xD)
    store(0)
    assert found("read") == ("fault", 5)
    store(0x40000C02)
    assert found("read") == ("address", 0x40045678)


def test_the_registers_can_be_changed(machine: BareMachine) -> None:
    table, engine = RAM_BASE + 0x4000, machine.engine
    machine.put(table + 4 * 0x123, 0x40000C02)
    machine.put(RAM_BASE + 0x8000 + 4 * 0x123, 0)
    set_regime(machine, Regime(1, table, 0, 0, 1))

    def found(access: str) -> Result:
        return ours(machine, 0x12345678, access, True)

    assert found("write") == ("address", 0x40045678)
    engine.call("cp15_write", cp15.W_DACR, 0, 0)
    assert found("write") == ("fault", 0x809)
    engine.call("cp15_write", cp15.W_DACR, 3, 0)
    assert found("exec") == ("address", 0x40045678)
    engine.call("cp15_write", cp15.W_TTBR0, RAM_BASE + 0x8000, 0)
    assert found("read") == ("fault", 5)
    engine.call("cp15_write", cp15.W_TTBR0, table, 0)
    assert found("read") == ("address", 0x40045678)
    engine.call("cp15_write", cp15.W_SCTLR, 0, 0)
    assert found("read") == ("address", 0x12345678)


def sections(machine: BareMachine, table: int, where: dict[int, int]) -> None:
    """A first-level table that maps RAM to itself and some other megabytes, for everybody."""
    machine.put(table, *[0] * 4096)
    machine.put(table + 4 * (RAM_BASE >> 20), RAM_BASE | 0xC02)
    for virtual, physical in where.items():
        machine.put(table + 4 * (virtual >> 20), physical | 0xC02)


def test_address_spaces_are_kept_apart() -> None:
    """More of them than are remembered, often enough that all flush epochs are used up; a table that is changed while
    another is in use is seen changed."""
    machine = BareMachine(SIZE)
    engine, tables = machine.engine, [RAM_BASE + 0x10000 + 0x4000 * n for n in range(11)]
    place = 0x20000000
    for n, table in enumerate(tables):
        sections(machine, table, {place: RAM_BASE + (n + 1 << 20)})
    set_regime(machine, Regime(1, tables[0], 0, 0, 1))
    rng = random.Random(3)
    for step in range(6000):
        n = rng.randrange(11) if step % 3 else rng.randrange(4)
        engine.call("cp15_write", cp15.W_TTBR0, tables[n], 0)
        assert ours(machine, place, "read", bool(step & 1)) == ("address", RAM_BASE + (n + 1 << 20))
        if step % 7 == 0:
            engine.call("flush_tlb")
    engine.call("cp15_write", cp15.W_TTBR0, tables[0], 0)
    assert ours(machine, place, "read", True) == ("address", RAM_BASE + (1 << 20))
    engine.call("cp15_write", cp15.W_TTBR0, tables[1], 0)
    engine.call("store_user", tables[0] + 4 * (place >> 20), 4, RAM_BASE + (99 << 20) | 0xC02)
    assert ours(machine, place, "read", True) == ("address", RAM_BASE + (2 << 20))
    engine.call("cp15_write", cp15.W_TTBR0, tables[0], 0)
    assert ours(machine, place, "read", True) == ("address", RAM_BASE + (99 << 20))


@pytest.mark.parametrize("tier", ["interp", "jit"])
def test_code_that_is_written_in_another_context(tier: str) -> None:
    """A page that was written fast in one, then executed in another, then written in the first again."""
    machine = BareMachine(SIZE, tier)
    sections(machine, RAM_BASE + 0x10000, {})
    code, page = RAM_BASE + 0x8000, RAM_BASE + 0x20000
    store, first, other, call = 0xE5802040, 0xEE036F10, 0xEE037F10, 0xE12FFF30
    machine.put(page, 0xE3A05001, 0xE12FFF1E)  # mov r5, #1; bx lr
    add, write, again, here = 0xE0899005, 0xE5801000, 0xE5801000, 0xEAFFFFFE  # r9 += r5; str r1, [r0]; b .
    machine.put(
        code, *[store] * 3, other, call, add, first, write, other, call, add, first, again, other, call, add, here
    )
    set_regime(machine, Regime(1, RAM_BASE + 0x10000, 0, 0, 1))
    for n, value in {0: page, 1: 0xE3A05002, 6: 1, 7: 3, 9: 0}.items():
        machine.cpu.set("gpr", value, n)
    machine.cpu.set_cpsr(0x1D3)
    machine.cpu.set("exc_vector", MASK64)
    machine.cpu.enter_flat(code)
    machine.engine.set_icount(0)
    while machine.engine.icount < 100:
        machine.engine.run(100)
    assert machine.cpu.get("gpr", 9) == 1 + 2 + 2
