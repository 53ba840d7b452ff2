"""Names of a kernel's symbols in the monitor: what addresses are called, what names mean, and when there are any."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from test_symbols import TEXT, made_up, packed

from runtime.debug.kallsyms import Symbol
from runtime.debug.monitor.commands import MonitorError
from runtime.debug.monitor.names import Names
from runtime.debug.monitor.stack import _behind_call
from runtime.debug.target import PAGE

SIZE = 1 << 20


class Memory:
    """RAM of which all pages are in use."""

    def __init__(self) -> None:
        self.map = bytearray(SIZE)
        self.array = np.frombuffer(self.map, np.uint8)
        self.used = SIZE // PAGE

    def touched(self) -> np.ndarray:
        return np.arange(self.used)


def target_of(arch: str, memory: Memory) -> Any:
    engine = SimpleNamespace(ram=memory)
    return SimpleNamespace(arch=arch, machine=SimpleNamespace(engine=engine, icount=0), translate=lambda address: 0)


def put(target: Any, symbols: list[Symbol], place: int = 3 * PAGE) -> None:
    """The tables of these symbols; the machine has moved on."""
    content = packed(symbols, 8 if target.arch == "x86_64" else 4, False, False)
    target.machine.engine.ram.map[place : place + len(content)] = content
    target.machine.icount += 1


@pytest.mark.parametrize("arch", TEXT)
def test_addresses_and_names(arch: str) -> None:
    target, symbols = target_of(arch, Memory()), made_up(arch)
    put(target, symbols)
    names, start = Names(target), TEXT[arch]
    assert names.of(start) == names.of(start) == "__init0_function12"
    assert names.of(start + 23) == "__init0_function12+0x17"
    assert names.marked(start + 24) == " <__init1_function12>"
    assert names.of(start + 24 * 7) == min(s.name for s in symbols if s.address == start + 24 * 7 and s.kind < "a")
    assert names.address("__init5_function12") == start + 24 * 5
    assert names.of(names.address("value3") + 4) == "value3+0x4"
    assert names.symbol(start + 25, code=True) == ("__init1_function12", 1)
    assert names.symbol(names.address("value3"), code=True) is None
    for far in (start - 1, symbols[-1].address + (1 << 16), 0, 24):
        assert names.of(far) == "" and names.marked(far) == ""
    with pytest.raises(MonitorError, match="unknown name 'missing'"):
        names.address("missing")


def test_nothing_is_behind_the_end_of_the_text() -> None:
    symbols = made_up("i386")
    last = symbols[-1].address
    target = target_of("i386", Memory())
    put(target, [*symbols, Symbol(last + 64, "T", "_etext")])
    names = Names(target)
    assert names.of(last + 63) and names.of(last + 64) == "_etext" and names.of(last + 65) == ""


def test_a_name_of_several_is_none() -> None:
    symbols = made_up("arm")
    target = target_of("arm", Memory())
    twice = [Symbol(symbols[number].address + 8, "t", "init0") for number in (0, 2)]
    put(target, sorted([*symbols, *twice]))
    with pytest.raises(MonitorError, match="init0 is the name of several: 0xc03"):
        Names(target).address("init0")


def test_names_come_and_go_with_the_kernel() -> None:
    """They are the position's, whatever was looked at before."""
    memory = Memory()
    target = target_of("x86_64", memory)
    names, start = Names(target), TEXT["x86_64"]
    with pytest.raises(MonitorError, match="no symbols of a Linux kernel"):
        names.address("value3")
    put(target, made_up("x86_64"))
    assert names.of(start) == ""  # no memory has come into use
    memory.used -= 1
    assert names.of(start) == "__init0_function12"
    memory.map[:] = bytes(SIZE)
    target.machine.icount = 0
    assert names.of(start) == ""
    put(target, [Symbol(symbol.address + 4096 if symbol.kind != "A" else symbol.address, symbol.kind, symbol.name)
                 for symbol in made_up("x86_64")], 5 * PAGE)  # fmt: skip
    assert names.address("__init0_function12") == start + 4096
    assert names.of(start + 4097) == "__init0_function12+0x1"


@pytest.mark.parametrize(("arch", "code", "calls"), [
    ("x86_64", "e8 11 22 33 44", True), ("x86_64", "ff d0", True), ("x86_64", "41 ff d3", True),
    ("x86_64", "ff 15 11 22 33 44", True), ("i386", "ff 14 85 11 22 33 44", True), ("i386", "ff 50 08", True),
    ("x86_64", "e9 11 22 33 44", False), ("i386", "ff e0", False), ("i386", "90 90 90", False),
    ("arm", "10 20 30 eb", True), ("arm", "10 20 30 0b", True), ("arm", "10 20 30 fa", True),
    ("arm", "33 ff 2f e1", True), ("arm", "10 20 30 ea", False), ("arm", "13 ff 2f e1", False),
    ("thumb", "00 f0 10 f8", True), ("thumb", "98 47", True), ("thumb", "00 bf 00 bf", False),
])  # fmt: skip
def test_return_addresses_are_behind_calls(arch: str, code: str, calls: bool) -> None:
    content, thumb = bytes(16) + bytes.fromhex(code), int(arch == "thumb")
    arch = "arm" if thumb else arch
    target: Any = SimpleNamespace(arch=arch, read=lambda address, size: content[address : address + size])
    assert _behind_call(target, len(content) + thumb) == calls
