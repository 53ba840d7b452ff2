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
| ``NAME``, ``label:NAME`` | what ``savevm`` gave that name |
"""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Callable
from contextlib import closing, nullcontext
from fractions import Fraction
from itertools import accumulate

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
_CONSOLE = "serial0"


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
        found = _console(recording, _unquoted(argument), replay, factory)
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


def _unquoted(text: str) -> bytes:
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "\"'":
        text = text[1:-1]
    return text.encode("utf-8", "surrogateescape").replace(b"\\n", b"\n").replace(b"\\r", b"\r")


def _console(recording: Recording, text: bytes, replay: Replay | None, factory: Factory | None) -> int:
    if not text:
        raise RecordingError("console: of which text? give console:TEXT")
    owned = None if replay is not None else Replay(recording, verify=False, factory=factory)
    with closing(owned) if owned is not None else nullcontext():
        found = _printed(recording, text, owned or replay)  # type: ignore[arg-type]
    if found is None:
        raise RecordingError(f"{recording.given}: the console never printed {text.decode(errors='replace')!r}")
    return found


def _printed(recording: Recording, text: bytes, replay: Replay) -> int | None:
    """Right after which instruction ``text`` has been printed. The log says about where."""
    printed = recording.log.printed
    if printed is None:  # an older recording
        return _listen(replay, b"", recording.begin, recording.icount, text)
    whole = b"".join(each.data for each in printed)
    ends = list(accumulate(len(each.data) for each in printed))
    at = whole.find(text)
    while at >= 0:
        number = bisect_left(ends, at + len(text))
        begin, end, data = printed[number]
        before = whole[: ends[number] - len(data)]
        if (found := _listen(replay, before, begin, end, text)) is not None:
            return found
        at = whole.find(text, at + 1)
    if recording.past is not None:  # what is noted of the batch in which it left its parent is not all true
        return _listen(replay, b"", recording.begin, recording.icount, text)
    return None


def _listen(replay: Replay, before: bytes, begin: int, end: int, text: bytes) -> int | None:
    """Replay from ``begin`` to ``end`` and listen for ``text``, of which the first part may have come ``before``."""
    heard, found = bytearray(before[-len(text) :]), list[int]()

    def listen(icount: int, channel: str, data: bytes) -> None:
        if channel != _CONSOLE or found:
            return
        for byte in data:
            heard.append(byte)
            del heard[: -len(text)]
            if heard == text:
                found.append(icount + 1)

    with _listening(replay, listen):
        replay.seek(begin)
        for stop in [*(at for at in replay.recording.checkpoints.icounts if begin < at < end), end]:
            replay.run_to(stop)
            if found:
                return found[0]
    return None


class _listening:
    """For as long as this lasts, ``replay`` tells what the guest prints."""

    def __init__(self, replay: Replay, listener: Callable[[int, str, bytes], None]):
        self._replay, self._listener = replay, listener

    def __enter__(self) -> None:
        self._replay.on_output = self._listener

    def __exit__(self, *error: object) -> None:
        self._replay.on_output = None
