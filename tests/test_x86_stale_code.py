"""Code that is not any more where it was when it was translated; found by tests/test_smp_random.py."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from smp_random import assemble

from runtime.borders.live import LiveBorder
from runtime.config import MachineConfig
from runtime.machine import make_machine

pytestmark = pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="binutils are not installed")

#: In 32-bit code with paging; a page fault maps at 0x401000 what EBX has.
HEAD = """
    .intel_syntax noprefix
    .section .multiboot, "a"
    .long 0x1BADB002, 0, -0x1BADB002
    .text
    .code32
    .globl _start
_start:
    lgdt [gdt_pointer]
    jmp 8:1f
1:  mov ax, 16
    mov ss, ax
    mov esp, offset stack
    mov eax, offset on_page_fault
    mov [idt + 8 * 14], ax
    mov dword ptr [idt + 8 * 14 + 2], 8
    mov word ptr [idt + 8 * 14 + 5], 0x8E
    shr eax, 16
    mov [idt + 8 * 14 + 6], ax
    lidt [idt_pointer]
    mov word ptr [0x800FFE], 0x01B8         # mov eax, ...
    mov dword ptr [0x801000], 0xC3000000    # ... 1; ret
    mov dword ptr [0x802000], 0xC3000002    # ... 0x201; ret
    mov eax, offset root
    mov cr3, eax
    mov eax, 0x10
    mov cr4, eax
    mov eax, cr0
    or eax, 0x80000000
    mov cr0, eax
"""
TAIL = """
    hlt
on_page_fault:
    mov [table + 4], ebx
    inc edx
    add esp, 4
    iretd
    .data
    .balign 4096
root: .long 0x83, table + 3
    .skip 4096 - 8
table: .long 0x800003
    .skip 4096 - 4
gdt: .quad 0, 0x00CF9B000000FFFF, 0x00CF93000000FFFF
gdt_pointer:
    .word 23
    .long gdt
idt_pointer:
    .word 0x7FF
    .long idt
    .balign 8
idt: .skip 2048 + 256
stack:
"""

#: An instruction across pages, whose second page is not there, then one frame and then another.
CROSSING = """
    mov ecx, 0x400FFE
    mov ebx, 0x801003
    call ecx
    mov esi, eax
    mov dword ptr [table + 4], 0x802003
    call ecx
    mov edi, eax
    mov dword ptr [table + 4], 0
    call ecx
    mov ebp, eax
"""

#: Twelve times INC EDI and HLT, at a place where an interrupt's frame is made of harmless instructions (EIP: NOP, NOP,
#: AND) and put upon them.
FRAME = """
    mov eax, 0x209083
    mov [idt + 8 * 2], ax
    mov dword ptr [idt + 8 * 2 + 2], 8
    mov word ptr [idt + 8 * 2 + 5], 0x8E
    shr eax, 16
    mov [idt + 8 * 2 + 6], ax
    mov edi, 0x209083
    mov al, 0x47
    mov ecx, 12
    rep stosb
    mov byte ptr [edi], 0xF4
    mov esp, edi
    mov eax, 0x210000
    mov edx, eax
    mov edi, 1
    mov ecx, 0x209083
    jmp ecx
"""


def registers(body: str, folder: Path, tier: str, most: int) -> dict[str, int]:
    """The registers after at most so many instructions, at the end of which the guest has halted."""
    image = assemble("i386", HEAD + body + TAIL, folder)
    machine = make_machine(MachineConfig(arch="i386", memory=16 << 20, kernel=image, tier=tier), LiveBorder())
    try:
        machine.run_to(most)
        assert machine.halted
        return machine.cpus[0].registers()
    finally:
        machine.close()


@pytest.mark.parametrize("tier", ["interp", "jit"])
def test_the_second_page_of_an_instruction_moves(tmp_path: Path, tier: str) -> None:
    """It is found again where it is, and is not looked for for ever."""
    values = registers("xor edx, edx\n" + CROSSING, tmp_path, tier, 70)
    assert [values[name] for name in ("rsi", "rdi", "rbp", "rdx")] == [1, 0x201, 1, 2]


@pytest.mark.parametrize("tier", ["interp", "jit"])
def test_an_interrupt_puts_its_frame_upon_its_handler(tmp_path: Path, tier: str) -> None:
    """What was pushed between two runs is what runs."""
    image = assemble("i386", HEAD + FRAME + TAIL, tmp_path)
    machine = make_machine(MachineConfig(arch="i386", memory=16 << 20, kernel=image, tier=tier), LiveBorder())
    try:
        machine.run_to(100)
        assert machine.halted and machine.cpus[0].registers()["rdi"] == 13
        machine.vcpus[0].nmi()
        machine.run_to(200)
        assert machine.halted and machine.cpus[0].registers()["rdi"] == 13
    finally:
        machine.close()
