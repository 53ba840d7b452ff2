"""Debug exceptions: breakpoints of DR0-DR3, DR6, single stepping (SDM volume 3, 17.2 and 17.3). Compiled by numba.

What an instruction has done to deserve a trap after it collects as DR6 bits in ``debug_hits``; while there are any, and
while an instruction breakpoint is armed or TF is set, the translation mode has MODE_TRAP, under which every instruction
begins with :func:`build`'s ``debug_before``. Accesses are noticed by the engine (softmmu.set_watch; watches 0 to 3 are
those of DR0 to DR3), ports by :func:`touch_port`.

Where the manual leaves a choice: B0-B3 are those of the last debug exception and of enabled breakpoints only; the other
bits of DR6 stay until they are written. R/W 10 without CR4.DE never matches, LEN does not matter where R/W is 00, and
LEN 10 is 8 bytes in every mode.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.common import (
    CR4,
    DB,
    DR7,
    EFLAGS,
    O_BASE,
    O_NOW,
    O_PC,
    O_VECTOR,
    O_WRAP,
    RF,
    armed,
    executes,
    fault,
    set_flags,
    update_mode,
)
from jitrr.engine.constants import READ, WRITE
from jitrr.engine.native import helper, inner, ld64, lsr, st64, ult

O_LEAVE = st.LAYOUT["leave"]
DR, DR6, HITS, AT, MOV_SS, BEGUN = st.DR, st.DR + 48, st.DEBUG_HITS, st.DEBUG_AT, st.MOV_SS, st.DEBUG_BEGUN
BREAKPOINTS = 4
DR6_B, DR6_BD, DR6_BS = 15, 1 << 13, 1 << 14
DR7_GD, CR4_DE = 1 << 13, 8
#: Values of R/W in DR7.
ON_EXECUTE, ON_WRITE, ON_PORT, ON_ACCESS = 0, 1, 2, 3
#: Error codes that tell exceptions.deliver of a debug trap (DR6 is in ``debug_hits``), an access while DR7.GD, and an
#: instruction breakpoint at pc.
TRAP, GENERAL_DETECT, BREAKPOINT = -2, -3, -4


@inner
def length_of(cpu, number):
    """Bytes a breakpoint covers."""
    code = lsr(ld64(cpu + DR7), 18 + 4 * number) & 3
    return 8 if code == 2 else code + 1


@inner
def note(cpu, bits):
    """The running instruction will be followed by #DB with these bits of DR6, unless it faults."""
    st64(cpu + HITS, ld64(cpu + HITS) | bits)
    st64(cpu + AT, ld64(cpu + O_NOW))
    st64(cpu + O_LEAVE, ld64(cpu + O_LEAVE) | 1)
    return update_mode(cpu)


@inner
def watched(cpu, hits):
    """The guest has accessed watched memory (softmmu.build); watches beyond ours are none of the guest's business."""
    return note(cpu, hits & DR6_B) if hits & DR6_B else 0


@inner
def touch_port(cpu, port, size):
    """The guest has accessed a port."""
    hits = 0
    if ld64(cpu + CR4) & CR4_DE and ld64(cpu + DR7) & 0xFF:
        for i in range(BREAKPOINTS):
            if armed(cpu, i) == ON_PORT:
                length = length_of(cpu, i)
                start = ld64(cpu + DR + 8 * i) & -length
                if ult(port - start, length) or ult(start - port, size):
                    hits |= 1 << i
    return note(cpu, hits) if hits else 0


@inner
def report(cpu, bits):
    """DR6 of a debug exception."""
    return st64(cpu + DR6, (ld64(cpu + DR6) & ~DR6_B) | bits)


@inner
def reached(cpu, pc):
    """Bit n: the instruction breakpoint n is at ``pc``."""
    linear, hits = (ld64(cpu + O_BASE) + pc) & ld64(cpu + O_WRAP), 0
    for i in range(BREAKPOINTS):
        if armed(cpu, i) == ON_EXECUTE and ld64(cpu + DR + 8 * i) == linear:
            hits |= 1 << i
    return hits


@inner
def goes_before(cpu, now, error):
    """Error code of the #DB that goes before an exception of the instruction number ``now`` (SDM volume 3, 6.9), or 0.

    An exception before the instruction has begun is one of fetching it: a breakpoint there comes first, and so does
    the trap that is due for the instruction before."""
    if error in (TRAP, BREAKPOINT):
        return error
    if ld64(cpu + MOV_SS) == now or ld64(cpu + BEGUN) == now:
        return 0
    if ld64(cpu + HITS) != 0 and ld64(cpu + AT) != now:
        return TRAP
    if executes(cpu) and ld64(cpu + EFLAGS) & RF == 0 and reached(cpu, ld64(cpu + O_PC)) != 0:
        return BREAKPOINT
    return 0


@inner
def forget_step(cpu):
    """The running instruction has left single stepping (INT n and its like clear TF before the trap)."""
    return st64(cpu + HITS, ld64(cpu + HITS) & ~DR6_BS)


@inner
def deliver_debug(cpu, error):
    """#DB is about to be delivered: DR6, and DR7.GD ends. Returns RF if the frame is to have it set."""
    if error == TRAP:
        report(cpu, ld64(cpu + HITS))
        st64(cpu + HITS, 0)
    elif error == GENERAL_DETECT:
        report(cpu, DR6_BD)
    elif error == BREAKPOINT:
        report(cpu, reached(cpu, ld64(cpu + O_PC)))
    st64(cpu + DR7, ld64(cpu + DR7) & ~DR7_GD)
    return RF if error == GENERAL_DETECT else 0


@inner
def return_flags(cpu, value):
    """RFLAGS that IRET has popped: RF is kept where an instruction breakpoint could need it."""
    set_flags(cpu, value)
    if value & RF and executes(cpu):
        st64(cpu + EFLAGS, ld64(cpu + EFLAGS) | RF)
    return 0


def build(mmu: SimpleNamespace) -> SimpleNamespace:
    """The helpers; returns those that others use."""
    done, set_watch = mmu.finish, mmu.set_watch

    @helper
    def debug_before(cpu, pc):
        """Before an instruction under MODE_TRAP: #DB for what was done before it, or for a breakpoint at it.

        MOV SS holds both off for one instruction. RF is cleared: if the instruction faults, the frame has it set."""
        now, flags = ld64(cpu + O_NOW), ld64(cpu + EFLAGS)
        if ld64(cpu + MOV_SS) != now:
            if ld64(cpu + HITS) != 0:
                fault(cpu, DB, TRAP)
            elif flags & RF == 0 and reached(cpu, pc) != 0:
                fault(cpu, DB, BREAKPOINT)
        if ld64(cpu + O_VECTOR) == -1:
            st64(cpu + EFLAGS, flags & ~RF)
            st64(cpu + BEGUN, now)
            if flags & st.TF:
                st64(cpu + HITS, ld64(cpu + HITS) | DR6_BS)
                st64(cpu + AT, now)
        return done(cpu)

    @helper
    def arm(cpu):
        """Make the breakpoints what DR0-DR3 and DR7 say."""
        for i in range(BREAKPOINTS):
            kind, length = armed(cpu, i), length_of(cpu, i)
            accesses = 1 << WRITE if kind == ON_WRITE else (1 << READ | 1 << WRITE if kind == ON_ACCESS else 0)
            set_watch(cpu, i, ld64(cpu + DR + 8 * i) & -length, length, accesses)
        return update_mode(cpu)

    return SimpleNamespace(arm=arm)
