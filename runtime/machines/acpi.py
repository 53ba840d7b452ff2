"""The ACPI tables of the ``pc`` board, placed in the BIOS area of guest RAM: those of ACPI 1.0b, chapter 5, as boards
with its chipset have them (the MADT of later versions is the same but for more kinds of entries)."""

from __future__ import annotations

from struct import pack

from runtime.devices import acpi_pm, hpet, ioapic, lapic, pci
from runtime.machines import aml
from runtime.machines.memory_map import BIOS_AREA, LOW_TOP, SMBIOS_AREA, VIDEO

AREA, AREA_END = BIOS_AREA, SMBIOS_AREA  # where operating systems look for the RSDP, on a multiple of 16
SCI_IRQ = 9
CENTURY_INDEX = 0x32

_OEM = b"JITRR "
_FADT_FLAGS = 1 << 0 | 1 << 2 | 1 << 5 | 1 << 6  # WBINVD, C1, no sleep button, no RTC wake
_LEVEL_HIGH = 0xD


def checksum(data: bytes | bytearray) -> int:
    """The byte that makes ``data`` sum to zero."""
    return -sum(data) & 0xFF


def table(signature: bytes, revision: int, body: bytes) -> bytes:
    """A system description table: the common header and ``body``."""
    header = pack("<4sIBB6s8sI4sI", signature, 36 + len(body), revision, 0, _OEM, b"JITRRPC ", 1, b"JITR", 1)
    data = bytearray(header + body)
    data[9] = checksum(data)
    return bytes(data)


def madt(processors: int) -> bytes:
    """A local APIC a processor, one I/O APIC; IRQ 0 arrives at input 2, the SCI is level-triggered and active high."""
    return table(
        b"APIC",
        1,
        pack("<II", lapic.BASE, 1)  # the pair of 8259 is there too
        + b"".join(pack("<BBBBI", 0, 8, number, number, 1) for number in range(processors))
        + pack("<BBBBII", 1, 12, 0, 0, ioapic.BASE, 0)
        + pack("<BBBBIH", 2, 10, 0, 0, 2, 0)
        + pack("<BBBBIH", 2, 10, 0, SCI_IRQ, SCI_IRQ, _LEVEL_HIGH)
        + pack("<BBBHB", 4, 6, 0xFF, 0, 1),  # NMI arrives at LINT1
    )


def fadt(facs: int, dsdt: int) -> bytes:
    """Fixed hardware: the PM1a block and timer, no SMI command, no general purpose events."""
    event, control, timer = acpi_pm.BASE, acpi_pm.BASE + 4, acpi_pm.BASE + 8
    body = pack("<IIBBH", facs, dsdt, 0, 0, SCI_IRQ)  # INT_MODEL: the pair of 8259
    body += pack("<IBBBB", 0, 0, 0, 0, 0)  # SMI_CMD, ACPI_ENABLE, ACPI_DISABLE, S4BIOS_REQ, reserved
    body += pack("<8I", event, 0, control, 0, 0, timer, 0, 0)
    body += pack("<8B", 4, 2, 0, 4, 0, 0, 0, 0)
    body += pack("<HHHHBBBBB", 0xFFF, 0xFFF, 0, 0, 0, 0, 0, 0, CENTURY_INDEX)
    body += pack("<HBI", 0, 0, _FADT_FLAGS)
    return table(b"FACP", 1, body)


def dsdt(has_hpet: bool, processors: int) -> bytes:
    """The soft-off state, the devices that cannot be found by probing, and processors if there are several."""
    devices = [
        _host_bridge(),
        _pnp_device("RTC", "PNP0B00", aml.io_ports(0x70, 2), aml.irq(8)),
        _pnp_device("KBD", "PNP0303", aml.io_ports(0x60, 1), aml.io_ports(0x64, 1), aml.irq(1)),
        _pnp_device("MOU", "PNP0F13", aml.irq(12)),
        _pnp_device("COM1", "PNP0501", aml.io_ports(0x3F8, 8), aml.irq(4)),
    ]
    if has_hpet:
        devices.append(_pnp_device("HPET", "PNP0103", aml.memory32(hpet.BASE, hpet.SIZE)))
    sleep = aml.integer(acpi_pm.SLEEP_S5)
    soft_off = aml.name("\\_S5", aml.package(sleep, sleep, aml.integer(0), aml.integer(0)))
    cores = [aml.processor(f"CPU{number}", number) for number in range(processors)] if processors > 1 else []
    named = aml.scope("\\_PR", *cores) if cores else b""
    return table(b"DSDT", 1, soft_off + named + aml.scope("\\_SB", *devices))


def _host_bridge() -> bytes:
    """Bus 0, and the addresses that go to it: all ports but those of its configuration, video memory, all above RAM."""
    windows = (
        aml.bus_numbers(0, 0xFF),
        aml.io_ports(pci.BASE, pci.SIZE),
        aml.io_window(0, pci.BASE - 1),
        aml.io_window(pci.BASE + pci.SIZE, 0xFFFF),
        aml.memory_window(VIDEO, VIDEO + 0x1FFFF),
        aml.memory_window(LOW_TOP, ioapic.BASE - 1),
    )
    return aml.device(
        "PCI0",
        aml.name("_HID", aml.eisa_id("PNP0A03")),
        aml.name("_UID", aml.integer(0)),
        aml.name("_CRS", aml.resources(*windows)),
    )


def _pnp_device(path: str, identifier: str, *descriptors: bytes) -> bytes:
    return aml.device(
        path,
        aml.name("_HID", aml.eisa_id(identifier)),
        aml.name("_UID", aml.integer(1)),
        aml.name("_STA", aml.integer(0x0F)),
        aml.name("_CRS", aml.resources(*descriptors)),
    )


def hpet_table() -> bytes:
    """Where the HPET is and what it can do."""
    body = pack("<IBBBBQBHB", hpet.CAPABILITIES & 0xFFFFFFFF, 0, 64, 0, 0, hpet.BASE, 0, 100, 0)
    return table(b"HPET", 1, body)


def install(ram: memoryview, *, has_hpet: bool = False, processors: int = 1) -> int:
    """Write all tables into guest RAM; the address of the RSDP. ValueError if they do not fit."""
    at = AREA + 64  # the RSDP comes first

    def place(data: bytes) -> int:
        nonlocal at
        address = -(-at // 64) * 64
        at = address + len(data)
        if at > AREA_END:
            raise ValueError(f"the ACPI tables need {at - AREA} bytes, the BIOS area has {AREA_END - AREA}")
        ram[address:at] = data
        return address

    facs = place(pack("<4sIIII44x", b"FACS", 64, 0, 0, 0))
    tables = [place(fadt(facs, place(dsdt(has_hpet, processors)))), place(madt(processors))]
    if has_hpet:
        tables.append(place(hpet_table()))
    rsdt = place(table(b"RSDT", 1, pack(f"<{len(tables)}I", *tables)))
    rsdp = bytearray(pack("<8sB6sBI", b"RSD PTR ", 0, _OEM, 0, rsdt))
    rsdp[8] = checksum(rsdp)
    ram[AREA : AREA + len(rsdp)] = rsdp
    return AREA
