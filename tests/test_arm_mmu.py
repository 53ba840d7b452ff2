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
