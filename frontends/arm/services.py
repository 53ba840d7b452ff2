"""The services Python gives to the system-side helpers: ``host_call(cpu, CALL_ARCH, service, argument)``.

A value goes in and comes back in field ``io_value``.
"""

from __future__ import annotations

#: argument: cp15.T_*
TIMER_READ, TIMER_WRITE = 1, 2
#: The firmware's call (PSCI), with its arguments in R0..R3 and its result in R0.
FIRMWARE = 3
