"""Names of keys as QEMU's ``sendkey`` and its QKeyCode have them, and their numbers on the ``keyboard`` channel."""

from __future__ import annotations

_ROWS = (
    (1, "esc 1 2 3 4 5 6 7 8 9 0 minus equal backspace tab q w e r t y u i o p bracket_left bracket_right ret ctrl"),
    (30, "a s d f g h j k l semicolon apostrophe grave_accent shift backslash z x c v b n m comma dot slash shift_r"),
    (55, "asterisk alt spc caps_lock f1 f2 f3 f4 f5 f6 f7 f8 f9 f10 num_lock scroll_lock"),
    (71, "kp_7 kp_8 kp_9 kp_subtract kp_4 kp_5 kp_6 kp_add kp_1 kp_2 kp_3 kp_0 kp_decimal"),
    (86, "less f11 f12"),
    (96, "kp_enter ctrl_r kp_divide sysrq alt_r"),
    (102, "home up pgup left right end down pgdn insert delete"),
    (119, "pause"),
    (125, "meta_l meta_r menu"),
)
_NUMBERS = {name: first + at for first, names in _ROWS for at, name in enumerate(names.split())} | {
    "kp_multiply": 55, "print": 99, "compose": 127,
}  # fmt: skip


def key_number(name: str) -> int | None:
    """The number of a key, 1 to 127, by its name or as ``0x1c``; None: there is no such key."""
    if name.startswith("0x"):
        digits = name[2:]
        number = int(digits, 16) if digits and all(digit in "0123456789abcdefABCDEF" for digit in digits) else 0
        return number if 0 < number < 128 else None
    return _NUMBERS.get(name)
