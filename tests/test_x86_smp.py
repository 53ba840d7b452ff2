"""Four x86 processors on the pc board: a guest that prints what each sees of the others, here and under QEMU; the
invariant over it."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest
from invariant_tests import SEED, Invariant
from real_machine import BUSY, Walk, places
from x86_guest_images import address_of, build, transcript

from runtime.borders.console import ConsoleOutput
from runtime.borders.live import LiveBorder
from runtime.config import ConfigError, Image, MachineConfig
from runtime.machine import make_machine
from runtime.recording.recording import Recording
from runtime.timeline.record import Outside, record

PROCESSORS = 4

pytestmark = pytest.mark.skipif(not (shutil.which("as") and shutil.which("ld")), reason="binutils are not installed")


def config_of(image: Path, arch: str = "i386", **more: object) -> MachineConfig:
    values = {"machine": "pc-test", "memory": 16 << 20, "smp": PROCESSORS} | more
    return MachineConfig(arch=arch, kernel=Image.load(image, "kernel"), **values)  # type: ignore[arg-type]


def run(folder: Path, tier: str, arch: str = "i386") -> list[str]:
    """Record the guest as ``folder``/smp.jrr; what it printed."""
    output = ConsoleOutput.file(folder / "console")
    config = config_of(build("processors", folder), arch, tier=tier)
    try:
        assert record(folder / "smp.jrr", config, Outside(console=output), pace=BUSY).reason == "power-off"
    finally:
        output.close()
    return (folder / "console").read_text().splitlines()


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Recording:
    folder = tmp_path_factory.mktemp("smp")
    run(folder, "interp")
    return Recording(folder / "smp.jrr")


@pytest.fixture(scope="module")
def truth(recording: Recording) -> dict[int, bytes]:
    return Walk(recording, places(recording, random.Random(SEED), 100), "interp").digests


@pytest.mark.parametrize(("tier", "arch"), [("interp", "i386"), ("auto", "i386"), ("jit", "i386"), ("auto", "x86_64")])
def test_transcript(tmp_path: Path, tier: str, arch: str) -> None:
    assert run(tmp_path, tier, arch) == transcript("processors")


@pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="QEMU is not installed")
def test_qemu_agrees(tmp_path: Path) -> None:
    printed = tmp_path / "printed"
    options = ["-display", "none", "-m", "32", "-no-reboot", "-nodefaults", "-smp", f"{PROCESSORS},cores={PROCESSORS}"]
    devices = ["-serial", f"file:{printed}", "-device", "isa-debug-exit,iobase=0xf4"]
    kernel = ["-cpu", "qemu64,vendor=GenuineIntel", "-kernel", str(build("processors", tmp_path))]
    subprocess.run(["qemu-system-x86_64", *options, *devices, *kernel], timeout=300, check=False)
    assert printed.read_text().splitlines() == transcript("processors")


class TestInvariant(Invariant):
    """Of this guest."""


def test_an_nmi_waits_while_interrupts_are_held_off(tmp_path: Path) -> None:
    """The instruction behind the STI of the first processor comes before it."""
    image = build("processors", tmp_path)
    machine = make_machine(config_of(image, tier="interp"), LiveBorder())
    try:
        while machine.cpus[0].get("pc") != address_of(image, "first_sti"):
            machine.run_to(machine.icount + 1)
        machine.run_to(machine.icount + 1)
        machine.vcpus[0].nmi()
        seen = []
        for _ in range(2):
            machine.run_to(machine.icount + 1)
            seen.append(machine.cpus[0].get("pc"))
        assert seen == [address_of(image, "starting"), address_of(image, "on_2") + 1], "a call; a push of one byte"
    finally:
        machine.close()


def test_there_are_at_most_eight(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="at most 8 processors"):
        make_machine(config_of(build("processors", tmp_path), smp=9), LiveBorder())
