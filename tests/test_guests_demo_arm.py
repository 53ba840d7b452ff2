"""The demo guest for ARM: its bytes come from its source, and it runs on another machine as it does on ours."""

from __future__ import annotations

import re
import shutil
import subprocess
import zlib
from pathlib import Path

import pytest
from real_machine import record_demo
from test_guests_demo import SIEVE_END, leibniz, loaded, longest_collatz, sieve

from runtime.borders.console import ConsoleOutput
from runtime.guests import demo_arm
from runtime.recording.recording import Recording
from runtime.timeline.replay import Replay

SOURCE = demo_arm.IMAGE.parent
TOOLS = "arm-linux-gnueabihf-"


@pytest.mark.skipif(not shutil.which(f"{TOOLS}as") or not shutil.which("make"), reason="there is no ARM assembler")
def test_shipped_bytes_are_built_from_the_source(tmp_path: Path) -> None:
    subprocess.run(["make", "-s", "-C", str(SOURCE), f"OUT={tmp_path}"], check=True)
    assert loaded((tmp_path / "demo.elf").read_bytes()) == loaded(demo_arm.IMAGE.read_bytes())


def check(console: str, name: str) -> None:
    """What it computes, and that it has seen the world outside."""
    composite = sieve()
    assert f"primes below {SIEVE_END}: {composite.count(0)}\n" in console
    assert f"CRC-32 of the sieve: {zlib.crc32(composite):08x}\n" in console
    assert f"starts at {longest_collatz(30_000)}\n" in console
    assert f"times 10^9: {leibniz(400_000)}\n" in console
    assert re.search(r"clock: 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\n", console)
    found = re.search(r"random numbers: (\w{16}) (\w{16}) (\w{16})\n", console)
    assert found and len(set(found.groups())) == 3
    assert f"Hello, {name}: you took" in console
    assert console.endswith(demo_arm.POWERING_OFF + "\n")


@pytest.mark.skipif(not shutil.which("qemu-system-arm"), reason="qemu-system-arm is not installed")
def test_on_qemu_it_computes_the_right_things_and_switches_off() -> None:
    machine = "qemu-system-arm -M virt -cpu cortex-a15 -m 64 -display none -no-reboot -serial stdio -kernel"
    command = [*machine.split(), str(demo_arm.IMAGE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guest:
        assert guest.stdin and guest.stdout
        seen = b""
        while not seen.endswith(demo_arm.QUESTION.encode()):
            byte = guest.stdout.read(1)
            assert byte, seen
            seen += byte
        rest, _ = guest.communicate(b"Ada\n", timeout=60)
    assert guest.returncode == 0
    check((seen + rest).decode().replace("\r", ""), "Ada")


def test_on_our_machine_too(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    outcome = record_demo(tmp_path / "arm.jrr", arch="arm")
    assert outcome.reason == "power-off", outcome.message
    replay = Replay(Recording(tmp_path / "arm.jrr"), console=ConsoleOutput(1))
    replay.finish()
    replay.close()
    check(capfd.readouterr().out.replace("\r", ""), "Ada")
