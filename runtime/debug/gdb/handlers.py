"""Whether a step ended in the handler of an interrupt instead of behind its instruction, and the way back from there.
gdb steps through a line, or a function without lines, by ranges of addresses: a handler is not what it wants to see."""

from __future__ import annotations

from runtime.debug.subject import Subject
from runtime.debug.target import MemoryFault, Target
from runtime.timeline.travel import Arrival, Point

#: Words of the stack that a handler's first instruction may have put on top of what the processor saved.
_PUSHED = 4
_SP = {"x86_64": "rsp", "i386": "esp", "arm": "sp"}
#: ARM's modes of interrupts (Architecture Reference Manual ARMv7-A, B1.3.1): FIQ, IRQ.
_INTERRUPT_MODES = (0x11, 0x12)


class Place:
    """Where a step began."""

    def __init__(self, target: Target):
        self._target, self._processor = target, target.processor
        self.pc, self.sp = target.pc, target.read_register(_SP[target.arch])
        self._mode = self._modes()

    def _modes(self) -> int:
        """The mode on ARM, the code segment on x86."""
        read = self._target.read_register
        return read("cpsr") & 0x1F if self._target.arch == "arm" else read("cs")

    def was_interrupted(self) -> bool:
        """Whether the machine stands behind the first instruction of a handler that returns to this place. x86: what
        the processor pushed is there, the stack pointer with it where the stack or the mode is another (SDM volume 3,
        6.12.1 and 6.14.2). Faults are told like interrupts there."""
        if self._target.arch == "arm":
            return self._modes() in _INTERRUPT_MODES and self._mode not in _INTERRUPT_MODES
        size = 8 if self._target.arch == "x86_64" else 4
        top = self._target.read_register(_SP[self._target.arch])
        try:
            data = self._target.read(top, (_PUSHED + 4) * size)
        except MemoryFault:
            return False
        words = [int.from_bytes(data[at : at + size], "little") for at in range(0, len(data), size)]
        for n in range(_PUSHED):
            if words[n] == self.pc and words[n + 1] & 0xFFFF == self._mode:
                behind = top + (n + 3) * size  # a frame of 32 bits has no stack pointer if the mode is the same
                return words[n + 3] == self.sp or (size == 4 and behind == self.sp)
        return False

    def back(self, subject: Subject) -> Arrival | None:
        """Run until the handler has returned here: None; or what came before that."""
        points, here = subject.points, Point("break", self.pc)
        subject.set_points([*points, here])
        try:
            while True:
                arrival = subject.run()
                if arrival.why != "break" or arrival.point != here or here in points:
                    return arrival
                if arrival.processor != self._processor:
                    continue
                if self._target.read_register(_SP[self._target.arch]) == self.sp and self._modes() == self._mode:
                    return None
        finally:
            subject.set_points(points)
