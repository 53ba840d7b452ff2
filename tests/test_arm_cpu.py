"""The ARM processor seen from its machine: interrupts, waiting, services, time, reset, canonical state."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from arm_machine import RAM_BASE, SHIFT, BareMachine

from frontends.arm import cp15, cpuid
from frontends.arm import state as st
from frontends.arm.cpu import ArmCpu
from frontends.arm.state import A, F, I
from jitrr.engine.exits import Exit

CODE, VECTORS = RAM_BASE + 0x8000, RAM_BASE + 0x1000
NOP, WFI, HERE, SVC_0, UDF = 0xE320F000, 0xE320F003, 0xEAFFFFFE, 0xEF000000, 0xE7F000F0
CPSIE_IF, CPSID_IF, MOVS_PC_LR, SUBS_PC_LR_4 = 0xF10800C0, 0xF10C00C0, 0xE1B0F00E, 0xE25EF004
#: MRRC p15, 1, r0, r1, c14: the virtual counter. MRC p15, 0, r0, c14, c3, 1; MCR of the same.
READ_COUNTER, READ_TIMER, WRITE_TIMER = 0xEC510F1E, 0xEE1E0F33, 0xEE0E0F33
#: MRC p15, 0, r0, c0, c0, 5; MRC p15, 1, r1, c9, c0, 2.
READ_MPIDR, READ_L2CTLR = 0xEE100FB0, 0xEE391F50
SLOTS = {1: "undefined", 2: "svc", 3: "prefetch abort", 4: "data abort", 6: "irq", 7: "fiq"}


@pytest.fixture(scope="module")
def shared() -> BareMachine:
    return BareMachine(1 << 20)


@pytest.fixture
def machine(shared: BareMachine) -> BareMachine:
    """In Supervisor mode at CODE, masked; every vector waits for ever."""
    shared.ram[:] = bytes(len(shared.ram))
    shared.engine.flush_code()
    shared.cpu.reset()
    shared.cpu.set("irq", 0)
    shared.cpu.set("vbar", VECTORS)
    shared.put(VECTORS, *[HERE] * 8)
    shared.cpu.enter_flat(CODE)
    shared.engine.set_icount(0)
    return shared


def go(machine: BareMachine, *words: int, until: int = 100) -> Exit:
    machine.put(CODE, *words)
    return machine.engine.run(until)


def vector(machine: BareMachine) -> str:
    return SLOTS[(machine.cpu.get("pc") - VECTORS) // 4]


@pytest.mark.parametrize(("irq", "masks", "taken"), [
    (I, 0, "irq"), (F, 0, "fiq"), (I | F, 0, "fiq"), (I | F, F, "irq"), (I | F, I, "fiq"), (I | F, I | F, ""),
    (I, I, ""),
])  # fmt: skip
def test_which_interrupt_is_taken(machine: BareMachine, irq: int, masks: int, taken: str) -> None:
    cpu = machine.cpu
    cpu.set("irq", irq)
    cpu.set_cpsr(st.M_SVC | masks)
    assert cpu.take_interrupts() == bool(taken)
    if not taken:
        assert cpu.get("pc") == CODE
        return
    assert vector(machine) == taken
    fiq = taken == "fiq"
    assert cpu.cpsr == (st.M_FIQ | A | I | F if fiq else st.M_IRQ | A | I | masks)
    assert cpu.get("gpr", 14) == CODE + 4
    assert cpu.get("spsr", st.BANK_FIQ if fiq else st.BANK_IRQ) == st.M_SVC | masks
    assert machine.engine.icount == 0


def test_enabling_interrupts_stops_the_run_at_the_next_instruction(machine: BareMachine) -> None:
    machine.cpu.set("irq", I)
    assert go(machine, NOP, CPSIE_IF, NOP, NOP, HERE) == Exit.REQUEST
    assert (machine.engine.icount, machine.cpu.get("pc")) == (2, CODE + 8)


def test_a_return_that_unmasks_stops_the_run(machine: BareMachine) -> None:
    """Also by way of the saved status register."""
    machine.cpu.set("irq", I)
    machine.cpu.set("spsr", st.M_SVC, st.BANK_SVC)
    machine.cpu.set("gpr", CODE + 0x40, 14)
    assert go(machine, MOVS_PC_LR) == Exit.REQUEST
    assert (machine.engine.icount, machine.cpu.get("pc")) == (1, CODE + 0x40)


def test_masked_interrupts_wait(machine: BareMachine) -> None:
    machine.cpu.set("irq", I | F)
    assert go(machine, CPSID_IF, NOP, HERE) == Exit.BUDGET
    assert machine.engine.icount == 100


def test_an_interrupt_and_back(machine: BareMachine) -> None:
    cpu = machine.cpu
    cpu.set_cpsr(st.M_USR | st.Z)
    cpu.set("gpr", 0x1234, 13)
    cpu.engine.call("update_mode")
    machine.put(VECTORS + 24, SUBS_PC_LR_4)
    cpu.set("irq", I)
    assert cpu.take_interrupts()
    cpu.set("irq", 0)
    go(machine, NOP, NOP, HERE, until=2)
    assert (cpu.get("pc"), cpu.cpsr, cpu.get("gpr", 13)) == (CODE + 4, st.M_USR | st.Z, 0x1234)


def test_wfi_leaves_behind_itself(machine: BareMachine) -> None:
    assert go(machine, NOP, WFI, HERE) == Exit.HALT
    assert (machine.engine.icount, machine.cpu.get("pc")) == (2, CODE + 8)


def test_an_exception_takes_the_time_of_an_instruction(machine: BareMachine) -> None:
    go(machine, NOP, SVC_0, until=2)
    assert (vector(machine), machine.cpu.get("gpr", 14)) == ("svc", CODE + 8)
    assert machine.engine.icount == 2


@pytest.mark.parametrize("instruction", [SVC_0, UDF])
def test_a_handler_that_faults_for_ever_can_be_stopped(machine: BareMachine, instruction: int) -> None:
    machine.put(VECTORS, *[instruction] * 8)
    assert go(machine, instruction, until=1000) == Exit.BUDGET
    assert machine.engine.icount == 1000


def test_vectors_that_are_not_mapped_can_be_stopped(machine: BareMachine) -> None:
    """The prefetch abort's vector aborts: the processor goes round."""
    machine.cpu.set("sctlr", cpuid.SCTLR_RESET | 1)
    machine.cpu.set("ttbr0", RAM_BASE + 0x40000)
    machine.engine.call("flush_tlb")
    assert machine.engine.run(1000) == Exit.BUDGET
    assert (machine.engine.icount, vector(machine)) == (1000, "prefetch abort")
    assert (machine.cpu.get("ifsr"), machine.cpu.get("ifar")) == (5, VECTORS + 12)


@pytest.mark.parametrize("place", [1, 5, 33])
def test_the_counter_is_the_instruction_count(machine: BareMachine, place: int) -> None:
    """At any place of a block, and however the run is stopped."""
    machine.engine.set_icount(1 << 33)
    go(machine, *[NOP] * (place - 1), READ_COUNTER, HERE, until=(1 << 33) + 50)
    ticks = ((1 << 33) + place - 1 << SHIFT) >> cpuid.COUNTER_SHIFT
    assert machine.cpu.get("gpr", 0) | machine.cpu.get("gpr", 1) << 32 == ticks


def test_the_timer_is_the_boards(machine: BareMachine) -> None:
    machine.cpu.set("gpr", 3, 0)
    go(machine, WRITE_TIMER, HERE)
    assert machine.timer.registers[cp15.T_CNTV_CTL] == 3
    machine.timer.registers[cp15.T_CNTV_CTL] = 0xFFFFFFFF_00000007
    machine.cpu.set("pc", CODE)
    machine.engine.set_icount(0)
    go(machine, READ_TIMER, HERE)
    assert machine.cpu.get("gpr", 0) == 7


def test_reset(machine: BareMachine) -> None:
    cpu = machine.cpu
    for name in ("ttbr0", "vbar", "dacr", "exclusive", "fpexc", "contextidr"):
        cpu.set(name, 0x5A5A)
    cpu.set("gpr", 7, 3)
    cpu.set_cpsr(st.M_FIQ | st.TBIT | st.N)
    cpu.reset()
    first = cpu.state_bytes()
    assert (cpu.cpsr, cpu.get("pc"), cpu.get("sctlr")) == (st.M_SVC | A | I | F, 0, cpuid.SCTLR_RESET)
    assert (cpu.get("gpr", 3), cpu.get("ttbr0"), cpu.get("mode")) == (0, 0, st.MODE_DEFAULT_FP)
    cpu.reset()
    assert cpu.state_bytes() == first


@pytest.mark.parametrize(("number", "processors", "l2ctlr"), [
    (0, 1, 0), (0, 2, 0x01800000), (1, 2, 0x01800000), (3, 4, 0x03800000), (7, 8, 0x07800000),
])  # fmt: skip
def test_which_processor_it_is(machine: BareMachine, number: int, processors: int, l2ctlr: int) -> None:
    cpu = ArmCpu(machine.engine, machine, SHIFT, number, processors)
    cpu.enter_flat(CODE)
    go(machine, READ_MPIDR, READ_L2CTLR, HERE)
    assert (cpu.get("gpr", 0), cpu.get("gpr", 1)) == (0x80000000 | number, l2ctlr)
    machine.cpu.reset()
    assert machine.cpu.get("mpidr") == 0x80000000


@pytest.mark.parametrize("thumb", [0, 1])
def test_a_processor_switched_on_by_firmware(machine: BareMachine, thumb: int) -> None:
    cpu = ArmCpu(machine.engine, machine, SHIFT, 1, 2)
    for name in ("sctlr", "vbar", "ttbr0", "dacr", "exclusive", "fpexc", "tpidruro"):
        cpu.set(name, 0x5A5A)
    fill(machine, st.M_FIQ)
    machine.timer.registers[:] = [3] * 6
    cpu.start(CODE | thumb, 0xFFFF1234)
    state = cpu.state_bytes()
    assert (cpu.cpsr, cpu.get("pc"), cpu.get("gpr")) == (st.M_SVC | A | I | F | thumb << 5, CODE, 0xFFFF1234)
    assert (cpu.get("sctlr"), cpu.get("vbar"), cpu.get("mpidr")) == (cpuid.SCTLR_RESET, 0, 0x80000001)
    assert [machine.timer.registers[each] for each in (cp15.T_CNTP_CTL, cp15.T_CNTV_CTL)] == [0, 0]
    cpu.reset()
    cpu.set("gpr", 0xFFFF1234)
    cpu.enter_flat(CODE | thumb)
    assert cpu.state_bytes() == state


def test_linux_is_entered_as_it_wants(machine: BareMachine) -> None:
    machine.cpu.reset()
    machine.cpu.enter_linux(RAM_BASE + 0x10000, 0xFFFFFFFF, RAM_BASE + 0x20000)
    registers = machine.cpu.registers()
    assert [registers[n] for n in ("r0", "r1", "r2", "pc")] == [0, 0xFFFFFFFF, RAM_BASE + 0x20000, RAM_BASE + 0x10000]
    machine.cpu.enter_flat(CODE | 1)
    assert machine.cpu.get("mode") & st.MODE_THUMB and machine.cpu.get("pc") == CODE


def fill(machine: BareMachine, mode: int) -> None:
    """A state in which every register is another number."""
    cpu = machine.cpu
    for k, name in enumerate(("banked_r13", "banked_r14", "spsr", "user_r8", "fiq_r8", "gpr")):
        for n in range(st.LAYOUT.counts[name] if name != "gpr" else 15):
            cpu.set(name, 1000 * (k + 1) + n, n)
    cpu.set_cpsr(mode | st.N | st.VBIT | st.QBIT | 0xA0000 | 0x0600FC00 | st.TBIT)
    cpu.engine.call("update_mode")


@pytest.mark.parametrize("mode", [st.M_USR, st.M_SYS, st.M_FIQ, st.M_IRQ, st.M_SVC, st.M_ABT, st.M_UND])
def test_the_state_goes_round(machine: BareMachine, mode: int) -> None:
    fill(machine, mode)
    state, registers, flags = machine.cpu.state_bytes(), machine.cpu.registers(), machine.cpu.cpsr
    machine.cpu.reset()
    assert machine.cpu.state_bytes() != state
    machine.cpu.restore_bytes(state)
    assert machine.cpu.state_bytes() == state
    assert (machine.cpu.registers(), machine.cpu.cpsr) == (registers, flags)
    assert machine.cpu.get("mode") & st.MODE_USER == (st.MODE_USER if mode == st.M_USR else 0)


@pytest.mark.parametrize("mode", [st.M_USR, st.M_FIQ, st.M_SVC])
def test_what_is_stale_is_no_state(machine: BareMachine, mode: int) -> None:
    """The places of the banked registers that are in use now say nothing."""
    fill(machine, mode)
    state, bank = (
        machine.cpu.state_bytes(),
        {st.M_USR: st.BANK_USER, st.M_FIQ: st.BANK_FIQ, st.M_SVC: st.BANK_SVC}[mode],
    )
    machine.cpu.set("banked_r13", 1, bank)
    machine.cpu.set("banked_r14", 1, bank)
    machine.cpu.set("fiq_r8" if mode == st.M_FIQ else "user_r8", 1, 2)
    machine.cpu.set("t", 1)
    assert machine.cpu.state_bytes() == state
    machine.cpu.set("banked_r13", 1, st.BANK_UND)
    assert machine.cpu.state_bytes() != state


def test_a_state_of_another_version_is_refused(machine: BareMachine) -> None:
    with pytest.raises(ValueError, match="bytes of processor state"):
        machine.cpu.restore_bytes(machine.cpu.state_bytes() + b"x")
