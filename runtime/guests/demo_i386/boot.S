# Entry in 32-bit protected mode as the Multiboot specification 0.6.96 (3.2) says: flat segments, paging and interrupts
# off. Builds page tables, switches paging on, and goes to the kernel proper.
.include "layout.inc"
.include "multiboot.inc"

    .text
    .globl _start
_start:
    cli
    cld
    mov $kernel_stack_top, %esp
    mov %eax, loader_magic
    mov %ebx, loader_info

# The first 4 MiB map to themselves in 4 KiB pages, the next 12 MiB in 4 MiB pages; for the kernel, but for one page.
    mov $low_table, %edi
    mov $3, %eax                                                 # present, writable
    mov $1024, %ecx
1:  stosl
    add $PAGE, %eax
    loop 1b
    orb $4, low_table + 4 * (V86_PAGE / PAGE)                    # user
    movl $low_table + 7, page_directory
    movl $0x400083, page_directory + 4
    movl $0x800083, page_directory + 8
    movl $0xC00083, page_directory + 12

# The second GiB begins with ring 3: its text in read-only pages, one stack page a program.
    movl $user_table + 7, page_directory + 4 * (USER_TEXT >> 22)
    mov $user_table, %edi
    mov $user_load + 5, %eax                                     # present, read-only, user
    mov $user_pages, %ecx
2:  stosl
    add $PAGE, %eax
    loop 2b
    mov $user_table + 4 * (USER_STACKS - USER_TEXT) / PAGE, %edi
    movl $user_stacks + 7, (%edi)
    movl $user_stacks + PAGE + 7, 4(%edi)

# 4 MiB pages, then paging with write protection; the FPU raises exceptions of its own.
    mov %cr4, %eax
    or $0x10, %eax
    mov %eax, %cr4
    mov $page_directory, %eax
    mov %eax, %cr3
    mov %cr0, %eax
    and $~0x4, %eax                                              # no x87 emulation
    or $0x80010023, %eax                                         # PG, WP, NE, MP, PE
    mov %eax, %cr0
    lgdt gdt_pointer
    ljmp $KERNEL_CODE, $1f
1:  mov $KERNEL_DATA, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    xor %eax, %eax
    mov %eax, %fs
    mov %eax, %gs
    call main
    jmp power_off

    .data
    .balign 8
    .globl gdt
gdt:
    .quad 0
    .quad 0x00CF9B000000FFFF         # kernel code
    .quad 0x00CF93000000FFFF         # kernel data
    .quad 0x00CFFB000000FFFF         # user code
    .quad 0x00CFF3000000FFFF         # user data
    .rept TASKS + 1
    .quad 0x0000890000000067         # task state segments; their bases are filled in later
    .endr
gdt_end:

    .balign 4
gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt

    .globl loader_magic, loader_info
loader_magic: .long 0
loader_info:  .long 0

    .bss
    .balign PAGE
    .globl page_directory, kernel_stack_top
page_directory:   .skip PAGE
low_table:        .skip PAGE
user_table:       .skip PAGE
user_stacks:      .skip PAGE * 2
kernel_stack:     .skip 2 * PAGE
kernel_stack_top:
