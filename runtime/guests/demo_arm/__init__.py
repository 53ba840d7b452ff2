"""The demo guest for ARM: a small operating system of ours, shipped as assembly source and as built bytes.

``demo.elf`` is entered in supervisor mode with the MMU off. It maps memory, runs timer, keyboard and serial interrupts
through the GIC, reads the RTC and the random seed of the device tree, computes, runs two programs in user mode, asks
for a name on keyboard and serial port, and switches the machine off by PSCI. Make it anew with ``make demo-guest``.
"""

from __future__ import annotations

from pathlib import Path

#: The built image, ready for ``jitrr record --arch arm --kernel``.
IMAGE = Path(__file__).parent / "demo.elf"
#: What it is, in a few words.
DESCRIPTION = "ARM, with a timer, a keyboard, two programs in user mode"
#: What it prints before it waits for a line of input, and what it prints last.
QUESTION = "What is your name? "
POWERING_OFF = "powering off"
