"""The 16550A as Linux' 8250 driver probes and uses it, the VGA's registers and the debug ports."""

from __future__ import annotations

from pc_fakes import Rig

COM1 = 0x3F8
DATA, IER, IIR, LCR, MCR, LSR, MSR, SCRATCH = range(COM1, COM1 + 8)


def open_port(rig: Rig, trigger: int = 0xC1) -> None:
    """8N1, 115200, FIFO on, DTR, RTS and OUT2."""
    rig.outb(LCR, 0x83)
    rig.outb(DATA, 1)
    rig.outb(IER, 0)
    rig.outb(LCR, 0x03)
    rig.outb(IIR, trigger)
    rig.outb(MCR, 0x0B)


def test_autoconfiguration_of_linux() -> None:
    rig = Rig()
    rig.outb(IER, 0x00)
    assert rig.inb(IER) & 0xF == 0
    rig.outb(IER, 0x0F)
    assert rig.inb(IER) & 0xF == 0xF
    rig.outb(IER, 0x00)
    rig.outb(MCR, 0x1A)
    assert rig.inb(MSR) & 0xF0 == 0x90, "loopback of OUT2 and RTS"
    rig.outb(MCR, 0x00)
    assert rig.inb(MSR) & 0xF0 == 0xB0
    rig.outb(IIR, 0x01)
    assert rig.inb(IIR) >> 6 == 3, "a 16550A"
    rig.outb(SCRATCH, 0xA5)
    assert rig.inb(SCRATCH) == 0xA5
    rig.outb(LCR, 0x80)
    rig.outb(DATA, 0x34, 0x12)
    rig.outb(IER, 0x12)
    assert (rig.inb(DATA), rig.inb(IER)) == (0x12, 0x12)


def test_transmit_interrupt_test_of_linux() -> None:
    """Enabling it must show "holding register empty" each time; the driver works around chips that do not."""
    rig = Rig()
    open_port(rig)
    rig.outb(IER, 0x02)
    first = rig.inb(IIR)
    rig.outb(IER, 0x00)
    rig.outb(IER, 0x02)
    assert first & 0xF == rig.inb(IIR) & 0xF == 0x02
    assert rig.inb(IIR) & 0xF == 0x01, "reading it has cleared it"


def test_transmit_with_interrupts() -> None:
    rig = Rig()
    rig.init_apic()
    rig.set_pin(4, 0x34)
    open_port(rig)
    text = b"hello, world\n" * 4
    waiting = bytearray(text)
    rig.outb(IER, 0x02)

    def handler(vector: int) -> None:
        while rig.inb(IIR) & 0xF == 0x02:
            assert rig.inb(LSR) & 0x60 == 0x60
            for _ in range(min(16, len(waiting))):
                rig.outb(DATA, waiting.pop(0))
            if not waiting:
                rig.outb(IER, 0)
        rig.eoi()

    rig.run(1000, handler)
    assert rig.border.sent["serial0"] == text
    assert not rig.board.irqs[4].level


def test_receive_trigger_level_and_timeout() -> None:
    rig = Rig()
    open_port(rig, 0x81)  # interrupt at 8 characters
    rig.outb(IER, 0x01)
    rig.border.sinks["serial0"](b"abcdefg")
    assert rig.inb(IIR) & 0xF == 0x01
    assert rig.inb(LSR) & 1
    rig.border.sinks["serial0"](b"h")
    assert rig.inb(IIR) & 0xF == 0x04
    assert rig.board.irqs[4].level
    assert bytes(rig.inb(DATA) for _ in range(3)) == b"abc"
    assert rig.inb(IIR) & 0xF == 0x01
    rig.run(347_000)  # four characters of ten bits at 115200 baud take 347.2 us
    assert not rig.board.irqs[4].level
    rig.run(300)
    assert rig.inb(IIR) & 0xF == 0x0C
    assert bytes(rig.inb(DATA) for _ in range(5)) == b"defgh"
    assert rig.inb(IIR) & 0xF == 0x01
    assert not rig.inb(LSR) & 1


def test_input_beyond_the_fifo_waits() -> None:
    rig = Rig()
    open_port(rig, 0x01)
    rig.outb(IER, 0x01)
    text = bytes(range(200))
    rig.border.sinks["serial0"](text)
    found = bytearray()
    while rig.inb(LSR) & 1:
        found.append(rig.inb(DATA))
    assert found == text


def test_loopback_and_out2_gate() -> None:
    rig = Rig()
    open_port(rig, 0x01)
    rig.outb(IER, 0x01)
    rig.outb(MCR, 0x10)
    rig.border.sinks["serial0"](b"outside")
    rig.outb(DATA, 0x55)
    assert "serial0" not in rig.border.sent
    assert rig.inb(DATA) == 0x55
    assert not rig.inb(LSR) & 1
    rig.outb(MCR, 0x03)
    assert rig.inb(IIR) & 0xF == 0x04
    assert not rig.board.irqs[4].level, "OUT2 connects the interrupt"
    rig.outb(MCR, 0x0B)
    assert rig.board.irqs[4].level


def test_modem_status_changes() -> None:
    rig = Rig()
    open_port(rig)
    rig.inb(MSR)
    rig.outb(IER, 0x08)
    rig.outb(MCR, 0x1B)
    rig.outb(MCR, 0x0B)
    assert rig.inb(MSR) == 0xB0, "both ends ready in either case"
    rig.outb(MCR, 0x18)
    rig.outb(MCR, 0x08)
    assert rig.inb(IIR) & 0xF == 0x00
    assert rig.inb(MSR) == 0xB3
    assert rig.inb(MSR) == 0xB0


def test_debug_ports() -> None:
    rig = Rig()
    for byte in b"hi":
        rig.outb(0xE9, byte)
    assert rig.border.sent["debug"] == b"hi"
    assert rig.inb(0xE9) == 0xE9
    rig.outb(0x80, 0x42)
    assert rig.inb(0x80) == 0x42


def test_vga_text_screen() -> None:
    rig = Rig()
    for at, char in enumerate(b"jitrr"):
        rig.ram[0xB8000 + 2 * at] = char
    rig.ram[0xB8000 + 160] = 0xB0
    screen = rig.board.vga.text_screen(rig.ram)
    assert screen[:3] == ["jitrr", "\u2591", ""]
    assert len(screen) == 25
    rig.outb(0x3D4, 0x0D)
    rig.outb(0x3D5, 80)
    assert rig.board.vga.text_screen(rig.ram)[0] == "\u2591", "scrolled by the start address"
    rig.board.io.write(0x3D4, 2, 0x7F0E)
    rig.outb(0x3D4, 0x0E)
    assert rig.inb(0x3D5) == 0x7F, "a 16-bit write sets index and data"


def test_vga_attribute_flip_flop_and_retrace() -> None:
    rig = Rig()
    rig.inb(0x3DA)
    rig.outb(0x3C0, 0x10, 0x2C)
    rig.inb(0x3DA)
    rig.outb(0x3C0, 0x30)
    assert rig.inb(0x3C1) == 0x2C
    seen = set()
    for _ in range(2000):
        seen.add(rig.inb(0x3DA))
        rig.run(10_000)
    assert seen == {0x00, 0x01, 0x09}
    assert rig.inb(0x3B4) == 0xFF, "a colour adapter"
