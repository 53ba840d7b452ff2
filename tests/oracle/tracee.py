"""A process with an empty address space that executes single instructions under ptrace.

The child is any x86-64 program, stopped at its first instruction. Its own memory is then unmapped by system calls
injected into it, and only the pages of the layout stay, shared with this process: what the instruction writes is seen
here without a ptrace call. Signals of the child are caught on a signal stack in shared memory, whose frame gives the
vector, the error code and CR2 (`struct sigcontext` of the Linux ABI). The handler itself is never executed.
"""

from __future__ import annotations

import ctypes
import mmap
import os
import signal
import struct
import sys
from dataclasses import dataclass

_libc = ctypes.CDLL(None, use_errno=True)
_ptrace = _libc.ptrace
_ptrace.restype = ctypes.c_long
_ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]

_TRACEME, _POKETEXT, _SINGLESTEP, _SETOPTIONS, _GETSIGINFO, _SYSEMU_SINGLESTEP = 0, 4, 9, 0x4200, 0x4202, 32
_GETREGS, _SETREGS, _GETFPREGS, _SETFPREGS = 12, 13, 14, 15
_O_TRACESYSGOOD, _O_EXITKILL = 1, 0x100000

REGISTERS = struct.Struct("<27Q")
"""`struct user_regs_struct`: r15 r14 r13 r12 rbp rbx r11 r10 r9 r8 rax rcx rdx rsi rdi orig_rax rip cs rflags rsp ss
fs_base gs_base ds es fs gs."""
FX_SIZE = 512
_RAX, _RIP, _RSP, _RDX = 10, 16, 19, 12

_SYS_MMAP, _SYS_MUNMAP, _SYS_SIGACTION, _SYS_SIGALTSTACK = 9, 11, 13, 131
_SIGNAL_STACK, _SIGNAL_STACK_SIZE = 0x7A00_0000_0000, 0x10000
_ACTION_FLAGS = 0x4C000004  # SA_SIGINFO | SA_RESTORER | SA_ONSTACK | SA_NODEFER
_MAP_FIXED, _MAP_POPULATE = (
    0x10,
    0x8000,
)  # populated, so that a fault's error code never says "not present" for our pages
_SYSCALL_STOP = signal.SIGTRAP | 0x80
_SI_KERNEL = 0x80
FAULT_SIGNALS = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGTRAP)


class TraceError(RuntimeError):
    """The host refused ptrace or a part of it, or the child was lost; the text says which."""


@dataclass(frozen=True)
class Mapping:
    """Pages of the child: address, size and protection (`mmap.PROT_*`)."""

    address: int
    size: int
    protection: int


@dataclass(frozen=True)
class Trap:
    """What the processor reported: vector, error code as pushed (0 where there is none) and CR2."""

    vector: int
    error: int
    cr2: int


class Tracee:
    """One traced child. Use from the thread that made it; `close` (or the end of this process) ends the child.

    Set `registers` (REGISTERS format) and `fx` (the 64-bit FXSAVE image), write memory through `view`, then `step`.
    """

    def __init__(self, mappings: list[Mapping]) -> None:
        """`mappings[0]` must be the executable page. Raises TraceError when the host does not allow it."""
        self.registers = bytearray(REGISTERS.size)
        self.fx = bytearray(FX_SIZE)
        self._registers = (ctypes.c_char * REGISTERS.size).from_buffer(self.registers)
        self._fx = (ctypes.c_char * FX_SIZE).from_buffer(self.fx)
        self._offsets: dict[int, int] = {}
        mappings = [*mappings, Mapping(_SIGNAL_STACK, _SIGNAL_STACK_SIZE, mmap.PROT_READ | mmap.PROT_WRITE)]
        size = 0
        for mapping in mappings:
            self._offsets[mapping.address] = size
            size += mapping.size
        fd = os.memfd_create("oracle", 0)
        os.ftruncate(fd, size)
        self.view = mmap.mmap(fd, size)
        os.set_inheritable(fd, True)
        self._owner, self.pid = os.getpid(), _spawn()
        try:
            self._prepare(mappings, fd)
        except BaseException:
            self.close()
            raise
        finally:
            os.close(fd)

    def offset(self, address: int) -> int:
        """Where in `view` the mapping that starts at `address` begins."""
        return self._offsets[address]

    def step(self) -> Trap | None:
        """Execute one instruction from `registers` and `fx` and leave the result in them; returns its exception, if
        any.

        Raises TraceError when the instruction is a system call (which is not executed).
        """
        pid = self.pid
        self._call(_SETREGS, "set registers", self._registers)
        self._call(_SETFPREGS, "set floating point registers", self._fx)
        stopped = self._resume(_SYSEMU_SINGLESTEP, 0)
        if stopped == _SYSCALL_STOP:
            self._resume(_SYSEMU_SINGLESTEP, 0)
            raise TraceError("the instruction enters the kernel")
        _ptrace(_GETREGS, pid, None, self._registers)
        _ptrace(_GETFPREGS, pid, None, self._fx)
        return None if stopped == signal.SIGTRAP else self._trap(stopped)

    def software_trap(self) -> Trap | None:
        """After a step of INT3 or INT 3, which stop like a plain step: its exception, if it was one."""
        info = bytearray(128)
        self._call(_GETSIGINFO, "read signal information", (ctypes.c_char * 128).from_buffer(info))
        return self._trap(signal.SIGTRAP) if struct.unpack_from("<3i", info)[2] == _SI_KERNEL else None

    def close(self) -> None:
        """End the child. May be called more than once; a fork of this process leaves it alone."""
        if self.pid and os.getpid() == self._owner:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.pid = 0

    def _trap(self, number: int) -> Trap:
        """Deliver signal `number` as far as its frame and read the frame."""
        if number not in FAULT_SIGNALS:
            raise TraceError(f"the child got signal {number}")
        self._resume(_SINGLESTEP, number)
        frame = bytearray(REGISTERS.size)
        self._call(_GETREGS, "read registers", (ctypes.c_char * REGISTERS.size).from_buffer(frame))
        context = REGISTERS.unpack(frame)[_RDX] + 40 - _SIGNAL_STACK + self._offsets[_SIGNAL_STACK]
        error, vector, _, cr2 = struct.unpack_from("<4Q", self.view, context + 152)
        return Trap(vector, error, cr2)

    def _resume(self, request: int, number: int) -> int:
        """Continue the child with a signal (or 0) up to its next stop; returns the signal it stopped with."""
        if _ptrace(request, self.pid, None, number) < 0:
            raise TraceError(f"ptrace: cannot continue the child: {os.strerror(ctypes.get_errno())}")
        _, status = os.waitpid(self.pid, 0)
        if not os.WIFSTOPPED(status):
            self.pid = 0
            raise TraceError(f"the child ended with status {status:#x}")
        return status >> 8

    def _call(self, request: int, what: str, data: ctypes.Array[ctypes.c_char]) -> None:
        if _ptrace(request, self.pid, None, data) < 0:
            raise TraceError(f"ptrace: cannot {what}: {os.strerror(ctypes.get_errno())}")

    def _prepare(self, mappings: list[Mapping], fd: int) -> None:
        """Turn the fresh child into one that holds only `mappings` and catches its faults."""
        if _ptrace(_SETOPTIONS, self.pid, None, _O_TRACESYSGOOD | _O_EXITKILL) < 0:
            raise TraceError("ptrace: options refused")
        self._call(_GETREGS, "read registers", self._registers)
        entry = REGISTERS.unpack(self.registers)[_RIP]
        _ptrace(_POKETEXT, self.pid, entry, 0x9090909090_050F)
        for mapping in mappings:
            where = self._offsets[mapping.address]
            flags = mmap.MAP_SHARED | _MAP_FIXED | _MAP_POPULATE
            self._inject(entry, _SYS_MMAP, mapping.address, mapping.size, mapping.protection, flags, fd, where)
        code = mappings[0].address
        scratch = self._offsets[_SIGNAL_STACK]
        self.view[self._offsets[code] : self._offsets[code] + 2] = b"\x0f\x05"
        self._unmap_others(code, mappings)
        struct.pack_into("<QQQ", self.view, scratch, _SIGNAL_STACK, 0, _SIGNAL_STACK_SIZE)
        self._inject(code, _SYS_SIGALTSTACK, _SIGNAL_STACK, 0)
        struct.pack_into("<QQQQ", self.view, scratch, code, _ACTION_FLAGS, code, 0)
        for number in FAULT_SIGNALS:
            self._inject(code, _SYS_SIGACTION, number, _SIGNAL_STACK, 0, 8)
        self._call(_GETFPREGS, "read floating point registers", self._fx)

    def _unmap_others(self, at: int, mappings: list[Mapping]) -> None:
        keep = {mapping.address for mapping in mappings}
        with open(f"/proc/{self.pid}/maps") as maps:
            regions = [line.split() for line in maps]
        for region in regions:
            start, end = (int(part, 16) for part in region[0].split("-"))
            if start not in keep and region[-1] != "[vsyscall]":
                self._inject(at, _SYS_MUNMAP, start, end - start)

    def _inject(self, at: int, number: int, *arguments: int) -> int:
        """Have the child make one system call with the SYSCALL instruction at `at`; raises TraceError when it fails."""
        values = list(REGISTERS.unpack(self.registers))
        values[15], values[_RAX], values[_RIP] = (1 << 64) - 1, number, at
        for register, value in zip((14, 13, 12, 7, 9, 8), arguments, strict=False):  # rdi rsi rdx r10 r8 r9
            values[register] = value
        REGISTERS.pack_into(self.registers, 0, *values)
        self._call(_SETREGS, "set registers", self._registers)
        stopped = self._resume(_SINGLESTEP, 0)
        self._call(_GETREGS, "read registers", self._registers)
        result = REGISTERS.unpack(self.registers)[_RAX]
        if stopped != signal.SIGTRAP or result >= 1 << 63:
            raise TraceError(f"system call {number} in the child gave {result:#x}")
        return result


def _spawn() -> int:
    """Start a child that stops at its first instruction; returns its process id."""
    pid = os.fork()
    if pid == 0:
        try:
            if _ptrace(_TRACEME, 0, None, None) == 0:
                os.execve(sys.executable, [sys.executable], {})
        finally:
            os._exit(127)
    _, status = os.waitpid(pid, 0)
    if not os.WIFSTOPPED(status):
        raise TraceError("ptrace: not allowed here")
    return pid
