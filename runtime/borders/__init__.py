"""The three borders a machine can have: live (``run``), recording (``record``) and replaying (``replay``)."""

from runtime.borders.live import LiveBorder, Recorder
from runtime.borders.replayer import Replayer

__all__ = ["LiveBorder", "Recorder", "Replayer"]
