# What the demo guest does, from power-on to power-off.
.include "layout.inc"

.set SIEVE_ROOT, 708              # no square above this is below SIEVE_END
.include "main.inc"

.macro SAY text
    mov $\text, %eax
    call puts
.endm

# Puts the number in eax.
.macro NUMBER digits=1
    mov $\digits, %ecx
    call put_decimal
.endm

    .cfi_sections .debug_frame
    .globl main
main:
    .cfi_startproc
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
    mov fingerprint, %eax
    call put_hex
    SAY text_ticks
    mov ticks, %eax
    NUMBER
    SAY text_bye
    ret
    .cfi_endproc

# How much memory the loader reports (Multiboot 3.3: mem_upper, in KiB above 1 MiB).
show_memory:
    cmpl $MULTIBOOT_LOADED, loader_magic
    jne 1f
    mov loader_info, %ebx
    testb $1, (%ebx)
    jz 1f
    SAY text_memory
    mov 8(%ebx), %eax
    shr $10, %eax
    inc %eax
    NUMBER
    SAY text_mib
1:  ret

show_clock:
    call rtc_read
    SAY text_clock
    xor %ebx, %ebx
1:  movzwl rtc_fields(, %ebx, 2), %eax
    NUMBER 2
    movzwl rtc_fields(, %ebx, 2), %eax
    call fingerprint_add
    mov clock_separators(%ebx), %al
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
1:  mov $' ', %al
    call putc
    call random
    push %eax
    call fingerprint_add
    pop %eax
    call put_hex
    dec %ebx
    jnz 1b
    mov $'\n', %al
    jmp putc
2:  SAY text_no_random
    ret

# The sieve of Eratosthenes, one byte a number, and the CRC-32 of those bytes.
sieve:
    pushl ticks
    mov $composite, %edi
    xor %eax, %eax
    mov $SIEVE_END, %ecx
    rep stosb
    movw $0x0101, composite
    mov $2, %ebx
1:  cmpb $0, composite(%ebx)
    jne 3f
    cmp $SIEVE_ROOT, %ebx
    ja 3f
    mov %ebx, %eax
    imul %ebx, %eax
2:  cmp $SIEVE_END, %eax
    jae 3f
    movb $1, composite(%eax)
    add %ebx, %eax
    jmp 2b
3:  inc %ebx
    cmp $SIEVE_END, %ebx
    jb 1b
    SAY text_primes
    xor %eax, %eax                   # count
    xor %ebx, %ebx
4:  cmpb $1, composite(%ebx)
    adc $0, %eax
    inc %ebx
    cmp $SIEVE_END, %ebx
    jb 4b
    NUMBER
    SAY text_crc
    mov $composite, %edi
    mov $SIEVE_END, %esi
    call crc32
    call put_hex
    SAY text_interrupted
    mov ticks, %eax
    pop %ecx
    sub %ecx, %eax
    NUMBER
    SAY text_times
    ret

run_tasks:
    SAY text_tasks
    cli                              # all are there before the first one runs
    mov $1, %ecx
    mov $collatz, %eax
    call spawn
    mov $2, %ecx
    mov $pi, %eax
    call spawn
    call spawn_v86
    sti
    jmp wait_for_tasks

conversation:
    SAY text_question
    rdtsc
    push %edx
    push %eax
    call read_line
    pop %esi
    pop %edi
    test %eax, %eax
    js 1f
    rdtsc
    sub %esi, %eax
    sbb %edi, %edx
    shrd $10, %edx, %eax             # in units of 1024 cycles, which fit 32 bits
    mov %eax, %esi
    SAY text_answer
    SAY line
    SAY text_took
    mov %esi, %eax
    NUMBER
    SAY text_cycles
    ret
1:  SAY text_silence
    ret

# read_line: keyboard or serial line into `line`, echoed; its length in eax, -1 when nobody answers.
read_line:
    mov ticks, %esi
    add $ANSWER_SECONDS * TICKS_PER_SECOND, %esi
    xor %ebx, %ebx
1:  mov %esi, %eax
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
    mov %al, line(%ebx)
    inc %ebx
    call putc
    jmp 1b
2:  test %ebx, %ebx
    jz 1b
    dec %ebx
    SAY text_rub_out
    jmp 1b
3:  mov $'\n', %al
    call putc
    mov %ebx, %eax
4:  movb $0, line(%ebx)
    ret

    .section .rodata
text_hello:       .asciz "jitrr demo guest: in protected mode\n"
text_tasks:       .asciz "two programs in ring 3 and one in virtual-8086 mode take turns\n"
text_cycles:      .asciz " x 1024 clock cycles to answer.\n"

    .bss
line:      .skip LINE_SIZE
    .balign 16
composite: .skip SIEVE_END
