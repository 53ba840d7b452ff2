"""Placing the guest: kernel image, initrd and firmware tables in RAM, and the processor at its entry; or firmware."""

from __future__ import annotations

from typing import Any

from runtime.config import ConfigError, MachineConfig
from runtime.machines.elf_boot import load_elf
from runtime.machines.linux_boot import load_linux


def load_guest(config: MachineConfig, ram: memoryview, board: Any, cpu: Any) -> None:
    """Load what the configuration names into ``ram`` (behind it there is room for firmware, which begins at the reset
    vector). ConfigError when it cannot be started."""
    if config.dtb is not None:
        raise ConfigError("--dtb: a PC has no device tree")
    if config.bios is not None:
        if config.kernel is not None or config.initrd is not None:
            raise ConfigError("--bios starts the firmware alone: it takes no --kernel and no --initrd")
        ram[config.memory :] = config.bios.data
        return
    if config.kernel is None:
        raise ConfigError("nothing to run: give --kernel FILE (a Linux bzImage or an ELF image) or --bios FILE")
    kernel = config.kernel.data
    initrd = config.initrd.data if config.initrd is not None else b""
    rsdp = board.install_tables()
    try:
        if kernel[:4] == b"\x7fELF":
            cpu.enter_flat32(load_elf(ram, kernel, config.append, initrd))
        else:
            wide = config.arch == "x86_64"
            enter = cpu.enter_linux64 if wide else cpu.enter_linux32
            enter(load_linux(ram, kernel, initrd, config.append, rsdp=rsdp, wide=wide))
    except ValueError as error:
        raise ConfigError(str(error)) from error
