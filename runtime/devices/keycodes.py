"""Key numbers and the scan codes that PS/2 keyboards send for them.

A key on the border is one byte: its number (1..127, those of Linux' input events, which for the keys of the original PC
are also the codes of scan code set 1), with bit 7 set when it is released.
"""

from __future__ import annotations

RELEASE = 0x80
BREAK, EXTEND = 0xF0, 0xE0

#: What the 8042 makes of scan code set 2 (index) when it translates to set 1; from 0x85 on nothing changes.
TO_SET1 = bytes.fromhex(
    "ff43413f3d3b3c58644442403e0f295965382a701d10025a66712c1f1e11035b"
    "672e2d201205045c68392f211413065d693130232215075e6a7232241608095f"
    "6b332517180b0a606c34352627190c616d7328741a0d626e3a361c1b752b6376"
    "55567778797a0e7b7c4f7d4b477e7f6f5253504c4d480145574e514a37494654"
) + bytes((0x80, 0x81, 0x82, 0x41, 0x54, *range(0x85, 0x100)))

_TO_SET2 = {TO_SET1[code]: code for code in range(0x85) if code != 2}

#: Keys that the original keyboard did not have: key number to the set 1 code that follows 0xE0.
_EXTENDED = {
    96: 0x1C, 97: 0x1D, 98: 0x35, 99: 0x37, 100: 0x38, 102: 0x47, 103: 0x48, 104: 0x49, 105: 0x4B, 106: 0x4D, 107: 0x4F,
    108: 0x50, 109: 0x51, 110: 0x52, 111: 0x53, 113: 0x20, 114: 0x2E, 115: 0x30, 116: 0x5E, 125: 0x5B, 126: 0x5C,
    127: 0x5D,
}  # fmt: skip
_PAUSE = 119
_LAST_PLAIN = 88

# Pause has no release code: pressing it sends both at once.
_PAUSE_SET1 = bytes.fromhex("e11d45e19dc5")
_PAUSE_SET2 = bytes.fromhex("e11477e1f014f077")


def scan_codes(event: int, code_set: int) -> bytes:
    """What a keyboard in scan code set 1 or 2 sends for a key event; nothing for a key it does not have."""
    key, released = event & 0x7F, bool(event & RELEASE)
    if key == _PAUSE:
        return b"" if released else _PAUSE_SET1 if code_set == 1 else _PAUSE_SET2
    extended = key in _EXTENDED
    code = _EXTENDED[key] if extended else key
    if not extended and not (1 <= key <= _LAST_PLAIN and key in _TO_SET2):
        return b""
    prefix = bytes((EXTEND,)) if extended else b""
    if code_set == 1:
        return prefix + bytes((code | (RELEASE if released else 0),))
    return prefix + (bytes((BREAK,)) if released else b"") + bytes((_TO_SET2[code],))
