"""Loading ARM programs and the device tree they get. dtc, where it is there, reads the tree back."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path
from struct import pack

import fdt
import pytest
from pc_fakes import FakeBorder

from runtime.config import ConfigError, Image, MachineConfig
from runtime.machines import arm_boot, device_tree
from runtime.machines.virt import RAM_BASE

MIB = 1 << 20
BOOT = device_tree.Boot(256 * MIB, "console=ttyAMA0", (0x48000000, 0x48001234), bytes(range(32)))


class EntryRecorder:
    """Implements runtime.machines.arm_boot.EntryCpu."""

    entered: tuple[int, int, int] | None = None

    def enter_linux(self, pc: int, r1: int, r2: int) -> None:
        self.entered = (pc, r1, r2)


class Loaded:
    """A kernel image loaded into ``memory`` bytes."""

    def __init__(
        self, kernel: bytes, memory: int = 64 * MIB, *, initrd: bytes = b"", append: str = "", processors: int = 1
    ):  # fmt: skip
        config = MachineConfig(
            arch="arm",
            memory=memory,
            kernel=Image("kernel", kernel),
            initrd=Image("initrd", initrd) if initrd else None,
            append=append,
            smp=processors,
        )
        self.memory = memoryview(bytearray(memory))
        self.border, cpu = FakeBorder(), EntryRecorder()
        arm_boot.load_guest(config, self.memory, self.border, cpu)
        assert cpu.entered is not None
        self.pc, self.r1, self.r2 = cpu.entered
        self.tree = fdt.parse_dtb(bytes(self.memory[self.r2 - RAM_BASE :][:65536]))

    def at(self, address: int, size: int) -> bytes:
        return bytes(self.memory[address - RAM_BASE :][:size])

    def chosen(self, name: str) -> object:
        found = self.tree.get_property(name, "/chosen")
        return found.value if found else None


def zimage(*, size: int = 0x1000, inflated: int = 20 * MIB, zeroed: int = 0x1000, table: bool = True) -> bytes:
    """The header of a zImage with the table of sizes, and nothing behind it."""
    image = bytearray(size)
    image[0x24:0x34] = pack("<4I", 0x016F2818, 0, size, 0x04030201)
    if table:
        image[0x34:0x3C] = pack("<2I", 0x45454545, 0x100)
        image[0x100:0x114] = pack("<5I", 4, 0x5A534C4B, 0x200, zeroed, 0x8000)
        image[0x200:0x204] = pack("<I", inflated)
    return bytes(image)


def elf(address: int = RAM_BASE + 0x100000, *, machine: int = 40, body: bytes = b"\1\2\3\4", memory: int = 16) -> bytes:
    header = b"\x7fELF\x01\x01\x01".ljust(16, b"\0") + pack(
        "<2H5I6H", 2, machine, 1, address, 52, 0, 0, 52, 32, 1, 0, 0, 0
    )
    return header + pack("<8I", 1, 84, 0xC0000000, address, len(body), memory, 7, 4) + body


def test_zimage_is_placed_above_what_it_decompresses_to() -> None:
    loaded = Loaded(zimage(), 256 * MIB, initrd=b"initrd!", append="console=ttyAMA0 quiet")
    assert loaded.pc == RAM_BASE + 32 * MIB
    assert loaded.at(loaded.pc, 0x1000) == zimage()
    assert loaded.r1 == 0xFFFFFFFF
    assert loaded.chosen("linux,initrd-start") == RAM_BASE + 128 * MIB
    assert loaded.chosen("linux,initrd-end") == RAM_BASE + 128 * MIB + 7
    assert loaded.at(RAM_BASE + 128 * MIB, 7) == b"initrd!"
    assert loaded.chosen("bootargs") == "console=ttyAMA0 quiet"
    assert loaded.tree.get_property("reg", "/memory@40000000").data == [0, RAM_BASE, 0, 256 * MIB]
    large = Loaded(zimage(inflated=40 * MIB + 5), 256 * MIB)
    assert large.pc == RAM_BASE + 40 * MIB + 0xA000
    assert Loaded(zimage(inflated=2 * MIB), 16 * MIB).pc == RAM_BASE + 8 * MIB, "half of a small memory"
    older = Loaded(zimage(size=12 * MIB, table=False), 256 * MIB)
    assert older.pc == RAM_BASE + 48 * MIB, "four times its size"


def test_raw_image_is_where_qemu_puts_it() -> None:
    """kvm-unit-tests' flat images are linked there, and take their environment as initrd."""
    loaded = Loaded(b"raw image" * 10, initrd=b"NR_CPUS=1\n")
    assert loaded.pc == RAM_BASE + 0x10000
    assert loaded.at(loaded.pc, 90) == b"raw image" * 10
    assert loaded.chosen("linux,initrd-start") == RAM_BASE + 32 * MIB
    assert loaded.chosen("bootargs") is None
    assert loaded.r2 == RAM_BASE + 32 * MIB + 4096


def test_elf_segments_go_to_their_physical_addresses() -> None:
    loaded = Loaded(elf())
    assert loaded.pc == RAM_BASE + 0x100000
    assert loaded.at(loaded.pc, 16) == b"\1\2\3\4".ljust(16, b"\0")


def test_entropy_comes_through_the_border() -> None:
    class Random(FakeBorder):
        def entropy(self, size: int) -> bytes:
            return bytes(range(size))

    border, cpu, ram = Random(), EntryRecorder(), memoryview(bytearray(64 * MIB))
    arm_boot.load_guest(MachineConfig(arch="arm", memory=64 * MIB, kernel=Image("k", b"raw")), ram, border, cpu)
    assert bytes(range(32)) in bytes(ram)


@pytest.mark.parametrize(
    ("kernel", "message"),
    [
        (zimage(inflated=60 * MIB), "the kernel needs 62 MiB of memory, there are 32"),
        (zimage()[:0x300], "the zImage is cut short: 768 bytes of 4096"),
        (zimage()[:0x30] + b"\4\3\2\1" + zimage()[0x34:], "the zImage is for big-endian"),
        (elf(machine=3), "not for 32-bit little-endian ARM"),
        (elf(0x1000), "an ELF segment at 0x1000 is outside the machine's 32 MiB"),
        (elf()[:86], "the ELF image is cut short"),
        (elf()[:42] + b"\1" + elf()[43:], "the ELF image is cut short"),
        (bytes(0x202) + b"HdrS" + bytes(100), "a bzImage for x86: use --arch x86_64 or --arch i386"),
        (bytes(0x38) + b"ARM\x64" + bytes(100), "the kernel is for 64-bit ARM"),
        (bytes(31 * MIB), "kernel, initrd and device tree need 34 MiB of memory, there are 32"),
    ],
)
def test_what_cannot_be_loaded(kernel: bytes, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        Loaded(kernel, 32 * MIB, initrd=bytes(2 * MIB) if len(kernel) > MIB else b"")
    assert "\n" not in str(caught.value)


def test_nothing_to_run() -> None:
    with pytest.raises(ConfigError, match="nothing to run"):
        arm_boot.load_guest(MachineConfig(arch="arm"), memoryview(bytearray(1)), FakeBorder(), EntryRecorder())


# The tree


def words(tree: fdt.FDT, path: str, name: str) -> list[int]:
    return list(tree.get_property(name, path).data)


def test_tree_names_every_device_and_interrupt() -> None:
    tree = fdt.parse_dtb(device_tree.build(BOOT))
    for path, address, interrupt in (
        ("pl011@9000000", 0x09000000, [0, 1, 4]),
        ("pl031@9010000", 0x09010000, [0, 2, 4]),
        ("pl061@9030000", 0x09030000, [0, 7, 4]),
        ("pl050@9100000", 0x09100000, [0, 10, 4]),
        ("pl050@9110000", 0x09110000, [0, 11, 4]),
        ("virtio_mmio@a000000", 0x0A000000, [0, 16, 1]),
        ("virtio_mmio@a003e00", 0x0A003E00, [0, 47, 1]),
    ):
        assert words(tree, path, "reg")[1] == address
        assert words(tree, path, "interrupts") == interrupt
    assert words(tree, "timer", "interrupts")[1::3] == [13, 14, 11, 10]
    assert words(tree, "intc@8000000", "reg") == [0, 0x08000000, 0, 0x10000, 0, 0x08010000, 0, 0x10000]
    assert tree.get_property("method", "psci").value == "hvc"
    assert words(tree, "gpio-keys/poweroff", "gpios") == [words(tree, "pl061@9030000", "phandle")[0], 3, 0]
    assert tree.get_property("stdout-path", "chosen").value == "/pl011@9000000"


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_tree_names_every_processor(count: int) -> None:
    """As QEMU's does; the only one is there already and is not started."""
    tree = fdt.parse_dtb(device_tree.build(replace(BOOT, processors=count)))
    nodes = [node for node in tree.get_node("cpus").nodes if node.name != "cpu-map"]
    assert [node.name for node in nodes] == [f"cpu@{number}" for number in range(count)]
    assert [node.get_property("reg").value for node in nodes] == list(range(count))
    methods = [node.get_property("enable-method") for node in nodes]
    assert [method and method.value for method in methods] == ["psci" if count > 1 else None] * count
    handles = [node.get_property("phandle").value for node in nodes]
    assert len({*handles, device_tree.CLOCK, device_tree.GIC, device_tree.GPIO}) == count + 3
    assert {flags >> 8 for flags in words(tree, "timer", "interrupts")[2::3]} == {(1 << count) - 1}
    assert tree.exist_node("cpus/cpu-map") == (count > 1)
    if count > 1:
        cores = [words(tree, f"cpus/cpu-map/socket0/cluster0/core{number}", "cpu") for number in range(count)]
        assert cores == [[handle] for handle in handles]
    assert words(tree, "psci", "cpu_on") == [0x84000003]


def test_the_tree_is_told_how_many_processors_there_are() -> None:
    assert Loaded(b"raw image", processors=3).tree.exist_node("cpus/cpu@2")


def test_a_tree_of_the_user_is_completed() -> None:
    own = fdt.FDT(fdt.Header(), entries=[{"address": 0x40000000, "size": 0x1000}])
    own.header.version, own.header.last_comp_version, own.header.boot_cpuid_phys = 17, 16, 0
    for name, value in (("compatible", "acme,board"), ("#address-cells", 1), ("#size-cells", 1)):
        own.root.set_property(name, value)
    own.set_property("device_type", "memory", "/memory")
    own.set_property("bootargs", "mine", "/chosen")
    image = own.to_dtb()
    tree = fdt.parse_dtb(device_tree.complete(image + bytes(100), BOOT))
    assert tree.get_property("compatible").value == "acme,board"
    assert tree.get_property("bootargs", "/chosen").value == "console=ttyAMA0"
    assert words(tree, "/memory@40000000", "reg") == [RAM_BASE, 256 * MIB]
    assert not tree.exist_node("/memory")
    quiet = fdt.parse_dtb(device_tree.complete(image, device_tree.Boot(MIB, "", None, bytes(32))))
    assert quiet.get_property("bootargs", "/chosen").value == "mine"


def test_reservations_stay_with_their_tree() -> None:
    with_one = fdt.FDT(fdt.Header(), entries=[{"address": 0x40000000, "size": 0x1000}])
    with_one.header.version, with_one.header.last_comp_version, with_one.header.boot_cpuid_phys = 17, 16, 0
    first = device_tree.complete(with_one.to_dtb(), BOOT)
    assert first.count(pack(">QQ", 0x40000000, 0x1000)) == 1
    plain = device_tree.build(BOOT)
    assert device_tree.complete(plain, BOOT) == plain
    assert device_tree.complete(with_one.to_dtb(), BOOT) == first


@pytest.mark.parametrize("image", [b"", b"no tree at all" * 10, device_tree.build(BOOT)[:200]])
def test_a_bad_tree_is_one_line(image: bytes) -> None:
    with pytest.raises(ConfigError, match="the device tree is") as caught:
        device_tree.complete(image, BOOT)
    assert "\n" not in str(caught.value)


def test_a_damaged_tree_is_one_line() -> None:
    """Any word of the structure may be wrong; whatever comes of it is a tree or a ConfigError."""
    image = device_tree.build(BOOT)
    refused = 0
    for at in range(0, len(image), 97):
        try:
            device_tree.complete(image[:at] + b"\xff" + image[at + 1 :], BOOT)
        except ConfigError as error:
            refused += 1
            assert "\n" not in str(error)
    assert refused > 5


@pytest.mark.skipif(shutil.which("dtc") is None, reason="needs dtc")
@pytest.mark.parametrize("count", [1, 4])
def test_dtc_reads_the_tree(tmp_path: Path, count: int) -> None:
    (tmp_path / "tree.dtb").write_bytes(device_tree.build(replace(BOOT, processors=count)))
    command = ["dtc", "-I", "dtb", "-O", "dts", str(tmp_path / "tree.dtb")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert 'bootargs = "console=ttyAMA0";' in done.stdout
    assert "rror" not in done.stderr
    assert done.stderr.count("Warning") <= 1, done.stderr
