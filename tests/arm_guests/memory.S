@ Translation: what the tables allow, in both formats, by instructions of privileged and user mode; CP15 around it.

        .include "guest.inc"

        .equ TABLE, 0x40300000          @ first-level table of short descriptors
        .equ SECOND, 0x40308000         @ second-level table of the page under test
        .equ LONG, 0x40310000           @ of long descriptors: 4 entries; then second and third level
        .equ PAGE, 0x40400000           @ the page under test
        .equ PLACE, 0x50003000          @ where it is mapped
        .equ NOWHERE, 0x0f000010

        .macro barrier
        dsb
        isb
        .endm

        .macro sctlr set=0, clear=0
        mrc     p15, 0, r0, c1, c0, 0
        .if \clear
        set     r1, (\clear)
        bic     r0, r0, r1
        .endif
        .if \set
        set     r1, (\set)
        orr     r0, r0, r1
        .endif
        mcr     p15, 0, r0, c1, c0, 0
        isb
        .endm

        @ Forget translations, as processors want that are not coherent.
        .macro flush
        dsb
        mov     r0, #0
        mcr     p15, 0, r0, c8, c7, 0
        barrier
        .endm

main:   push    {lr}
        @ what CP15 says
        .macro  id name, crn, op1, crm, op2
        mrc     p15, \op1, r4, \crn, \crm, \op2
        value   "\name", r4
        .endm
        id      "MIDR", c0, 0, c0, 0
        id      "CTR", c0, 0, c0, 1
        id      "TCMTR", c0, 0, c0, 2
        id      "TLBTR", c0, 0, c0, 3
        id      "MPIDR", c0, 0, c0, 5
        id      "ID_PFR0", c0, 0, c1, 0
        id      "ID_PFR1", c0, 0, c1, 1
        id      "ID_DFR0", c0, 0, c1, 2
        id      "ID_MMFR0", c0, 0, c1, 4
        id      "ID_MMFR1", c0, 0, c1, 5
        id      "ID_MMFR2", c0, 0, c1, 6
        id      "ID_MMFR3", c0, 0, c1, 7
        id      "ID_ISAR0", c0, 0, c2, 0
        id      "ID_ISAR1", c0, 0, c2, 1
        id      "ID_ISAR2", c0, 0, c2, 2
        id      "ID_ISAR3", c0, 0, c2, 3
        id      "ID_ISAR4", c0, 0, c2, 4
        id      "CLIDR", c0, 1, c0, 1
        id      "SCTLR", c1, 0, c0, 0
        id      "CPACR", c1, 0, c0, 2
        id      "TTBCR", c2, 0, c0, 2
        .irp    level, 0, 1, 2
        mov     r4, #\level
        mcr     p15, 2, r4, c0, c0, 0
        id      "CCSIDR", c0, 1, c0, 0
        .endr
        set     r4, 0x12345678
        .macro  keeps name, crn, op1, crm, op2
        mcr     p15, \op1, r4, \crn, \crm, \op2
        mrc     p15, \op1, r5, \crn, \crm, \op2
        value   "\name keeps", r5
        .endm
        keeps   "TPIDRURW", c13, 0, c0, 2
        keeps   "TPIDRURO", c13, 0, c0, 3
        keeps   "TPIDRPRW", c13, 0, c0, 4
        keeps   "CONTEXTIDR", c13, 0, c0, 1
        keeps   "DFAR", c6, 0, c0, 0
        keeps   "IFAR", c6, 0, c0, 2
        keeps   "MAIR0", c10, 0, c2, 0
        keeps   "CNTKCTL", c14, 0, c1, 0
        try     "user TPIDRURW", "bl to_user ; mrc p15, 0, r4, c13, c0, 2 ; mcr p15, 0, r4, c13, c0, 2 ; svc #0"
        try     "user TPIDRURO", "bl to_user ; mrc p15, 0, r4, c13, c0, 3 ; mcr p15, 0, r4, c13, c0, 3"
        try     "user TPIDRPRW", "bl to_user ; mrc p15, 0, r4, c13, c0, 4"
        try     "user barrier", "bl to_user ; mcr p15, 0, r4, c7, c10, 5 ; svc #0"
        sctlr   clear=0x20
        try     "user barrier that is switched off", "bl to_user ; mcr p15, 0, r4, c7, c10, 5 ; svc #0"
        sctlr   set=0x20
        mov     r4, #0
        mcr     p15, 0, r4, c14, c1, 0
        try     "user counter", "bl to_user ; mrrc p15, 1, r4, r5, c14"
        mov     r4, #2
        mcr     p15, 0, r4, c14, c1, 0
        try     "user counter, allowed", "bl to_user ; mrrc p15, 1, r4, r5, c14 ; svc #0"
        try     "user timer", "bl to_user ; mrc p15, 0, r4, c14, c3, 1"
        try     "no such register", "mrc p15, 0, r4, c1, c0, 5"
        try     "coprocessor 7", "mrc p7, 0, r4, c0, c0, 0"

        @ -- where no device is
        try     "nowhere, read", "set r4, NOWHERE ; mov r5, #7 ; ldr r5, [r4, #4]"
        value   "nowhere, register", r5
        try     "nowhere, write", "set r4, NOWHERE ; strb r5, [r4, #3]"
        try     "nowhere, LDRT", "set r4, NOWHERE ; ldrt r5, [r4]"
        try     "nowhere, LDM", "set r4, NOWHERE ; ldm r4!, {r5, r6}"
        value   "nowhere, base", r4
        try     "nowhere, STRD", "set r4, NOWHERE ; strd r6, r7, [r4]"

        try     "nowhere, fetch", "set r4, NOWHERE ; bx r4"

        @ -- short descriptors: all of memory as sections of domain 0, for both; PLACE through SECOND in domain 3
        set     r4, TABLE
        mov     r5, #0
        set     r6, 0xc02               @ section, AP = 3
1:      orr     r7, r6, r5, lsl #20
        str     r7, [r4, r5, lsl #2]
        add     r5, r5, #1
        cmp     r5, #4096
        bne     1b
        set     r7, (SECOND | 3 << 5 | 1)
        set     r2, (PLACE >> 20 << 2)
        str     r7, [r4, r2]
        .irp    at, 0x7f0, 0x37f0       @ large pages and sections map PLACE to the second
        set     r7, (PAGE + \at)
        set     r6, 0xe12fff1e          @ bx lr
        str     r6, [r7]
        mov     r6, #0x5a
        str     r6, [r7, #4]
        .endr
        mcr     p15, 0, r4, c2, c0, 0
        mov     r0, #0
        mcr     p15, 0, r0, c2, c0, 2
        set     r0, 0x55555555
        mcr     p15, 0, r0, c3, c0, 0
        flush
        sctlr   set=1

        .macro  matrix name, entry
        set     r7, (\entry)
        set     r6, (SECOND + (PLACE >> 12 & 0xff) * 4)
        str     r7, [r6]
        flush
        bl      six
        value   "\name", r9
        .endm
        .irp    ap, 0x000, 0x010, 0x020, 0x030, 0x200, 0x210, 0x220, 0x230
        matrix  "small page, AP \ap", PAGE | \ap | 2
        matrix  "small page, XN, AP \ap", PAGE | \ap | 3
        matrix  "large page, AP \ap", PAGE | \ap | 1
        .endr
        matrix  "large page, XN", PAGE | 0x8031
        matrix  "no page", 0
        try     "data abort, privileged read", "set r4, (PLACE + 5) ; ldrb r5, [r4]"
        try     "data abort, privileged write", "set r4, (PLACE + 5) ; strb r5, [r4]"
        try     "data abort, user read", "bl to_user ; set r4, (PLACE + 5) ; ldrb r5, [r4]"
        try     "data abort in T32", "set r4, (PLACE) ; adr r0, 1f + 1 ; bx r0 ; .thumb ; nop ; 1: ldr r5, [r4] ; .arm"
        try     "data abort across pages", "set r4, (PLACE - 2) ; ldr r5, [r4]"
        try     "prefetch abort", "set r4, (PLACE) ; bx r4"
        try     "prefetch abort in T32", "set r4, (PLACE + 3) ; bx r4"
        try     "prefetch abort of half an instruction", "set r4, (PLACE - 2) ; set r5, 0xf000 ; strh r5, [r4] ; orr r4, r4, #1 ; bx r4"
        set     r6, (SECOND + (PLACE >> 12 & 0xff) * 4)
        set     r7, (PAGE | 0x212)      @ privileged, read-only
        str     r7, [r6]
        flush
        try     "permission, user read", "bl to_user ; set r4, (PLACE + 8) ; ldr r5, [r4]"
        try     "permission, privileged write", "set r4, (PLACE + 8) ; str r5, [r4]"
        try     "permission, LDRT", "set r4, (PLACE + 8) ; ldrt r5, [r4]"
        try     "permission, STM", "set r4, (PLACE - 8) ; stm r4!, {r5-r8}"
        try     "permission, fetch", "bl to_user ; set r4, (PLACE + 0x7f0) ; bx r4"
        .irp    dacr, 0x55555515, 0x55555595, 0x555555d5
        set     r0, \dacr
        mcr     p15, 0, r0, c3, c0, 0
        isb
        bl      six
        value   "domain \dacr", r9
        .endr
        set     r0, 0x55555515
        mcr     p15, 0, r0, c3, c0, 0
        isb
        try     "domain, read", "set r4, (PLACE + 8) ; ldr r5, [r4]"
        try     "domain, write", "set r4, (PLACE + 8) ; str r5, [r4]"
        try     "domain, fetch", "set r4, (PLACE + 8) ; bx r4"
        set     r0, 0x55555555
        mcr     p15, 0, r0, c3, c0, 0
        isb
        @ PXN
        set     r4, TABLE
        set     r7, (SECOND | 3 << 5 | 4 | 1)
        set     r2, (PLACE >> 20 << 2)
        str     r7, [r4, r2]
        matrix  "PXN", PAGE | 0x32
        @ the access flag
        sctlr   set=(1 << 29)
        .irp    ap, 0x000, 0x010, 0x020, 0x030, 0x220, 0x230
        matrix  "access flag, AP \ap", PAGE | \ap | 2
        .endr
        sctlr   clear=(1 << 29)
        @ sections and supersections
        .irp    bits, 0x0c02, 0x0402, 0x0802, 0x8402, 0x8c02, 0x0c12, 0x0c03, 0x0002
        set     r4, TABLE
        set     r7, (0x40400000 | \bits | 3 << 5)
        set     r2, (PLACE >> 20 << 2)
        str     r7, [r4, r2]
        flush
        bl      six
        value   "section \bits", r9
        .endr
        set     r4, (TABLE + (PLACE >> 20 << 2))
        set     r7, (0x40000000 | 0x40c02)
        mov     r5, #16
1:      str     r7, [r4], #4
        subs    r5, r5, #1
        bne     1b
        flush
        set     r4, (PLACE + 0x400000 - 0x3000 + 0x7f4)
        ldr     r5, [r4]
        value   "supersection", r5
        @ translation by CP15
        .macro  ats name, address, op2
        set     r4, (\address)
        mcr     p15, 0, r4, c7, c8, \op2
        isb
        mrc     p15, 0, r5, c7, c4, 0
        tst     r5, #1
        bicne   r5, r5, #0xff0
        biceq   r5, r5, #0x7f0          @ no attributes
        biceq   r5, r5, #0x00e
        value   "\name", r5
        .endm
        set     r4, TABLE
        set     r7, (SECOND | 3 << 5 | 1)
        set     r2, (PLACE >> 20 << 2)
        str     r7, [r4, r2]
        set     r6, (SECOND + (PLACE >> 12 & 0xff) * 4)
        set     r7, (PAGE | 0x22)       @ user reads
        str     r7, [r6]
        flush
        ats     "ATS1CPR", PLACE + 0x123, 0
        ats     "ATS1CPW", PLACE + 0x123, 1
        ats     "ATS1CUR", PLACE + 0x123, 2
        ats     "ATS1CUW", PLACE + 0x123, 3
        ats     "ATS1CPR, nothing there", PLACE + 0x1000, 0
        @ two tables
        set     r0, TABLE
        mcr     p15, 0, r0, c2, c0, 1
        mov     r0, #2
        mcr     p15, 0, r0, c2, c0, 2
        set     r4, 0x40000000
        isb
        ldr     r5, [r4]
        mov     r5, #1
        value   "TTBR1", r5
        mov     r0, #0
        mcr     p15, 0, r0, c2, c0, 2
        isb
        @ high vectors
        set     r4, TABLE
        set     r7, (0x40500000 | 0xc02)
        set     r6, (0xfff << 2)
        str     r7, [r4, r6]
        set     r4, 0x405f0000
        set     r6, 0xe59ff018          @ ldr pc, [pc, #24]
        mov     r7, #8
1:      str     r6, [r4], #4
        subs    r7, r7, #1
        bne     1b
        .irp    n, 0, 1, 2, 3, 4, 5, 6, 7
        set     r6, (vector\n)
        str     r6, [r4], #4
        .endr
        flush
        sctlr   set=(1 << 13)
        mov     r0, #0
        mcr     p15, 0, r0, c12, c0, 0
        try     "high vectors", "svc #0"
        sctlr   clear=(1 << 13)
        set     r0, vectors
        mcr     p15, 0, r0, c12, c0, 0
        @ alignment
        set     r4, (PAGE + 1)
        ldr     r5, [r4]
        try     "misaligned LDM", "set r4, (PAGE + 2) ; ldm r4, {r5, r6}"
        try     "misaligned LDRD", "set r4, (PAGE + 2) ; ldrd r6, r7, [r4]"
        try     "misaligned LDREX", "set r4, (PAGE + 2) ; ldrex r6, [r4]"
        try     "misaligned STM", "set r4, (PAGE + 2) ; stm r4, {r5, r6}"
        sctlr   set=2
        try     "misaligned LDR", "set r4, (PAGE + 2) ; ldr r5, [r4]"
        try     "misaligned STRH", "set r4, (PAGE + 1) ; strh r5, [r4]"
        sctlr   clear=2

        @ -- long descriptors
        sctlr   clear=1
        set     r4, LONG
        mov     r6, #0
        set     r5, 0x00000741          @ block, AF, AP = 1 (user too)
        mov     r7, #0
        .irp    n, 0, 1, 2, 3
        strd    r6, r7, [r4, #(8 * \n)]
        .endr
        mov     r6, r5
        strd    r6, r7, [r4]
        orr     r6, r5, #0x40000000
        strd    r6, r7, [r4, #8]
        set     r6, (LONG + 0x1000 + 3)
        strd    r6, r7, [r4, #8]
        add     r4, r4, #0x1000         @ second level of 0x40000000
        mov     r1, #0
1:      set     r6, 0x40000741
        add     r6, r6, r1, lsl #21
        add     r2, r4, r1, lsl #3
        strd    r6, r7, [r2]
        add     r1, r1, #1
        cmp     r1, #512
        bne     1b
        set     r6, (LONG + 0x2000 + 3)
        set     r2, (PLACE >> 21 << 3 & 0xfff)
        strd    r6, r7, [r4, r2]
        mov     r0, #0x80000000
        mcr     p15, 0, r0, c2, c0, 2
        set     r0, LONG
        mov     r1, #0
        mcrr    p15, 0, r0, r1, c2
        flush
        sctlr   set=1
        .macro  long name, low, high
        set     r6, (\low)
        set     r7, (\high)
        set     r4, (LONG + 0x2000 + (PLACE >> 12 & 0x1ff) * 8)
        strd    r6, r7, [r4]
        flush
        bl      six
        value   "\name", r9
        .endm
        .irp    ap, 0x00, 0x40, 0x80, 0xc0
        long    "page, AP \ap", PAGE | 0x403 | \ap, 0
        long    "page, AP \ap, XN", PAGE | 0x403 | \ap, 1 << 22
        long    "page, AP \ap, PXN", PAGE | 0x403 | \ap, 1 << 21
        long    "page, AP \ap, no access flag", PAGE | 3 | \ap, 0
        .endr
        long    "reserved", PAGE | 0x441, 0
        long    "invalid", PAGE | 0x442, 0
        try     "long translation, read", "set r4, (PLACE + 8) ; ldr r5, [r4]"
        try     "long translation, write", "set r4, (PLACE + 8) ; str r5, [r4]"
        try     "long translation, fetch", "set r4, (PLACE + 8) ; bx r4"
        try     "long nowhere, read", "set r4, NOWHERE ; ldr r5, [r4, #4]"
        try     "long nowhere, fetch", "set r4, NOWHERE ; bx r4"
        try     "long nowhere, write", "set r4, NOWHERE ; str r5, [r4, #4]"
        try     "long alignment", "set r4, (PAGE + 2) ; ldm r4, {r5, r6}"
        try     "long breakpoint", "bkpt #0"
        long    "write permission", PAGE | 0x403 | 0x80, 0
        try     "long permission, write", "set r4, (PLACE + 8) ; str r5, [r4]"
        try     "long permission, user read", "bl to_user ; set r4, (PLACE + 8) ; ldr r5, [r4]"
        long    "access flag", PAGE | 0x43, 0
        try     "long access flag", "set r4, (PLACE + 8) ; ldr r5, [r4]"
        .irp    bits, 0x08000000, 0x10000000, 0x20000000, 0x40000000
        set     r4, (LONG + 0x1000)
        set     r2, (PLACE >> 21 << 3 & 0xfff)
        set     r6, (LONG + 0x2000 + 3)
        set     r7, \bits
        strd    r6, r7, [r4, r2]
        long    "table \bits", PAGE | 0x443, 0
        .endr
        set     r4, 0xc0000000
        try     "long translation, level 1", "ldr r5, [r4]"
        ats     "long ATS1CPR", PLACE + 0x123, 0
        ats     "long ATS1CPR, nothing there", 0xc0000000, 0
        mrrc    p15, 0, r4, r5, c7
        value   "high half of PAR", r5
        sctlr   clear=1
        pop     {pc}

@ User mode, behind the call; R4 and the rest stay.
to_user:
        mov     r0, #USR
        msr     spsr_cxsf, r0
        movs    pc, lr

@ r9: what PLACE + 0x7f0 allows: a hexadecimal digit for a privileged and one for a user read, write, fetch: the vector.
six:    push    {r4, r8, lr}
        mov     r9, #0
        .macro  attempt code
        set     r1, (resume)
        adr     r0, 9f
        str     r0, [r1]
        set     r4, (PLACE + 0x7f0)
        b       8f
        .balign 8
8:      \code
9:      set     r8, (record)
        ldr     r0, [r8]
        and     r0, r0, #0xf
        orr     r9, r0, r9, lsl #4
        mov     r0, #0xff
        str     r0, [r8]
        .endm
        attempt "ldr r5, [r4, #4]"
        attempt "str r5, [r4, #4]"
        attempt "adr lr, 7f ; bx r4 ; 7: nop"
        attempt "bl to_user ; ldr r5, [r4, #4] ; svc #0"
        attempt "bl to_user ; str r5, [r4, #4] ; svc #0"
        attempt "bl to_user ; adr lr, 7f ; bx r4 ; 7: svc #0"
        pop     {r4, r8, pc}
