"""A VGA adapter in text mode: its registers. Its memory, 0xA0000-0xBFFFF, is ordinary guest RAM.

IBM VGA technical reference. There is no picture but the text screen, read out of RAM by :meth:`Vga.text_screen`.
"""

from __future__ import annotations

from runtime.clock import VirtualClock
from runtime.devices.base import ByteWindow, Stateful

BASE = 0x3B0
SIZE = 0x30
COLUMNS, ROWS = 80, 25
TEXT_MEMORY, TEXT_SIZE = 0xB8000, 0x8000

FRAME_NS, LINE_NS = 14_268_000, 31_777  # 70 Hz
_VISIBLE_NS, _VISIBLE_LINE_NS = 400 * LINE_NS, 25_422

# Register values of mode 3 (80x25 text), as a VGA BIOS leaves them.
_CRTC = bytes.fromhex("5f4f50825581bf1f004f0d0e000000009c8e8f281f96b9a3ff")
_SEQUENCER = bytes.fromhex("0300030002")
_GRAPHICS = bytes.fromhex("0000000000100e0fff")
_ATTRIBUTE = bytes.fromhex("000102030405140738393a3b3c3d3e3f0c000f0800")
_COLOUR = 0x67  # miscellaneous output: colour addresses, RAM enabled


class Vga(Stateful):
    """Ports 0x3B0-0x3DF."""

    STATE = (
        "crtc", "sequencer", "graphics", "attribute", "palette", "crtc_index", "sequencer_index", "graphics_index",
        "attribute_index", "attribute_data_next", "misc", "feature", "dac_mask", "dac_read", "dac_write", "dac_reading",
    )  # fmt: skip

    def __init__(self, name: str, clock: VirtualClock):
        self.name, self.clock = name, clock
        self.ports = ByteWindow(self._read, self._write)
        self.reset()

    def reset(self) -> None:
        """Text mode 3, as firmware leaves it."""
        self.crtc, self.sequencer = bytearray(_CRTC), bytearray(_SEQUENCER)
        self.graphics, self.attribute = bytearray(_GRAPHICS), bytearray(_ATTRIBUTE)
        self.palette = bytearray(768)
        self.crtc_index = self.sequencer_index = self.graphics_index = self.attribute_index = 0
        self.attribute_data_next = False
        self.misc, self.feature, self.dac_mask = _COLOUR, 0, 0xFF
        self.dac_read = self.dac_write = 0
        self.dac_reading = False

    def text_screen(self, ram: memoryview) -> list[str]:
        """The 25 lines of 80 characters on the screen, decoded from code page 437; trailing blanks removed."""
        start = (self.crtc[0x0C] << 8 | self.crtc[0x0D]) * 2
        memory = bytes(ram[TEXT_MEMORY : TEXT_MEMORY + TEXT_SIZE])
        turned = (memory[start % TEXT_SIZE :] + memory[: start % TEXT_SIZE])[: COLUMNS * ROWS * 2 : 2]
        text = turned.replace(b"\0", b" ").decode("cp437")
        return [text[at : at + COLUMNS].rstrip() for at in range(0, COLUMNS * ROWS, COLUMNS)]

    def _status(self) -> int:
        """Input status 1: display off (0), vertical retrace (3)."""
        in_frame = self.clock.now_ns() % FRAME_NS
        if in_frame >= _VISIBLE_NS:
            return 0x09
        return 0x01 if in_frame % LINE_NS >= _VISIBLE_LINE_NS else 0x00

    def _is_absent(self, offset: int) -> bool:
        """CRTC and status answer either at 0x3Bx (monochrome) or at 0x3Dx (colour)."""
        return (offset < 0x10 and bool(self.misc & 1)) or (offset >= 0x20 and not self.misc & 1)

    def _read(self, offset: int) -> int:
        if self._is_absent(offset):
            return 0xFF
        match offset:
            case 0x04 | 0x24:
                return self.crtc_index
            case 0x05 | 0x25:
                return self._indexed(self.crtc, self.crtc_index)
            case 0x0A | 0x2A:
                self.attribute_data_next = False
                return self._status()
            case 0x10:
                return self.attribute_index
            case 0x11:
                return self._indexed(self.attribute, self.attribute_index & 0x1F)
            case 0x14:
                return self.sequencer_index
            case 0x15:
                return self._indexed(self.sequencer, self.sequencer_index)
            case 0x16:
                return self.dac_mask
            case 0x17:
                return 3 if self.dac_reading else 0
            case 0x18:
                return self.dac_write // 3
            case 0x19:
                value = self.palette[self.dac_read]
                self.dac_read = (self.dac_read + 1) % 768
                return value
            case 0x1A:
                return self.feature
            case 0x1C:
                return self.misc
            case 0x1E:
                return self.graphics_index
            case 0x1F:
                return self._indexed(self.graphics, self.graphics_index)
        return 0x10 if offset == 0x12 else 0xFF  # input status 0: a monitor is there

    @staticmethod
    def _indexed(registers: bytearray, index: int) -> int:
        return registers[index] if index < len(registers) else 0xFF

    @staticmethod
    def _set_indexed(registers: bytearray, index: int, value: int) -> None:
        if index < len(registers):
            registers[index] = value

    def _write(self, offset: int, value: int) -> None:
        if self._is_absent(offset):
            return
        match offset:
            case 0x04 | 0x24:
                self.crtc_index = value
            case 0x05 | 0x25:
                self._write_crtc(value)
            case 0x0A | 0x2A:
                self.feature = value
            case 0x10:
                self._write_attribute(value)
            case 0x12:
                self.misc = value
            case 0x14:
                self.sequencer_index = value
            case 0x15:
                self._set_indexed(self.sequencer, self.sequencer_index, value)
            case 0x16:
                self.dac_mask = value
            case 0x17:
                self.dac_read, self.dac_reading = value * 3, True
            case 0x18:
                self.dac_write, self.dac_reading = value * 3, False
            case 0x19:
                self.palette[self.dac_write] = value & 0x3F
                self.dac_write = (self.dac_write + 1) % 768
            case 0x1E:
                self.graphics_index = value
            case 0x1F:
                self._set_indexed(self.graphics, self.graphics_index, value)

    def _write_crtc(self, value: int) -> None:
        if self.crtc[0x11] & 0x80 and self.crtc_index <= 7:  # write-protected, but for one bit
            if self.crtc_index == 7:
                self.crtc[7] = self.crtc[7] & ~0x10 | value & 0x10
            return
        self._set_indexed(self.crtc, self.crtc_index, value)

    def _write_attribute(self, value: int) -> None:
        if self.attribute_data_next:
            self._set_indexed(self.attribute, self.attribute_index & 0x1F, value)
        else:
            self.attribute_index = value & 0x3F
        self.attribute_data_next = not self.attribute_data_next
