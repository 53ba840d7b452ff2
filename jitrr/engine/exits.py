"""Why generated code comes back to Python."""

from __future__ import annotations

from enum import IntEnum


class Exit(IntEnum):
    BUDGET = 1  # the budget is used up, exactly
    TRANSLATE = 2  # no block at pc yet (exit_arg: physical address)
    REQUEST = 3  # a device, self-modifying code or an interrupt wants the runtime
    HALT = 4  # the guest waits for an interrupt
    MISSING = 5  # an announced instruction that is not there
    SHUTDOWN = 6  # an exception could not be delivered (x86: triple fault)
    CROSS = 7  # the second page of a block that crosses pages is mapped elsewhere now
    BREAK = 9  # a debugger's breakpoint is at pc; nothing of the instruction was run
    TRAP = 8  # an instruction of a block made for single stepping has retired
