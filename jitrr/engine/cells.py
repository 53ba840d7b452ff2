"""Cells: what the threaded interpreter runs. A block is a head cell, the cells of its instructions, and its exits."""

from __future__ import annotations

import numpy as np

CELL_SIZE = 32
#: handler: address of its code; d a b c: CPU block offsets (``goto`` keeps its link there); uncount: instructions from
#: this one to the block's end; off: this instruction's offset from the block's start (HEAD_OFF in head cells); op: row
#: number.
CELL = np.dtype(
    [("handler", "u8"), ("d", "u2"), ("a", "u2"), ("b", "u2"), ("c", "u2"), ("imm", "i8"),
     ("uncount", "u2"), ("off", "u2"), ("op", "u2"), ("patch", "u2")]
)  # fmt: skip
assert CELL.itemsize == CELL_SIZE
HEAD_OFF = 0xFFFF
H_HANDLER, H_LINK, H_IMM, H_UNCOUNT, H_OFF, H_OP, H_PATCH = 0, 8, 16, 24, 26, 28, 30
#: Kinds of rows, as block_body needs them: exits, those before two exits, jumps within the page, ``cross``, and those
#: whose constants may be addresses in the kernel (its upper GiB of 32 bits, the upper half of 64).
EXIT, BRANCH, NEAR, CROSS, KERNEL_32, KERNEL_64 = 1, 2, 4, 8, 16, 32
