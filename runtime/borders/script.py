"""Scripted input: what a person would type, given in advance, so that interactive use can be recorded in tests.

A script is a text file, one step a line; ``#`` begins a comment::

    at 1_000_000 serial "ls\\n"             # exactly at this instruction count
    at +500 serial "ls\\n"                  # so many instructions after the run began: after a branch left, say
    after "login: " keyboard "root\\n"      # when the console has printed this
    after "# " +500000 serial "reboot\\n"   # ... and that many instructions later
    after "done" stop                       # end the run

``at`` steps are independent of each other. ``after`` steps wait one after the other: each looks only at what the serial
console printed after the text the one before it waited for, and is delivered 1000 instructions (or ``+N``) after the
device got the last byte. Text knows ``\\n \\r \\t \\e \\\\ \\" \\xHH``. Actions:

* ``serial "TEXT"``: the text arrives at the serial port.
* ``keyboard "TEXT"``: typed on a US keyboard, a key every 200,000 instructions (a PC keyboard's buffer is small).
* ``key NAME+NAME``: keys pressed together, such as ``ctrl+alt+delete``.
* ``mouse DX DY [BUTTONS]``: moved right and up by at most 127, holding buttons (1 left, 2 right, 4 middle).
* ``power button|reset|off``: the button is pressed, the machine reset, the mains cut.
* ``stop``: the run ends; nothing of it reaches the guest.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from heapq import heappop, heappush
from pathlib import Path

from runtime.borders.keys import press_chord, type_text
from runtime.config import ConfigError

#: Instructions between the last byte of the text waited for and the input.
AFTER_DELAY = 1000
#: Instructions from one keystroke to the next.
KEY_INTERVAL = 200_000
#: The channel of the action that ends the run; nothing of it reaches the guest.
STOP = "stop"
_POWER = {"button": 1, "reset": 2, "off": 3}
_TOKEN = re.compile(r'\s*(?:(?P<string>"(?:[^"\\]|\\.)*")|(?P<comment>#.*)|(?P<word>[^\s"]+))')
_ESCAPE = re.compile(r"\\(x[0-9a-fA-F]{2}|.)", re.DOTALL)
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "e": "\x1b", "\\": "\\", '"': '"'}


@dataclass(frozen=True)
class Step:
    """One line: input for ``channel`` at ``icount``, or ``icount`` after ``text`` has appeared; ``parts`` of it arrive
    one after the other, KEY_INTERVAL apart."""

    icount: int
    text: bytes
    channel: str
    parts: tuple[bytes, ...]


class Script:
    """A script being played."""

    def __init__(self, steps: list[Step] | None = None):
        self._waiting = [step for step in steps or [] if step.text]
        self._due: list[tuple[int, int, str, bytes]] = []
        self._order = 0
        self._tail = b""
        for step in steps or []:
            if not step.text:
                self._schedule(step.icount, step)

    @classmethod
    def load(cls, path: Path, begin: int = 0) -> Script:
        """Read a script for a run that begins at ``begin``; ConfigError names the line that is wrong."""
        try:
            return cls(parse_script(path.read_text(), str(path), begin))
        except OSError as error:
            raise ConfigError(f"cannot read the input script {path}: {error.strerror}") from error
        except UnicodeDecodeError:
            raise ConfigError(f"the input script {path} is not a text file") from None

    def next(self) -> int | None:
        """When the next step is due, as far as it is known."""
        return self._due[0][0] if self._due else None

    def take(self, icount: int) -> list[tuple[str, bytes]]:
        """Channel and data of everything due at or before ``icount``; it is gone then."""
        due = []
        while self._due and self._due[0][0] <= icount:
            due.append(heappop(self._due)[2:])
        return due

    def add(self, icount: int, channel: str, data: bytes) -> None:
        """One more step, due at ``icount``."""
        heappush(self._due, (icount, self._order, channel, data))
        self._order += 1

    def printed(self, data: bytes, icount: int) -> int | None:
        """The console printed ``data`` at ``icount``. Returns the icount of a step that became due by it, or None."""
        if not self._waiting:
            return None
        scheduled = None
        text = self._tail + data
        while self._waiting and (at := text.find(self._waiting[0].text)) >= 0:
            step = self._waiting.pop(0)
            text = text[at + len(step.text) :]
            scheduled = scheduled or icount + step.icount
            self._schedule(icount + step.icount, step)
        self._tail = text[-len(self._waiting[0].text) :] if self._waiting else b""
        return scheduled

    def _schedule(self, icount: int, step: Step) -> None:
        for number, part in enumerate(step.parts):
            self.add(icount + number * KEY_INTERVAL, step.channel, part)


def parse_script(text: str, name: str = "script", begin: int = 0) -> list[Step]:
    """The steps of a script for a run that begins at ``begin``; ConfigError names file, line and what is wrong."""
    steps = []
    for number, line in enumerate(text.splitlines(), 1):
        try:
            if tokens := _tokens(line):
                steps.append(_step(tokens, begin))
        except (ConfigError, ValueError) as error:
            raise ConfigError(f"{name}:{number}: {error}") from None
    return steps


def _tokens(line: str) -> list[str]:
    tokens, at = [], 0
    line = line.rstrip()
    while at < len(line):
        found = _TOKEN.match(line, at)
        if found is None:
            raise ConfigError("a text is not closed")
        at = found.end()
        if found["comment"] is None:
            tokens.append(found["string"] or found["word"])
    return tokens


def _step(tokens: list[str], begin: int) -> Step:
    when, *rest = tokens
    if when == "at" and len(rest) >= 2:
        icount = begin + _count(rest[0][1:]) if rest[0].startswith("+") else _count(rest[0])
        return Step(icount, b"", *_action(rest[1:]))
    if when == "after" and len(rest) >= 2:
        delayed = rest[1].startswith("+")
        delay = _count(rest[1][1:]) if delayed else AFTER_DELAY
        text = _string(rest[0]).encode("latin-1")
        if not text:
            raise ConfigError("after needs a text to wait for")
        return Step(max(1, delay), text, *_action(rest[2 if delayed else 1 :]))
    raise ConfigError('a step is: at N ACTION, or: after "TEXT" [+N] ACTION')


def _action(words: list[str]) -> tuple[str, tuple[bytes, ...]]:
    match words:
        case ["serial", text]:
            return "serial0", (_string(text).encode("latin-1"),)
        case ["keyboard", text]:
            return "keyboard", type_text(_string(text))
        case ["key", names]:
            return "keyboard", press_chord(names)
        case ["mouse", dx, dy, *buttons] if len(buttons) <= 1:
            return "mouse", (_mouse(int(dx), int(dy), int(buttons[0]) if buttons else 0),)
        case ["power", event] if event in _POWER:
            return "power", (bytes([_POWER[event]]),)
        case ["stop"]:
            return STOP, (b"",)
    raise ConfigError(f"unknown action {' '.join(words)!r}")


def _mouse(dx: int, dy: int, buttons: int) -> bytes:
    """One mouse event: buttons held, then right, up and wheel movement as signed bytes."""
    if not (-127 <= dx <= 127 and -127 <= dy <= 127 and 0 <= buttons <= 7):
        raise ConfigError("a mouse moves by at most 127 and has buttons 0 to 7")
    return bytes([buttons, dx & 0xFF, dy & 0xFF, 0])


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9][0-9_]*", text):
        raise ConfigError(f"{text!r} is not an instruction count")
    return int(text)


def _string(token: str) -> str:
    if not token.startswith('"'):
        raise ConfigError(f'text goes in double quotes: "{token}"')
    return _ESCAPE.sub(_unescape, token[1:-1])


def _unescape(found: re.Match[str]) -> str:
    escape = found[1]
    if len(escape) == 3:
        return chr(int(escape[1:], 16))
    if escape not in _ESCAPES:
        raise ConfigError(f"unknown escape \\{escape}")
    return _ESCAPES[escape]
