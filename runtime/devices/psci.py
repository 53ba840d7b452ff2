"""Firmware as far as a running guest sees it: PSCI 1.1 (ARM DEN 0022D), for a machine of one processor."""

from __future__ import annotations

from runtime.interrupts import MachinePins

VERSION, CPU_SUSPEND, CPU_OFF, CPU_ON, AFFINITY_INFO = (0x84000000 + n for n in range(5))
MIGRATE_INFO_TYPE, SYSTEM_OFF, SYSTEM_RESET, FEATURES = (0x84000000 + n for n in (6, 8, 9, 10))
_THERE = (VERSION, CPU_SUSPEND, CPU_OFF, CPU_ON, AFFINITY_INFO, MIGRATE_INFO_TYPE, SYSTEM_OFF, SYSTEM_RESET, FEATURES)

SUCCESS = 0
NOT_SUPPORTED, INVALID_PARAMETERS, DENIED, ALREADY_ON = (-n & 0xFFFFFFFF for n in (1, 2, 3, 4))
_VERSION_1_1 = 1 << 16 | 1
_NO_TRUSTED_OS = 2
_POWER_DOWN = 1 << 16  # of a power state: the processor would lose its registers
_AFFINITY = 0x00FFFFFF


def call(pins: MachinePins, function: int, a: int = 0, _b: int = 0, _c: int = 0) -> int:
    """The call of ``function`` (r0) with arguments ``a``, ``b``, ``c`` (r1 to r3): the new r0, 32 bits unsigned.

    A function that is not there gives NOT_SUPPORTED, as the SMC calling convention (ARM DEN 0028) wants for all.
    """
    match function:
        case 0x84000000:
            return _VERSION_1_1
        case 0x84000001:  # a standby that ends at once; there is no deeper state
            return INVALID_PARAMETERS if a & _POWER_DOWN else SUCCESS
        case 0x84000002:  # the last processor is not switched off without the system
            return DENIED
        case 0x84000003:
            return INVALID_PARAMETERS if a & _AFFINITY else ALREADY_ON
        case 0x84000004:
            return INVALID_PARAMETERS if a & _AFFINITY else SUCCESS  # on
        case 0x84000006:
            return _NO_TRUSTED_OS
        case 0x84000008:
            pins.request_power_off()
            return SUCCESS
        case 0x84000009:
            pins.request_reset()
            return SUCCESS
        case 0x8400000A:
            return SUCCESS if a in _THERE else NOT_SUPPORTED
    return NOT_SUPPORTED
