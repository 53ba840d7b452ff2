"""Blocks of cells: their exits, as the native builder makes them."""

from __future__ import annotations

import pytest
from x86_executor import EngineExecutor

from frontends.x86 import state as st


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
