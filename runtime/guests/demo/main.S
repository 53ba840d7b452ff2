# What the demo guest does, from power-on to power-off.
.include "layout.inc"

    .code64
.include "main.inc"

.macro SAY text
    mov $\text, %edi
    call puts
.endm

.macro NUMBER value, digits=1
    mov \value, %rdi
    mov $\digits, %esi
    call put_decimal
.endm

    .globl main
main:
    call serial_init
    call console_init
    SAY text_hello
    call interrupts_init
    call pic_init
    call pit_init
    call keyboard_init
    sti
    call show_memory
    call show_clock
    call show_random
    call sieve
    call run_tasks
    call conversation
    SAY text_fingerprint
    mov fingerprint, %rdi
    mov $16, %esi
    call put_hex
    SAY text_ticks
    NUMBER ticks
    SAY text_bye
    ret

# How much memory the loader reports (Multiboot 3.3: mem_upper, in KiB above 1 MiB).
show_memory:
    cmpl $MULTIBOOT_LOADED, loader_magic
    jne 1f
    mov loader_info, %ebx
    testb $1, (%rbx)
    jz 1f
    SAY text_memory
    mov 8(%rbx), %edi
    shr $10, %edi
    inc %edi
    mov $1, %esi
    call put_decimal
    SAY text_mib
1:  ret

show_clock:
    call rtc_read
    SAY text_clock
    xor %ebx, %ebx
1:  movzwl rtc_fields(, %rbx, 2), %edi
    mov $2, %esi
    call put_decimal
    movzwl rtc_fields(, %rbx, 2), %edi
    call fingerprint_add
    movzbl clock_separators(%rbx), %edi
    call putc
    inc %ebx
    cmp $6, %ebx
    jb 1b
    ret

show_random:
    call random
    jnc 2f
    SAY text_random
    mov $3, %ebx
1:  call random
    push %rax
    mov %rax, %rdi
    call fingerprint_add
    mov $' ', %dil
    call putc
    pop %rdi
    mov $16, %esi
    call put_hex
    dec %ebx
    jnz 1b
    mov $'\n', %dil
    jmp putc
2:  SAY text_no_random
    ret

# The sieve of Eratosthenes, one byte a number, and the CRC-32 of those bytes.
sieve:
    mov ticks, %r12
    mov $composite, %edi
    xor %eax, %eax
    mov $SIEVE_END, %ecx
    rep stosb
    movw $0x0101, composite
    mov $2, %ebx
1:  cmpb $0, composite(%rbx)
    jne 3f
    mov %rbx, %rax
    imul %rbx, %rax
2:  cmp $SIEVE_END, %rax
    jae 3f
    movb $1, composite(%rax)
    add %rbx, %rax
    jmp 2b
3:  inc %ebx
    cmp $SIEVE_END, %ebx
    jb 1b
    xor %eax, %eax                   # count
    xor %ebx, %ebx
4:  cmpb $1, composite(%rbx)
    adc $0, %eax
    inc %ebx
    cmp $SIEVE_END, %ebx
    jb 4b
    mov %eax, %ebx
    SAY text_primes
    NUMBER %rbx
    mov $composite, %edi
    mov $SIEVE_END, %esi
    call crc32
    mov %eax, %ebx
    SAY text_crc
    mov %ebx, %edi
    mov $8, %esi
    call put_hex
    SAY text_interrupted
    mov ticks, %rdi
    sub %r12, %rdi
    mov $1, %esi
    call put_decimal
    SAY text_times
    ret

run_tasks:
    SAY text_tasks
    cli                              # both are there before the first one runs
    mov $1, %edi
    mov $collatz, %esi
    call spawn
    mov $2, %edi
    mov $pi, %esi
    call spawn
    sti
    jmp wait_for_tasks

conversation:
    SAY text_question
    call time_stamp
    mov %rax, %r13
    call read_line
    test %eax, %eax
    js 1f
    call time_stamp
    sub %r13, %rax
    mov %rax, %r13
    SAY text_answer
    SAY line
    SAY text_took
    NUMBER %r13
    SAY text_cycles
    ret
1:  SAY text_silence
    ret

# read_line: keyboard or serial line into `line`, echoed; its length in eax, -1 when nobody answers.
read_line:
    mov ticks, %r14
    add $ANSWER_SECONDS * TICKS_PER_SECOND, %r14
    xor %ebx, %ebx
1:  mov %r14, %rdi
    call get_input
    test %eax, %eax
    js 4f
    cmp $'\r', %al
    je 3f
    cmp $'\n', %al
    je 3f
    cmp $127, %al
    je 2f
    cmp $8, %al
    je 2f
    cmp $' ', %al
    jb 1b
    cmp $LINE_SIZE - 1, %ebx
    jae 1b
    mov %al, line(%rbx)
    inc %ebx
    mov %eax, %edi
    call putc
    jmp 1b
2:  test %ebx, %ebx
    jz 1b
    dec %ebx
    SAY text_rub_out
    jmp 1b
3:  mov $'\n', %dil
    call putc
    mov %ebx, %eax
4:  movb $0, line(%rbx)
    ret

    .section .rodata
text_hello:       .asciz "jitrr demo guest: in long mode\n"
text_tasks:       .asciz "two programs in ring 3 take turns\n"
text_cycles:      .asciz " clock cycles to answer.\n"

    .bss
line:      .skip LINE_SIZE
    .balign 16
composite: .skip SIEVE_END
