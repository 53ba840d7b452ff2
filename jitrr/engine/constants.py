"""Numbers shared by generated code, native helpers and Python."""

from __future__ import annotations

# Page flags (one byte per RAM page): holds translated code, was read by a page walk, written since the last checkpoint.
PAGE_CODE, PAGE_TABLE, PAGE_DIRTY = 1, 2, 4
#: A page that writes leave alone; set by the board, for good.
PAGE_ROM = 8
#: A page in which a debugger watches physical addresses for writes, for reads.
PAGE_WATCH, PAGE_WATCH_READ = 16, 32
#: Marks a place that is not in RAM (engine.physical); above every physical address and every offset in RAM.
DEVICE = 1 << 43
TLB_SIZE, TLB_ENTRY = 1024, 32
TLB_BYTES = TLB_SIZE * TLB_ENTRY
JC_SIZE, JC_ENTRY = 4096, 32
READ, WRITE, EXEC = 0, 1, 2
#: In the size of a slow load: the place must be writable too, because the same instruction writes it.
FOR_WRITE = 256
#: TLBs of TLB_BYTES each: for supervisor mode, for user mode, and one that stays empty, which is in use while
#: alignment is checked: then every access takes the slow path.
TLBS = 3
#: Address spaces whose translations are kept, bytes of an entry of their table, and flush epochs until all TLBs are
#: emptied (they are in the low 11 bits of tags).
CONTEXTS, CONTEXT_ENTRY, SALTS = 8, 64, 2048
#: In a tag: the translation is right, but accesses are to take the slow path.
TAG_SLOW = SALTS
#: Entries of the table of what pages were used for (Engine.take_touched), and the bit that stands for a page of RAM
#: that was written; 1 << READ, 1 << WRITE and 1 << EXEC are for pages of linear addresses.
TOUCHED, TOUCHED_PLACE = 1 << 16, 8
#: Permission bits in the low bits of a walk's result (the rest is the physical page).
MAY_READ, MAY_WRITE, MAY_EXEC = 1, 2, 4
#: Ranges of linear addresses whose accesses are noted (softmmu.set_watch); the first are the front end's. Bits of a
#: watch's kind besides 1 << READ and 1 << WRITE: leave for the runtime after the instruction.
WATCHES = 16
WATCH_LEAVE = 8
#: The first of a debugger's, and how many ranges of physical addresses it can watch besides; in ``watch_hits`` those
#: come after the others.
DEBUG_WATCHES, PHYSICAL_WATCHES = 4, 8
#: Kinds of callbacks into Python.
CALL_MMIO_READ, CALL_MMIO_WRITE, CALL_ARCH = 1, 2, 3
#: Writes to a page-table page without a walk in between, after which it is no longer treated as one.
PT_HEAT_LIMIT = 200

MAX_INSTRUCTIONS = 32
#: Cells of an instruction at most (x86's ENTER with 31 levels has 256); of a block to which another instruction is
#: still added; of a block at most, with its head, a breakpoint, a goto, and the place that its end is marked in.
MAX_TEMPLATE, MAX_GROWING = 320, 256
MAX_CELLS = MAX_GROWING + MAX_TEMPLATE + 4
HOT_QUEUE = 4096
#: Blocks that are built until Python has to take note of them.
NEW_BLOCKS = 4096
SCRATCH_BYTES = 1 << 16  # two halves: truncated blocks, and the rest of an instruction
TEMPLATE_ENTRY = 32  # key low, key high, cells' address, cell count | ends << 16
#: Results of build_block besides the number of cells.
NEED_TEMPLATE, NEED_PYTHON = -1, -2
#: Bytes offsets in the splitter's result. SHAPE: disp at | disp size << 8 | imm at << 16 | imm size << 24 | imm masked
#: << 32. CARRY is the splitter's own from one instruction of a block to the next; 0 at its start.
S_KEY_LOW, S_KEY_HIGH, S_DISP, S_IMM, S_OFF, S_LENGTH, S_SHAPE, S_CARRY = 0, 8, 16, 24, 32, 40, 48, 56
