"""The demo guest: its bytes come from its source, and it runs on another machine as it does on ours."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import zlib
from pathlib import Path

import pytest

from jitrr.demo import GUESTS

SIEVE_END = 500_000

needs_binutils = pytest.mark.skipif(
    not all(map(shutil.which, ("as", "ld", "objcopy", "make"))), reason="binutils or make is not installed"
)
needs_qemu = pytest.mark.skipif(
    not all(map(shutil.which, ("qemu-system-x86_64", "qemu-system-i386"))), reason="QEMU is not installed"
)
BOARDS = {"x86_64": "qemu-system-x86_64 -M q35", "i386": "qemu-system-i386 -M pc"}
each_guest = pytest.mark.parametrize("arch", BOARDS)


def loaded(image: bytes) -> tuple[int, list[tuple[int, int, bytes]]]:
    """What a loader takes from an ELF32 file: entry, and (physical address, size in memory, bytes) of each segment."""
    entry, table = struct.unpack_from("<II", image, 24)
    size, count = struct.unpack_from("<HH", image, 42)
    segments = []
    for index in range(count):
        kind, offset, _, physical, in_file, in_memory = struct.unpack_from("<6I", image, table + index * size)
        if kind == 1:
            segments.append((physical, in_memory, image[offset : offset + in_file]))
    return entry, segments


@needs_binutils
@each_guest
def test_shipped_bytes_are_built_from_the_source(arch: str, tmp_path: Path) -> None:
    image: Path = GUESTS[arch].IMAGE
    subprocess.run(["make", "-s", "-C", str(image.parent), f"OUT={tmp_path}"], check=True)
    assert loaded((tmp_path / "demo.elf").read_bytes()) == loaded(image.read_bytes())


@each_guest
def test_it_has_a_multiboot_header_that_loaders_find(arch: str) -> None:
    image = GUESTS[arch].IMAGE.read_bytes()
    at = image.index(struct.pack("<I", 0x1BADB002))
    assert at % 4 == 0 and at < 8192
    assert sum(struct.unpack_from("<3I", image, at)) & 0xFFFFFFFF == 0


def sieve() -> bytearray:
    """One byte a number: 0 for a prime."""
    composite = bytearray(SIEVE_END)
    composite[:2] = b"\1\1"
    for number in range(2, int(SIEVE_END**0.5) + 1):
        if not composite[number]:
            composite[number * number :: number] = b"\1" * len(range(number * number, SIEVE_END, number))
    return composite


def longest_collatz(end: int) -> int:
    """The first start below ``end`` whose Collatz sequence is longest."""
    steps = {1: 0}

    def length(number: int) -> int:
        if number not in steps:
            steps[number] = 1 + length(3 * number + 1 if number % 2 else number // 2)
        return steps[number]

    return max(range(1, end), key=length)


def leibniz(terms: int) -> int:
    """Pi by the Leibniz series in double precision, in the guest's order of operations, times 10^9."""
    total, sign, odd = 0.0, 4.0, 1.0
    for _ in range(terms):
        total, sign, odd = total + sign / odd, -sign, odd + 2.0
    return int(total * 1e9)


@needs_qemu
@each_guest
def test_on_qemu_it_computes_the_right_things_and_switches_off(arch: str) -> None:
    demo = GUESTS[arch]
    machine = f"{BOARDS[arch]} -cpu max -m 64 -nodefaults -display none -no-reboot -serial stdio -kernel"
    with subprocess.Popen([*machine.split(), str(demo.IMAGE)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as guest:
        assert guest.stdin and guest.stdout
        seen = b""
        while not seen.endswith(demo.QUESTION.encode()):
            byte = guest.stdout.read(1)
            assert byte, seen
            seen += byte
        rest, _ = guest.communicate(b"Ada\n", timeout=60)
    console = (seen + rest).decode().replace("\r", "")
    composite = sieve()
    assert guest.returncode == 0
    assert f"primes below {SIEVE_END}: {composite.count(0)}\n" in console
    assert f"CRC-32 of the sieve: {zlib.crc32(composite):08x}\n" in console
    assert f"starts at {longest_collatz(30_000)}\n" in console
    assert f"times 10^9: {leibniz(400_000)}\n" in console
    assert re.search(r"clock: 20\d\d-\d\d-\d\d \d\d:\d\d:\d\d\n", console)
    assert len(set(re.search(r"random numbers: (\w+) (\w+) (\w+)\n", console).groups())) == 3  # type: ignore[union-attr]
    assert "Hello, Ada: you took" in console
    assert console.endswith(demo.POWERING_OFF + "\n")
