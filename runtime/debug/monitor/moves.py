"""Commands that move about in a replay: QEMU's, and the words of rr."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.debug.monitor.commands import REPLAY, MonitorError, command
from runtime.recording.errors import RecordingError
from runtime.timeline.places import resolve, unquoted
from runtime.timeline.travel import Arrival, Point, Travel

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor


def _travel(monitor: Monitor) -> Travel:
    assert monitor.travel is not None  # the table says so
    return monitor.travel


def count(monitor: Monitor, text: str) -> int:
    """A number of things: any expression that is not negative."""
    return monitor.value(text)


def place(monitor: Monitor, text: str) -> int:
    """An instruction count: whatever ``--seek`` takes, names that savevm gave among it, or an expression."""
    travel = _travel(monitor)
    here, replay = travel.icount, travel.replay if travel.live is None else None
    try:
        return resolve(travel.recording, text, here, replay=replay)
    except RecordingError:
        if "console:" in text or "label:" in text or "event:" in text:
            raise
        return monitor.value(text)
    finally:
        if travel.icount != here:  # it looked for console output
            travel.seek(here)


# -- QEMU's ------------------------------------------------------------------------------------------------------------
@command("replay_seek PLACE...", "go to an instruction, forward or backward", REPLAY, "seek")
def replay_seek(monitor: Monitor, text: str) -> str:
    icount = place(monitor, text)
    return monitor.moved(lambda: _travel(monitor).seek(icount))


@command("replay_break PLACE...", "runs in both directions stop at this instruction; any number of them", REPLAY)
def replay_break(monitor: Monitor, text: str) -> str:
    travel = _travel(monitor)
    icount = place(monitor, text)
    travel.recording.check_within(icount)
    travel.stops.add(icount)
    return ""


@command("replay_delete_break [PLACE...]", "take away one of them, or all", REPLAY)
def replay_delete_break(monitor: Monitor, text: str = "") -> str:
    stops = _travel(monitor).stops
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
    return monitor.moved(lambda: _travel(monitor).step(number))


@command("back [COUNT...]", "step backward, one instruction if no number is given", REPLAY, "reverse-stepi", "rsi")
def back(monitor: Monitor, text: str = "1") -> str:
    number = count(monitor, text)
    return monitor.moved(lambda: _travel(monitor).back(number))


@command("reverse-continue", "run backward to a break, a watch, a replay_break or the beginning", REPLAY, "rc")
def reverse_continue(monitor: Monitor) -> str:
    return monitor.moved(_travel(monitor).run_back)


# -- breakpoints and watchpoints ---------------------------------------------------------------------------------------
def _put(monitor: Monitor, point: Point) -> str:
    number = monitor.number()
    travel = _travel(monitor)
    monitor.points[number] = point
    before = travel.points
    try:
        travel.set_points([*before, *monitor.points.values()])
    except Exception as error:
        del monitor.points[number]
        raise MonitorError(str(error)) from error
    finally:
        travel.set_points(before)
    return _line(number, point)


def _line(number: int, point: Point) -> str:
    if point.kind == "break":
        return f"Breakpoint {number} at {point.address:#x}\n"
    if point.kind == "console":
        return f"Watchpoint {number}: console, {shown(point.text)}\n"
    physical = " (physical)" if point.physical else ""
    return f"Watchpoint {number}: {point.kind}, {point.size} bytes at {point.address:#x}{physical}\n"


def shown(text: bytes) -> str:
    """What the console prints, as people write it."""
    return repr(text.decode(errors="replace"))


def _size(monitor: Monitor, text: str) -> int:
    size = count(monitor, text)
    if not 1 <= size <= 1 << 16:
        raise MonitorError(f"a watchpoint is 1 to 65536 bytes large, not {size}")
    return size


@command("break ADDRESS...", "runs stop before the instruction at a virtual address", REPLAY, "b")
def break_command(monitor: Monitor, text: str) -> str:
    return _put(monitor, Point("break", monitor.address(text)))


@command("watch ADDRESS [SIZE]", "runs stop where 1 byte, or SIZE, is written", REPLAY)
def watch(monitor: Monitor, text: str, size: str = "1") -> str:
    return _put(monitor, Point("write", monitor.address(text), _size(monitor, size)))


@command("rwatch ADDRESS [SIZE]", "... is read", REPLAY)
def rwatch(monitor: Monitor, text: str, size: str = "1") -> str:
    return _put(monitor, Point("read", monitor.address(text), _size(monitor, size)))


@command("awatch ADDRESS [SIZE]", "... is read or written", REPLAY)
def awatch(monitor: Monitor, text: str, size: str = "1") -> str:
    return _put(monitor, Point("access", monitor.address(text), _size(monitor, size)))


@command("watch-console TEXT...", "runs stop where the console has printed a text", REPLAY)
def watch_console(monitor: Monitor, text: str) -> str:
    return _put(monitor, _printed(monitor, text))


def _printed(monitor: Monitor, text: str) -> Point:
    if _travel(monitor).live is not None:
        raise MonitorError("the machine has left the recording: where its console prints is not known")
    return Point("console", text=unquoted(text))


@command("delete [NUMBER]", "take away a break or watch, or all of them", REPLAY)
def delete(monitor: Monitor, text: str = "") -> str:
    if not text:
        monitor.points.clear()
        return ""
    if monitor.points.pop(number := count(monitor, text), None) is None:
        raise MonitorError(f"no breakpoint or watchpoint {number}")
    return ""


@command("info breakpoints", "what runs stop at", REPLAY)
def info_breakpoints(monitor: Monitor) -> str:
    stops = [f"replay_break at instruction {icount}\n" for icount in sorted(_travel(monitor).stops)]
    return "".join([*(_line(*entry) for entry in monitor.points.items()), *stops]) or "none\n"


# -- who wrote this? ---------------------------------------------------------------------------------------------------
@command("last-write ADDRESS [SIZE]", "back to the last write to a virtual address before now", REPLAY)
def last_write(monitor: Monitor, text: str, size: str = "1") -> str:
    return _last(monitor, Point("write", monitor.address(text), _size(monitor, size)), "Nothing has written there")


@command("last-write-phys ADDRESS [SIZE]", "... to a physical address", REPLAY)
def last_write_physical(monitor: Monitor, text: str, size: str = "1") -> str:
    point = Point("write", monitor.value(text), _size(monitor, size), physical=True)
    return _last(monitor, point, "Nothing has written there")


@command("last-console TEXT...", "back to where the console printed a text for the last time before now", REPLAY)
def last_console(monitor: Monitor, text: str) -> str:
    return _last(monitor, _printed(monitor, text), "The console has not printed that")


def _last(monitor: Monitor, point: Point, nothing: str) -> str:
    """Only this point counts on the way, not the others."""
    travel = _travel(monitor)
    start = travel.icount

    def motion() -> Arrival:
        before, stops = travel.points, set(travel.stops)
        travel.set_points([point])
        travel.stops.clear()
        try:
            return travel.run_back()
        finally:
            travel.set_points(before)
            travel.stops.update(stops)

    moved = monitor.moved(motion)
    return f"{nothing} before instruction {start}. {moved}" if moved.startswith("The recording begins") else moved
