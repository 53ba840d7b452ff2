@ Four processors: what each says of itself, firmware calls, the interrupt controller, exclusives, what one sees of what
@ another does. Processor 0 tells the others, one after the other, what to do; who does something prints.

        .include "guest.inc"

        .equ GICD, 0x08000000
        .equ GICC, 0x08010000
        .equ COUNT, 4
        .equ TABLE, 0x40300000          @ first-level table
        .equ PLACE, 0x50000000          @ a section of it that moves
        .equ FIRST, 0x40400000          @ from here
        .equ THEN, 0x40500000           @ to here
        .equ CPU_OFF, 0x84000002
        .equ CPU_ON, 0x84000003
        .equ AFFINITY_INFO, 0x84000004
        .equ TIMER_BIT, 1 << 27         @ the virtual timer's PPI

        .macro psci function, a=0, b=0, c=0
        set     r0, \function
        set     r1, \a
        set     r2, \b
        set     r3, \c
        hvc     #0
        .endm

        @ Print what firmware answers.
        .macro  asks name, function, a=0, b=0, c=0
        psci    \function, \a, \b, \c
        value   "\name", r0
        .endm

        @ Start a processor, wait until it is idle, then print what firmware said.
        .macro  start cpu, entry, context
        mov     r0, #\cpu
        mov     r1, #1
        bl      ask
        psci    CPU_ON, \cpu, \entry, \context
        mov     r4, r0
        mov     r0, #\cpu
        bl      await
        value   "CPU_ON of \cpu", r4
        .endm

        .macro here reg                 @ the number of the processor
        mrc     p15, 0, \reg, c0, c0, 5
        and     \reg, \reg, #0xff
        .endm

        .macro get reg, address
        set     \reg, (\address)
        ldr     \reg, [\reg]
        .endm

        .macro put address, number      @ r0 and r1 are lost
        set     r0, (\address)
        set     r1, (\number)
        str     r1, [r0]
        .endm

        .macro on cpu, what             @ let a processor do something, and wait
        mov     r0, #\cpu
        set     r1, \what
        bl      ask
        mov     r0, #\cpu
        bl      await
        .endm

        .macro each what, cpus:vararg
        .irp    cpu, \cpus
        on      \cpu, \what
        .endr
        .endm

main:   push    {lr}
        bl      say_self
        asks    "AFFINITY_INFO of 0", AFFINITY_INFO, 0
        asks    "AFFINITY_INFO of 1", AFFINITY_INFO, 1
        asks    "AFFINITY_INFO of 4", AFFINITY_INFO, 4
        asks    "AFFINITY_INFO of all", AFFINITY_INFO, 0, 1
        asks    "CPU_ON of 0", CPU_ON, 0, entry
        asks    "CPU_ON of 4", CPU_ON, 4, entry
        asks    "CPU_ON of another cluster", CPU_ON, 0x100, entry
        start   1, entry, 0xc0ffee01
        start   2, entry, 0xc0ffee02
        start   3, entry_thumb + 1, 0xc0ffee03
        asks    "CPU_ON of 1 again", CPU_ON, 1, entry
        asks    "AFFINITY_INFO of 1", AFFINITY_INFO, 1
        bl      controller
        bl      software_interrupts
        bl      shared_interrupts
        bl      private_timers
        bl      exclusives
        bl      memory
        bl      debug
        bl      off_and_on
        pop     {pc}

@ -- turns by hand ------------------------------------------------------------------------------------------------------
ask:    set     r2, (mailbox)           @ r0: the processor, r1: a function
        add     r2, r2, r0, lsl #2
        dmb
        str     r1, [r2]
        dsb
        sev
        bx      lr

await:  set     r2, (mailbox)           @ until processor r0 has nothing to do
        add     r2, r2, r0, lsl #2
1:      ldr     r1, [r2]
        cmp     r1, #0
        wfene
        bne     1b
        dmb
        bx      lr

        .balign 4
        .thumb
entry_thumb:                            @ T32; BX to an even address leaves it
        adr     r1, entry
        bx      r1
        .balign 4
        .arm
entry:  mrs     r4, cpsr                @ what another processor begins with
        mov     r5, r0
        here    r6
        set     sp, (stacks)
        add     sp, sp, r6, lsl #10
        value   "processor", r6
        value   "context", r5
        bic     r4, r4, #0xf0000000
        value   "CPSR", r4
        mrc     p15, 0, r4, c1, c0, 0
        value   "SCTLR", r4
        mrc     p15, 0, r4, c12, c0, 0
        value   "VBAR", r4
        bl      say_self
        set     r7, (mailbox)
        add     r7, r7, r6, lsl #2
idle:   mov     r1, #0
        dmb
        str     r1, [r7]
        dsb
        sev
1:      ldr     r1, [r7]
        cmp     r1, #0
        wfeeq
        beq     1b
        dmb
        blx     r1
        b       idle

say_self:
        push    {r4, r5, lr}
        mrc     p15, 0, r4, c0, c0, 5
        value   "MPIDR", r4
        mrc     p15, 1, r4, c9, c0, 2
        value   "L2CTLR", r4
        mrc     p15, 0, r4, c14, c3, 1
        value   "CNTV_CTL", r4
        get     r4, GICD + 4
        value   "TYPER", r4
        get     r4, GICD + 0x800
        value   "private targets", r4
        pop     {r4, r5, pc}

@ -- the interrupt controller -------------------------------------------------------------------------------------------
controller:
        push    {r4, lr}
        get     r4, GICD + 0x820
        value   "shared targets", r4
        put     GICD + 0x820, 0xff05f081
        get     r4, GICD + 0x820
        value   "shared targets", r4
        put     GICD + 0x820, 0
        put     GICD, 1
        bl      interface
        each    interface, 1, 2, 3
        bl      say_private
        each    say_private, 1, 2, 3
        pop     {r4, pc}

interface:
        push    {r4, lr}
        here    r4
        put     GICC + 4, 0xf0
        put     GICC, 1
        set     r0, (GICD + 0x41c)      @ priorities of interrupts 28 to 31
        mov     r1, r4, lsl #4
        str     r1, [r0]
        cmp     r4, #2
        bne     1f
        put     GICD + 0x100, 0x40000000
1:      pop     {r4, pc}

say_private:
        push    {r4, lr}
        here    r4
        value   "banked, of processor", r4
        get     r4, GICD + 0x41c
        value   " priorities", r4
        get     r4, GICD + 0x100
        value   " enabled", r4
        get     r4, GICD + 0x200
        value   " pending", r4
        pop     {r4, pc}

@ What is taken, and ended at once.
take:   push    {r4, r5, lr}
        get     r5, GICC + 0x18
        get     r4, GICC + 0x0c
        here    r0
        value   "taken by processor", r0
        value   " it is", r4
        movw    r0, #0x3ff
        and     r5, r5, r0
        value   " and was shown as", r5
        set     r0, (GICC + 0x10)
        str     r4, [r0]
        pop     {r4, r5, pc}

software_interrupts:
        push    {r4, lr}
        line    "SGI 3 from 0 to 1, 2, 3"
        bl      print_end
        put     GICD + 0xf00, 0x000e0003
        bl      take
        each    take, 1, 2, 3
        line    "SGI 5 from 2 to all others"
        bl      print_end
        on      2, broadcast
        bl      take
        each    take, 1, 2, 3
        line    "SGI 7 from 1, 2, 3 to 0"
        bl      print_end
        each    to_first, 3, 1, 2
        get     r4, GICD + 0xf24
        value   "sources", r4
        .rept   4
        bl      take
        .endr
        get     r4, GICD + 0xf24
        value   "sources", r4
        line    "SGI 9 to those who send it, which wait"
        bl      print_end
        mov     r0, #3
        set     r1, sleep
        bl      ask
1:      get     r0, asleep
        cmp     r0, #1
        bne     1b
        put     GICD + 0xf00, 0x00080009
        mov     r0, #3
        bl      await
        each    self_sent, 1, 2
        bl      take
        pop     {r4, pc}

broadcast:
        set     r0, (GICD + 0xf00)
        set     r1, 0x01000005
        str     r1, [r0]
        bx      lr
to_first:
        set     r0, (GICD + 0xf00)
        set     r1, 0x00010007
        str     r1, [r0]
        bx      lr
self_sent:
        push    {lr}
        put     GICD + 0xf00, 0x02ff0009
        dsb
        wfi
        bl      take
        pop     {pc}
sleep:  push    {lr}
        put     asleep, 1
        dsb
1:      wfi
        get     r0, GICC + 0x18
        movw    r1, #0x3ff
        and     r0, r0, r1
        cmp     r0, r1
        beq     1b
        bl      take
        pop     {pc}

shared_interrupts:
        push    {r4, lr}
        put     GICD + 0x428, 0x40404040
        put     GICD + 0x104, 0x00000100
        line    "SPI 40 to 2"
        bl      print_end
        put     GICD + 0x828, 0x04
        put     GICD + 0x204, 0x100
        bl      take
        each    take, 1, 2, 3
        line    "SPI 40 to all"
        bl      print_end
        put     GICD + 0x828, 0x0f
        put     GICD + 0x204, 0x100
        each    take, 3, 1, 2
        bl      take
        line    "SPI 40 to nobody, then to 1"
        bl      print_end
        put     GICD + 0x828, 0
        put     GICD + 0x204, 0x100
        bl      take
        on      1, take
        put     GICD + 0x828, 2
        on      1, take
        pop     {r4, pc}

private_timers:
        push    {lr}
        line    "the timer of 2"
        bl      print_end
        each    timer_on, 2
        bl      say_timer
        each    say_timer, 1, 2, 3
        each    timer_off, 2
        pop     {pc}

timer_on:
        mov     r0, #0
        mcr     p15, 0, r0, c14, c3, 0
        mov     r0, #1
        mcr     p15, 0, r0, c14, c3, 1
        isb
        bx      lr
timer_off:
        push    {lr}
        put     GICD + 0x100, TIMER_BIT
        bl      take
        mov     r0, #0
        mcr     p15, 0, r0, c14, c3, 1
        isb
        bl      take
        pop     {pc}
say_timer:
        push    {r4, lr}
        mrc     p15, 0, r4, c14, c3, 1
        value   "CNTV_CTL", r4
        get     r4, GICD + 0x200
        value   " pending", r4
        pop     {r4, pc}

@ -- exclusives ---------------------------------------------------------------------------------------------------------
exclusives:
        push    {r4, lr}
        .irp    cpu, 1, 2, 3
        mov     r0, #\cpu
        set     r1, count
        bl      ask
        .endr
        bl      count
        .irp    cpu, 1, 2, 3
        mov     r0, #\cpu
        bl      await
        .endr
        get     r4, counter
        value   "counted one by one", r4
        get     r4, guarded
        value   "counted under a lock", r4
        mov     r0, #1
        set     r1, half
        bl      ask
1:      get     r0, halfway
        cmp     r0, #1
        bne     1b
        put     counter, 0x1234
        dmb
        put     halfway, 2
        mov     r0, #1
        bl      await
        get     r4, counter
        value   "it is", r4
        pop     {r4, pc}

count:  push    {r4-r6, lr}
        set     r4, 5000
        set     r5, (counter)
1:      ldrex   r0, [r5]
        add     r0, r0, #1
        strex   r1, r0, [r5]
        cmp     r1, #0
        bne     1b
        subs    r4, r4, #1
        bne     1b
        set     r4, 1000
        set     r5, (lock)
        set     r6, (guarded)
2:      ldrex   r0, [r5]
        cmp     r0, #0
        wfene
        bne     2b
        mov     r0, #1
        strex   r1, r0, [r5]
        cmp     r1, #0
        bne     2b
        dmb
        ldr     r0, [r6]
        add     r0, r0, #1
        str     r0, [r6]
        dmb
        mov     r0, #0
        str     r0, [r5]
        dsb
        sev
        subs    r4, r4, #1
        bne     2b
        pop     {r4-r6, pc}

half:   push    {r4, r5, lr}            @ processor 0 writes between load and store
        set     r5, (counter)
        set     r3, (halfway)
        mov     r1, #1
        ldrex   r0, [r5]
        str     r1, [r3]
1:      ldr     r1, [r3]
        cmp     r1, #2
        bne     1b
        strex   r4, r0, [r5]
        value   "an exclusive store behind another's", r4
        pop     {r4, r5, pc}

@ -- what one sees of what another does ---------------------------------------------------------------------------------
memory: push    {r4, lr}
        on      1, call_changed
        put     changed, 0xe3a00002     @ mov r0, #2
        bl      clean
        on      1, call_changed
        put     changed, 0xe3a00003
        bl      clean
        bl      call_changed
        each    call_changed, 2, 1

        put     FIRST, 0x1111
        put     THEN, 0x2222
        set     r0, (TABLE)
        set     r1, 0xc02               @ sections, everybody may write
        mov     r2, #4096
1:      str     r1, [r0], #4
        add     r1, r1, #0x100000
        subs    r2, r2, #1
        bne     1b
        put     TABLE + (PLACE >> 18), FIRST | 0xc02
        dsb
        bl      mmu_on
        each    mmu_on, 1, 2
        bl      look
        each    look, 1, 2
        put     TABLE + (PLACE >> 18), THEN | 0xc02
        dsb
        set     r0, PLACE
        mcr     p15, 0, r0, c8, c3, 1   @ TLBIMVAIS
        dsb
        isb
        each    look, 2, 1
        bl      look
        put     TABLE + (PLACE >> 18), FIRST | 0xc02
        dsb
        mov     r0, #0
        mcr     p15, 0, r0, c8, c3, 0   @ TLBIALLIS
        dsb
        isb
        bl      look
        each    look, 1, 2
        bl      mmu_off
        each    mmu_off, 2, 1
        pop     {r4, pc}

clean:  set     r0, (changed)
        mcr     p15, 0, r0, c7, c11, 1
        dsb
        mov     r0, #0
        mcr     p15, 0, r0, c7, c1, 0   @ ICIALLUIS
        dsb
        isb
        bx      lr

call_changed:
        push    {r4, lr}
        isb
        bl      changed
        mov     r4, r0
        value   "changed code gives", r4
        pop     {r4, pc}
changed:
        mov     r0, #1
        bx      lr

mmu_on: set     r0, (TABLE)
        mcr     p15, 0, r0, c2, c0, 0
        mov     r0, #0
        mcr     p15, 0, r0, c2, c0, 2
        mov     r0, #3
        mcr     p15, 0, r0, c3, c0, 0
        mcr     p15, 0, r0, c8, c7, 0
        dsb
        isb
        mrc     p15, 0, r0, c1, c0, 0
        orr     r0, r0, #1
        mcr     p15, 0, r0, c1, c0, 0
        isb
        bx      lr
mmu_off:
        mrc     p15, 0, r0, c1, c0, 0
        bic     r0, r0, #1
        mcr     p15, 0, r0, c1, c0, 0
        isb
        bx      lr
look:   push    {r4, lr}
        here    r4
        value   "seen by processor", r4
        get     r4, PLACE
        value   " a page moved by 0", r4
        pop     {r4, pc}

@ -- debug registers of one of them ------------------------------------------------------------------------------------
debug:  push    {r4, lr}
        on      1, watch
        bl      touch
        each    touch, 1, 2, 1
        on      1, forget
        each    touch, 1
        pop     {r4, pc}

watch:  set     r0, (vectors)
        mcr     p15, 0, r0, c12, c0, 0
        cps     #ABT
        set     sp, (stack_ABT)
        cps     #SVC
        mov     r0, #0
        mcr     p14, 0, r0, c1, c0, 4   @ DBGOSLAR
        set     r0, (counter)
        mcr     p14, 0, r0, c0, c0, 6   @ DBGWVR0
        set     r0, 0x1f7
        mcr     p14, 0, r0, c0, c0, 7   @ DBGWCR0: stores to the word
        set     r0, spot
        mcr     p14, 0, r0, c0, c0, 4   @ DBGBVR0
        set     r0, 0x1e7
        mcr     p14, 0, r0, c0, c0, 5   @ DBGBCR0
        mov     r0, #0x8000             @ DBGDSCR.MDBGen
        b       dscr
forget: mov     r0, #0
dscr:   mcr     p14, 0, r0, c0, c2, 2
        isb
        bx      lr

touch:  push    {r4, r5, lr}
        here    r4
        value   "touched by processor", r4
        set     r4, (counter)
        mov     r5, #5
        try     " store", "str r5, [r4]"
        try     " call", "bl spot"
        pop     {r4, r5, pc}
spot:   bx      lr

@ -- off and on again ---------------------------------------------------------------------------------------------------
off_and_on:
        push    {r4, lr}
        on      1, spoil
        mov     r0, #1
        set     r1, switch_off
        bl      ask
1:      psci    AFFINITY_INFO, 1
        cmp     r0, #1
        bne     1b
        value   "AFFINITY_INFO of 1", r0
        start   1, entry, 0x1234
        asks    "AFFINITY_INFO of 1", AFFINITY_INFO, 1
        pop     {r4, pc}

spoil:  set     r0, (vectors)           @ what a reset brings back
        mcr     p15, 0, r0, c12, c0, 0
        mov     r0, #1
        mcr     p15, 0, r0, c14, c3, 1
        bx      lr
switch_off:
        psci    CPU_OFF
        value   "still on", r0
        b       .

        .bss
        .balign 8
        .space  1024 * (COUNT - 1)
stacks: .space  1024
mailbox: .space 4 * COUNT
asleep: .space  4
counter: .space 4
guarded: .space 4
lock:   .space  4
halfway: .space 4
