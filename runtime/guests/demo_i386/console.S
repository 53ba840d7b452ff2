# Text out: every character goes to the serial port (COM1, polled) and to the VGA text screen, whose top line is a
# status bar that the timer interrupt owns. Routines keep ebx, esi, edi and ebp.
.include "layout.inc"

.set STATUS, 0x2F                    # white on green
.include "console.inc"

# putc: the character in al.
    .globl putc
putc:
    cmp $'\n', %al
    jne 1f
    mov $'\r', %al
    call serial_out
    mov $'\n', %al
1:  call serial_out
    jmp vga_out

# puts: the zero-terminated text at eax. (Its frame is described for gdb, which takes EBP 0 for the outermost one.)
    .cfi_sections .debug_frame
    .globl puts
puts:
    .cfi_startproc
    push %ebx
    .cfi_adjust_cfa_offset 4
    mov %eax, %ebx
1:  mov (%ebx), %al
    test %al, %al
    jz 2f
    call putc
    inc %ebx
    jmp 1b
2:  pop %ebx
    .cfi_adjust_cfa_offset -4
    ret
    .cfi_endproc

# write: ecx characters at ebx.
    .globl write
write:
    push %ebx
    push %esi
    lea (%ebx, %ecx), %esi
1:  cmp %esi, %ebx
    jae 2f
    mov (%ebx), %al
    call putc
    inc %ebx
    jmp 1b
2:  pop %esi
    pop %ebx
    ret

# put_decimal: eax without a sign, in at least ecx digits.
    .globl put_decimal
put_decimal:
    push %ebx
    push %esi
    mov %ecx, %esi
    mov $10, %ecx
    xor %ebx, %ebx
1:  xor %edx, %edx
    div %ecx
    push %edx
    inc %ebx
    test %eax, %eax
    jnz 1b
    cmp %esi, %ebx
    jb 1b
2:  pop %eax
    add $'0', %al
    call putc
    dec %ebx
    jnz 2b
    pop %esi
    pop %ebx
    ret

# put_hex: eax in eight digits.
    .globl put_hex
put_hex:
    push %ebx
    push %esi
    mov %eax, %ebx
    mov $8, %esi
1:  rol $4, %ebx
    mov %ebx, %eax
    and $15, %eax
    mov hex_digits(%eax), %al
    call putc
    dec %esi
    jnz 1b
    pop %esi
    pop %ebx
    ret

# draw_ticks: the tick count (eax) at the right end of the status bar. Called by the timer interrupt.
    .globl draw_ticks
draw_ticks:
    mov $10, %ecx
    mov $SCREEN + 2 * (COLUMNS - 2), %edi
    mov $6, %esi
1:  xor %edx, %edx
    div %ecx
    or $STATUS << 8 | '0', %edx
    mov %dx, (%edi)
    sub $2, %edi
    dec %esi
    jnz 1b
    ret

    .section .rodata
hex_digits:      .ascii "0123456789abcdef"
status_title:    .asciz "jitrr demo guest for i386"
