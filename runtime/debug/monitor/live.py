"""The monitor's hands on a machine that runs live."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

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

    def send(self, channel: str, data: bytes, after_ns: int = 0) -> None:
        """Input for a device, now or after some virtual time; recorded when it is delivered."""
        self._border.inject(channel, data, self._machine.icount + (after_ns >> self._machine.config.shift))

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
