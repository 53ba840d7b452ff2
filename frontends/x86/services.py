"""The services Python gives to the system-side helpers: ``host_call(cpu, CALL_ARCH, service, argument)``.

A value goes in and comes back in field ``io_value``; a service that faults leaves the exception pending.
"""

from __future__ import annotations

#: argument: port | size << 16
IO_READ, IO_WRITE = 1, 2
#: argument: MSR number
MSR_READ, MSR_WRITE = 3, 4
#: CR8
TPR_READ, TPR_WRITE = 5, 6
#: argument: bytes
ENTROPY = 7
