"""The state of a machine's processors in canonical form: the same bytes however they were run (docs/format.md)."""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from runtime.processors import SAVED, Status

if TYPE_CHECKING:
    from runtime.machine import BoardMachine

#: Of several: version, how many, whose turn it is, whether a reset is asked for, and how many instructions are left of
#: the turn; then each one's.
_SEVERAL = struct.Struct("<4BQ")


def save(machine: BoardMachine) -> bytes:
    """What Machine.cpu_state gives."""
    vcpu, version, icount = machine.vcpu, machine.cpu.state_version, machine.icount
    held_off = machine.held_off(icount)
    if machine.processors == 1:
        flags = [vcpu.status == Status.HALTED, vcpu.nmi_waits, machine.reset_wanted, held_off]
        return bytes([version, *flags]) + machine.cpu.state_bytes()
    vcpu.in_shadow = held_off
    left = max(machine.turn_end - icount, 0)
    parts = [_SEVERAL.pack(version, machine.processors, vcpu.number, machine.reset_wanted, left)]
    for each, cpu in zip(machine.vcpus, machine.cpus, strict=True):
        with machine.looking_at(each.number):
            parts += [each.save(), cpu.state_bytes()]
    return b"".join(parts)


def check(machine: BoardMachine, state: bytes) -> None:
    """ValueError when a state is of another version, or of another number of processors."""
    version = state[0] if state[0] > 1 else 1  # the first one had no number, but a flag there
    if version != machine.cpu.state_version:
        raise ValueError(f"version {version} of the processor's state, not {machine.cpu.state_version}")
    if machine.processors > 1:
        count = _SEVERAL.unpack_from(state)[1]
        if count != machine.processors or (len(state) - _SEVERAL.size) % count:
            raise ValueError(f"a state of {count} processors, not {machine.processors}")


def restore(machine: BoardMachine, state: bytes, icount: int) -> None:
    """The inverse of :func:`save`, of a state that is right; the machine's icount is ``icount`` already."""
    if machine.processors == 1:
        halted, machine.vcpu.nmi_waits, machine.reset_wanted, held_off = (bool(flag) for flag in state[1:5])
        machine.vcpu.status = Status.HALTED if halted else Status.RUNNING
        machine.hold_off(icount, held_off)
        machine.cpu.restore_bytes(state[5:])
        return
    _, count, turn, reset_wanted, left = _SEVERAL.unpack_from(state)
    size = (len(state) - _SEVERAL.size) // count
    for vcpu, cpu in zip(machine.vcpus, machine.cpus, strict=True):
        own = state[_SEVERAL.size + vcpu.number * size :][:size]
        with machine.looking_at(vcpu.number):
            vcpu.restore(own[:SAVED])
            cpu.restore_bytes(own[SAVED:])
    machine.give_turn(machine.vcpus[turn])
    machine.reset_wanted, machine.turn_end = bool(reset_wanted), icount + left
    machine.hold_off(icount, machine.vcpu.in_shadow)
