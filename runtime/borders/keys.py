"""Keys of a PC keyboard by number, and how text is typed with them.

The ``keyboard`` channel carries one byte a key event: the key's number (its make code in scan code set 1, 1 to 0x58),
plus 0x80 when the key is released; an extended key (arrows, right Ctrl, ...) has 0xE0 before both.
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
}  # fmt: skip
_EXTENDED = {
    "up": 0x48, "left": 0x4B, "right": 0x4D, "down": 0x50, "home": 0x47, "end": 0x4F, "pageup": 0x49,
    "pagedown": 0x51, "insert": 0x52, "delete": 0x53,
}  # fmt: skip


def type_text(text: str) -> bytes:
    """Key events that type ``text`` on a US keyboard; ConfigError for a character it does not have."""
    return b"".join(_type_char(char) for char in text)


def press_chord(names: str) -> bytes:
    """Key events of keys held together: ``ctrl+alt+delete``. ConfigError for an unknown key."""
    keys = [_named(name) for name in names.lower().split("+")]
    return b"".join(_event(key) for key in keys) + b"".join(_event(key, released=True) for key in reversed(keys))


def _type_char(char: str) -> bytes:
    shifted = char.isupper() or char in _SHIFTED
    plain = _SHIFTED.get(char, char.lower())
    if plain not in _CHARS:
        raise ConfigError(f"no key types {char!r}")
    press = _event((0, _CHARS[plain])) + _event((0, _CHARS[plain]), released=True)
    return bytes([_SHIFT]) + press + bytes([_SHIFT | 0x80]) if shifted else press


def _named(name: str) -> tuple[int, int]:
    if name in _EXTENDED:
        return 0xE0, _EXTENDED[name]
    number = _NAMED.get(name) or _CHARS.get(name)
    if number is None:
        raise ConfigError(f"there is no key {name!r}")
    return 0, number


def _event(key: tuple[int, int], released: bool = False) -> bytes:
    prefix, number = key
    code = bytes([number | 0x80 if released else number])
    return bytes([prefix]) + code if prefix else code
