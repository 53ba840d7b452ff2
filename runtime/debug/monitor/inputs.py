"""Commands that start, stop and end things, and input: only a machine that runs live takes any, and a recording keeps
it like everything else that crosses the border."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from runtime.borders.script import STOP, parse_script
from runtime.debug.monitor.commands import LIVE, REPLAY, MonitorError, command
from runtime.debug.monitor.keys import key_number
from runtime.debug.monitor.live import Live
from runtime.devices.power import PRESS_BUTTON, RESET

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor

#: How long keys are held unless said otherwise, in virtual milliseconds.
HOLD = 100
_MOST_KEYS, _LONGEST_HOLD = 16, 60_000


def _live(monitor: Monitor) -> Live:
    assert monitor.live is not None  # the table says so
    return monitor.live


# -- going and standing ------------------------------------------------------------------------------------------------
@command("stop", "stop the machine, or a motion that is under way")
def stop(monitor: Monitor) -> str:
    if monitor.travel is None:
        _live(monitor).stop(monitor)
    monitor.halt()
    return ""


@command("cont", "go on: a live machine, or a replay to a break, a watch, a replay_break or the end", "any", "c")
def cont(monitor: Monitor) -> str:
    if monitor.travel is not None:
        return monitor.moved(monitor.travel.run)
    _live(monitor).go_on(monitor)
    return ""


@command("quit", "end jitrr", "any", "q", "exit")
def quit_command(monitor: Monitor) -> str:
    monitor.halt()
    monitor.over = True
    return ""


@command(
    "golive [RUN.jrr]", "leave the recording here: no way back, but input; recorded in RUN.jrr if one is given", REPLAY
)
def golive(monitor: Monitor, path: str | None = None) -> str:
    travel = monitor.travel
    assert travel is not None  # the table says so
    branch = Path(path) if path is not None else None
    if branch is not None and branch.exists():
        raise MonitorError(f"{branch} exists already")
    travel.go_live(branch, outside=monitor.outside())
    assert travel.live is not None
    travel.stops.clear()
    monitor.points = {number: point for number, point in monitor.points.items() if point.kind != "console"}
    monitor.live = Live(travel.machine, travel.live.border, branch)
    how = f"recorded in {branch}" if branch else "not recorded"
    return f"The machine runs live from here on, {how}: {monitor.where()}"


# -- input -------------------------------------------------------------------------------------------------------------
@command("sendkey KEYS [MS]", "press keys such as ctrl-alt-delete, for 100 ms of virtual time", LIVE)
def sendkey(monitor: Monitor, keys: str, hold: str = str(HOLD)) -> str:
    press_keys(monitor, keys.split("-"), monitor.value(hold))
    return ""


def press_keys(monitor: Monitor, names: list[str], hold: int) -> None:
    """Press keys in this order, and release them in the opposite one ``hold`` virtual ms later. MonitorError."""
    if hold > _LONGEST_HOLD:
        raise MonitorError(f"keys are held for at most {_LONGEST_HOLD} ms")
    numbers = []
    for name in names:
        if (number := key_number(name)) is None:
            raise MonitorError(f"invalid parameter: {name}")
        numbers.append(number)
    if len(numbers) > _MOST_KEYS:
        raise MonitorError(f"at most {_MOST_KEYS} keys at once")
    released = bytes(number | 0x80 for number in reversed(numbers))
    _live(monitor).press(bytes(numbers), released, hold * 1_000_000)


@command(
    "input ACTION...", 'as in an input script: serial "ls\\n", keyboard "ls\\n", key ctrl+c, mouse 1 1, power off', LIVE
)
def input_command(monitor: Monitor, action: str) -> str:
    (step,) = parse_script(f"at 0 {action}", "input")
    if step.channel == STOP:
        raise MonitorError("stop is a command of its own")
    _live(monitor).play(step.channel, step.parts)
    return ""


@command("mouse_move DX DY [DZ]", "move the mouse: right, down, and its wheel", LIVE)
def mouse_move(monitor: Monitor, dx: str, dy: str, dz: str = "0") -> str:
    across, down, wheel = (_signed(monitor, text) for text in (dx, dy, dz))
    if max(map(abs, (across, down, wheel))) > 10_000:
        raise MonitorError("a mouse moves by at most 10000 at once")
    live = _live(monitor)
    while True:
        step = [max(-127, min(127, distance)) for distance in (across, down, wheel)]
        live.send("mouse", bytes([live.buttons, step[0] & 0xFF, -step[1] & 0xFF, step[2] & 0xFF]))
        across, down, wheel = across - step[0], down - step[1], wheel - step[2]
        if not (across or down or wheel):
            return ""


def _signed(monitor: Monitor, text: str) -> int:
    value = monitor.value(text)
    return value - (1 << 64) if value >> 63 else value


@command("mouse_button STATE", "the buttons held: 1 left, 2 middle, 4 right, added", LIVE)
def mouse_button(monitor: Monitor, text: str) -> str:
    state = monitor.value(text)
    if state > 7:
        raise MonitorError("buttons are 0 to 7")
    live = _live(monitor)
    live.buttons = state & 1 | state >> 1 & 2 | state << 1 & 4  # the border's order is left, right, middle
    live.send("mouse", bytes([live.buttons, 0, 0, 0]))
    return ""


@command("system_powerdown", "press the power button", LIVE)
def system_powerdown(monitor: Monitor) -> str:
    _live(monitor).send("power", bytes([PRESS_BUTTON]))
    monitor.emit("POWERDOWN")
    return ""


@command("system_reset", "reset the machine", LIVE)
def system_reset(monitor: Monitor) -> str:
    _live(monitor).send("power", bytes([RESET]))
    monitor.emit("RESET", guest=False, reason="host-qmp-system-reset")
    return ""
