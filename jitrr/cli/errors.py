"""How a command fails: one clear line and an exit code."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

DONE, DIFFERENT, BAD_INPUT, DIVERGED, CRASHED = 0, 1, 2, 3, 4


class Failure(Exception):
    """Ends the command with ``code``; the message goes to standard error as one line."""

    def __init__(self, message: str, code: int = BAD_INPUT):
        super().__init__(message)
        self.code = code


@contextmanager
def failures() -> Iterator[None]:
    """Turn what the runtime reports (bad input, a damaged recording, a divergence) into :class:`Failure`."""
    from runtime.config import ConfigError
    from runtime.recording.errors import Divergence, RecordingError
    from runtime.timeline.watch import Interrupted

    try:
        yield
    except (ConfigError, RecordingError) as error:
        raise Failure(str(error)) from error
    except Divergence as error:
        raise Failure(str(error), DIVERGED) from error
    except Interrupted as error:
        raise Failure(f"interrupted: {error}", 130) from error
    except MemoryError as error:
        raise Failure("this host has not enough memory for the machine asked for") from error
