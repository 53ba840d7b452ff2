"""The monitor's hands on a machine that runs live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from runtime.borders.script import KEY_INTERVAL
from runtime.recording.labels import Labels

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor


class Live:
    """A machine behind a live border (``runtime.borders.live``), recorded in ``path`` or not at all (None)."""

    def __init__(self, machine: Any, border: Any, path: Path | None):
        self._machine, self._border = machine, border
        self.path = path
        self.labels = None if path is None else Labels(path, str(path.resolve()))
        #: The machine stands still: whoever polls waits for the monitor.
        self.stopped = False
        #: Mouse buttons held, as the border counts them.
        self.buttons = 0
        self._keys_free = 0

    def send(self, channel: str, data: bytes) -> None:
        """Input for a device, now; recorded when it is delivered."""
        self._border.inject(channel, data, self._machine.icount)

    def play(self, channel: str, parts: tuple[bytes, ...]) -> None:
        """Input in parts that arrive one after the other, as from an input script."""
        for number, part in enumerate(parts):
            self._border.inject(channel, part, self._machine.icount + number * KEY_INTERVAL)

    def press(self, pressed: bytes, released: bytes, hold_ns: int) -> None:
        """Keys go down, and ``hold_ns`` of virtual time later up; those of the next call not before as much again."""
        hold = hold_ns >> self._machine.config.shift
        start = max(self._machine.icount, self._keys_free)
        self._border.inject("keyboard", pressed, start)
        self._border.inject("keyboard", released, start + hold)
        self._keys_free = start + 2 * hold

    def stop(self, monitor: Monitor) -> None:
        """Stand still from now on."""
        if not self.stopped:
            self.stopped = True
            monitor.emit("STOP")

    def go_on(self, monitor: Monitor) -> None:
        """No longer stand still."""
        if self.stopped:
            self.stopped = False
            monitor.emit("RESUME")
