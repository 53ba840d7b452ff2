"""Commands about what motions stop at: breakpoints, watchpoints, console output; and back to the last time of one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from runtime.debug.monitor.commands import REPLAY, MonitorError, command
from runtime.debug.monitor.moves import count, travel_of
from runtime.timeline.places import unquoted
from runtime.timeline.travel import Arrival, Point

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor

#: Commands for watchpoints -> kind, what happens there.
_WATCHES = {"watch": ("write", "written"), "rwatch": ("read", "read"), "awatch": ("access", "read or written")}


# -- what is asked for -------------------------------------------------------------------------------------------------
def _access(monitor: Monitor, kind: str, physical: bool, text: str, size: str) -> Point:
    bytes_ = count(monitor, size)
    if not 1 <= bytes_ <= 1 << 16:
        raise MonitorError(f"a watchpoint is 1 to 65536 bytes large, not {bytes_}")
    return Point(kind, monitor.value(text) if physical else monitor.address(text), bytes_, physical)


def _printed(monitor: Monitor, text: str) -> Point:
    if travel_of(monitor).live is not None:
        raise MonitorError("the machine has left the recording: where its console prints is not known")
    return Point("console", text=unquoted(text))


def shown(text: bytes) -> str:
    """What the console prints, as people write it."""
    return repr(text.decode(errors="replace"))


# -- put down and taken away -------------------------------------------------------------------------------------------
@command("break ADDRESS...", "runs stop before the instruction at a virtual address", REPLAY, "b")
def break_command(monitor: Monitor, text: str) -> str:
    return _put(monitor, Point("break", monitor.address(text)))


def _watch(kind: str, physical: bool, monitor: Monitor, text: str, size: str = "1") -> str:
    return _put(monitor, _access(monitor, kind, physical, text, size))


for _name, (_kind, _what) in _WATCHES.items():
    _help = f"runs stop where 1 byte, or SIZE, is {_what}"
    command(f"{_name} ADDRESS [SIZE]", _help, REPLAY)(partial(_watch, _kind, False))
    command(f"{_name}-phys ADDRESS [SIZE]", f"as {_name}, of a physical address", REPLAY)(partial(_watch, _kind, True))


@command("watch-console TEXT...", "runs stop where the console has printed a text", REPLAY)
def watch_console(monitor: Monitor, text: str) -> str:
    return _put(monitor, _printed(monitor, text))


def _put(monitor: Monitor, point: Point) -> str:
    number = monitor.number()
    travel = travel_of(monitor)
    monitor.points[number] = point
    before = travel.points
    try:
        travel.set_points([*before, *monitor.points.values()])
    except Exception as error:
        del monitor.points[number]
        raise MonitorError(str(error)) from error
    finally:
        travel.set_points(before)
    return _line(monitor, number, point)


def _line(monitor: Monitor, number: int, point: Point) -> str:
    if point.kind == "break":
        return f"Breakpoint {number} at {point.address:#x}{monitor.names.marked(point.address)}\n"
    if point.kind == "console":
        return f"Watchpoint {number}: console, {shown(point.text)}\n"
    physical = " (physical)" if point.physical else ""
    name = "" if point.physical else monitor.names.marked(point.address)
    return f"Watchpoint {number}: {point.kind}, {point.size} bytes at {point.address:#x}{name}{physical}\n"


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
    stops = [f"replay_break at instruction {icount}\n" for icount in sorted(travel_of(monitor).stops)]
    return "".join([*(_line(monitor, *entry) for entry in monitor.points.items()), *stops]) or "none\n"


# -- who did this? -----------------------------------------------------------------------------------------------------
def _last_access(kind: str, physical: bool, monitor: Monitor, text: str, size: str = "1") -> str:
    what = "written" if kind == "write" else "read"
    return _last(monitor, _access(monitor, kind, physical, text, size), f"Nothing has {what} there")


for _kind in ("write", "read"):
    _help = f"back to the last {_kind} of a virtual address before now"
    command(f"last-{_kind} ADDRESS [SIZE]", _help, REPLAY)(partial(_last_access, _kind, False))
    _help = "... of a physical address"
    command(f"last-{_kind}-phys ADDRESS [SIZE]", _help, REPLAY)(partial(_last_access, _kind, True))


@command("last-console TEXT...", "back to where the console printed a text for the last time before now", REPLAY)
def last_console(monitor: Monitor, text: str) -> str:
    return _last(monitor, _printed(monitor, text), "The console has not printed that")


def _last(monitor: Monitor, point: Point, nothing: str) -> str:
    """Only this point counts on the way, not the others."""
    travel = travel_of(monitor)
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
