"""Going live: a replay's machine goes on by itself from some instruction, with a recording of its own."""

from __future__ import annotations

from contextlib import closing
from pathlib import Path

from runtime.borders.live import LiveBorder, Recorder
from runtime.config import ConfigError
from runtime.machine_api import StopReason
from runtime.recording.branch import Past
from runtime.recording.errors import RecordingError
from runtime.recording.recording import Recording, RecordingWriter
from runtime.timeline.build import Factory
from runtime.timeline.progress import Progress
from runtime.timeline.record import Outcome, Outside, Pace, Recorded
from runtime.timeline.replay import Replay
from runtime.timeline.watch import Limits, Watch

_OVER = {StopReason.POWER_OFF.value: "the machine is switched off", StopReason.CRASHED.value: "the guest has crashed"}


def branch(recording: Recording, at: int, path: Path, outside: Outside, limits: Limits | None = None, *,
           tier: str = "auto", pace: Pace | None = None, progress: Progress | None = None,
           factory: Factory | None = None) -> Outcome:  # fmt: skip
    """Go to instruction ``at`` of ``recording`` and run on live from there, recording into ``path``, which shares what
    came before. RecordingError or ConfigError when that cannot be."""
    limits = limits or Limits()
    try:
        check_can_leave(recording, at)
        _check_ahead(outside, limits, at)
        if path.exists():
            raise RecordingError(f"{path} exists already")
        replay = Replay(recording, tier=tier, verify=False, progress=progress, factory=factory)
        with closing(replay):
            replay.seek(at)
            return leave(replay, path, outside, limits, pace or Pace(), progress, outside.watch(limits)).run(outside)
    finally:
        outside.close()


def leave(replay: Replay, path: Path, outside: Outside, limits: Limits, pace: Pace,
          progress: Progress | None = None, watch: Watch | None = None) -> Recorded:  # fmt: skip
    """Put ``replay``'s machine, where it is, behind a live border, and begin a branch in ``path``; the caller runs."""
    recording, config = replay.recording, replay.recording.config()
    writer = RecordingWriter(path, config, pace.budget, Past(recording, replay.icount, replay.events))
    border = Recorder(writer.log, outside.console, outside.terminal, outside.script, config.shift, config.rtc_base_ns())
    outside.receive(replay.machine, border, path)
    return Recorded(writer, replay.machine, border, limits, pace, progress, replay.go_live(border), watch)


def leave_unrecorded(replay: Replay, outside: Outside) -> LiveBorder:
    """Put ``replay``'s machine, where it is, behind a live border that records nothing; the caller runs it."""
    config = replay.recording.config()
    border = LiveBorder(outside.console, outside.terminal, outside.script, config.shift, config.rtc_base_ns())
    replay.go_live(border)
    outside.receive(replay.machine, border)
    return border


def check_can_leave(recording: Recording, at: int) -> None:
    """RecordingError if the machine cannot run on from ``at``."""
    recording.check_within(at)
    if at == recording.icount and recording.reason in _OVER:
        how = _OVER[recording.reason]
        raise RecordingError(f"{recording.given}: at instruction {at} {how}, nothing goes on from here")


def _check_ahead(outside: Outside, limits: Limits, at: int) -> None:
    """What is asked for lies behind ``at``."""
    due = outside.script.next() if outside.script is not None else None
    if due is not None and due < at:
        raise ConfigError(f"the input script has a step at instruction {due}, but the branch begins at {at}")
    if limits.max_icount is not None and limits.max_icount < at:
        raise ConfigError(f"--max-icount {limits.max_icount} is before {at}, where the branch begins")
