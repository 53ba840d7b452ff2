"""Steps of one processor among several: forward until it has run one instruction of its own, while the others run in
their turns; and backward to where its last one was about to run.

At position N the turn is that of the processor which ran instruction N - 1; if it passes there, that is a part of the
next step, like the delivery of an interrupt.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import TYPE_CHECKING

from runtime.machine import BoardMachine
from runtime.machine_api import Stop, StopReason
from runtime.processors import TURN

if TYPE_CHECKING:
    from runtime.timeline.replay import Replay

#: Instructions of the first long stretch that is looked through backward, and how much longer each further one is.
FIRST, GROWTH = 4 * TURN, 4


def step(machine: BoardMachine, processor: int, advance: Callable[[int], Stop], end: int,
         wakes: Callable[[], int]) -> tuple[Stop, bool]:  # fmt: skip
    """Run by ``advance`` until a processor has run one instruction: the stop behind it, and True; or to ``end``, or to
    what stops the machine before, which may be a point that another one hits. ``wakes``: the next time that something
    is known to happen to a machine that is halted."""
    stop, first = Stop(StopReason.REACHED, machine.icount), True
    try:
        while stop.reason in (StopReason.REACHED, StopReason.TURN) and machine.icount < end:
            here, idled, mine = machine.icount, machine.idled, machine.turn == processor
            machine.stop_at_turn = None if mine else processor
            if mine or first:
                machine.engine.breakpoints.pass_here()
            first = False
            if mine and machine.halted and (waking := wakes()) > here:
                stop = advance(min(waking, end))
                continue
            stop = advance(here + 1 if mine else end)
            if mine and stop.reason is StopReason.REACHED and machine.turn == processor and machine.idled == idled:
                return stop, True
    finally:
        machine.stop_at_turn = None
    return stop, False


def last_instruction(replay: Replay, processor: int, begin: int, end: int) -> int | None:
    """The position from ``begin`` on and before ``end`` at which the last instruction of a processor was about to run;
    None: there is none. The machine is left somewhere there."""
    length = 1
    while end > begin:
        start = max(begin, end - length)
        replay.seek(start)
        if (found := _last_of_stretch(replay, processor, end)) is not None:
            return found
        end, length = start, FIRST if length == 1 else length * GROWTH
    return None


def _last_of_stretch(replay: Replay, processor: int, end: int) -> int | None:
    """The same from where the machine is."""
    machine = replay.machine
    assert isinstance(machine, BoardMachine)
    machine.turns = turns = [(machine.icount, machine.turn)]
    try:
        replay.advance(end)
    finally:
        machine.turns = None
    stretches = pairwise([*turns, (end, processor)])
    return max((to - 1 for (at, who), (to, _) in stretches if who == processor and at < to), default=None)
