# Two programs in ring 3. They run at the same time: the timer switches between them.
.include "layout.inc"

    .section .user, "ax"
    .code64

.macro WRITE_TEXT label
    lea \label(%rip), %rdi
    mov $\label\()_size, %esi
    mov $SYS_WRITE, %eax
    syscall
.endm

.macro EXIT
    mov $SYS_EXIT, %eax
    syscall
.endm

# decimal: rax as text that ends before rdi; rdi becomes its start.
decimal:
    mov $10, %ecx
1:  xor %edx, %edx
    div %rcx
    add $'0', %dl
    dec %rdi
    mov %dl, (%rdi)
    test %rax, %rax
    jnz 1b
    ret

# write_line: rax and a line's end.
write_line:
    sub $32, %rsp
    lea 31(%rsp), %rdi
    movb $'\n', (%rdi)
    call decimal
    lea 32(%rsp), %rsi
    sub %rdi, %rsi
    mov $SYS_WRITE, %eax
    syscall
    add $32, %rsp
    ret

# Which start below 30000 gives the longest Collatz sequence?
.set COLLATZ_END, 30000
    .globl collatz
collatz:
    mov $1, %ebx                     # start
    xor %ebp, %ebp                   # longest so far
1:  mov %rbx, %rax
    xor %ecx, %ecx
2:  cmp $1, %rax
    je 5f
    test $1, %al
    jnz 3f
    shr %rax
    jmp 4f
3:  lea 1(%rax, %rax, 2), %rax
4:  inc %ecx
    jmp 2b
5:  cmp %ebp, %ecx
    jbe 6f
    mov %ecx, %ebp
    mov %rbx, %r12
6:  inc %ebx
    cmp $COLLATZ_END, %ebx
    jb 1b
    WRITE_TEXT collatz_text
    mov %r12, %rax
    call write_line
    EXIT

# Pi by Machin's formula would be too quick: the Leibniz series in double precision, then its first digits.
.set PI_TERMS, 400000
    .globl pi
pi:
    mov $1, %eax
    cvtsi2sd %eax, %xmm1             # 1, 3, 5, ...
    movapd %xmm1, %xmm0
    addsd %xmm0, %xmm0               # 2
    mov $4, %eax
    cvtsi2sd %eax, %xmm2             # 4, -4, ...
    xorpd %xmm3, %xmm3               # the sum
    mov $PI_TERMS, %ecx
1:  movapd %xmm2, %xmm4
    divsd %xmm1, %xmm4
    addsd %xmm4, %xmm3
    addsd %xmm0, %xmm1
    xorpd pi_sign(%rip), %xmm2
    dec %ecx
    jnz 1b
    mulsd pi_scale(%rip), %xmm3
    cvttsd2si %xmm3, %rbx
    WRITE_TEXT pi_text
    mov %rbx, %rax
    call write_line
    EXIT

    .balign 16
pi_sign:  .quad 0x8000000000000000, 0
pi_scale: .double 1e9
collatz_text: .ascii "task 1: the longest Collatz sequence below 30000 starts at "
.set collatz_text_size, . - collatz_text
pi_text: .ascii "task 2: pi after 400000 terms, times 10^9: "
.set pi_text_size, . - pi_text
