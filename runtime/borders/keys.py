"""Keys of a PC keyboard by number, and how text is typed with them.

The ``keyboard`` channel carries one byte a key event: the key's number (1 to 127, those of Linux' input events), plus
0x80 when the key is released.
"""

from __future__ import annotations

from runtime.config import ConfigError

_ROWS = ((0x02, "1234567890-="), (0x10, "qwertyuiop[]"), (0x1E, "asdfghjkl;'`"), (0x2B, "\\zxcvbnm,./"))
_SHIFTED = dict(zip('!@#$%^&*()_+{}:"~|<>?', "1234567890-=[];'`\\,./", strict=True))
_CHARS = {char: first + at for first, row in _ROWS for at, char in enumerate(row)} | {
    "\n": 0x1C, "\r": 0x1C, "\t": 0x0F, " ": 0x39, "\b": 0x0E, "\x1b": 0x01,
}  # fmt: skip
_SHIFT = 0x2A
_NAMED = {
    "ctrl": 0x1D, "shift": _SHIFT, "alt": 0x38, "enter": 0x1C, "esc": 0x01, "tab": 0x0F, "space": 0x39,
    "backspace": 0x0E, "capslock": 0x3A, "f11": 0x57, "f12": 0x58,
    **{f"f{number}": 0x3A + number for number in range(1, 11)},
    "home": 102, "up": 103, "pageup": 104, "left": 105, "right": 106, "end": 107, "down": 108, "pagedown": 109,
    "insert": 110, "delete": 111,
}  # fmt: skip


def type_text(text: str) -> tuple[bytes, ...]:
    """The key events of each keystroke that types ``text`` on a US keyboard; ConfigError for what it cannot type."""
    return tuple(_keystroke(char) for char in text)


def press_chord(names: str) -> tuple[bytes, ...]:
    """One keystroke of keys held together: ``ctrl+alt+delete``. ConfigError for an unknown key."""
    return (_held(bytes(_named(name) for name in names.lower().split("+"))),)


def _keystroke(char: str) -> bytes:
    plain = _SHIFTED.get(char, char.lower())
    if plain not in _CHARS:
        raise ConfigError(f"no key types {char!r}")
    shifted = char.isupper() or char in _SHIFTED
    return _held(bytes([_SHIFT] * shifted + [_CHARS[plain]]))


def _held(keys: bytes) -> bytes:
    """Press all, release in the opposite order."""
    return keys + bytes(key | 0x80 for key in reversed(keys))


def _named(name: str) -> int:
    number = _NAMED.get(name) or _CHARS.get(name)
    if number is None:
        raise ConfigError(f"there is no key {name!r}")
    return number
