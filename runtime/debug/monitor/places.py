"""Commands that remember places: QEMU's snapshots, which are names for instructions here, and rr's checkpoints."""

from __future__ import annotations

from typing import TYPE_CHECKING

from runtime.debug.monitor.commands import ANY, REPLAY, MonitorError, command
from runtime.debug.monitor.moves import count

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor


@command("savevm NAME", "give this place in the recording a name, for good")
def savevm(monitor: Monitor, name: str) -> str:
    monitor.labels.put(name, monitor.icount)
    return ""


@command("loadvm NAME", "go to the place of that name", REPLAY)
def loadvm(monitor: Monitor, name: str) -> str:
    icount = monitor.labels.all().get(name)
    if icount is None:
        raise MonitorError(f"no snapshot {name!r} (info snapshots lists them)")
    travel = monitor.travel
    assert travel is not None
    return monitor.moved(lambda: travel.seek(icount))


@command("delvm NAME", "forget that name")
def delvm(monitor: Monitor, name: str) -> str:
    try:
        monitor.labels.remove(name)
    except KeyError:
        raise MonitorError(f"no snapshot {name!r} (info snapshots lists them)") from None
    return ""


@command("info snapshots", "the names that savevm gave")
def info_snapshots(monitor: Monitor) -> str:
    labels = monitor.labels.all()
    if not labels:
        return "There is no snapshot available.\n"
    shift = monitor.target.machine.config.shift
    lines = [f"{'ID':<4} {'TAG':<20} {'VM CLOCK':>16} {'ICOUNT':>16}\n"]
    for number, (name, icount) in enumerate(labels.items(), 1):
        lines.append(f"{number:<4} {name:<20} {(icount << shift) / 1e9:>14.6f} s {icount:>16}\n")
    return "".join(lines)


@command("checkpoint", "remember this place until the end of the session", REPLAY)
def checkpoint(monitor: Monitor) -> str:
    number = max(monitor.checkpoints, default=0) + 1
    monitor.checkpoints[number] = monitor.icount
    return f"Checkpoint {number} at {monitor.where()}"


@command("restart [NUMBER]", "go to a checkpoint, or to the beginning", REPLAY)
def restart(monitor: Monitor, text: str = "") -> str:
    travel = monitor.travel
    assert travel is not None
    icount = _checkpoint(monitor, text)[1] if text else travel.recording.begin
    return monitor.moved(lambda: travel.seek(icount))


@command("delete checkpoint NUMBER", "forget a checkpoint", REPLAY)
def delete_checkpoint(monitor: Monitor, text: str) -> str:
    del monitor.checkpoints[_checkpoint(monitor, text)[0]]
    return ""


@command("info checkpoints", "the checkpoints, and how many states the recording holds", ANY)
def info_checkpoints(monitor: Monitor) -> str:
    lines = [f"{number:<4} instruction {icount}\n" for number, icount in monitor.checkpoints.items()] or ["none\n"]
    if monitor.travel is not None and monitor.live is None:
        states = monitor.travel.replay.places()
        lines.append(f"The recording holds {len(states)} states, from instruction {states[0]} to {states[-1]}.\n")
    return "".join(lines)


def _checkpoint(monitor: Monitor, text: str) -> tuple[int, int]:
    number = count(monitor, text)
    if number not in monitor.checkpoints:
        raise MonitorError(f"no checkpoint {number} (info checkpoints lists them)")
    return number, monitor.checkpoints[number]
