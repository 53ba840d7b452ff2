"""PCI: configuration by ports 0xCF8 and 0xCFC, and the host bridge."""

from __future__ import annotations

import pytest
from pc_fakes import Rig

ADDRESS, DATA = 0xCF8, 0xCFC


def select(rig: Rig, register: int, *, device: int = 0, function: int = 0, bus: int = 0, enable: int = 1) -> None:
    rig.board.io.write(ADDRESS, 4, enable << 31 | bus << 16 | device << 11 | function << 8 | register)


def read(rig: Rig, register: int, size: int = 4, **where: int) -> int:
    select(rig, register & ~3, **where)
    return rig.board.io.read(DATA + (register & 3), size)


def test_the_host_bridge_says_who_it_is() -> None:
    rig = Rig()
    assert read(rig, 0) == 0x12378086
    assert read(rig, 8) == 0x06000002, "a host bridge, revision 2"
    assert read(rig, 0x0E, 1) == 0, "one function, an ordinary header"
    assert [read(rig, 0x10 + 4 * bar) for bar in range(6)] == [0] * 6
    assert (read(rig, 2, 2), read(rig, 0xB, 1), read(rig, 6, 2)) == (0x1237, 6, 0x280), "bytes and words of registers"


@pytest.mark.parametrize("where", [{"device": 1}, {"function": 1}, {"bus": 1}, {"device": 31, "function": 7}])
def test_where_nothing_is_there_are_ones(where: dict[str, int]) -> None:
    rig = Rig()
    assert read(rig, 0, **where) == 0xFFFFFFFF
    rig.board.io.write(DATA, 4, 0)
    assert read(rig, 0) == 0x12378086


def test_the_address_register() -> None:
    rig = Rig()
    rig.board.io.write(ADDRESS, 4, 0xFFFFFFFF)
    assert rig.board.io.read(ADDRESS, 4) == 0x80FFFFFC
    select(rig, 0, enable=0)
    assert rig.board.io.read(DATA, 4) == 0xFFFFFFFF, "not enabled"
    rig.board.io.write(ADDRESS, 2, 0x1234)
    rig.outb(ADDRESS, 0x56)
    assert rig.board.io.read(ADDRESS, 4) == 0, "only all four bytes are the bridge's"
    assert (rig.inb(ADDRESS), rig.board.io.read(ADDRESS + 2, 2)) == (0xFF, 0xFFFF)


def test_only_some_bits_can_be_written() -> None:
    rig = Rig()
    for register in range(0, 256, 4):
        select(rig, register)
        rig.board.io.write(DATA, 4, 0xFFFFFFFF)
    changed = {register: read(rig, register) for register in range(0, 256, 4) if read(rig, register)}
    assert changed[0] == 0x12378086
    assert changed[4] == 0x0280_0146, "parity and SERR; it always answers, and always masters the bus"
    assert changed[0x0C] == 0xF800, "latency timer"
    assert (changed[0x58], changed[0x5C]) == (0x33333000, 0x33333333), "below 1 MiB there is RAM"
    select(rig, 0x04)
    rig.outb(DATA, 0)
    assert read(rig, 4, 2) == 0x0106, "one byte of it"
    rig.board.reset()
    assert (read(rig, 4, 2), read(rig, 0x0C)) == (0x0006, 0)


def test_the_reset_port_in_the_middle() -> None:
    rig = Rig()
    select(rig, 0)
    rig.outb(0xCF9, 0x02)
    rig.outb(0xCF9, 0x06)
    assert rig.pins.resets == 1
    assert rig.inb(0xCF9) == 0x06
    assert rig.board.io.read(DATA, 4) == 0x12378086, "the address is as it was"


def test_its_state_can_be_saved() -> None:
    rig, other = Rig(), Rig()
    select(rig, 4)
    rig.board.io.write(DATA, 2, 0x0100)
    other.board.restore(rig.board.save())
    assert other.board.io.read(DATA, 2) == 0x0106
