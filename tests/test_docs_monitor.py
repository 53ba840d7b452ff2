"""docs/monitor.md: its sessions print what it says, and no command is left out."""

from __future__ import annotations

from monitor_docs import DOCUMENT, demo_session, masked, play

from runtime.debug.monitor.commands import TABLE
from runtime.debug.monitor.qmp import _TABLE as REQUESTS


def test_the_sessions() -> None:
    """``python tests/monitor_docs.py`` writes them anew."""
    text = DOCUMENT.read_text()
    with demo_session() as session:
        assert masked(play(text, session.execute)) == masked(text)


def test_every_command_is_explained() -> None:
    text = DOCUMENT.read_text()
    assert [name for name in TABLE if name not in text] == []
    assert [name for name in REQUESTS if f"`{name}`" not in text] == []
