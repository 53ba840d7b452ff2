"""The command line with the demo guest of each architecture: the demo, crashes of the recorder, damaged recordings, and
one clear line for every mistake."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest
from damage import CHANGES, damage
from real_machine import record_demo

from jitrr.cli import main
from jitrr.demo import GUESTS
from runtime.config import ARCHES

Command = Callable[..., SimpleNamespace]
#: The images of a guest that another architecture cannot start, as (architecture, image, what is said).
FOREIGN = [
    ("x86_64", "arm", "the ELF image is for ARM: use --arch arm"),
    ("i386", "arm", "the ELF image is for ARM: use --arch arm"),
    ("arm", "x86_64", "the ELF image is not for 32-bit little-endian ARM"),
    ("arm", "i386", "the ELF image is not for 32-bit little-endian ARM"),
]
ZIMAGE = (bytes(0x24) + b"\x18\x28\x6f\x01").ljust(0x2000, b"\0")
BZIMAGE = (bytes(0x1FE) + b"\x55\xaa\xeb\x6aHdrS\x0f\x02").ljust(0x2000, b"\0")

MISTAKES = {
    "missing kernel": ("--kernel {tmp}/none", dict.fromkeys(ARCHES, "cannot read the kernel")),
    "empty kernel": ("--kernel {tmp}/empty", dict.fromkeys(ARCHES, "is empty")),
    "foreign kernel": ("--kernel {tmp}/foreign", {
        "x86_64": "a zImage for ARM: use --arch arm", "i386": "a zImage for ARM: use --arch arm",
        "arm": "a bzImage for x86: use --arch x86_64 or --arch i386"}),
    "cut kernel": ("--kernel {tmp}/cut", dict.fromkeys(ARCHES, "the ELF image is cut short")),
    "memory too small": ("--kernel {demo} --memory 1M", {
        "x86_64": "ends beyond the machine's 1 MiB", "i386": "ends beyond the machine's 1 MiB",
        "arm": "is outside the machine's 1 MiB"}),
    "memory too large": ("--kernel {demo} --memory 64G", {
        "x86_64": "more than 32 GiB of memory", "i386": "more than 32 GiB of memory",
        "arm": "more than 3 GiB of memory"}),
    "initrd too large": ("--kernel {demo} --memory 16M --initrd {tmp}/large", {
        "x86_64": "bytes of memory are left for it", "i386": "bytes of memory are left for it",
        "arm": "kernel, initrd and device tree need 2"}),
    "initrd larger than memory": ("--kernel {demo} --memory 15M --initrd {tmp}/large",
                                  dict.fromkeys(ARCHES, "is larger than memory")),
    "device tree": ("--kernel {demo} --dtb {tmp}/cut", {
        "x86_64": "a PC has no device tree", "i386": "a PC has no device tree", "arm": "the device tree is none"}),
    "firmware": ("--bios {tmp}/odd", {
        "x86_64": "firmware has whole pages", "i386": "firmware has whole pages",
        "arm": "--bios is not there yet for ARM"}),
    "board": ("--kernel {demo} --machine q35", {
        "x86_64": "has no --machine q35: use pc or pc-test", "i386": "has no --machine q35: use pc or pc-test",
        "arm": "has no --machine q35: use virt"}),
    "processors": ("--kernel {demo} --smp 9", {
        "x86_64": "pc has at most 8 processors, not 9", "i386": "pc has at most 8 processors, not 9",
        "arm": "virt has at most 8 processors, not 9"}),
    "processor": ("--kernel {demo} --cpu z80", dict.fromkeys(ARCHES, "there is no --cpu z80")),
    "date too early": ("--kernel {demo} --rtc base=1969-12-31", dict.fromkeys(ARCHES, "a date from 1970 to 2553")),
    "date too late": ("--kernel {demo} --rtc base=2554-01-01", dict.fromkeys(ARCHES, "a date from 1970 to 2553")),
    "command line": ("--kernel {demo} --append \udcff", dict.fromkeys(ARCHES, "command line is not UTF-8 text")),
}  # fmt: skip


@pytest.fixture(scope="module", params=ARCHES)
def arch(request: pytest.FixtureRequest) -> str:
    """Every test here is one of each architecture."""
    return request.param


@pytest.fixture
def jitrr(capfd: pytest.CaptureFixture[str]) -> Command:
    """Run a command of the command line in this process."""

    def call(*arguments: object) -> SimpleNamespace:
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capfd.readouterr()
        return SimpleNamespace(code=ended.value.code, out=out, err=err)

    return call


def assert_refused(result: SimpleNamespace, expected: str) -> None:
    """Exit code 2 and one line."""
    assert (result.code, len(result.err.splitlines())) == (2, 1), result.err
    assert result.err.startswith("jitrr: ") and expected in result.err


@pytest.fixture(scope="module")
def recorded(arch: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("demo") / "demo.jrr"
    assert record_demo(path, arch=arch).reason == "power-off"
    return path


def test_the_demo(arch: str) -> None:
    command = [sys.executable, "-m", "jitrr", "demo", "--arch", arch]
    done = subprocess.run(command, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=300)
    assert done.returncode == 0, done.stderr
    assert GUESTS[arch].DESCRIPTION in done.stdout and "Hello, Ada: you took" in done.stdout
    assert done.stdout.count("as when the replay passed it") == 3
    assert f"jitrr record --arch {arch} " in done.stdout


@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_mistake_is_one_clear_line(arch: str, mistake: str, jitrr: Command, tmp_path: Path) -> None:
    demo = GUESTS[arch].IMAGE
    foreign = BZIMAGE if arch == "arm" else ZIMAGE
    files = {"empty": b"", "cut": demo.read_bytes()[:3000], "odd": bytes(4097), "large": bytes((16 << 20) - 4096)}
    for name, data in (files | {"foreign": foreign}).items():
        (tmp_path / name).write_bytes(data)
    words, expected = MISTAKES[mistake]
    options = [word.format(tmp=tmp_path, demo=demo) for word in words.split(" ")]
    assert_refused(jitrr("record", "--arch", arch, *options, "-o", tmp_path / "new.jrr"), expected[arch])
    assert not (tmp_path / "new.jrr").exists()


@pytest.mark.parametrize(("machine", "image", "expected"), FOREIGN)
def test_an_image_for_another_architecture(
    machine: str, image: str, expected: str, jitrr: Command, tmp_path: Path
) -> None:
    options = ("--arch", machine, "--kernel", GUESTS[image].IMAGE, "-o", tmp_path / "new.jrr")
    assert_refused(jitrr("record", *options), expected)
    assert not (tmp_path / "new.jrr").exists()


def test_an_existing_output_stays(arch: str, jitrr: Command, recorded: Path) -> None:
    before = json.loads(jitrr("info", recorded, "--json").out)
    assert_refused(jitrr("record", "--arch", arch, "--kernel", GUESTS[arch].IMAGE, "-o", recorded), "exists already")
    assert json.loads(jitrr("info", recorded, "--json").out) == before


def test_a_seek_beyond_the_end(jitrr: Command, recorded: Path) -> None:
    end = json.loads(jitrr("info", recorded, "--json").out)["icount"]
    for option in ("--seek", "--until"):
        assert_refused(jitrr("replay", recorded, option, end + 1), f"there is no instruction {end + 1}")
    at_the_end = [jitrr("replay", recorded, *how, "--digest") for how in (("--seek", end), ("--until", end))]
    assert [result.code for result in at_the_end] == [0, 0]
    assert len({json.loads(result.out.splitlines()[-1])["digest"] for result in at_the_end}) == 1


@pytest.mark.parametrize("name", ["log.mcap", "*.ckpt", "*.pack", "images/*"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_damaged_recording(jitrr: Command, recorded: Path, name: str, change: str, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(recorded, tmp_path / "copy.jrr"))
    path = damage(copy, name, change)
    assert_refused(jitrr("verify", copy), path.name)


def test_what_a_killed_recorder_has_flushed_replays(arch: str, jitrr: Command, tmp_path: Path) -> None:
    """Killed in the middle of a run that would take long: the guest is started over and over again."""
    path, script = tmp_path / "killed.jrr", tmp_path / "script"
    script.write_text("".join(f"at {number * 40_000_000} power reset\n" for number in range(1, 200)))
    command = [sys.executable, "-m", "jitrr", "record", "--arch", arch, "--memory", "16M", "-o", str(path),
               "--kernel", str(GUESTS[arch].IMAGE), "--input-script", str(script)]  # fmt: skip
    quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    with subprocess.Popen(command, **quiet) as child:  # type: ignore[call-overload]
        end = time.monotonic() + 200
        while len(list(path.glob("checkpoints/*.ckpt"))) < 2:
            assert time.monotonic() < end and child.poll() is None, "nothing is recorded"
            time.sleep(0.05)
        child.send_signal(signal.SIGKILL)
    said = json.loads(jitrr("info", path, "--json").out)
    assert not said["clean_close"] and said["icount"] > 0
    assert jitrr("verify", path).code == 0
    ends = [jitrr("replay", path, "--seek", said["icount"], "--digest", "--tier", tier) for tier in ("auto", "interp")]
    assert len({json.loads(end.out.splitlines()[-1])["digest"] for end in ends}) == 1
