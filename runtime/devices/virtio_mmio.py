"""A virtio-mmio slot without a device (virtio 1.1, 4.2.2: a device number of 0 tells the driver to pass on)."""

from __future__ import annotations

from runtime.devices.primecell import WordWindow

SIZE = 0x200
MAGIC, VERSION, VENDOR = 0x74726976, 2, 0x5252544A  # "virt"; "JTRR"
_REGISTERS = {0x00: MAGIC, 0x04: VERSION, 0x0C: VENDOR}

#: Stateless, so that one object serves every slot: all but magic number, version and vendor reads as 0.
EMPTY_SLOT = WordWindow(lambda offset: _REGISTERS.get(offset, 0), lambda offset, value: None)
