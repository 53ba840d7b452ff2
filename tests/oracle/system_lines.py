"""Cases of system instructions in one line of text each (see system_state): what random ones seldom hit."""

from __future__ import annotations


def _lines(text: str) -> tuple[str, ...]:
    return tuple(line for line in text.strip().splitlines() if line and line[0] != "#")


#: Inputs; what comes out is Unicorn's answer, corrected.
ASKED = _lines("""
# TSD counts at levels 1 and 2 too
p32.1 0f31 "rdtsc" cr4=63c
p32.1 0f01f9 "rdtscp" cr4=63c
# targets beyond the limit, L and D both set
p32.0 9a1359c0290800 "lcall 8, 0x29c05913"
c32.3 f2ff1b "bnd call ptr [ebx]" rbx=46e0 [46e0]=ffff0000e102
c32.3 ff1b "call ptr [ebx]" rbx=46e0 [46e0]=ffff0000e102
c32.0 cb "retf" [7800]=10000000d20200000078000014000000
p32.0 cb "retf" [7800]=0000010008000000
# stacks: null, absent, another level's
l64.0 8ed0 "mov ss, eax" rax=1
l64.0 480fb203 "lss rax, [rbx]" rbx=4100 [4100]=11223344556677880200
l64.0 48cb "retfq" [7800]=1000000000000000110000000000000000780000000000000000000000000000
l64.0 48cb "retfq" [7800]=1000000000000000630000000000000000780000000000003f00000000000000
l64.0 48cf "iretq" [7800]=1000000000000000630000000000000002020000000000000078000000000000 [7820]=3f00000000000000
l64.0 48cf "iretq" [7800]=1000000000000000110000000000000002020000000000000078000000000000 [7820]=0000000000000000
l64.0 48cf "iretq" [7800]=0000000000008000630000000000000002020000000000000078000000000000 [7820]=3f00000000000000
# values that registers do not take
p32.0 0f22d8 "mov cr3, eax" rax=20000
l64.0 0f22c0 "mov cr0, rax" rax=33
p32.0 0f22c0 "mov cr0, eax" rax=80000032
p32.0 0f30 "wrmsr" rcx=c0000080 rax=100
l64.0 0f30 "wrmsr" rcx=174 rax=12345678
l64.0 0f30 "wrmsr" rcx=277 rax=2
l64.0 0f23f0 "mov dr6, rax" rax=100000000
l64.0 0f23f8 "mov dr7, rax" rax=d400
l64.0 480f07 "sysretq" rcx=800000000000 efer=501
l64.0 480f35 "sysexitq" rcx=7000 rdx=800000000000 sysenter_cs=8
c32.0 0f00d8 "ltr ax" rax=348
p32.0 0f00d8 "ltr ax" rax=0
""")

#: With what comes out, after the section of the manual's volume 2 that has the instruction: Unicorn checks no limits,
#: reads and writes far transfers' frames as the supervisor, and has no other way to #SS.
WRITTEN = _lines("""
# volume 3, 5.3: limits of 16-bit segments
p16.0 0f011f "lidt [bx]" rbx=fffd -> fault=13:0
p16.0 0fb40f "lfs cx, ptr [bx]" rbx=fffd -> fault=13:0
real 0fb40f "lfs cx, ptr [bx]" rbx=fffd -> fault=13:-
p16.0 cf "iret" rsp=fffd -> fault=12:0
p16.0 cb "retf" rsp=fffd -> fault=12:0
p16.0 6d "insw word ptr es:[di], dx" rdi=ffff -> fault=13:0
# volume 3, 4.6: frames are read and written at the level of the instruction
l64.3 48ff1b "lcall [rbx]" rbx=4100 rsp=7000 [4100]=10000000000000006300 -> cr2=6ff8 fault=14:7
p32.3 cb "retf" rsp=9000 -> cr2=9000 fault=14:5
p32.3 cf "iretd" rsp=9000 -> cr2=9000 fault=14:5
# RET: what it releases is unsigned
l64.0 48caffff "retfq 0xffff" [7800]=10000000000000004800000000000000 -> rsp=1780f rip=10
# HLT goes on behind it; INVLPG and WBINVD do nothing
l64.0 f4 "hlt" ->
l64.0 0f013b "invlpg [rbx]" rbx=b000 ->
""")
