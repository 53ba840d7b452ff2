"""An instruction across two pages, the second of which is somewhere else, or nowhere, when it is run again."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from smp_random import assemble

from runtime.borders.live import LiveBorder
from runtime.config import MachineConfig
from runtime.machine import make_machine

pytestmark = pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="binutils are not installed")

#: The page at 0x401000 is not there at first, then one frame and then another; a page fault maps what EBX has.
GUEST = """
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


@pytest.mark.parametrize("tier", ["interp", "jit"])
def test_its_second_page_moves(tmp_path: Path, tier: str) -> None:
    config = MachineConfig(arch="i386", memory=16 << 20, kernel=assemble("i386", GUEST, tmp_path), tier=tier)
    machine = make_machine(config, LiveBorder())
    try:
        machine.words[machine.engine.layout["gpr"] // 8 + 2] = 0
        machine.run_to(60)
        values = machine.cpu.registers()
        assert machine.halted and [values[name] for name in ("rsi", "rdi", "rbp", "rdx")] == [1, 0x201, 1, 2]
    finally:
        machine.close()
