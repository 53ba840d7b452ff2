"""What the commands work on: one machine, replayed or live, and what a person has put down on the way."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from runtime.debug.disassemble import disassemble
from runtime.debug.monitor import hardware, inputs, look, moves, places, points, stack  # noqa: F401 (they fill the table)
from runtime.debug.monitor.commands import MonitorError, perform
from runtime.debug.monitor.expressions import evaluate
from runtime.debug.monitor.names import Names
from runtime.debug.target import MemoryFault, Target
from runtime.recording.errors import Divergence, RecordingError
from runtime.recording.labels import Labels, recorded_labels
from runtime.timeline.record import Outside
from runtime.timeline.travel import Arrival, Point, Travel
from runtime.timeline.watch import Interrupted

if TYPE_CHECKING:
    from runtime.debug.monitor.live import Live

#: A motion that may be begun again where it was interrupted.
Motion = Callable[[], Arrival]
_MASK = (1 << 64) - 1
_ENDS = {"interrupted": "Interrupted", "power-off": "The machine is switched off", "crashed": "The guest has crashed"}
_NAMES = {"pc": ("rip", "eip", "pc"), "sp": ("rsp", "esp", "sp"), "fp": ("rbp", "ebp", "r11")}


class Monitor:
    """Commands over a replay (``travel``), or a machine that runs live (``live``); exactly one of them is given. A
    replay that went live has both: it moves when it is told to, and takes input. :meth:`execute` is what a person uses,
    also by way of gdb."""

    def __init__(self, travel: Travel | None, target: Target, live: Live | None = None):
        self.travel, self.target, self.live = travel, target, live
        #: Somebody said quit.
        self.over = False
        #: Under way while nobody waits for it (QMP's ``cont``): the hub runs it, and begins it again after a command.
        self.motion: Motion | None = None
        #: The monitor's own breakpoints and watchpoints, by number, and rr's checkpoints.
        self.points: dict[int, Point] = {}
        self.checkpoints: dict[int, int] = {}
        self.numbers = 0
        #: Called with an event of QMP and its data.
        self.listeners: list[Callable[[str, dict[str, Any]], None]] = []
        #: What is at the other side when a replay goes live.
        self.outside: Callable[[], Outside] = Outside
        #: Format and size that ``x`` used last.
        self.shape = ("x", 4)
        #: What addresses are called.
        self.names = Names(target)
        self._labels = recorded_labels(travel.recording) if travel is not None else None

    # -- commands -----------------------------------------------------------------------------------------------------
    def execute(self, line: str) -> str:
        """Do what a line says; what there is to say about it, mistakes included, each line with its end."""
        try:
            return self.perform(line)
        except MonitorError as error:
            return f"Error: {error}\n"

    def perform(self, line: str) -> str:
        """The same; MonitorError when it cannot be done."""
        if not line.strip():
            return ""
        try:
            return perform(self, line)
        except MemoryFault as fault:
            raise MonitorError(f"Cannot access memory at {fault.address:#x}") from None
        except (RecordingError, Divergence, Interrupted, ValueError) as error:
            raise MonitorError(str(error)) from error

    def value(self, text: str) -> int:
        """The value of an expression as an unsigned 64-bit number."""
        return evaluate(text, self.register, self._word, self.names.address) & _MASK

    def number_of(self, text: str) -> int:
        """The same of an expression in which no name is meant: addresses are no instruction counts."""
        return evaluate(text, self.register, self._word, _no_place) & _MASK

    def _word(self, address: int) -> int:
        """The word of the processor's width at a virtual address. MemoryFault."""
        mask, size = (_MASK, 8) if self.target.arch == "x86_64" else (0xFFFFFFFF, 4)
        return int.from_bytes(self.target.read(address & mask, size), "little")

    def address(self, text: str) -> int:
        """The same as an address, which has 32 bits on a machine of 32 bits."""
        return self.value(text) & (_MASK if self.target.arch == "x86_64" else 0xFFFFFFFF)

    def register(self, name: str) -> int:
        """The value of a register; ``pc``, ``sp`` and ``fp`` are those of any processor. KeyError: there is none."""
        if name == "pc":
            return self.target.pc
        known = {register.name for register in self.target.registers}
        return self.target.read_register(next((n for n in _NAMES.get(name, ()) if n in known), name))

    @property
    def labels(self) -> Labels:
        """The labels of the recording. MonitorError: nothing is recorded."""
        found = self._labels if self.live is None else self.live.labels
        if found is None:
            raise MonitorError("nothing is recorded: there is nothing to come back to")
        return found

    @property
    def icount(self) -> int:
        """Where the machine is."""
        return int(self.target.machine.icount)

    @property
    def running(self) -> bool:
        """Whether the machine goes on between two commands."""
        return self.motion is not None if self.live is None or self.travel is not None else not self.live.stopped

    def number(self) -> int:
        """The number of the next thing that is put down."""
        self.numbers += 1
        return self.numbers

    def emit(self, event: str, **data: Any) -> None:
        """Tell whoever listens."""
        for listener in self.listeners:
            listener(event, data)

    # -- motions ------------------------------------------------------------------------------------------------------
    def moved(self, motion: Motion) -> str:
        """Make a motion; where it ended."""
        if self.motion is None:
            self.emit("RESUME")
        self.motion = None
        try:
            arrival = self.with_points(motion)
        finally:
            self.emit("STOP")
        return self.describe(arrival)

    def begin(self, motion: Motion) -> None:
        """Make a motion that nobody waits for."""
        if self.motion is None:
            self.emit("RESUME")
        self.motion = motion

    def go_on(self) -> None:
        """Make the motion that is under way until it ends or is interrupted."""
        assert self.motion is not None and self.travel is not None
        motion, moving = self.motion, True
        try:
            moving = self.with_points(motion).why == "interrupted"
        except (RecordingError, Divergence, ValueError):
            moving = False
            raise
        finally:
            if not moving:
                self.halt()

    def halt(self) -> None:
        """Let a motion that is under way be over."""
        if self.motion is not None:
            self.motion = None
            self.emit("STOP")

    def with_points(self, motion: Motion) -> Arrival:
        """Make a motion that ends at this monitor's points as well."""
        travel = self.travel
        assert travel is not None
        before = travel.points
        travel.set_points([*before, *self.points.values()])
        try:
            arrival = motion()
        finally:
            travel.set_points(before)
        self.target.chosen = None if arrival.processor == self.target.machine.turn else arrival.processor
        if arrival.why == "power-off" or (arrival.why == "end" and travel.recording.reason == "power-off"):
            self.emit("SHUTDOWN", guest=True, reason="guest-shutdown")
        return arrival

    def describe(self, arrival: Arrival) -> str:
        """One line: why a motion ended, and where."""
        where = self.where()
        point = arrival.point
        if arrival.why == "end":
            return f"The recording ends here ({arrival.message}): {where}"
        if arrival.why == "begin":
            return f"The recording begins here: {where}"
        if arrival.why in _ENDS:
            message = f" ({arrival.message})" if arrival.message else ""
            return f"{_ENDS[arrival.why]}{message}: {where}"
        if point is None:
            return f"Stopped: {where}"
        number = next((f" {n}" for n, own in self.points.items() if own == point), "")
        if point.kind == "break":
            return f"Breakpoint{number}: {where}"
        if point.kind == "console":
            return f"Watchpoint{number}, console printed {points.shown(point.text)}: {where}"
        what = {"write": "written", "read": "read", "access": "accessed"}[point.kind]
        name = "" if point.physical else self.names.marked(arrival.address)
        return f"Watchpoint{number}, {arrival.address:#x}{name} {what}: {where}"

    def where(self) -> str:
        """One line: the position, and the next instruction."""
        end = f" of {self.travel.end}" if self.travel is not None and self.live is None else ""
        try:
            ((address, _, text),) = disassemble(self.target, self.target.pc)
        except MemoryFault:
            address, text = self.target.pc, "(not mapped)"
        named = self.names.marked(address)
        cpu = f"CPU {self.target.processor}, " if self.target.machine.processors > 1 else ""
        return f"instruction {self.icount}{end}, {cpu}pc {address:#x}{named}: {look.named(self, text)}\n"


def _no_place(name: str) -> int:
    raise MonitorError(f"{name!r} is no place in the recording; break takes names of the kernel")
