# Hot integer loops and nothing else: 32-bit code, entered as Multiboot says. Capital letters on COM1 mark the time before
# and behind each loop; what a loop computed is printed too, so that nobody can skip the work. ROUNDS scales them all.
    .section .text
    .code32
    .balign 4
    .long 0x1BADB002, 0, -0x1BADB002

.set WORDS, 16384                    # 64 KiB: a loop over memory that stays in the host's caches

    .globl _start
_start:
    mov $stack_end, %esp
    mov $'A', %al
    call put

# Registers: 8 instructions an iteration, 1000 * ROUNDS iterations.
    mov $1000 * ROUNDS, %ecx
    mov $1, %eax
    mov $1, %ebx
    mov $1, %edx
    mov $1, %esi
1:  lea (%eax, %eax, 4), %eax
    add %ecx, %eax
    xor %eax, %ebx
    add %ebx, %edx
    rol $3, %esi
    xor %ecx, %esi
    dec %ecx
    jnz 1b
    xor %esi, %edx
    mov $'B', %al
    call put_result

# Memory: 6 instructions an iteration, about 1000 * ROUNDS iterations.
    mov $1000 * ROUNDS / WORDS, %ebp
    mov $1, %edx
2:  mov $array, %esi
3:  mov (%esi), %eax
    add %eax, %edx
    mov %edx, (%esi)
    add $4, %esi
    cmp $array_end, %esi
    jne 3b
    dec %ebp
    jnz 2b
    mov $'C', %al
    call put_result

# Branches: Collatz sequences of the starts up to 10 * ROUNDS.
    mov $10 * ROUNDS, %ecx
    xor %edx, %edx
4:  mov %ecx, %eax
5:  cmp $1, %eax
    je 8f
    inc %edx
    test $1, %eax
    jz 6f
    lea 1(%eax, %eax, 2), %eax
    jmp 5b
6:  shr %eax
    jmp 5b
8:  dec %ecx
    jnz 4b
    mov $'D', %al
    call put_result

    mov $0x604, %edx                 # ACPI: the sleep type of jitrr's board, then that of QEMU's
    mov $0x3400, %eax
    out %ax, %dx
    mov $0x2000, %eax
    out %ax, %dx
9:  hlt
    jmp 9b

# put_result: the letter in al, then edx in eight letters.
put_result:
    mov %edx, %ebx
    call put
    mov $8, %ecx
1:  rol $4, %ebx
    mov %bl, %al
    and $15, %al
    add $'a', %al
    call put
    loop 1b
    ret

put:
    mov $0x3F8, %edx
    out %al, %dx
    ret

    .bss
    .balign 4096
array:     .skip 4 * WORDS
array_end:
stack:     .skip 4096
stack_end:
