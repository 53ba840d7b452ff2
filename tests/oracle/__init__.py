"""Independent oracles for x86 instructions: the host processor (ptrace) and Unicorn, neither of which shares code
with jitrr.

An *executor* is anything with ``run(state, code, mode) -> (X86State, Fault | None)``: it executes one step (one
instruction, or one iteration of a REP string instruction) of `code` placed at `state.rip`. The two oracles are
executors, and so is the adapter of a translator under test; `compare.check` holds one against the other.
"""
