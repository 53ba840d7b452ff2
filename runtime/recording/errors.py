"""What can be wrong with a recording."""

from __future__ import annotations


class RecordingError(Exception):
    """A recording that cannot be used (missing, damaged, of another format); the message is one clear line."""


class Divergence(Exception):
    """A replay that left the recorded course; ``icount`` is where it was noticed."""

    def __init__(self, icount: int, message: str):
        super().__init__(icount, message)
        self.icount = icount

    def __str__(self) -> str:
        return f"divergence at instruction {self.icount}: {self.args[1]}"
