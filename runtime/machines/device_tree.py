"""The device tree of the ``virt`` board (Devicetree Specification 0.4): generated, or the user's own, completed."""

from __future__ import annotations

from dataclasses import dataclass

import fdt

from runtime.config import ConfigError
from runtime.devices import pl011, psci
from runtime.machines import virt
from runtime.machines.virt import MAP, RAM_BASE, SLOTS, Place

CLOCK, GIC, GPIO = 0x8000, 0x8002, 0x8004  # phandles
CPUS = (0x8001, *range(0x8011, 0x8010 + virt.MOST_PROCESSORS))  # of each processor
_SPI, _PPI = 0, 1
_EDGE_RISING, _LEVEL_HIGH = 1, 4
_PPI_CPUS = 8  # in the flags of a PPI: where the bits are of the processors it is there for
_KEY_POWER = 116
_SERIAL = f"/pl011@{MAP['serial0'].base:x}"
_MAGIC, _HEADER_SIZE = b"\xd0\x0d\xfe\xed", 40

Value = int | str | list[int] | list[str] | bytes | None


@dataclass(frozen=True)
class Boot:
    """What the loader tells the kernel: ``memory`` bytes of RAM, the command line, where the initrd is (first address
    and the one behind the last, or None), 32 bytes of the host's entropy, and how many processors there are."""

    memory: int
    command_line: str
    initrd: tuple[int, int] | None
    seed: bytes
    processors: int = 1


def _node(name: str, values: dict[str, Value], *children: fdt.Node) -> fdt.Node:
    """A node with its properties; None is one without a value."""
    node = fdt.Node(name, *children)
    for key, value in values.items():
        node.set_property(key, value)
    return node


def _reg(*places: Place) -> list[int]:
    """First address and size of each, two cells a number."""
    return [cell for at in places for cell in (0, at.base, 0, at.size)]


def _primecell(part: str, name: str, clocks: list[str], values: dict[str, Value] | None = None) -> fdt.Node:
    """ARM's ``part`` where the board has its device ``name``; it takes ``clocks`` by these names."""
    place = MAP[name]
    common: dict[str, Value] = {
        "compatible": [f"arm,{part}", "arm,primecell"],
        "reg": _reg(place),
        "interrupts": [_SPI, place.spi, _LEVEL_HIGH],
        "clocks": [CLOCK] * len(clocks),
        "clock-names": clocks,
    }
    return _node(f"{part}@{place.base:x}", {**common, **(values or {})})


def _slot(place: Place) -> fdt.Node:
    interrupts = [_SPI, place.spi, _EDGE_RISING]
    return _node(
        f"virtio_mmio@{place.base:x}",
        {"compatible": "virtio,mmio", "reg": _reg(place), "interrupts": interrupts, "dma-coherent": None},
    )


def _cpu(number: int, started: bool) -> fdt.Node:
    """A processor; ``started``: by the firmware, when it is asked to."""
    method: dict[str, Value] = {"enable-method": "psci"} if started else {}
    return _node(
        f"cpu@{number}",
        {"device_type": "cpu", "compatible": "arm,cortex-a15", **method, "reg": number, "phandle": CPUS[number]},
    )


def _cpus(processors: int) -> fdt.Node:
    """The processors; of several also that they are the cores of one cluster."""
    nodes = [_cpu(number, processors > 1) for number in range(processors)]
    if processors > 1:
        cores = [_node(f"core{number}", {"cpu": CPUS[number]}) for number in range(processors)]
        nodes.append(_node("cpu-map", {}, _node("socket0", {}, _node("cluster0", {}, *cores))))
    return _node("cpus", {"#address-cells": 1, "#size-cells": 0}, *nodes)


def _processors(processors: int) -> list[fdt.Node]:
    """The processors, the timer of each, and the firmware they call."""
    ppis = (virt.SECURE_TIMER_PPI, virt.PHYSICAL_TIMER_PPI, virt.VIRTUAL_TIMER_PPI, virt.HYPERVISOR_TIMER_PPI)
    flags = _LEVEL_HIGH | (1 << processors) - 1 << _PPI_CPUS
    interrupts = [cell for ppi in ppis for cell in (_PPI, ppi, flags)]
    firmware: dict[str, Value] = {
        "compatible": ["arm,psci-1.0", "arm,psci-0.2", "arm,psci"],
        "method": "hvc",
        "cpu_suspend": psci.CPU_SUSPEND,
        "cpu_off": psci.CPU_OFF,
        "cpu_on": psci.CPU_ON,
    }
    return [
        _cpus(processors),
        _node("timer", {"compatible": "arm,armv7-timer", "interrupts": interrupts, "always-on": None}),
        _node("psci", firmware),
    ]


def _devices() -> list[fdt.Node]:
    distributor, interface = MAP["gic distributor"], MAP["gic cpu interface"]
    gic: dict[str, Value] = {
        "compatible": "arm,cortex-a15-gic", "reg": _reg(distributor, interface), "interrupt-controller": None,
        "#interrupt-cells": 3, "#address-cells": 2, "#size-cells": 2, "ranges": None, "phandle": GIC,
    }  # fmt: skip
    clock: dict[str, Value] = {
        "compatible": "fixed-clock", "#clock-cells": 0, "clock-frequency": pl011.CLOCK,
        "clock-output-names": "clk24mhz", "phandle": CLOCK,
    }  # fmt: skip
    key: dict[str, Value] = {
        "label": "GPIO Key Poweroff", "linux,code": _KEY_POWER, "gpios": [GPIO, virt.POWER_PIN, 0],
    }  # fmt: skip
    return [
        _node(f"intc@{distributor.base:x}", gic),
        _node("apb-pclk", clock),
        _primecell("pl011", "serial0", ["uartclk", "apb_pclk"]),
        _primecell("pl031", "rtc", ["apb_pclk"]),
        _primecell("pl061", "gpio", ["apb_pclk"], {"gpio-controller": None, "#gpio-cells": 2, "phandle": GPIO}),
        _node("gpio-keys", {"compatible": "gpio-keys"}, _node("poweroff", key)),
        _primecell("pl050", "keyboard port", ["KMIREFCLK", "apb_pclk"]),
        _primecell("pl050", "mouse port", ["KMIREFCLK", "apb_pclk"]),
        *map(_slot, SLOTS),
    ]


def build(boot: Boot) -> bytes:
    """The tree of the board, flattened."""
    tree = fdt.FDT(fdt.Header(), entries=[])
    tree.header.version, tree.header.last_comp_version, tree.header.boot_cpuid_phys = 17, 16, 0
    root: dict[str, Value] = {
        "model": "linux,dummy-virt", "compatible": "linux,dummy-virt", "interrupt-parent": GIC,
        "#address-cells": 2, "#size-cells": 2,
    }  # fmt: skip
    nodes = (*_processors(boot.processors), *_devices(), _node("chosen", {"stdout-path": _SERIAL}))
    tree.root = _node("/", root, *nodes)
    return _flatten(tree, boot)


def complete(image: bytes, boot: Boot) -> bytes:
    """The user's tree ``image`` with this machine's memory and the loader's part of ``/chosen``, as a boot loader would
    put them there. ConfigError when it is none."""
    if len(image) < _HEADER_SIZE or image[:4] != _MAGIC or int.from_bytes(image[4:8], "big") > len(image):
        raise ConfigError("the device tree is none (no flattened tree, or cut short)")
    # The library keeps the reservations of all trees it ever read in one list (a default argument).
    reservations = fdt.FDT().entries
    reservations.clear()
    try:
        tree = fdt.parse_dtb(image)
    except Exception as error:  # it raises nothing more special, and whatever Python does on bad indexes
        raise ConfigError(f"the device tree is damaged: {error}") from error
    tree.entries = list(reservations)
    return _flatten(tree, boot)


def _flatten(tree: fdt.FDT, boot: Boot) -> bytes:
    """Put memory and /chosen into ``tree``."""
    root = tree.root
    for node in list(root.nodes):
        if node.name == "memory" or node.name.startswith("memory@"):
            root.remove_subnode(node.name)
    reg: list[int] = []
    for name, default, value in (("#address-cells", 2, RAM_BASE), ("#size-cells", 1, boot.memory)):
        cells = root.get_property(name)
        reg += [0] * ((cells.value if cells else default) - 1) + [value]
    root.append(_node(f"memory@{RAM_BASE:x}", {"device_type": "memory", "reg": reg}))
    chosen = tree.get_node("/chosen", create=True)
    if boot.command_line:  # without one, that of a user's tree stays
        chosen.set_property("bootargs", boot.command_line.encode() + b"\0")
    chosen.set_property("rng-seed", boot.seed)
    for name, address in zip(("linux,initrd-start", "linux,initrd-end"), boot.initrd or (), strict=False):
        chosen.set_property(name, address)
    return bytes(tree.to_dtb())
