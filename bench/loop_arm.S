@ The loops of loop.S for the virt board: A32 code, entered as an ELF image. Capital letters on the PL011 mark the time before
@ and behind each loop; what a loop computed is printed too.
    .syntax unified
    .arm
    .arch armv7-a
    .set WORDS, 16384                @ 64 KiB: a loop over memory that stays in the host's caches

    .text
    .globl _start
_start:
    ldr sp, =stack_end
    mov r0, #'A'
    bl put

@ Registers: 8 instructions an iteration, 1000 * ROUNDS iterations.
    ldr r2, =1000 * ROUNDS
    mov r0, #1
    mov r1, #1
    mov r3, #1
    mov r4, #1
1:  add r0, r0, r0, lsl #2
    add r0, r0, r2
    eor r1, r1, r0
    add r3, r3, r1
    ror r4, r4, #29
    eor r4, r4, r2
    subs r2, r2, #1
    bne 1b
    eor r3, r3, r4
    mov r0, #'B'
    bl put_result

@ Memory: 6 instructions an iteration, about 1000 * ROUNDS iterations.
    ldr r2, =1000 * ROUNDS / WORDS
    mov r3, #1
    ldr r5, =array_end
2:  ldr r4, =array
3:  ldr r0, [r4]
    add r3, r3, r0
    str r3, [r4]
    add r4, r4, #4
    cmp r4, r5
    bne 3b
    subs r2, r2, #1
    bne 2b
    mov r0, #'C'
    bl put_result

@ Branches: Collatz sequences of the starts up to 10 * ROUNDS.
    ldr r2, =10 * ROUNDS
    mov r3, #0
4:  mov r0, r2
5:  cmp r0, #1
    beq 8f
    add r3, r3, #1
    tst r0, #1
    beq 6f
    add r0, r0, r0, lsl #1
    add r0, r0, #1
    b 5b
6:  lsr r0, r0, #1
    b 5b
8:  subs r2, r2, #1
    bne 4b
    mov r0, #'D'
    bl put_result

    ldr r0, =0x84000008              @ PSCI: SYSTEM_OFF
    .arch_extension virt
    hvc #0
9:  wfi
    b 9b

@ put_result: the letter in r0, then r3 in eight letters.
put_result:
    push {r4, lr}
    bl put
    mov r4, #8
1:  ror r3, r3, #28
    and r0, r3, #15
    add r0, r0, #'a'
    bl put
    subs r4, r4, #1
    bne 1b
    pop {r4, pc}

put:
    ldr r1, =0x09000000
    str r0, [r1]
    bx lr

    .ltorg
    .bss
    .balign 4096
array:     .skip 4 * WORDS
array_end:
stack:     .skip 4096
stack_end:
