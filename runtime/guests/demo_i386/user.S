# Two programs in ring 3 and one in virtual-8086 mode. They run at the same time: the timer switches between them.
.include "layout.inc"

    .section .user, "ax"

# A text and the number in eax, as one line.
.macro WRITE_LINE label
    mov $\label, %esi
    mov $\label\()_size, %ecx
    call write_line
.endm

.macro EXIT
    mov $SYS_EXIT, %eax
    int $0x80
.endm

# write_line: ecx characters at esi, then eax, then a line's end. It is one system call, so that the other programs, which
# may run at any time, cannot write in between.
.set LINE_SIZE, 128
write_line:
    sub $LINE_SIZE, %esp
    mov %esp, %edi
    rep movsb
    lea LINE_SIZE(%esp), %esi
    mov $10, %ecx
1:  xor %edx, %edx
    div %ecx
    add $'0', %dl
    dec %esi
    mov %dl, (%esi)
    test %eax, %eax
    jnz 1b
    lea LINE_SIZE(%esp), %ecx
    sub %esi, %ecx
    rep movsb
    movb $'\n', (%edi)
    lea 1(%edi), %ecx
    mov %esp, %ebx
    sub %ebx, %ecx
    mov $SYS_WRITE, %eax
    int $0x80
    add $LINE_SIZE, %esp
    ret

# Which start below 30000 gives the longest Collatz sequence? None of them comes near 2^32.
.set COLLATZ_END, 30000
    .globl collatz
collatz:
    mov $1, %ebx                     # start
    xor %ebp, %ebp                   # longest so far
1:  mov %ebx, %eax
    xor %ecx, %ecx
2:  cmp $1, %eax
    je 5f
    test $1, %al
    jnz 3f
    shr %eax
    jmp 4f
3:  lea 1(%eax, %eax, 2), %eax
4:  inc %ecx
    jmp 2b
5:  cmp %ebp, %ecx
    jbe 6f
    mov %ecx, %ebp
    mov %ebx, %edi
6:  inc %ebx
    cmp $COLLATZ_END, %ebx
    jb 1b
    mov %edi, %eax
    WRITE_LINE collatz_text
    EXIT

# Pi by the Leibniz series on the x87, in double precision; the result is cut, not rounded.
.set PI_TERMS, 400000
    .globl pi
pi:
    sub $8, %esp
    movl $0x0E7F027F, (%esp)         # control words: round to nearest, then towards 0; both double precision
    fldcw (%esp)
    fldz                             # the sum
    fld1                             # 1, 3, 5, ...
    fldl pi_four                     # 4, -4, ...
    mov $PI_TERMS, %ecx
1:  fld %st(0)
    fdiv %st(2), %st
    faddp %st, %st(3)
    fchs
    fxch
    fadds pi_two
    fxch
    dec %ecx
    jnz 1b
    fstp %st(0)
    fstp %st(0)
    fmull pi_scale
    fldcw 2(%esp)
    fistpll (%esp)
    pop %eax
    add $4, %esp
    WRITE_LINE pi_text
    EXIT

    .balign 8
pi_four:  .double 4.0
pi_scale: .double 1e9
pi_two:   .float 2.0
collatz_text: .ascii "task 1: the longest Collatz sequence below 30000 starts at "
.set collatz_text_size, . - collatz_text
pi_text: .ascii "task 2: pi after 400000 terms, times 10^9: "
.set pi_text_size, . - pi_text

# A program of another age, for the first page of its segment. INT 10h prints CX characters at ES:BP, INT 20h ends it.
.set V86_LINE, 0x400

    .section .rodata
    .code16
    .globl v86_program, v86_program_size
v86_program:
    mov $v86_text - v86_program, %si
    mov $V86_LINE, %di
    mov $v86_text_size, %cx
    rep movsb
    xor %ax, %ax                     # Fibonacci numbers
    mov $1, %bx
    mov $24, %cx
1:  xadd %ax, %bx
    loop 1b
    mov $10, %bx
2:  xor %dx, %dx
    div %bx
    push %dx
    inc %cx
    test %ax, %ax
    jnz 2b
3:  pop %ax
    add $'0', %al
    stosb
    loop 3b
    mov $'\n', %al
    stosb
    mov $V86_LINE, %bp
    mov %di, %cx
    sub %bp, %cx
    int $0x10
    int $0x20
v86_text: .ascii "task 3: in virtual-8086 mode, the 24th Fibonacci number is "
.set v86_text_size, . - v86_text
.set v86_program_size, . - v86_program
