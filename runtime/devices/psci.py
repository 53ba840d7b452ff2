"""Firmware as far as a running guest sees it: PSCI 1.1 (ARM DEN 0022D), by its 32-bit calls.

The machine's processors are cores of one cluster: the number of each is affinity level 0 (Aff0 of its MPIDR), the
levels above are 0.
"""

from __future__ import annotations

from typing import Protocol

from runtime.interrupts import MachinePins

VERSION, CPU_SUSPEND, CPU_OFF, CPU_ON, AFFINITY_INFO = (0x84000000 + n for n in range(5))
MIGRATE_INFO_TYPE, SYSTEM_OFF, SYSTEM_RESET, FEATURES = (0x84000000 + n for n in (6, 8, 9, 10))
_THERE = (VERSION, CPU_SUSPEND, CPU_OFF, CPU_ON, AFFINITY_INFO, MIGRATE_INFO_TYPE, SYSTEM_OFF, SYSTEM_RESET, FEATURES)

SUCCESS = 0
NOT_SUPPORTED, INVALID_PARAMETERS, DENIED, ALREADY_ON, ON_PENDING = (-n & 0xFFFFFFFF for n in range(1, 6))
INVALID_ADDRESS = -9 & 0xFFFFFFFF
IS_ON, IS_OFF, IS_STARTING = range(3)  # what AFFINITY_INFO gives
_VERSION_1_1 = 1 << 16 | 1
_NO_TRUSTED_OS = 2
_POWER_DOWN = 1 << 16  # of a power state: the processor would lose its registers
_AFFINITY = 0x00FFFFFF
_LEVELS = 4  # affinity levels


class Machine(MachinePins, Protocol):
    """What the firmware needs of its machine."""

    @property
    def processors(self) -> int:
        """How many there are, on or off."""

    @property
    def turn(self) -> int:
        """The number of the one that runs, which makes the call."""

    def is_on(self, number: int) -> bool:
        """Whether processor ``number`` runs or is halted."""

    def is_starting(self, number: int) -> bool:
        """Whether it has been switched on and has not run yet."""

    def power_on(self, number: int, entry: int, context: int) -> None:
        """Start a processor that is off, at ``entry`` (bit 0: T32) with ``context`` in r0."""

    def power_off(self) -> None:
        """Switch off the processor that makes the call; the call never returns to it."""


def call(machine: Machine, function: int, a: int = 0, b: int = 0, c: int = 0) -> int:
    """The call of ``function`` (r0) with arguments ``a``, ``b``, ``c`` (r1 to r3): the new r0, 32 bits unsigned.

    A function that is not there gives NOT_SUPPORTED, as the SMC calling convention (ARM DEN 0028) wants for all.
    """
    match function:
        case 0x84000000:
            return _VERSION_1_1
        case 0x84000001:  # a standby that ends at once; there is no deeper state
            return INVALID_PARAMETERS if a & _POWER_DOWN else SUCCESS
        case 0x84000002:
            return _switch_off(machine)
        case 0x84000003:
            return _switch_on(machine, a & _AFFINITY, b, c)
        case 0x84000004:
            return _affinity_info(machine, a & _AFFINITY, b)
        case 0x84000006:
            return _NO_TRUSTED_OS
        case 0x84000008:
            machine.request_power_off()
            return SUCCESS
        case 0x84000009:
            machine.request_reset()
            return SUCCESS
        case 0x8400000A:
            return SUCCESS if a in _THERE else NOT_SUPPORTED
    return NOT_SUPPORTED


def _switch_off(machine: Machine) -> int:
    """CPU_OFF (5.5). The last processor is not switched off without the system: nothing could switch it on again."""
    others = [number for number in range(machine.processors) if number != machine.turn]
    if not any(machine.is_on(number) or machine.is_starting(number) for number in others):
        return DENIED
    machine.power_off()
    return SUCCESS


def _switch_on(machine: Machine, target: int, entry: int, context: int) -> int:
    """CPU_ON (5.6)."""
    if target >= machine.processors:
        return INVALID_PARAMETERS
    if machine.is_on(target):
        return ALREADY_ON
    if machine.is_starting(target):
        return ON_PENDING
    if entry & 3 == 2:  # A32, and not aligned
        return INVALID_ADDRESS
    machine.power_on(target, entry, context)
    return SUCCESS


def _affinity_info(machine: Machine, target: int, level: int) -> int:
    """AFFINITY_INFO (5.7): of a processor, or from level 1 on of all of them, of which the caller is on."""
    if level >= _LEVELS or target >> 8 * level >= (machine.processors if level == 0 else 1):
        return INVALID_PARAMETERS
    if level or machine.is_on(target):
        return IS_ON
    return IS_STARTING if machine.is_starting(target) else IS_OFF
