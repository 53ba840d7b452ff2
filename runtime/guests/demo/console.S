# Text out: every character goes to the serial port (COM1, polled) and to the VGA text screen, whose top line is a
# status bar that the timer interrupt owns.
.include "layout.inc"

.set COM1, 0x3F8
.set SCREEN, 0xB8000
.set COLUMNS, 80
.set ROWS, 25
.set WHITE, 0x07
.set STATUS, 0x1F                    # white on blue

    .text
    .code64

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

# putc: the character in dil.
    .globl putc
putc:
    cmp $'\n', %dil
    jne 1f
    mov $'\r', %al
    call serial_out
1:  mov %dil, %al
    call serial_out
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
    mov cursor, %ecx
    cmp $'\n', %dil
    je new_line
    cmp $8, %dil
    je back_space
    movzbl %dil, %eax
    or $WHITE << 8, %eax
    mov %ax, SCREEN(, %rcx, 2)
    inc %ecx
    jmp placed
back_space:
    cmp $COLUMNS, %ecx
    jbe placed
    dec %ecx
    movw $(WHITE << 8 | ' '), SCREEN(, %rcx, 2)
    jmp placed
new_line:
    mov %ecx, %eax
    xor %edx, %edx
    mov $COLUMNS, %esi
    div %esi
    inc %eax
    mul %esi
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
    ret

scroll:
    mov $SCREEN + 2 * COLUMNS, %edi
    mov $SCREEN + 4 * COLUMNS, %esi
    mov $COLUMNS * (ROWS - 2) / 4, %ecx
    rep movsq
    mov $(WHITE << 8 | ' '), %eax
    mov $COLUMNS, %ecx
    rep stosw
    ret

# puts: the zero-terminated text at rdi.
    .globl puts
puts:
    push %rbx
    mov %rdi, %rbx
1:  mov (%rbx), %dil
    test %dil, %dil
    jz 2f
    call putc
    inc %rbx
    jmp 1b
2:  pop %rbx
    ret

# write: rsi characters at rdi.
    .globl write
write:
    push %rbx
    push %rbp
    mov %rdi, %rbx
    lea (%rdi, %rsi), %rbp
1:  cmp %rbp, %rbx
    jae 2f
    mov (%rbx), %dil
    call putc
    inc %rbx
    jmp 1b
2:  pop %rbp
    pop %rbx
    ret

# put_decimal: rdi without a sign, in at least esi digits.
    .globl put_decimal
put_decimal:
    push %rbx
    mov %rdi, %rax
    mov $10, %ecx
    xor %ebx, %ebx
1:  xor %edx, %edx
    div %rcx
    push %rdx
    inc %ebx
    test %rax, %rax
    jnz 1b
    cmp %esi, %ebx
    jb 1b
2:  pop %rdi
    add $'0', %edi
    call putc
    dec %ebx
    jnz 2b
    pop %rbx
    ret

# put_hex: the low esi digits of rdi.
    .globl put_hex
put_hex:
    push %rbx
    push %rbp
    mov %rdi, %rbx
    lea (, %rsi, 4), %ebp
1:  sub $4, %ebp
    mov %ebp, %ecx
    mov %rbx, %rax
    shr %cl, %rax
    and $15, %eax
    movzbl hex_digits(%rax), %edi
    call putc
    test %ebp, %ebp
    jnz 1b
    pop %rbp
    pop %rbx
    ret

# draw_ticks: the tick count (rdi) at the right end of the status bar. Called by the timer interrupt.
    .globl draw_ticks
draw_ticks:
    mov %rdi, %rax
    mov $10, %ecx
    mov $SCREEN + 2 * (COLUMNS - 2), %edi
    mov $6, %esi
1:  xor %edx, %edx
    div %rcx
    or $STATUS << 8 | '0', %edx
    mov %dx, (%rdi)
    sub $2, %edi
    dec %esi
    jnz 1b
    ret

    .section .rodata
hex_digits:      .ascii "0123456789abcdef"
status_title:    .asciz "jitrr demo guest"
serial_settings:                     # value, register: divisor 1 behind DLAB, then 8N1, FIFOs, modem lines, interrupts
    .byte 0x00, 1,  0x80, 3,  0x01, 0,  0x00, 1,  0x03, 3,  0x07, 2,  0x0B, 4,  0x01, 1
serial_settings_end:

    .bss
    .balign 4
cursor: .skip 4
