"""Positions in a recording as people say them: ``--seek 50%``, ``replay_seek console:"login:"``.

| text | the position |
|---|---|
| ``1000``, ``1,000`` | that instruction count |
| ``begin``, ``end``, ``end-1000``, ``begin+7`` | counted from an end of the recording |
| ``+N``, ``-N`` | counted from here |
| ``50%`` | that part of its instructions |
| ``12.5s``, ``80ms``, ``7us`` | that virtual time |
| ``event:17`` | where the 17th event of ``jitrr log`` is about to happen |
| ``console:"text"`` | right after the console has printed that text for the first time; quotes may be left out |
| ``console:"text"#2`` | ... for the second time; ``#-1`` for the last time |
| ``NAME``, ``label:NAME`` | what ``savevm`` gave that name |
"""

from __future__ import annotations

import re
from contextlib import closing, nullcontext
from fractions import Fraction

from runtime.recording.errors import RecordingError
from runtime.recording.labels import recorded_labels
from runtime.recording.recording import Recording
from runtime.timeline.build import Factory
from runtime.timeline.replay import Replay

_NUMBER = re.compile(r"(begin|end)?([+-])?(\d[\d,_]*)?$")
_PART = re.compile(r"(\d+(?:\.\d+)?) ?(%|s|ms|us)$")
_NS = {"s": 10**9, "ms": 10**6, "us": 10**3}
_NAME = re.compile(r"[A-Za-z_][\w.-]*")
_EXAMPLES = "give N, 50%, end-1000, 12.5s, +N, event:N, console:TEXT or a label"
_QUOTED = re.compile(r"""(["'])(.*)\1""", re.DOTALL)
_NUMBERED = re.compile(r"""(["'].*["'])#(-?\d+)""", re.DOTALL)


def resolve(recording: Recording, text: str, now: int = 0, *, replay: Replay | None = None,
            factory: Factory | None = None) -> int:  # fmt: skip
    """The instruction count that ``text`` means for somebody at ``now``. RecordingError, one line, if it means none.

    ``replay`` may be moved about to find console output (a new one is made otherwise)."""
    text = text.strip()
    kind, colon, argument = text.partition(":")
    if colon and kind == "label":
        found = _label(recording, argument)
    elif colon and kind == "event":
        found = _event(recording, argument)
    elif colon and kind == "console":
        found = _console(recording, argument, replay, factory)
    else:
        found = _counted(recording, text, now)
    recording.check_within(found)
    return found


def _counted(recording: Recording, text: str, now: int) -> int:
    if match := _PART.fullmatch(text):
        amount, unit = Fraction(match[1]), match[2]
        if unit != "%":
            return int(amount * _NS[unit]) >> recording.manifest["machine"]["shift"]
        return recording.begin + int((recording.icount - recording.begin) * amount / 100)
    match = _NUMBER.fullmatch(text)
    if match is None and _NAME.fullmatch(text):
        return _label(recording, text)
    if match is None or not text or (bool(match[2]) != bool(match[3]) and (match[1] or match[2])):
        raise RecordingError(f"{text!r} is no place: {_EXAMPLES}")
    number = int(re.sub("[,_]", "", match[3] or "0"))
    start = {"begin": recording.begin, "end": recording.icount, None: now if match[2] else 0}[match[1]]
    found = start - number if match[2] == "-" else start + number
    if found < 0:
        raise RecordingError(f"{text} is before the beginning")
    return found


def _label(recording: Recording, name: str) -> int:
    labels = recorded_labels(recording).all()
    if name not in labels:
        raise RecordingError(f"{name!r} is no place: {recording.given} has no label of that name ({_EXAMPLES})")
    return labels[name]


def _event(recording: Recording, text: str) -> int:
    events = recording.log.events
    if not text.isdigit() or not 1 <= int(text) <= len(events):
        raise RecordingError(f"{recording.given} has no event {text}: they are numbered from 1 to {len(events)}")
    return events[int(text) - 1].icount


def _console(recording: Recording, argument: str, replay: Replay | None, factory: Factory | None) -> int:
    match = _NUMBERED.fullmatch(argument)
    text, number = unquoted(match[1] if match else argument), int(match[2]) if match else 1
    if not text or not number:
        raise RecordingError('console: of which text? give console:TEXT, or console:"TEXT"#2, #-1 for the last')
    owned = None if replay is not None else Replay(recording, verify=False, factory=factory)
    with closing(owned) if owned is not None else nullcontext():
        found = (owned or replay).prints.numbered(text, number)  # type: ignore[union-attr]
    if found is None:
        often = f"printed fewer than {abs(number)} times" if abs(number) > 1 else "never printed"
        raise RecordingError(f"{recording.given}: the console {often} {text.decode(errors='replace')!r}")
    return found


def unquoted(text: str) -> bytes:
    """What the console prints when people write ``text``, with or without quotes; ``\\n`` and ``\\r`` are ends of
    lines."""
    if match := _QUOTED.fullmatch(text):
        text = match[2]
    return text.encode("utf-8", "surrogateescape").replace(b"\\n", b"\n").replace(b"\\r", b"\r")
