# Text out: every character goes to the serial port (COM1, polled) and to the VGA text screen, whose top line is a
# status bar that the timer interrupt owns. Routines keep ebx, esi, edi and ebp.
.include "layout.inc"

.set COM1, 0x3F8
.set SCREEN, 0xB8000
.set COLUMNS, 80
.set ROWS, 25
.set WHITE, 0x07
.set STATUS, 0x2F                    # white on green

    .text
    .globl console_init
console_init:
    mov $SCREEN, %edi
    mov $(STATUS << 8 | ' '), %eax
    mov $COLUMNS, %ecx
    rep stosw
    mov $(WHITE << 8 | ' '), %eax
    mov $COLUMNS * (ROWS - 1), %ecx
    rep stosw
    movl $COLUMNS, cursor
    mov $status_title, %esi
    mov $SCREEN + 2, %edi
    mov $STATUS << 8, %eax
1:  lodsb
    test %al, %al
    jz 2f
    stosw
    jmp 1b
2:  ret

# 115200 baud, 8N1, FIFOs on, an interrupt for each character that comes in (OUT2 lets it through).
    .globl serial_init
serial_init:
    mov $serial_settings, %esi
    mov $(serial_settings_end - serial_settings) / 2, %ecx
1:  lodsw
    movzbl %ah, %edx
    add $COM1, %edx
    out %al, %dx
    loop 1b
    ret

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

serial_out:
    mov %al, %cl
    mov $COM1 + 5, %edx
1:  in %dx, %al
    test $0x20, %al
    jz 1b
    mov %cl, %al
    mov $COM1, %edx
    out %al, %dx
    ret

vga_out:
    push %edi
    mov cursor, %ecx
    cmp $'\n', %al
    je new_line
    cmp $8, %al
    je back_space
    mov $WHITE, %ah
    mov %ax, SCREEN(, %ecx, 2)
    inc %ecx
    jmp placed
back_space:
    cmp $COLUMNS, %ecx
    jbe placed
    dec %ecx
    movw $(WHITE << 8 | ' '), SCREEN(, %ecx, 2)
    jmp placed
new_line:
    mov %ecx, %eax
    xor %edx, %edx
    mov $COLUMNS, %ecx
    div %ecx
    inc %eax
    mul %ecx
    mov %eax, %ecx
placed:
    cmp $COLUMNS * ROWS, %ecx
    jb 1f
    call scroll
    mov $COLUMNS * (ROWS - 1), %ecx
1:  mov %ecx, cursor
    mov $0x3D4, %edx                 # the CRTC's cursor position, high then low byte
    mov $0x0E, %al
    mov %ch, %ah
    out %ax, %dx
    mov $0x0F, %al
    mov %cl, %ah
    out %ax, %dx
    pop %edi
    ret

scroll:
    push %esi
    mov $SCREEN + 2 * COLUMNS, %edi
    mov $SCREEN + 4 * COLUMNS, %esi
    mov $COLUMNS * (ROWS - 2) / 2, %ecx
    rep movsl
    mov $(WHITE << 8 | ' '), %eax
    mov $COLUMNS, %ecx
    rep stosw
    pop %esi
    ret

# puts: the zero-terminated text at eax.
    .globl puts
puts:
    push %ebx
    mov %eax, %ebx
1:  mov (%ebx), %al
    test %al, %al
    jz 2f
    call putc
    inc %ebx
    jmp 1b
2:  pop %ebx
    ret

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
serial_settings:                     # value, register: divisor 1 behind DLAB, then 8N1, FIFOs, modem lines, interrupts
    .byte 0x00, 1,  0x80, 3,  0x01, 0,  0x00, 1,  0x03, 3,  0x07, 2,  0x0B, 4,  0x01, 1
serial_settings_end:

    .bss
    .balign 4
cursor: .skip 4
