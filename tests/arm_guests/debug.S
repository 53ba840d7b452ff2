@ Debug events: breakpoints, watchpoints and vector catch of CP14, in Monitor debug-mode.

        .include "guest.inc"

        .equ ON, 1
        .equ PL1, 1 << 1
        .equ PL0, 2 << 1
        .equ ANY, 3 << 1
        .equ WORD, 0xf << 5             @ BAS of a word, of both halves of one
        .equ LOW, 0x3 << 5
        .equ HIGH, 0xc << 5
        .equ DOUBLE, 0xff << 5
        .equ LOADS, 1 << 3
        .equ STORES, 2 << 3
        .equ BOTH, 3 << 3
        .equ LINKED4, 1 << 20 | 4 << 16
        .equ CONTEXT, 2 << 20
        .equ MISMATCH, 4 << 20
        .equ PLACE, 0x40300000

        .macro breakpoint n, address, control
        set     r4, (\address)
        mcr     p14, 0, r4, c0, c\n, 4
        set     r4, (\control)
        mcr     p14, 0, r4, c0, c\n, 5
        isb
        .endm

        .macro watchpoint n, address, control
        set     r4, (\address)
        mcr     p14, 0, r4, c0, c\n, 6
        set     r4, (\control)
        mcr     p14, 0, r4, c0, c\n, 7
        isb
        set     r4, PLACE
        .endm

        .macro dscr value
        set     r4, (\value)
        mcr     p14, 0, r4, c0, c2, 2
        isb
        .endm

        .macro context value
        set     r4, (\value)
        mcr     p15, 0, r4, c13, c0, 1
        isb
        .endm

        .macro id name, crn, op1, crm, op2
        mrc     p14, \op1, r9, \crn, \crm, \op2
        value   "\name", r9
        .endm

        .macro keeps name, crn, op1, crm, op2
        mvn     r4, #0
        mcr     p14, \op1, r4, \crn, \crm, \op2
        id      "\name keeps", \crn, \op1, \crm, \op2
        mov     r4, #0
        mcr     p14, \op1, r4, \crn, \crm, \op2
        .endm

        @ An exception, and DBGDSCR.MOE with what else is in there.
        .macro event name, code
        try     "\name", "\code"
        id      "  DBGDSCR", c0, 0, c1, 0
        .endm

main:   push    {lr}
        @ -- registers
        id      "DBGDIDR", c0, 0, c0, 0
        try     "DBGDEVID", "mrc p14, 0, r9, c7, c2, 7"
        id      "DBGDRAR", c1, 0, c0, 0
        id      "DBGOSLSR", c1, 0, c1, 4
        event   "BKPT", "bkpt #1"
        breakpoint 0, spot, ON | ANY | WORD
        dscr    1 << 15
        event   "locked", "bl spot"
        mov     r4, #0
        mcr     p14, 0, r4, c1, c0, 4
        isb
        id      "DBGOSLSR, unlocked", c1, 0, c1, 4
        dscr    0
        event   "not monitored", "bl spot"
        breakpoint 0, 0, 0
        keeps   "DBGBVR3", c0, 0, c3, 4
        keeps   "DBGBCR3", c0, 0, c3, 5
        keeps   "DBGBVR5", c0, 0, c5, 4
        keeps   "DBGWVR1", c0, 0, c1, 6
        keeps   "DBGWCR1", c0, 0, c1, 7
        keeps   "DBGVCR", c0, 0, c7, 0
        try     "DBGBVR6", "mrc p14, 0, r4, c0, c6, 4"
        try     "DBGWCR4", "mrc p14, 0, r4, c0, c4, 7"
        try     "claim", "mov r4, #0xf0 ; mcr p14, 0, r4, c7, c8, 6"
        try     "claim no longer", "mov r4, #0x30 ; mcr p14, 0, r4, c7, c9, 6"
        try     "claimed", "mrc p14, 0, r9, c7, c9, 6"
        value   "  which", r9
        try     "may be claimed", "mrc p14, 0, r9, c7, c8, 6"
        value   "  which", r9
        try     "user DBGDIDR", "bl to_user ; mrc p14, 0, r4, c0, c0, 0 ; svc #0"
        try     "user DBGBVR0", "bl to_user ; mrc p14, 0, r4, c0, c0, 4 ; svc #0"
        dscr    1 << 12
        try     "user DBGDIDR, not allowed", "bl to_user ; mrc p14, 0, r4, c0, c0, 0 ; svc #0"
        dscr    1 << 15

        @ -- breakpoints
        breakpoint 0, spot, ON | ANY | WORD
        event   "breakpoint", "bl spot"
        event   "one further", "bl spot + 4"
        event   "in user mode", "bl to_user ; bl spot ; svc #0"
        breakpoint 0, spot, ON | PL0 | WORD
        event   "of user mode", "bl spot"
        event   "of user mode, there", "bl to_user ; bl spot ; svc #0"
        breakpoint 0, spot, ON | PL1 | WORD
        event   "of PL1", "bl spot"
        event   "of PL1, in user mode", "bl to_user ; bl spot ; svc #0"
        breakpoint 0, spot, ON | WORD
        event   "of some modes", "bl spot"
        event   "of some modes, in another", "cps #IRQ ; bl spot ; cps #SVC"
        breakpoint 0, spot, ON | ANY | HIGH
        event   "half an instruction", "bl spot + 4"
        breakpoint 0, condition, ON | ANY | WORD
        event   "condition", "cmp r0, r0 ; bl condition"
        breakpoint 0, thumb, ON | ANY | LOW
        event   "first half", "blx thumb"
        breakpoint 0, thumb, ON | ANY | HIGH
        event   "second half", "blx thumb"
        breakpoint 0, thumb + 4, ON | ANY | LOW
        event   "in an IT block", "blx thumb"
        breakpoint 0, thumb + 8, ON | ANY | WORD
        event   "wide", "blx thumb"
        breakpoint 0, spot, ON | ANY | WORD | LINKED4
        breakpoint 4, 0x1234, ON | ANY | WORD | 3 << 20
        event   "other context", "bl spot"
        context 0x1234
        event   "context", "bl spot"
        breakpoint 4, 0x1234, ANY | WORD | 3 << 20
        event   "context that is off", "bl spot"
        breakpoint 0, spot, ON | ANY | WORD | 1 << 20
        event   "context that is none", "bl spot"
        breakpoint 0, 0, 0
        breakpoint 5, 0x1234, ON | PL0 | WORD | CONTEXT
        event   "user mode of the context", "bl to_user ; mov r5, #1 ; svc #0"
        context 0
        event   "user mode of none", "bl to_user ; mov r5, #1 ; svc #0"
        breakpoint 5, 0, 0
        breakpoint 1, 1f, ON | PL0 | WORD | MISMATCH
        event   "mismatch", "bl to_user ; b 1f ; 1: mov r5, #1 ; svc #0"
        breakpoint 1, 0, 0
        breakpoint 0, spot - 8, ON | ANY | 5 << 24
        event   "range", "bl spot"
        breakpoint 0, 0, 0

        @ -- watchpoints
        set     r4, PLACE
        set     r5, 0x89abcdef
        str     r5, [r4]
        str     r5, [r4, #4]
        mov     r5, #7
        watchpoint 0, PLACE, ON | ANY | BOTH | WORD
        event   "read", "ldr r5, [r4]"
        value   "  register", r5
        event   "write", "str r5, [r4], #4"
        value   "  base", r4
        set     r4, PLACE
        event   "beside", "ldr r6, [r4, #4]"
        event   "before", "ldrb r6, [r4, #-1]"
        event   "byte", "ldrb r5, [r4, #3]"
        event   "half a word", "strh r5, [r4, #2]"
        event   "across", "ldr r5, [r4, #-2]"
        event   "LDM", "sub r4, r4, #8 ; ldm r4!, {r5-r8}"
        value   "  base", r4
        set     r4, PLACE
        event   "STRD", "sub r4, r4, #4 ; strd r6, r7, [r4]"
        set     r4, PLACE
        event   "PLD", "pld [r4]"
        event   "LDREX", "ldrex r5, [r4]"
        event   "SWP-like", "ldrex r5, [r4, #0] ; strex r6, r5, [r4]"
        event   "user mode", "bl to_user ; ldr r5, [r4] ; svc #0"
        watchpoint 0, PLACE, ON | ANY | LOADS | WORD
        event   "loads, write", "str r5, [r4]"
        event   "loads, read", "ldr r5, [r4]"
        watchpoint 0, PLACE, ON | ANY | STORES | WORD
        event   "stores, read", "ldr r6, [r4]"
        event   "stores, write", "str r5, [r4]"
        watchpoint 0, PLACE, ON | PL0 | BOTH | WORD
        event   "of user mode", "ldr r6, [r4]"
        event   "of user mode, LDRT", "ldrt r6, [r4]"
        event   "of user mode, STRT", "strt r6, [r4]"
        event   "of user mode, there", "bl to_user ; ldr r6, [r4] ; svc #0"
        watchpoint 0, PLACE, ON | ANY | BOTH | DOUBLE
        event   "second word", "ldr r6, [r4, #4]"
        event   "third word", "ldr r6, [r4, #8]"
        watchpoint 0, PLACE, ON | ANY | BOTH | 4 << 5
        event   "third byte", "ldrb r6, [r4, #2]"
        event   "second byte", "ldrb r6, [r4, #1]"
        watchpoint 0, PLACE, ON | ANY | BOTH | 6 << 24 | DOUBLE
        event   "range", "ldr r6, [r4, #60]"
        event   "beyond it", "ldr r6, [r4, #64]"
        watchpoint 3, PLACE, ON | ANY | BOTH | WORD | LINKED4
        watchpoint 0, 0, 0
        event   "context that is off", "ldr r6, [r4]"
        breakpoint 4, 0x5678, ON | ANY | WORD | 3 << 20
        context 0x5678
        set     r4, PLACE
        event   "context", "ldr r6, [r4]"
        breakpoint 4, 0, 0
        watchpoint 3, 0, 0
        ldr     r5, [r4]
        value   "not written", r5
        watchpoint 2, 0x0f000000, ON | ANY | BOTH | WORD
        event   "where nothing is", "set r4, 0x0f000000 ; ldr r6, [r4]"
        watchpoint 2, 0, 0

        @ -- vector catch
        mov     r4, #(1 << 2 | 1 << 4)
        mcr     p14, 0, r4, c0, c7, 0
        isb
        event   "SVC that is caught", "svc #0"
        event   "undefined", "udf #0"
        event   "abort", "set r4, 0x0f000000 ; ldr r6, [r4]"
        mov     r4, #0
        mcr     p14, 0, r4, c0, c7, 0
        isb
        event   "SVC", "svc #0"
        pop     {pc}

@ Go on in user mode, unmasked.
to_user:
        mov     r0, #USR
        msr     spsr_cxsf, r0
        movs    pc, lr

        .balign 32
        nop
        nop
spot:   nop
        bx      lr
condition:
        movne   r5, #3
        bx      lr
        .thumb
        .balign 4
thumb:  nop
        nop
        it      eq
        moveq   r5, #2
        movw    r6, #0x1234
        bx      lr
        .arm
