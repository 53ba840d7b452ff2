"""The device of test programs: what is written stays, lines follow, the exit port ends the run."""

from __future__ import annotations

from types import SimpleNamespace

from runtime.devices.test_device import MEMORY_SIZE, TestDevice


def made() -> tuple[TestDevice, list[object]]:
    """The device, and what it has asked for."""
    seen: list[object] = []
    pins = SimpleNamespace(request_power_off=lambda: seen.append("off"))
    return TestDevice("test", lambda number, level: seen.append((number, level)), pins), seen  # type: ignore[arg-type]


def test_ports_and_memory_keep_what_is_written() -> None:
    device, _ = made()
    device.ports.write(0, 4, 0x12345678)
    device.ports.write(1, 1, 0xAB)
    assert device.ports.read(0, 4) == 0x1234AB78
    device.memory.write(8, 8, 0x1122334455667788)
    device.memory.write(10, 2, 0xFFFF)
    assert device.memory.read(8, 8) == 0x11223344FFFF7788
    device.memory.write(MEMORY_SIZE - 2, 4, 0x01020304)
    assert device.memory.read(MEMORY_SIZE - 2, 2) == 0x0304
    state = device.save()
    device.reset()
    assert (device.ports.read(0, 4), device.memory.read(8, 8)) == (0, 0)
    device.restore(state)
    assert (device.ports.read(1, 1), device.memory.read(10, 1)) == (0xAB, 0xFF)


def test_lines_and_exit() -> None:
    device, seen = made()
    device.lines.write(11, 4, 1)
    device.lines.write(11, 4, 0)
    device.exit.write(0, 1, 0)
    assert seen == [(11, True), (11, False), "off"]
