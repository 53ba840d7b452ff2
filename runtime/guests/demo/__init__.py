"""The demo guest: a small operating system of ours for x86-64, shipped as assembly source and as built bytes.

``demo.elf`` is an ELF32 image that a Multiboot loader enters in 32-bit protected mode at 1 MiB. It goes to long mode,
runs timer, keyboard and serial interrupts, reads the CMOS clock and RDRAND, computes, runs two programs in ring 3, asks
for a name on keyboard and serial port, and switches the machine off by ACPI. Make it anew with ``make demo-guest``.
"""

from __future__ import annotations

from pathlib import Path

#: The built image, ready for ``jitrr record --kernel``.
IMAGE = Path(__file__).parent / "demo.elf"
#: What it is, in a few words.
DESCRIPTION = "64-bit, with a timer, a keyboard, two programs in ring 3"
#: What it prints before it waits for a line of input, and what it prints last.
QUESTION = "What is your name? "
POWERING_OFF = "powering off"
