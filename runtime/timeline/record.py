"""Running a machine live, with or without a recording."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from runtime.borders.console import ConsoleInput, ConsoleOutput
from runtime.borders.live import LiveBorder, Recorder, Visitor
from runtime.borders.script import Script
from runtime.config import MachineConfig
from runtime.machine_api import FOREVER, Machine, Stop, StopReason
from runtime.recording.digest import PAGE, PageHashes, encode_state, machine_digest
from runtime.recording.errors import RecordingError
from runtime.recording.recording import DEFAULT_BUDGET, RecordingWriter
from runtime.timeline.build import Factory, build
from runtime.timeline.progress import Progress
from runtime.timeline.watch import Limits, Watch

#: Run to an icount at the latest; the second is why the run is to end although the machine goes on, or "".
Advance = Callable[[int], tuple[Stop, str]]
#: What an :data:`Advance` says when a debugger has asked it to come back.
ASKED = "asked"


class Debugger(Protocol):
    """Decides how far a live machine goes."""

    def attach(self, machine: Any, border: LiveBorder, path: Path | None) -> None:
        """The machine is there, recorded in ``path`` if anywhere."""

    def asked(self) -> bool:
        """Asked every few ms while the machine runs; True: come back (ASKED)."""

    def drive(self, advance: Advance, limit: int, ended: Callable[[], str | None]) -> tuple[Stop, str]:
        """Run the machine to its end, to ``limit``, or until ``ended`` says why; returns as an :data:`Advance`."""

    def close(self) -> None:
        """It is over."""


class _Debugged(Watch):
    """Comes back when the debugger asks, too."""

    def __init__(self, limits: Limits, debugger: Debugger):
        super().__init__(limits)
        self._debugger = debugger

    def reason(self) -> str | None:
        """The program's own reasons go first."""
        return super().reason() or (ASKED if self._debugger.asked() else None)

    def ended(self) -> str | None:
        """Why the program is to end."""
        return super().reason()


@dataclass(frozen=True)
class Outside:
    """What is at the other side of a live border; whoever is given it closes it."""

    console: ConsoleOutput | None = None
    terminal: ConsoleInput | None = None
    script: Script | None = None
    visitor: Visitor | None = None
    debugger: Debugger | None = None

    def receive(self, machine: Any, border: LiveBorder, path: Path | None = None) -> None:
        """Let the visitor and the debugger, if there are any, to a machine that is recorded in ``path`` if anywhere."""
        if self.visitor is not None:
            border.visitor = self.visitor
            self.visitor.attach(machine, border, path)
        if self.debugger is not None:
            self.debugger.attach(machine, border, path)

    def run(self, advance: Advance, limit: int, watch: Watch) -> tuple[Stop, str]:
        """All of a run: as the debugger wants it, or at once."""
        if self.debugger is None or not isinstance(watch, _Debugged):
            return advance(limit)
        return self.debugger.drive(advance, limit, watch.ended)

    def watch(self, limits: Limits) -> Watch:
        """Says when a run comes back."""
        return Watch(limits) if self.debugger is None else _Debugged(limits, self.debugger)

    def close(self) -> None:
        """Show what is left, give the terminal back."""
        for end in (self.console, self.terminal, self.visitor, self.debugger):
            if end is not None:
                end.close()


@dataclass(frozen=True)
class Pace:
    """How often, in seconds: log flushes, notes of the pages that were used (wall time), digests and checkpoints (time
    it took to run the guest), and the disk budget of the checkpoints in bytes. ``share`` is the part of the time that
    checkpoints may take of the guest's processor."""

    flush: float = 0.5
    touched: float = 0.1
    digest: float = 1.0
    checkpoint: float = 0.25
    share: float = 0.015
    budget: int = DEFAULT_BUDGET


@dataclass(frozen=True)
class Outcome:
    """How a run ended: ``reason`` is a StopReason value, or "idle" (halted for good), "max-icount", "left", "timeout",
    a signal's name."""

    icount: int
    reason: str
    message: str
    seconds: float


def run(config: MachineConfig, outside: Outside, limits: Limits | None = None, *, progress: Progress | None = None,
        factory: Factory | None = None) -> Outcome:  # fmt: skip
    """Run without recording."""
    limits = limits or Limits()
    try:
        border = LiveBorder(outside.console, outside.terminal, outside.script, config.shift, config.rtc_base_ns())
        machine = build(config, border, factory)
        outside.receive(machine, border)
        with closing(machine):
            return run_on(machine, border, limits, progress, outside)
    finally:
        outside.close()


def run_on(machine: Machine, border: LiveBorder, limits: Limits, progress: Progress | None = None,
           outside: Outside | None = None) -> Outcome:  # fmt: skip
    """Run a machine behind ``border`` from where it is, without recording."""
    outside = outside or Outside()
    with outside.watch(limits) as watch:

        def poll(icount: int) -> bool:
            if progress:
                progress.update(icount)
            return watch.reason() is not None

        border.on_poll, border.on_hold = poll, lambda: watch.reason() is not None

        def advance(icount: int) -> tuple[Stop, str]:
            stop = machine.run_to(icount)
            return stop, (watch.reason() or border.leave) if stop.reason is StopReason.INTERRUPTED else ""

        start = time.monotonic()
        stop, reason = outside.run(advance, _limit(limits), watch)
        reason = reason or _reason(stop)
    border.ended(reason)
    return Outcome(stop.icount, reason, stop.message, time.monotonic() - start)


def record(path: Path, config: MachineConfig, outside: Outside, limits: Limits | None = None, *,
           pace: Pace | None = None, progress: Progress | None = None,
           factory: Factory | None = None) -> Outcome:  # fmt: skip
    """Run and record into ``path``. Every way of ending closes the recording; RecordingError if the disk fails."""
    pace = pace or Pace()
    try:
        writer = RecordingWriter(path, config, pace.budget)
        try:
            rtc = config.rtc_base_ns()
            border = Recorder(writer.log, outside.console, outside.terminal, outside.script, config.shift, rtc)
            machine = build(config, border, factory)
        except BaseException:
            writer.discard()
            raise
        outside.receive(machine, border, path)
        with closing(machine):
            limits = limits or Limits()
            return Recorded(writer, machine, border, limits, pace, progress, watch=outside.watch(limits)).run(outside)
    finally:
        outside.close()


class Recorded:
    """The loop of a recording: digests, checkpoints and flushes in between the guest's instructions. ``hashes``: those
    of the pages of a machine that has run before."""

    def __init__(self, writer: RecordingWriter, machine: Machine, border: Recorder, limits: Limits, pace: Pace,
                 progress: Progress | None, hashes: PageHashes | None = None,
                 watch: Watch | None = None):  # fmt: skip
        self._writer, self._machine, self.border = writer, machine, border
        self._limits, self._pace, self._progress = limits, pace, progress
        self._watch = watch or Watch(limits)
        self._hashes = hashes or PageHashes(len(machine.ram) // PAGE)
        self._start = self._next_flush = self._next_touched = time.monotonic()
        self._overhead, self._stood_at = 0.0, self._start
        #: Processor time that checkpoints took, in seconds, and when the guest began.
        self._cost = self._began = 0.0
        self._next_digest = self._next_checkpoint = 0.0
        self._reached, self._noted = 0, -1

    def run(self, outside: Outside | None = None) -> Outcome:
        """All of it: from here to the machine's end, a limit, or until somebody wants it ended."""
        with self._watch:
            self.begin()
            stop, reason = (outside or Outside()).run(self.advance, _limit(self._limits), self._watch)
        reason = reason or _reason(stop)
        self.end(stop, reason, whole=stop.reason is not StopReason.CRASHED)
        self.border.ended(reason)
        return Outcome(stop.icount, reason, stop.message, time.monotonic() - self._start)

    def begin(self) -> None:
        """Note the state now; then the machine is run by :meth:`advance`."""
        self.border.on_poll, self.border.on_hold = self._poll, lambda: self._watch.reason() is not None
        self._began = time.thread_time()
        with self._failures():
            self._note()

    def advance(self, icount: int) -> tuple[Stop, str]:
        """Run to ``icount`` at the latest. The second is why the run is to end although the machine goes on, or "". A
        failure, which is raised, has closed the recording."""
        self._overhead += time.monotonic() - self._stood_at
        with self._failures():
            while True:
                stop, reason = self._machine.run_to(icount), ""
                if stop.reason is StopReason.INTERRUPTED:
                    reason = self._watch.reason() or self.border.leave
                if reason or stop.reason is not StopReason.INTERRUPTED:
                    self._stood_at = time.monotonic()
                    return stop, reason
                self._note()

    def end(self, stop: Stop, reason: str, whole: bool = True) -> None:
        """Close the recording where ``stop`` is. ``whole``: that is a state to come back to, and not what a crash left
        half done, or within an instruction count."""
        if whole:
            with self._failures():
                self._digest()
                self._note_touched(stop.icount)
        self._close(stop.icount, reason, stop.message)

    @contextmanager
    def _failures(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise self._disk_failed(error) from error
        except BaseException as error:
            self._close(self._reached, "error", str(error) or type(error).__name__)
            raise

    def _run_time(self) -> float:
        """Seconds spent running the guest: about what replaying it up to here takes."""
        return time.monotonic() - self._start - self.border.waited - self._overhead

    def _poll(self, icount: int) -> bool:
        now = time.monotonic()
        if now >= self._next_flush:
            self._flush(icount)
        if now >= self._next_touched:
            self._note_touched(icount)
        if self._progress:
            self._progress.update(icount, self._writer.log.bytes)
        if self._watch.reason() is not None:
            return True
        if icount == self._noted:
            return False
        run_time = self._run_time()
        return run_time >= self._next_digest or self._is_checkpoint_due(run_time)

    def _is_checkpoint_due(self, run_time: float) -> bool:
        """Whether it is time, and those before have not taken too much of the processor's, of which a loaded host gives
        less than passes. For the last one to be written the guest waits only when it is as late again."""
        late = run_time - self._next_checkpoint
        if late < 0 or (late < self._pace.checkpoint and self._writer.checkpoints.busy):
            return False
        missing = self._cost / self._pace.share - (time.thread_time() - self._began)
        if missing > 0:
            self._next_checkpoint = run_time + missing
        return missing <= 0

    def _flush(self, icount: int) -> None:
        self._writer.log.flush(icount)
        self._reached = icount
        self._next_flush = time.monotonic() + self._pace.flush

    def _note(self) -> None:
        """Write the digest, and the checkpoint if it is time, of the state now."""
        before, run_time, used = time.monotonic(), self._run_time(), time.thread_time()
        cpu, devices, digest = self._digest()
        self._flush(self._machine.icount)
        self._noted = self._machine.icount
        self._next_digest = run_time + self._pace.digest
        if not self._is_checkpoint_due(run_time):
            self._overhead += time.monotonic() - before
            return
        log, icount, ram = self._writer.log, self._machine.icount, self._machine.ram
        ms = int(run_time * 1000)
        self._writer.checkpoints.save(icount, log.events, ms, cpu, devices, digest, self._hashes.table, ram)
        self._note_touched(icount)
        self._overhead += time.monotonic() - before
        self._cost += time.thread_time() - used if icount else 0  # the beginning is no matter of choice
        self._next_checkpoint = run_time + self._pace.checkpoint

    def _note_touched(self, icount: int) -> None:
        self._writer.touched.add(icount, self._machine.take_touched())
        self._next_touched = time.monotonic() + self._pace.touched

    def _digest(self) -> tuple[bytes, bytes, bytes]:
        machine = self._machine
        self._hashes.update(machine.ram, machine.take_dirty_pages())
        cpu, devices = machine.cpu_state(), encode_state(machine.device_state())
        digest = machine_digest(cpu, devices, self._hashes.table)
        self._writer.log.digest(machine.icount, digest)
        return cpu, devices, digest

    def _close(self, icount: int, reason: str, message: str) -> None:
        try:
            self._writer.close(icount, reason, message)
        except OSError as error:
            raise self._disk_failed(error) from error

    def _disk_failed(self, error: OSError) -> RecordingError:
        self._writer.abandon()
        what = f"{self._writer.path}: {error.strerror or error}"
        return RecordingError(f"cannot write {what}; the recording is good up to instruction {self._reached}")


def _limit(limits: Limits) -> int:
    return FOREVER if limits.max_icount is None else limits.max_icount


def _reason(stop: Stop) -> str:
    """Why a run is over that nobody has ended."""
    return "max-icount" if stop.reason is StopReason.REACHED else stop.reason.value
