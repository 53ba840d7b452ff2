"""The demo guest for i386: a small operating system of ours, shipped as assembly source and as built bytes.

``demo.elf`` is an ELF32 image that a Multiboot loader enters in protected mode at 1 MiB. It switches paging on, runs
timer, keyboard and serial interrupts, reads the CMOS clock and RDRAND, computes, runs two programs in ring 3 and one in
virtual-8086 mode as tasks of the processor, asks for a name on keyboard and serial port, and switches the machine off
by ACPI. Make it anew with ``make demo-guest``.
"""

from __future__ import annotations

from pathlib import Path

#: The built image, ready for ``jitrr record --arch i386 --kernel``.
IMAGE = Path(__file__).parent / "demo.elf"
#: What it is, in a few words.
DESCRIPTION = "32-bit, with a timer, a keyboard, two programs in ring 3, one in virtual-8086 mode"
#: What it prints before it waits for a line of input, and what it prints last.
QUESTION = "What is your name? "
POWERING_OFF = "powering off"
