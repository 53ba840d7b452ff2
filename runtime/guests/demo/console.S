# Text out: every character goes to the serial port (COM1, polled) and to the VGA text screen, whose top line is a
# status bar that the timer interrupt owns.
.include "layout.inc"

.set STATUS, 0x1F                    # white on blue
    .code64
.include "console.inc"

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
