# Two programs in ring 3. They run at the same time: the timer switches between them.
.include "layout.inc"

    .section .user, "ax"
    .code64

# A text and the number in rax, as one line.
.macro WRITE_LINE label
    lea \label(%rip), %rsi
    mov $\label\()_size, %ecx
    call write_line
.endm

.macro EXIT
    mov $SYS_EXIT, %eax
    syscall
.endm

# write_line: ecx characters at rsi, then rax, then a line's end. It is one system call, so that the other program, which
# may run at any time, cannot write in between.
.set LINE_SIZE, 128
write_line:
    sub $LINE_SIZE, %rsp
    mov %rsp, %rdi
    rep movsb
    mov %rdi, %r8                    # where the digits go, once they are known
    lea LINE_SIZE(%rsp), %rsi
    mov $10, %ecx
1:  xor %edx, %edx
    div %rcx
    add $'0', %dl
    dec %rsi
    mov %dl, (%rsi)
    test %rax, %rax
    jnz 1b
    lea LINE_SIZE(%rsp), %rcx
    sub %rsi, %rcx
    mov %r8, %rdi
    rep movsb
    movb $'\n', (%rdi)
    lea 1(%rdi), %rsi
    mov %rsp, %rdi
    sub %rdi, %rsi
    mov $SYS_WRITE, %eax
    syscall
    add $LINE_SIZE, %rsp
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
    mov %r12, %rax
    WRITE_LINE collatz_text
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
    mov %rbx, %rax
    WRITE_LINE pi_text
    EXIT

    .balign 16
pi_sign:  .quad 0x8000000000000000, 0
pi_scale: .double 1e9
collatz_text: .ascii "task 1: the longest Collatz sequence below 30000 starts at "
.set collatz_text_size, . - collatz_text
pi_text: .ascii "task 2: pi after 400000 terms, times 10^9: "
.set pi_text_size, . - pi_text
