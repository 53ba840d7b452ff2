"""Firmware calls of the virt board, PSCI as ARM DEN 0022D has it."""

from __future__ import annotations

import pytest
from virt_fakes import ArmFakePins

from runtime.devices import psci

ENTRY, CONTEXT = 0x40208000, 0x12345678
INVALID_PARAMETERS, DENIED, ALREADY_ON, ON_PENDING, INVALID_ADDRESS = (-n & 0xFFFFFFFF for n in (2, 3, 4, 5, 9))
NOT_SUPPORTED = 0xFFFFFFFF


class FakeMachine(ArmFakePins):
    """Implements runtime.devices.psci.Machine: processors that do not run."""

    def __init__(self, processors: int = 1) -> None:
        super().__init__()
        self.processors, self.turn = processors, 0
        self.states = ["on"] + ["off"] * (processors - 1)
        self.entries: dict[int, tuple[int, int]] = {}

    def is_on(self, number: int) -> bool:
        return self.states[number] == "on"

    def is_starting(self, number: int) -> bool:
        return self.states[number] == "starting"

    def power_on(self, number: int, entry: int, context: int) -> None:
        assert self.states[number] == "off"
        self.states[number], self.entries[number] = "starting", (entry, context)

    def power_off(self) -> None:
        self.states[self.turn] = "off"

    def begin(self, number: int) -> None:
        """The turn of a processor begins."""
        self.states[number], self.turn = "on", number


def test_one_processor() -> None:
    machine = FakeMachine()
    assert psci.call(machine, psci.VERSION) == 0x10001
    assert psci.call(machine, psci.MIGRATE_INFO_TYPE) == 2
    assert psci.call(machine, psci.CPU_ON, 0, ENTRY) == ALREADY_ON
    assert psci.call(machine, psci.CPU_ON, 1, ENTRY) == INVALID_PARAMETERS, "no such processor"
    assert psci.call(machine, psci.AFFINITY_INFO, 0, 0) == psci.IS_ON
    assert psci.call(machine, psci.CPU_OFF) == DENIED
    assert (machine.resets, machine.power_offs) == (0, 0)
    psci.call(machine, psci.SYSTEM_OFF)
    psci.call(machine, psci.SYSTEM_RESET)
    assert (machine.resets, machine.power_offs) == (1, 1)


def test_features_are_the_calls_that_are_there() -> None:
    """Of the whole range of PSCI 1.1, and of other ranges."""
    machine = FakeMachine(2)
    there = {number for number in range(0x20) if psci.call(machine, psci.FEATURES, 0x84000000 + number) == 0}
    assert there == {0, 1, 2, 3, 4, 6, 8, 9, 10}
    assert psci.call(machine, psci.FEATURES, 0x80000000) == NOT_SUPPORTED, "SMCCC_VERSION: calling convention 1.0"
    assert psci.call(machine, psci.FEATURES, 0xC4000003) == NOT_SUPPORTED, "the 64-bit calls"
    for function in (0x84000005, 0x84000007, 0x84000012, 0xC4000003, 0x12345678, 0):
        assert psci.call(machine, function) == NOT_SUPPORTED, hex(function)


def test_a_processor_is_switched_on_and_off() -> None:
    machine = FakeMachine(2)
    assert psci.call(machine, psci.AFFINITY_INFO, 1, 0) == psci.IS_OFF
    assert psci.call(machine, psci.CPU_ON, 1, ENTRY, CONTEXT) == psci.SUCCESS
    assert machine.entries == {1: (ENTRY, CONTEXT)}
    assert psci.call(machine, psci.AFFINITY_INFO, 1, 0) == psci.IS_STARTING
    assert psci.call(machine, psci.CPU_ON, 1, ENTRY) == ON_PENDING
    machine.begin(1)
    assert psci.call(machine, psci.CPU_ON, 1, ENTRY) == ALREADY_ON, "itself"
    assert psci.call(machine, psci.CPU_ON, 0, ENTRY) == ALREADY_ON
    assert psci.call(machine, psci.CPU_OFF) == psci.SUCCESS
    assert machine.states == ["on", "off"]
    machine.turn = 0
    assert psci.call(machine, psci.AFFINITY_INFO, 1, 0) == psci.IS_OFF
    assert psci.call(machine, psci.CPU_ON, 1, ENTRY | 1, 0) == psci.SUCCESS
    assert machine.entries == {1: (ENTRY | 1, 0)}


def test_the_last_processor_stays_on() -> None:
    machine = FakeMachine(4)
    assert psci.call(machine, psci.CPU_OFF) == DENIED
    assert psci.call(machine, psci.CPU_ON, 3, ENTRY) == psci.SUCCESS
    assert psci.call(machine, psci.CPU_OFF) == psci.SUCCESS, "another one is about to start"
    machine.begin(3)
    assert psci.call(machine, psci.CPU_OFF) == DENIED
    assert machine.states == ["off", "off", "off", "on"]


@pytest.mark.parametrize("processors", [2, 4, 8])
def test_targets_that_are_not_there(processors: int) -> None:
    machine = FakeMachine(processors)
    for target in (processors, 0x100, 0x101, 0x10000, 0x00FFFFFF):
        assert psci.call(machine, psci.CPU_ON, target, ENTRY) == INVALID_PARAMETERS
        assert psci.call(machine, psci.AFFINITY_INFO, target, 0) == INVALID_PARAMETERS
    assert psci.call(machine, psci.CPU_ON, processors - 1, ENTRY | 2) == INVALID_ADDRESS, "A32 off its alignment"
    assert psci.call(machine, psci.CPU_ON, processors - 1, ENTRY | 3) == psci.SUCCESS, "T32"


def test_affinity_levels_above_the_processors() -> None:
    """There is one cluster, and as long as somebody asks, somebody is on."""
    machine = FakeMachine(2)
    for level in (1, 2, 3):
        assert psci.call(machine, psci.AFFINITY_INFO, 0, level) == psci.IS_ON
        assert psci.call(machine, psci.AFFINITY_INFO, 1, level) == psci.IS_ON, "Aff0 does not matter"
    assert psci.call(machine, psci.AFFINITY_INFO, 0x100, 1) == INVALID_PARAMETERS
    assert psci.call(machine, psci.AFFINITY_INFO, 0, 4) == INVALID_PARAMETERS


def test_standby_and_nothing_deeper() -> None:
    machine = FakeMachine(2)
    assert psci.call(machine, psci.CPU_SUSPEND, 0, ENTRY, CONTEXT) == psci.SUCCESS
    assert psci.call(machine, psci.CPU_SUSPEND, 1 << 16, ENTRY, CONTEXT) == INVALID_PARAMETERS
    assert machine.states == ["on", "off"]
