"""Commands that move about in a replay: QEMU's, and the words of rr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.debug.monitor.commands import REPLAY, MonitorError, command
from runtime.recording.errors import RecordingError
from runtime.timeline.places import resolve
from runtime.timeline.travel import Travel

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor


def travel_of(monitor: Monitor) -> Travel:
    assert monitor.travel is not None  # the table says so
    return monitor.travel


def count(monitor: Monitor, text: str) -> int:
    """A number of things: any expression that is not negative."""
    return monitor.number_of(text)


def place(monitor: Monitor, text: str) -> int:
    """An instruction count: whatever ``--seek`` takes, names that savevm gave among it, or an expression."""
    travel = travel_of(monitor)
    here, replay = travel.icount, travel.replay if travel.live is None else None
    try:
        return resolve(travel.recording, text, here, replay=replay)
    except RecordingError:
        if "console:" in text or "label:" in text or "event:" in text:
            raise
        return monitor.number_of(text)
    finally:
        if travel.icount != here:  # it looked for console output
            travel.seek(here)


# -- QEMU's ------------------------------------------------------------------------------------------------------------
@command("replay_seek PLACE...", "go to an instruction, forward or backward", REPLAY, "seek")
def replay_seek(monitor: Monitor, text: str) -> str:
    icount = place(monitor, text)
    return monitor.moved(lambda: travel_of(monitor).seek(icount))


@command("replay_break PLACE...", "runs in both directions stop at this instruction; any number of them", REPLAY)
def replay_break(monitor: Monitor, text: str) -> str:
    travel = travel_of(monitor)
    icount = place(monitor, text)
    travel.recording.check_within(icount)
    travel.stops.add(icount)
    return ""


@command("replay_delete_break [PLACE...]", "take away one of them, or all", REPLAY)
def replay_delete_break(monitor: Monitor, text: str = "") -> str:
    stops = travel_of(monitor).stops
    if not text:
        stops.clear()
        return ""
    icount = place(monitor, text)
    if icount not in stops:
        raise MonitorError(f"no replay_break at instruction {icount}")
    stops.discard(icount)
    return ""


# -- rr's --------------------------------------------------------------------------------------------------------------
@command("when", "the position: instructions, virtual time, share of the recording")
def when(monitor: Monitor) -> str:
    ns = monitor.icount << monitor.target.machine.config.shift
    end = monitor.travel.end if monitor.travel is not None and monitor.live is None else 0
    share = f", {100 * monitor.icount / end:.3f} % of the recording" if end else ""
    return f"Completed instruction: {monitor.icount}, virtual time {ns // 10**9}.{ns % 10**9:09} s{share}\n"


@command("forward [COUNT...]", "step forward, one instruction if no number is given", REPLAY, "stepi", "si")
def forward(monitor: Monitor, text: str = "1") -> str:
    number = count(monitor, text)
    return monitor.moved(lambda: travel_of(monitor).step(number))


@command("back [COUNT...]", "step backward, one instruction if no number is given", REPLAY, "reverse-stepi", "rsi")
def back(monitor: Monitor, text: str = "1") -> str:
    number = count(monitor, text)
    return monitor.moved(lambda: travel_of(monitor).back(number))


@command("reverse-continue", "run backward to a break, a watch, a replay_break or the beginning", REPLAY, "rc")
def reverse_continue(monitor: Monitor) -> str:
    return monitor.moved(travel_of(monitor).run_back)
