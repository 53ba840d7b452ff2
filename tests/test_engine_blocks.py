"""Blocks of cells: their exits, as the native builder makes them."""

from __future__ import annotations

import numpy as np
import pytest
from bare_machine import BareMachine
from x86_executor import EngineExecutor

from frontends.x86 import state as st
from jitrr.engine.constants import NEW_BLOCKS
from runtime.machines.elf_boot import ElfEntry


@pytest.fixture(scope="module")
def engine():
    return EngineExecutor().engine


def exits(engine, code: bytes, at: int, mode: int) -> list[str]:
    """Names of the exit rows of the block that ``code`` makes at offset ``at`` of a page."""
    page = 0x300000
    engine.invalidate_page(page >> 12)
    engine.ram.map[page : page + 4096] = b"\x90" * 4096
    engine.ram.map[page + at : page + at + len(code)] = code
    engine.state["mode"] = mode
    head = engine.translate(0x10000000 + at, page + at)
    start = (head - engine.arena.address) // 32 + 1
    names = {number: name for name, number in engine.frontend.row_numbers.items()}
    found = []
    while engine.cells[start]["off"] != 0xFFFF:
        found.append(names[int(engine.cells[start]["op"])])
        start += 1
    return [name for name in found if name.startswith("go")]


@pytest.mark.parametrize(("mode", "suffix"), [(st.MODE_64 | st.MODE_FLAT, ""), (st.MODE_32 | st.MODE_FLAT, "32")])
def test_a_jump_within_the_page_is_near_and_any_other_far(engine, mode, suffix):
    """A near jump keeps its target for good, so it must never lead to a page that may be mapped elsewhere later."""
    near, far = f"goto{suffix}", f"gofar{suffix}"
    assert exits(engine, b"\xeb\x10", 0x100, mode) == [near]
    assert exits(engine, b"\xe9\x00\x10\x00\x00", 0x100, mode) == [far]
    assert exits(engine, b"\xeb\x80", 0x10, mode) == [far]
    assert exits(engine, b"\x74\x7f", 0xFF0, mode) == [near, far]
    assert exits(engine, b"\x74\xee", 0x10, mode) == [near, near]
    assert exits(engine, b"\x0f\x84\x00\x00\x01\x00", 0x10, mode) == [near, far]


def test_a_block_that_runs_into_the_next_page_leaves_by_a_far_jump(engine):
    assert exits(engine, b"\x90\x90", 0xFFE, st.MODE_64 | st.MODE_FLAT) == ["gofar"]


def test_a_block_cut_within_the_page_goes_on_near(engine):
    assert exits(engine, b"\x90" * 100, 0x200, st.MODE_64 | st.MODE_FLAT) == ["goto"]


@pytest.mark.parametrize("mode", [st.MODE_64 | st.MODE_FLAT, st.MODE_32 | st.MODE_FLAT, st.MODE_32, 0])
def test_the_longest_instructions_end_a_block(engine, mode):
    """ENTER with 31 levels."""
    suffix = "" if mode & st.MODE_64 else "32" if mode & st.MODE_32 else "16"
    assert exits(engine, bytes.fromhex("c810001f") * 40, 0x100, mode) == [f"goto{suffix}"]


@pytest.fixture(scope="module")
def hot():
    return EngineExecutor("auto")


KERNEL_ADDRESSES = [(0xC4E5FEE8, 0xCAE5FEE8), (0xC1000000, 0xFEFFFFFF)]


@pytest.mark.parametrize("places", KERNEL_ADDRESSES)
@pytest.mark.parametrize("code", [b"\xb8", b"\x05", b"\x64\xa1", b"\x8b\x83", b"\x64\xff\x05", b"\xc7\x05"])
def test_a_kernel_that_lies_elsewhere_is_the_same_code(hot, code, places):
    """Constants that differ by where a 32-bit kernel is are literals, whether they are held sign extended or not."""
    bodies = []
    for place in places:
        operands = place.to_bytes(4, "little") + (b"\1\0\0\0" if code[0] == 0xC7 else b"")
        page = 0x300000
        hot.engine.invalidate_page(page >> 12)
        hot.engine.ram.map[page : page + 64] = (code + operands).ljust(64, b"\xf4")
        hot.engine.state["mode"] = st.MODE_32 | st.MODE_FLAT
        bodies.append(hot.tier.body(hot.engine.translate(0xC0300000, page)))
    assert bodies[0].digest == bodies[1].digest
    assert [[value & 0xFFFFFFFF for value in body.literals] for body in bodies] == [[place] for place in places]


def test_other_constants_are_part_of_the_code(hot):
    bodies = []
    for value in (0x1000, 0x2000):
        hot.engine.invalidate_page(0x300)
        hot.engine.ram.map[0x300000:0x300040] = (b"\xb8" + value.to_bytes(4, "little")).ljust(64, b"\xf4")
        hot.engine.state["mode"] = st.MODE_32 | st.MODE_FLAT
        bodies.append(hot.tier.body(hot.engine.translate(0xC0300000, 0x300000)))
    assert bodies[0].digest != bodies[1].digest and not bodies[0].literals


def running(code: bytes) -> BareMachine:
    """A machine about to run ``code`` in 32-bit mode at 64 KiB, at instruction count 0."""
    machine = BareMachine(4 << 20)
    machine.ram[0x10000 : 0x10000 + len(code)] = code
    machine.cpu.reset()
    machine.cpu.enter_flat32(ElfEntry(0x10000, 0, 0, 0x1000, 23, 8, 16))
    machine.engine.set_icount(0)
    return machine


def test_a_block_that_the_run_builds_is_the_one_that_is_built_when_asked_for():
    """MOV, ADD to memory, a jump on, a conditional one back: each block once natively and once by way of Python."""
    code = b"\xb8\x44\x33\x22\x11\x01\x05\x00\x00\x02\x00\xe9\x00\x20\x00\x00".ljust(0x2010, b"\x90") + b"\x40\x75\xfd"
    engine = running(code).engine
    engine.run(100)
    found = {key: cell for blocks in engine.blocks_on_page.values() for cell, key in blocks}
    assert {key & 0xFFFF for key in found} == {0, 0x2010} and engine.counters["blocks"] == 2
    for key, cell in found.items():
        place = key & 0xFFFFF
        again = engine.translate(place, place)
        first, second = ((at - engine.arena.address) // 32 for at in (cell, again))
        count = int(engine.state["cells"] - again) // 32 - 1
        one, other = (engine.cells[at : at + count].copy() for at in (first, second))
        for cells in (one, other):
            cells["imm"][0] = 0  # executions left until the block is hot
            for link in ("d", "a", "b", "c"):  # where a jump was found to lead
                cells[link][cells["op"] == engine.frontend.row_numbers["goto32"]] = 0
        assert one.tobytes() == other.tobytes()


def test_no_block_is_forgotten_however_many_are_built_in_a_run():
    jumps = NEW_BLOCKS + 2000
    engine = running(b"\xeb\x00" * jumps).engine
    engine.run(jumps)
    assert engine.icount == jumps and engine.state["pc"] == 0x10000 + 2 * jumps
    assert sum(map(len, engine.blocks_on_page.values())) == jumps == engine.counters["blocks"]
    assert all(len(engine.blocks_on_page[page]) == 2048 for page in (0x10, 0x11))


def test_what_is_run_after_a_page_was_replaced_is_what_is_in_it_now():
    machine = running(b"\xb8\x01\x00\x00\x00\xeb\xf9")
    engine = machine.engine
    engine.run(100)
    machine.ram[0x10001] = 2
    engine.pages_replaced(np.array([0x10]))
    engine.run(200)
    assert machine.cpu.registers()["rax"] == 2
    assert len(engine.blocks_on_page[0x10]) == 1 and engine.counters["invalidated"] == 1
