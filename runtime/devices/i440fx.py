"""The host bridge of the Intel 82441FX: what of its registers software looks at (datasheet 290549, chapter 3.2).

What it would control is fixed on this board: memory below 1 MiB is RAM or firmware, there is no SMRAM. Of the timing
of the DRAM there is nothing: those registers read as 0."""

from __future__ import annotations

from typing import ClassVar

from runtime.devices.pci import PciFunction

_VENDOR, _DEVICE = 0x8086, 0x1237
_MEMORY, _MASTER, _PARITY, _SERR = 1 << 1, 1 << 2, 1 << 6, 1 << 8  # of the command register
_STATUS = 0x0280  # fast back-to-back, medium DEVSEL timing
_REVISION, _HOST_BRIDGE = 2, 0x06
_PAM0, _PAM6, _RAM_ABOVE, _RAM = 0x59, 0x5F, 0x30, 0x33
_LATENCY_TIMER = 0x0D


def _bytes(offset: int, value: int, size: int = 2) -> dict[int, int]:
    return dict(enumerate(value.to_bytes(size, "little"), offset))


class HostBridge(PciFunction):
    """Device 0, function 0."""

    VALUES: ClassVar = {
        **_bytes(0x00, _VENDOR),
        **_bytes(0x02, _DEVICE),
        **_bytes(0x04, _MEMORY | _MASTER),
        **_bytes(0x06, _STATUS),
        0x08: _REVISION,
        0x0B: _HOST_BRIDGE,
        _PAM0: _RAM_ABOVE,
        **{pam: _RAM for pam in range(_PAM0 + 1, _PAM6 + 1)},
    }
    WRITABLE: ClassVar = {**_bytes(0x04, _PARITY | _SERR), _LATENCY_TIMER: 0xF8}
