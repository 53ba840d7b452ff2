"""What tests of gdb's steps by ranges share: an interrupt in a recording, and what steps make of it."""

from __future__ import annotations

from runtime.debug.gdb.session import Session
from runtime.debug.subject import ReplaySubject
from runtime.timeline.travel import Travel

#: The register and bit that tell whether interrupts are open, and its value when they are.
_OPEN = {"x86_64": ("eflags", 0x200, 0x200), "i386": ("eflags", 0x200, 0x200), "arm": ("cpsr", 0x80, 0)}
#: Timers that may go off until one interrupts, and instructions after one until it does.
_TIMERS, _STEPS = 300, 40
#: How far on to look where no timer is set.
_FAR = 100_000


def check_range_past_an_interrupt(travel: Travel) -> None:
    """From where ``travel`` is on, to the next interrupt of a timer: a single step ends in its handler, the step of a
    range behind the instruction that it went before."""
    subject = ReplaySubject(travel)
    target = subject.target
    at = _interrupted(travel, subject)
    before = target.pc
    told: list[bool] = []
    session = Session(subject, None, print, told.append)
    assert session.handle(b"s").startswith(b"T05") and not _is_open(subject)
    assert travel.icount == at + 1 or subject.machine.halted_at is not None
    travel.seek(at)
    assert session.handle(f"vCont;r{before:x},{before + 1:x}:1".encode()).startswith(b"T05")
    assert told == [True, False] * 2 and _is_open(subject) and target.pc != before
    travel.back()
    assert target.pc == before and travel.icount > at + 1


def _is_open(subject: ReplaySubject) -> bool:
    register, bit, value = _OPEN[subject.target.arch]
    return subject.target.read_register(register) & bit == value


def _interrupted(travel: Travel, subject: ReplaySubject) -> int:
    """The next position whose instruction an interrupt goes before; ``travel`` is there."""
    for _ in range(_TIMERS):
        due = travel.machine.clock.next_deadline()
        travel.seek(travel.icount + _FAR if due is None else due)
        for _ in range(_STEPS):
            at, pc, was_open = travel.icount, subject.target.pc, _is_open(subject)
            travel.step()
            if was_open and not _is_open(subject) and not 0 < subject.target.pc - pc <= 15:
                travel.seek(at)
                return at
    raise AssertionError("no timer interrupts here")
