"""A machine that has left its recording and runs live, forwards, for whoever moves it: recorded in a branch, or not at
all."""

from __future__ import annotations

from pathlib import Path

from runtime.borders.live import LiveBorder
from runtime.machine_api import Stop, StopReason
from runtime.timeline.branch import check_can_leave, leave, leave_unrecorded
from runtime.timeline.record import Outside, Pace, Recorded
from runtime.timeline.replay import Replay
from runtime.timeline.travel import Ended
from runtime.timeline.watch import Interrupted, Limits, Watch

_IDLE = "the guest is halted and nothing can wake it"


class Live:
    """``replay``'s machine from where it is. With ``path`` it is recorded there (RecordingError if it cannot be); then
    nothing may be written to it. ``watch`` ends what is under way."""

    def __init__(self, replay: Replay, path: Path | None, outside: Outside, watch: Watch, pace: Pace):
        check_can_leave(replay.recording, replay.icount)
        self._machine, self._watch = replay.machine, watch
        self._recorded: Recorded | None = None
        self._ended: Stop | None = None
        #: Where it is recorded, if it is.
        self.path = path
        #: What the machine is behind now.
        self.border: LiveBorder
        if path is not None:
            self._recorded = leave(replay, path, outside, Limits(), pace, watch=watch)
            self.border = self._recorded.border
            self._recorded.begin()
        else:
            self.border = leave_unrecorded(replay, outside)
            self.border.on_poll = lambda icount: watch.reason() is not None

    def advance(self, icount: int) -> Stop:
        """Run to exactly ``icount``, or to a breakpoint or watchpoint. Ended when the machine does not go on;
        Interrupted when ``watch`` says so."""
        if self._ended is not None:
            raise Ended(self._ended)
        try:
            stop, reason = self._recorded.advance(icount) if self._recorded is not None else self._run(icount)
        except BaseException as error:  # the recording, if there is one, is closed
            self._recorded = None
            self._ended = Stop(StopReason.INTERRUPTED, self._machine.icount, str(error))
            raise
        if reason and reason == self.border.leave:
            self.border.leave = ""
            raise Ended(Stop(StopReason.INTERRUPTED, stop.icount, _IDLE if reason == "idle" else reason))
        if reason:
            raise Interrupted(f"{reason} at instruction {stop.icount}")
        if stop.reason in (StopReason.POWER_OFF, StopReason.CRASHED):
            self._ended = stop
            self._end(stop, stop.reason.value, stop.reason is not StopReason.CRASHED)
            raise Ended(stop)
        return stop

    def close(self, whole: bool) -> None:
        """End the recording, if there is one. ``whole``: the machine is at an instruction count, not within one."""
        if self._ended is None:
            self._end(Stop(StopReason.REACHED, self._machine.icount), "left", whole)

    def _end(self, stop: Stop, reason: str, whole: bool) -> None:
        recorded, self._recorded = self._recorded, None
        if recorded is not None:
            recorded.end(stop, reason, whole)

    def _run(self, icount: int) -> tuple[Stop, str]:
        while True:
            stop = self._machine.run_to(icount)
            if stop.reason is not StopReason.INTERRUPTED:
                return stop, ""
            if reason := self._watch.reason() or self.border.leave:
                return stop, reason
