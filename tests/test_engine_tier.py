"""When regions come: from the cache although not all their code has been run yet, and while nothing is compiled."""

from __future__ import annotations

from bare_machine import BareMachine

from jitrr.engine.tier import SPARING, Tier
from runtime.machines.elf_boot import ElfEntry

CODE, FLAG = 0x10000, 0x20000
#: loop: test byte [FLAG], 1; jnz side; back: dec ecx; jnz loop; hlt; side: inc ebx; jmp back
LOOP = bytes.fromhex("f6050000020001 7505 49 75f4 f4 90 43 ebf8")
SIDE = CODE + 0xE


def looping(flag: int) -> BareMachine:
    """A machine about to run LOOP, which takes the side where the flag is set."""
    machine = BareMachine(4 << 20)
    machine.ram[CODE : CODE + len(LOOP)] = LOOP
    machine.ram[FLAG] = flag
    machine.cpu.reset()
    machine.cpu.enter_flat32(ElfEntry(CODE, 0, 0, 0x1000, 23, 8, 16))
    machine.engine.set_icount(0)
    return machine


def state(machine: BareMachine) -> tuple[int, bytes]:
    return machine.engine.icount, machine.cpu.state_bytes()


def test_a_cached_region_is_put_in_place_before_all_its_blocks_have_been_run() -> None:
    first = looping(1)
    first.engine.tier = Tier(first.engine, 2, 2, synchronous=True)
    first.engine.run(60)
    first.engine.tier.service()
    assert first.engine.counters["regions"] > 0
    first.engine.close()

    second, alone = looping(0), looping(0)
    second.engine.tier = Tier(second.engine, 2, 2, synchronous=True)
    second.engine.run(60)
    assert SIDE not in built(second)
    second.engine.tier.service()
    assert SIDE in built(second) and second.engine.counters["regions"] > 0
    alone.engine.run(60)
    for flag, until in ((0, 10_000), (1, 20_001), (0, 30_002)):
        for machine in (second, alone):
            machine.ram[FLAG] = flag
            machine.engine.run(until)
        assert state(second) == state(alone)
    second.engine.close()


def built(machine: BareMachine) -> set[int]:
    return {key & 0xFFFFFFFF for blocks in machine.engine.blocks_on_page.values() for _, key in blocks}


def test_while_the_tier_is_sparing_only_what_is_run_all_the_time_is_compiled() -> None:
    machine = looping(1)
    tier = machine.engine.tier = Tier(machine.engine, 2, 4)
    tier.spare(True)
    for until in range(40, 4 * SPARING, 40):
        machine.engine.run(until)
        tier.service()
        assert not tier.queue and not tier.waiting and not tier.trace
    for until in range(4 * SPARING, 40 * SPARING, 40):
        machine.engine.run(until)
        tier.service()
    tier.finish()
    assert machine.engine.counters["regions"] > 0
    alone = looping(1)
    alone.engine.run(machine.engine.icount)
    assert state(machine) == state(alone)
    machine.engine.close()
