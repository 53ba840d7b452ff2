"""Starting a program on an ARM machine without firmware: Linux' boot protocol (Documentation/arch/arm/booting.rst).

A zImage, an ELF image or a raw image is entered in SVC mode with MMU, caches and interrupts off, r0 = 0, r1 = all ones
(no machine number: the device tree says it) and r2 = the device tree.
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import unpack_from
from typing import Protocol

from runtime.border import Border
from runtime.config import ConfigError, MachineConfig
from runtime.machines import device_tree
from runtime.machines.virt import RAM_BASE

NO_MACHINE = 0xFFFFFFFF
PAGE = 4096
SEED_SIZE = 32
#: Where a raw image goes, as on QEMU's board.
RAW_OFFSET = 0x10000
#: Where a zImage goes at least: the boot protocol recommends 32 MiB, so that it need not move out of its own way. In
#: small memories it is half of them.
ZIMAGE_OFFSET = 32 << 20
#: Behind a zImage: its stack, its heap, and the zeroed data of the decompressor.
_ZIMAGE_WORK = 1 << 20
#: Where the initrd goes at least, in large memories; in small ones it is half of them.
_INITRD_OFFSET = 128 << 20

_ZIMAGE_MAGIC, _TABLE_MAGIC, _SIZE_TAG = 0x016F2818, 0x45454545, 0x5A534C4B
_LITTLE_ENDIAN = 0x04030201
#: Kernels of other architectures, which would else be raw images.
_X86_MAGIC_AT, _ARM64_MAGIC_AT = 0x202, 0x38
_ELF32, _EM_ARM, _LOADABLE = b"\x7fELF\x01\x01", 40, 1


class EntryCpu(Protocol):
    """What the loader needs of the processor."""

    def enter_linux(self, pc: int, r1: int, r2: int) -> None:
        """Be in SVC mode with MMU off and interrupts masked, r0 = 0, at ``pc`` (Thumb if bit 0 is set)."""


@dataclass(frozen=True)
class Program:
    """``pieces``: (offset in RAM, bytes); ``entry``: physical address; ``end``: the first offset free for other
    things."""

    pieces: tuple[tuple[int, bytes], ...]
    entry: int
    end: int


def load_guest(config: MachineConfig, ram: memoryview, border: Border, cpu: EntryCpu) -> None:
    """Put what the configuration names and the device tree into ``ram`` (which is at RAM_BASE), and ``cpu`` at the
    entry. The tree holds a seed of the host's entropy. ConfigError with one line when it cannot be started."""
    if config.bios is not None:
        raise ConfigError("--bios is not there yet for ARM: give --kernel")
    if config.kernel is None:
        raise ConfigError("nothing to run: give --kernel FILE (a Linux zImage, an ELF or a raw image)")
    program = place(config.kernel.data, len(ram))
    initrd = config.initrd.data if config.initrd is not None else b""
    initrd_at = -(-max(program.end, min(len(ram) // 2, _INITRD_OFFSET)) // PAGE) * PAGE
    tree_at = -(-(initrd_at + len(initrd)) // PAGE) * PAGE
    start = RAM_BASE + initrd_at
    boot = device_tree.Boot(
        memory=len(ram),
        command_line=config.append,
        initrd=(start, start + len(initrd)) if initrd else None,
        seed=border.entropy(SEED_SIZE),
        processors=config.smp,
    )
    tree = device_tree.complete(config.dtb.data, boot) if config.dtb is not None else device_tree.build(boot)
    if tree_at + len(tree) > len(ram):
        needed = -(-(tree_at + len(tree)) >> 20)
        raise ConfigError(f"kernel, initrd and device tree need {needed} MiB of memory, there are {len(ram) >> 20}")
    for at, data in (*program.pieces, (initrd_at, initrd), (tree_at, tree)):
        ram[at : at + len(data)] = data
    cpu.enter_linux(program.entry, NO_MACHINE, RAM_BASE + tree_at)


def place(image: bytes, memory: int) -> Program:
    """Where the parts of a kernel image go in ``memory`` bytes of RAM."""
    if image[:4] == _ELF32[:4]:
        program = _place_elf(image, memory)
    elif len(image) >= 0x40 and unpack_from("<I", image, 0x24)[0] == _ZIMAGE_MAGIC:
        program = _place_zimage(image, memory)
    elif image[_X86_MAGIC_AT : _X86_MAGIC_AT + 4] == b"HdrS":
        raise ConfigError("the kernel is a bzImage for x86: use --arch x86_64 or --arch i386")
    elif image[_ARM64_MAGIC_AT : _ARM64_MAGIC_AT + 4] == b"ARM\x64":
        raise ConfigError("the kernel is for 64-bit ARM")
    else:
        program = Program(((RAW_OFFSET, image),), RAM_BASE + RAW_OFFSET, RAW_OFFSET + len(image))
    if program.end > memory:
        raise ConfigError(f"the kernel needs {-(-program.end >> 20)} MiB of memory, there are {memory >> 20}")
    return program


def _place_zimage(image: bytes, memory: int) -> Program:
    """Above the memory that the decompressed kernel will take."""
    if unpack_from("<I", image, 0x30)[0] != _LITTLE_ENDIAN:
        raise ConfigError("the zImage is for big-endian processors")
    start, end = unpack_from("<II", image, 0x28)
    if end - start > len(image):
        raise ConfigError(f"the zImage is cut short: {len(image)} bytes of {end - start}")
    at = max(min(ZIMAGE_OFFSET, memory // 2), -(-_decompressed_end(image) // PAGE) * PAGE)
    return Program(((at, image),), RAM_BASE + at, at + len(image) + _ZIMAGE_WORK)


def _decompressed_end(image: bytes) -> int:
    """The offset in RAM where the decompressed kernel and its zeroed data end, as the table says that zImages have
    since Linux 4.15; for an older one, four times its size."""
    magic, table = unpack_from("<II", image, 0x34)
    if magic != _TABLE_MAGIC or table + 20 > len(image):
        return 4 * len(image)
    words, tag = unpack_from("<II", image, table)
    if tag != _SIZE_TAG or words < 4:
        return 4 * len(image)
    size_at, zeroed, text_offset = unpack_from("<III", image, table + 8)
    if size_at + 4 > len(image):
        raise ConfigError("the zImage is damaged: its size table points outside")
    return text_offset + unpack_from("<I", image, size_at)[0] + zeroed


def _place_elf(image: bytes, memory: int) -> Program:
    """Loadable segments to their physical addresses."""
    if image[:6] != _ELF32 or len(image) < 52 or unpack_from("<H", image, 18)[0] != _EM_ARM:
        raise ConfigError("the ELF image is not for 32-bit little-endian ARM")
    entry, table = unpack_from("<II", image, 24)
    size, count = unpack_from("<HH", image, 42)
    if size < 32 or table + size * count > len(image):
        raise ConfigError("the ELF image is cut short")
    pieces, end = [], 0
    for index in range(count):
        kind, offset, _, address, in_file, in_memory = unpack_from("<IIIIII", image, table + index * size)
        if kind != _LOADABLE or not in_memory:
            continue
        at = address - RAM_BASE
        if offset + in_file > len(image) or in_file > in_memory:
            raise ConfigError("the ELF image is cut short")
        if at < 0 or at + in_memory > memory:
            raise ConfigError(f"an ELF segment at {address:#x} is outside the machine's {memory >> 20} MiB of memory")
        pieces.append((at, image[offset : offset + in_file] + bytes(in_memory - in_file)))
        end = max(end, at + in_memory)
    if not pieces:
        raise ConfigError("the ELF image has no loadable segment")
    return Program(tuple(pieces), entry, end)
