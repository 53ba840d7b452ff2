"""Building blocks natively: instruction bytes are split into a masked key and constants, the key finds a template of
cells, and the constants are patched in. Python lifts an instruction only when its template does not exist yet.
"""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

from jitrr.engine.cells import (
    BRANCH,
    CELL_SIZE,
    CROSS,
    EXIT,
    H_HANDLER,
    H_IMM,
    H_LINK,
    H_OFF,
    H_OP,
    H_PATCH,
    H_UNCOUNT,
    HEAD_OFF,
    KERNEL_32,
    KERNEL_64,
    NEAR,
)  # fmt: skip
from jitrr.engine.constants import (
    HOT_QUEUE,
    MAX_GROWING,
    NEED_PYTHON,
    NEED_TEMPLATE,
    NEW_BLOCKS,
    PAGE_CODE,
    S_CARRY,
    S_DISP,
    S_IMM,
    S_KEY_HIGH,
    S_KEY_LOW,
    S_LENGTH,
    S_OFF,
    SCRATCH_BYTES,
    TEMPLATE_ENTRY,
)  # fmt: skip
from jitrr.engine.layout import Layout
from jitrr.engine.native import helper, inner, ld8, ld16, ld64, lsr, st16, st64
from jitrr.microops.table import P_DISP, P_HERE, P_IMM, P_NEXT


def build(
    layout: Layout, split: Callable[..., int], mmu: SimpleNamespace, numbers: dict[str, int]
) -> SimpleNamespace:
    """Helpers over blocks. ``split(code, available, mode, out)`` gives an instruction's length (0: not enough bytes or
    not understood) and writes key, displacement and immediate; S_CARRY is its own memory within a block.
    ``numbers``: of the rows, by name."""
    O_SCRATCH, O_LIMIT, O_IC, O_LEAVE, O_VALUE = (layout[n] for n in ("scratch", "limit", "ic", "leave", "value"))
    O_HOT, O_HOT_COUNT, O_HOT_RESET = (layout[n] for n in ("hot", "hot_count", "hot_reset"))
    O_LINES, O_MASK, O_TABLE = (layout[n] for n in ("code_lines", "block_mask", "block_table"))
    O_HANDLERS, O_TEMPLATES, O_TEMPLATE_MASK = (layout[n] for n in ("handlers", "templates", "template_mask"))
    O_PC, O_HEAD, O_STOPPED = layout["pc"], layout["h_head"], layout["h_stopped"]
    O_CELLS, O_END, O_MODES, O_SPLIT = (layout[n] for n in ("cells", "cells_end", "block_modes", "split"))
    O_NEW, O_CUTS, O_ARG, O_MODE = (layout[n] for n in ("new_blocks", "cuts", "exit_arg", "mode"))
    O_RAM, O_RAM_SIZE, O_SMC, O_STALE = (layout[n] for n in ("ram", "ram_size", "smc", "h_stale"))
    GOTO, GOTO32, GOTO16 = (numbers[name] for name in ("goto", "goto32", "goto16"))
    GOFAR, GOFAR32, GOFAR16 = (numbers[name] for name in ("gofar", "gofar32", "gofar16"))
    mark_page, lookup = mmu.mark_page, mmu.lookup

    @inner
    def copy_cell(target, source):
        st64(target, ld64(source))
        st64(target + 8, ld64(source + 8))
        st64(target + 16, ld64(source + 16))
        return st64(target + 24, ld64(source + 24))

    @inner
    def far_of(op):
        """The far jump that does what a near one does, or -1 where ``op`` is no near jump."""
        if op == GOTO:
            return GOFAR
        if op == GOTO32:
            return GOFAR32
        return GOFAR16 if op == GOTO16 else -1

    @helper
    def truncate_block(cpu, head, count):
        """A copy of a block's first ``count`` instructions, fewer than it has, ending in ``stopped``."""
        keep = ld16(head + H_UNCOUNT) - count
        start = target = ld64(cpu + O_SCRATCH)
        source = head + CELL_SIZE
        while ld16(source + H_UNCOUNT) > keep:
            copy_cell(target, source)
            source += CELL_SIZE
            target += CELL_SIZE
        copy_cell(target, source)
        st64(target, ld64(cpu + O_STOPPED))
        return start

    @inner
    def copy_cells(cpu, source, target, last):
        """The cells of an instruction from ``source`` on, without links, and ``stopped`` unless it is the last one."""
        off = ld16(source + H_OFF)
        while ld16(source + H_OFF) == off:
            copy_cell(target, source)
            far = far_of(ld16(source + H_OP))
            if far != -1:
                st64(target, ld64(ld64(cpu + O_HANDLERS) + 8 * far))
            source += CELL_SIZE
            target += CELL_SIZE
        if not last:
            copy_cell(target, source)
            st64(target, ld64(cpu + O_STOPPED))
        return 0

    @helper
    def copy_rest(cpu, ip):
        """``value`` := a copy of this instruction's cells from the running one on, after which the run leaves."""
        area = ld64(cpu + O_SCRATCH) + SCRATCH_BYTES // 2
        last = ld16(ip + H_UNCOUNT) == 1
        if ip >= area and ip < area + SCRATCH_BYTES // 2:
            st64(cpu + O_VALUE, ip)
        else:
            copy_cells(cpu, ip, area, last)
            st64(cpu + O_VALUE, area)
        if last and ld64(cpu + O_LEAVE) & 2:
            # The exits of a block do not look at ``leave``; an empty budget stops the run at the next block instead.
            st64(cpu + O_LIMIT, ld64(cpu + O_LIMIT) - ld64(cpu + O_IC))
            st64(cpu + O_IC, 0)
        return 0

    @helper
    def became_hot(cpu, head):
        """Queue a head cell for compilation."""
        n = ld64(cpu + O_HOT_COUNT)
        if n < HOT_QUEUE:
            st64(ld64(cpu + O_HOT) + 16 * n, head)
            st64(ld64(cpu + O_HOT) + 16 * n + 8, ld64(cpu + O_PC))
            st64(cpu + O_HOT_COUNT, n + 1)
        else:
            st64(head + H_IMM, ld64(cpu + O_HOT_RESET))
        return 0

    @inner
    def find_template(cpu, low, high):
        table, mask = ld64(cpu + O_TEMPLATES), ld64(cpu + O_TEMPLATE_MASK)
        at = lsr((low ^ (high * 31)) * -7046029254386353131, 20) & mask
        while True:
            entry = table + at * TEMPLATE_ENTRY
            if ld64(entry + 16) == 0:
                return entry
            if ld64(entry) == low and ld64(entry + 8) == high:
                return entry
            at = (at + 1) & mask

    @helper
    def add_template(cpu, low, high, cells, info):
        """Enter a template: ``info`` is the cell count, bit 16: it ends the block."""
        entry = find_template(cpu, low, high)
        st64(entry, low)
        st64(entry + 8, high)
        st64(entry + 16, cells)
        return st64(entry + 24, info)

    @helper
    def add_templates(cpu, entries, count, cells):
        """Enter ``count`` templates: key low, key high, number of the first cell from ``cells`` on, info."""
        for i in range(count):
            entry = entries + 32 * i
            at = cells + CELL_SIZE * ld64(entry + 16)
            add_template(cpu, ld64(entry), ld64(entry + 8), at, ld64(entry + 24))
        return count

    @helper
    def insert_block(cpu, key, cell):
        """Enter a block (or replace it) under ``phys | mode << 44``; 1 when the table is too full."""
        table, mask = ld64(cpu + O_TABLE), ld64(cpu + O_MASK)
        at = lsr(key * -7046029254386353131, 20) & mask
        tries = 0
        while ld64(table + at * 16) != 0 and ld64(table + at * 16) != key:
            at = (at + 1) & mask
            tries += 1
        st64(table + at * 16 + 8, cell)
        st64(table + at * 16, key)
        return 1 if tries > 500 else 0

    @helper
    def find_block(cpu, key):
        """Head cell of the block under ``phys | mode << 44``, or 0."""
        table, mask = ld64(cpu + O_TABLE), ld64(cpu + O_MASK)
        at = lsr(key * -7046029254386353131, 20) & mask
        while ld64(table + at * 16) != 0:
            if ld64(table + at * 16) == key:
                return ld64(table + at * 16 + 8)
            at = (at + 1) & mask
        return 0

    @inner
    def instantiate(cpu, target, template, count, index, off, length, disp, imm):
        handlers = ld64(cpu + O_HANDLERS)
        for _ in range(count):
            copy_cell(target, template)
            value, patch = ld64(template + H_IMM), ld16(template + H_PATCH)
            if patch & P_DISP:
                value += disp
            if patch & P_IMM:
                value += imm
            if patch & P_NEXT:
                value += off + length
            if patch & P_HERE:
                value += off
            st64(target + H_IMM, value)
            st64(target + H_HANDLER, ld64(handlers + 8 * ld16(template + H_OP)))
            st16(target + H_UNCOUNT, index)
            st16(target + H_OFF, off)
            target += CELL_SIZE
            template += CELL_SIZE
        return target

    @inner
    def finish_exits(cpu, cell, end, in_page, n):
        """Instruction indexes become counts to the block's end; jumps that leave the page become far ones."""
        while cell < end:
            st16(cell + H_UNCOUNT, n - ld16(cell + H_UNCOUNT))
            far = far_of(ld16(cell + H_OP))
            if far != -1:
                st64(cell + H_LINK, 0)
                where = in_page + ld64(cell + H_IMM)
                if where < 0 or where > 4095:
                    st16(cell + H_OP, far)
                    st64(cell, ld64(ld64(cpu + O_HANDLERS) + 8 * far))
            cell += CELL_SIZE
        return 0

    @inner
    def mark_code(cpu, phys, length):
        at = ld64(cpu + O_LINES) + 8 * lsr(phys, 12)
        lines = ld64(at)
        for i in range(lsr(phys & 4095, 6), lsr((phys & 4095) + length - 1, 6) + 1):
            lines |= 1 << i
        st64(at, lines)
        return mark_page(cpu, phys & -4096, PAGE_CODE)

    @helper
    def build_block(cpu, code, available, phys, mode, out, info):
        """Cells of the block at ``phys`` (``available`` bytes at host address ``code``) to ``out``; returns how many.

        ``mode``: low byte: translation mode; bits 8-9: width of gotos (0: 64, 1: 32, 2: 16); bits 16..: most
        instructions.
        NEED_TEMPLATE: lift the instruction described by ``info`` and call again. NEED_PYTHON: not one whole
        instruction."""
        cell, n, off = out + CELL_SIZE, 0, 0
        ends = False
        most = mode >> 16
        st64(info + S_CARRY, 0)
        while n < most and off < available and not ends and lsr(cell - out, 5) < MAX_GROWING:
            length = split(code + off, available - off, mode & 255, info)
            st64(info + S_OFF, off)
            st64(info + S_LENGTH, length)
            if length == 0:
                if n == 0:
                    return NEED_PYTHON
                break
            entry = find_template(cpu, ld64(info + S_KEY_LOW), ld64(info + S_KEY_HIGH))
            template = ld64(entry + 16)
            if template == 0:
                return NEED_TEMPLATE
            count = ld64(entry + 24)
            cell = instantiate(
                cpu, cell, template, count & 0xFFFF, n, off, length, ld64(info + S_DISP), ld64(info + S_IMM)
            )
            ends = (count >> 16) & 1 != 0
            off += length
            n += 1
        if not ends:
            st64(cell + 8, 0)
            st64(cell + H_IMM, off)
            st16(cell + H_UNCOUNT, n - 1)
            st16(cell + H_OFF, ld16(cell - CELL_SIZE + H_OFF))
            width = (mode >> 8) & 3
            op = GOTO if width == 0 else (GOTO32 if width == 1 else GOTO16)
            st16(cell + H_OP, op)
            st16(cell + H_PATCH, 0)
            st64(cell, ld64(ld64(cpu + O_HANDLERS) + 8 * op))
            cell += CELL_SIZE
        finish_exits(cpu, out + CELL_SIZE, cell, phys & 4095, n)
        st64(out, ld64(cpu + O_HEAD))
        st64(out + 8, phys | ((mode & 255) << 44))
        st64(out + H_IMM, ld64(cpu + O_HOT_RESET))
        st16(out + H_UNCOUNT, n)
        st16(out + H_OFF, HEAD_OFF)
        st16(out + H_OP, HEAD_OFF)
        st16(out + H_PATCH, off)
        st16(cell + H_OFF, HEAD_OFF)
        mark_code(cpu, phys, off)
        return lsr(cell - out, 5)

    @helper
    def forget_blocks(cpu, entries, count):
        """Blocks that are stale: ``entries`` are the head cell and the key of each."""
        for i in range(count):
            head, key = ld64(entries + 16 * i), ld64(entries + 16 * i + 8)
            st64(head, ld64(cpu + O_STALE))
            if find_block(cpu, key) == head:
                insert_block(cpu, key, 0)
        return count

    @inner
    def is_literal(kind, imm):
        """Whether a constant may be an address in the kernel: of 32 bits, as such or sign extended, or of 64."""
        if kind & KERNEL_32:
            low = ((imm & 0xFFFFFFFF) ^ 0x80000000) - 0x80000000
            return low < -0x1000000 and low >= -0x40000000
        return kind & KERNEL_64 != 0 and imm < -0x1000000 and imm >= -0x80000000

    @helper
    def block_body(cpu, head, kinds, out, literals):
        """Copy a block to ``out`` without what depends on where it is: literals, in ``literals``, are 0 and numbered
        from 1 in field ``patch``. ``kinds``: a byte per row (cells.EXIT and so on). Returns how many cells, the number
        of literals << 16, and of exits << 32."""
        exits, found, n = 0, 0, 0
        left = -1
        while left != 0:
            source, target = head + n * CELL_SIZE, out + n * CELL_SIZE
            copy_cell(target, source)
            st64(target, 0)
            kind = ld8(kinds + ld16(source + H_OP)) if n > 0 else 0
            if n == 0:
                st64(target + H_LINK, 0)
                st64(target + H_IMM, 0)
            else:
                st16(target + H_PATCH, 0)
                if kind & NEAR:
                    st64(target + H_LINK, 0)
                if kind & CROSS:
                    st64(target + H_IMM, 0)
                elif is_literal(kind, ld64(source + H_IMM)):
                    st64(literals + 8 * found, ld64(source + H_IMM))
                    found += 1
                    st64(target + H_IMM, 0)
                    st16(target + H_PATCH, found)
            if left > 0:
                left -= 1
                exits += 1
            elif kind & BRANCH:
                left = 2
            elif kind & EXIT:
                left, exits = 0, 1
            n += 1
        return n | found << 16 | exits << 32

    @inner
    def has_cut(cpu, start, length):
        """Whether a block of these bytes of its page is to be cut for a breakpoint, or has one at its begin."""
        cuts = ld64(cpu + O_CUTS)
        end = start + length if start + length < 4096 else 4096
        return ld16(cuts + 2 * end) != ld16(cuts + 2 * start)

    @helper
    def make_block(cpu, place, mode):
        """Build the block at ``place`` in RAM and give its head cell; 0: that takes Python."""
        out, new = ld64(cpu + O_CELLS), ld64(cpu + O_NEW)
        packed = ld64(ld64(cpu + O_MODES) + 8 * (mode & 255))
        if packed == 0 or place >= ld64(cpu + O_RAM_SIZE) or out >= ld64(cpu + O_END):
            return 0
        if ld64(new) == NEW_BLOCKS or ld64(ld64(cpu + O_SMC)) != 0:
            return 0
        code, available = ld64(cpu + O_RAM) + place, 4096 - (place & 4095)
        count = build_block(cpu, code, available, place, packed, out, ld64(cpu + O_SPLIT))
        if count < 0 or has_cut(cpu, place & 4095, ld16(out + H_PATCH)):
            return 0
        key = place | (mode << 44)
        if insert_block(cpu, key, out) != 0:
            return 0
        st64(cpu + O_CELLS, out + CELL_SIZE * (count + 1))
        entry = new + 8 + 16 * ld64(new)
        st64(entry, out)
        st64(entry + 8, key)
        st64(new, ld64(new) + 1)
        return out

    @helper
    def translate(cpu):
        """Build the block at ``pc`` (at ``exit_arg`` in RAM) and give its head cell; 0: that takes Python."""
        head = make_block(cpu, ld64(cpu + O_ARG), ld64(cpu + O_MODE))
        return lookup(cpu) if head != 0 else 0

    return SimpleNamespace(mark_code=mark_code)
