@ What the demo guest does, from power-on to power-off.
        .include "layout.inc"
        .equ SIEVE_END, 500000
        .equ LINE_SIZE, 64
        .equ ANSWER_SECONDS, 30

        .text
        .macro say text
        set     r0, \text
        bl      puts
        .endm

        .macro number reg, digits=1
        mov     r0, \reg
        mov     r1, #\digits
        bl      put_decimal
        .endm

        .globl main
main:   push    {r4, lr}
        bl      serial_init
        say     text_hello
        bl      gic_init
        bl      keyboard_init
        bl      timer_init
        cpsie   i
        bl      show_memory
        bl      show_clock
        bl      show_random
        bl      sieve
        bl      run_tasks
        bl      conversation
        say     text_fingerprint
        set     r4, fingerprint
        ldr     r0, [r4, #4]
        bl      put_hex
        ldr     r0, [r4]
        bl      put_hex
        say     text_ticks
        set     r4, ticks
        ldr     r4, [r4]
        number  r4
        say     text_bye
        pop     {r4, pc}

@ How much memory the device tree reports: two cells for the address, two for the size.
show_memory:
        push    {r4, lr}
        set     r0, name_memory
        set     r1, name_reg
        bl      property
        cmp     r0, #0
        popeq   {r4, pc}
        ldr     r4, [r0, #12]
        say     text_memory
        rev     r4, r4
        lsr     r4, r4, #20
        number  r4
        say     text_mib
        pop     {r4, pc}

show_clock:
        push    {r4-r6, lr}
        bl      rtc_read
        say     text_clock
        set     r4, rtc_fields
        set     r5, clock_separators
        mov     r6, #6
1:      ldr     r0, [r4]
        mov     r1, #2
        bl      put_decimal
        ldr     r0, [r4], #4
        mov     r1, #0
        bl      fingerprint_add
        ldrb    r0, [r5], #1
        bl      putc
        subs    r6, r6, #1
        bne     1b
        pop     {r4-r6, pc}

@ The loader's seed in the device tree.
show_random:
        push    {r4-r6, lr}
        set     r0, name_chosen
        set     r1, name_seed
        bl      property
        cmp     r0, #0
        beq     2f
        mov     r4, r0
        say     text_random
        mov     r5, #3
1:      ldr     r0, [r4]
        ldr     r1, [r4, #4]
        bl      fingerprint_add
        mov     r0, #' '
        bl      putc
        ldr     r0, [r4], #4
        bl      put_hex
        ldr     r0, [r4], #4
        bl      put_hex
        subs    r5, r5, #1
        bne     1b
        mov     r0, #'\n'
        bl      putc
        pop     {r4-r6, pc}
2:      say     text_no_random
        pop     {r4-r6, pc}

@ The sieve of Eratosthenes, one byte a number, and the CRC-32 of those bytes.
sieve:  push    {r4-r8, lr}
        set     r0, ticks
        ldr     r8, [r0]
        set     r4, composite
        set     r5, SIEVE_END
        mov     r6, #1
        strb    r6, [r4]
        strb    r6, [r4, #1]
        mov     r0, #2
1:      ldrb    r1, [r4, r0]
        cmp     r1, #0
        bne     3f
        umull   r1, r2, r0, r0
        cmp     r2, #0
        bne     3f
2:      cmp     r1, r5
        bhs     3f
        strb    r6, [r4, r1]
        add     r1, r1, r0
        b       2b
3:      add     r0, r0, #1
        cmp     r0, r5
        blo     1b
        mov     r7, #0                  @ count
        mov     r0, #0
4:      ldrb    r1, [r4, r0]
        cmp     r1, #0
        addeq   r7, r7, #1
        add     r0, r0, #1
        cmp     r0, r5
        blo     4b
        say     text_primes
        number  r7
        bl      crc32
        mov     r7, r0
        say     text_crc
        mov     r0, r7
        bl      put_hex
        say     text_interrupted
        set     r0, ticks
        ldr     r0, [r0]
        sub     r8, r0, r8
        number  r8
        say     text_times
        pop     {r4-r8, pc}

@ crc32: of the r5 bytes at r4, in r0; bit by bit, because the point is to keep the processor busy.
crc32:  mvn     r0, #0
        mov     r1, r4
        add     r2, r4, r5
        set     r3, 0xedb88320
1:      ldrb    r12, [r1], #1
        eor     r0, r0, r12
        mov     r12, #8
2:      lsrs    r0, r0, #1
        eorcs   r0, r0, r3
        subs    r12, r12, #1
        bne     2b
        cmp     r1, r2
        blo     1b
        mvn     r0, r0
        bx      lr

run_tasks:
        push    {r4, lr}
        say     text_tasks
        cpsid   i                       @ both are there before the first one runs
        mov     r0, #1
        set     r1, collatz
        bl      spawn
        mov     r0, #2
        set     r1, pi
        bl      spawn
        cpsie   i
        bl      wait_for_tasks
        pop     {r4, pc}

conversation:
        push    {r4, lr}
        say     text_question
        mrrc    p15, 1, r4, r0, c14
        bl      read_line
        cmp     r0, #0
        blt     1f
        mrrc    p15, 1, r1, r0, c14
        sub     r4, r1, r4
        say     text_answer
        say     line
        say     text_took
        number  r4
        say     text_cycles
        pop     {r4, pc}
1:      say     text_silence
        pop     {r4, pc}

@ read_line: keyboard or serial line into `line`, echoed; its length in r0, -1 when nobody answers.
read_line:
        push    {r4-r6, lr}
        set     r4, ticks
        ldr     r4, [r4]
        set     r0, (ANSWER_SECONDS * TICKS_PER_SECOND)
        add     r4, r4, r0
        set     r5, line
        mov     r6, #0
1:      mov     r0, r4
        bl      get_input
        cmp     r0, #0
        blt     4f
        cmp     r0, #'\r'
        cmpne   r0, #'\n'
        beq     3f
        cmp     r0, #127
        cmpne   r0, #8
        beq     2f
        cmp     r0, #' '
        blo     1b
        cmp     r6, #(LINE_SIZE - 1)
        bhs     1b
        strb    r0, [r5, r6]
        add     r6, r6, #1
        bl      putc
        b       1b
2:      cmp     r6, #0
        beq     1b
        sub     r6, r6, #1
        say     text_rub_out
        b       1b
3:      mov     r0, #'\n'
        bl      putc
        mov     r0, r6
4:      mov     r1, #0
        strb    r1, [r5, r6]
        pop     {r4-r6, pc}

        .section .rodata
name_memory:      .asciz "memory@"
name_reg:         .asciz "reg"
name_chosen:      .asciz "chosen"
name_seed:        .asciz "rng-seed"
clock_separators: .ascii "-- ::\n"
text_hello:       .asciz "jitrr demo guest: with MMU and floating point on\n"
text_memory:      .asciz "memory: "
text_mib:         .asciz " MiB\n"
text_clock:       .asciz "clock: "
text_random:      .asciz "random numbers:"
text_no_random:   .asciz "random numbers: the loader has left none\n"
text_primes:      .asciz "primes below 500000: "
text_crc:         .asciz "\nCRC-32 of the sieve: "
text_interrupted: .asciz "\nthe timer interrupted that "
text_times:       .asciz " times\n"
text_tasks:       .asciz "two programs in user mode take turns\n"
text_question:    .asciz "What is your name? "
text_answer:      .asciz "Hello, "
text_took:        .asciz ": you took "
text_cycles:      .asciz " ticks of the clock to answer.\n"
text_silence:     .asciz "\nNobody there.\n"
text_fingerprint: .asciz "fingerprint of everything that came from outside: "
text_ticks:       .asciz "\ntimer ticks: "
text_bye:         .asciz "\npowering off\n"
text_rub_out:     .asciz "\b \b"

        .bss
line:   .space  LINE_SIZE
        .balign 16
composite: .space SIEVE_END
