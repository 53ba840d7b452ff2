"""A machine small enough to check history with: it computes, writes RAM, halts, reads clock and entropy, takes input.

It keeps the contract of :mod:`runtime.machine_api` and nothing else of a real machine. Words of ``append`` steer it:
``off=N`` switches itself off at N, ``crash=N`` crashes, ``forever`` halts for good at the end of the input "halt",
``slow`` sleeps a little at every poll so that a recording takes real time.
"""

from __future__ import annotations

import time

import numpy as np

from jitrr.engine.constants import TOUCHED
from runtime.clock import VirtualClock
from runtime.config import MachineConfig
from runtime.machine_api import Stop, StopReason

PAGE = 4096
_MASK = (1 << 64) - 1
_POLL = 2000


class ToyMachine:
    """``flaw``: flips a bit of the state at that icount, as a wrong translation would."""

    def __init__(self, config: MachineConfig, border, flaw: int | None = None):
        words = dict(word.partition("=")[::2] for word in config.append.split())
        self.off, self.crash = (int(words.get(name, 1 << 61)) for name in ("off", "crash"))
        self.slow, self.flaw, self.border = "slow" in words, flaw, border
        if "badkernel" in words:
            raise ValueError("this is not a kernel")
        self.icount = self.limit = self.polled = 0
        self.ram = memoryview(bytearray(config.memory))
        self.dirty = np.zeros(config.memory // PAGE, bool)
        self.clock = VirtualClock(config.shift)
        self.clock.read_icount = border.read_icount = lambda: self.icount
        self.clock.on_arm = border.on_schedule = self._shorten
        self.timer = self.clock.timer("tick", self._tick)
        self.halted_at: int | None = None
        self.ticks, self.halted, self.x = 0, False, 0x9E3779B97F4A7C15
        if config.kernel is not None:
            self._store(0, config.kernel.data)
        self.x ^= border.wall_clock_ns()
        for channel in ("serial0", "keyboard", "power"):
            border.connect(channel, lambda data, channel=channel: self._input(channel, data))
        self.timer.arm(5000)

    def run_to(self, icount: int) -> Stop:
        while self.icount < icount:
            if self.icount >= self.polled + _POLL or self.halted:
                self.polled = self.icount
                if self.slow:
                    time.sleep(0.002)
                if self.border.poll(self.icount):
                    return Stop(StopReason.INTERRUPTED, self.icount)
            self.border.deliver_due(self.icount)
            self.clock.run_due()
            if self.halted:
                self.icount = min(icount, self.border.idle(self.icount, self.clock.next_deadline()))
                continue
            known = (icount, self.border.next_event(), self.clock.next_deadline(), self.icount + _POLL)
            self.limit = min(at for at in known if at is not None)
            while self.icount < self.limit:
                if self.icount == self.crash:
                    self.x += 1  # half done
                    return Stop(StopReason.CRASHED, self.icount, "triple fault")
                self._step()
                if self.icount == self.off:
                    return Stop(StopReason.POWER_OFF, self.icount)
        return Stop(StopReason.REACHED, self.icount)

    def _step(self) -> None:
        at = self.icount
        self.x = (self.x * 6364136223846793005 + 1442695040888963407) & _MASK
        if at == self.flaw:
            self.x ^= 1
        if at % 16 == 0:
            self._store((self.x >> 20) % (len(self.ram) // 4 - 8), self.x.to_bytes(8, "little"))
        if at % 3001 == 0:
            self.x ^= self.border.wall_clock_ns()
        if at % 4001 == 0:
            self.x ^= int.from_bytes(self.border.entropy(8), "little")
        if at % 1000 == 0:
            self.border.output("serial0", b"%d\r\n" % at)
        self.halted = at % 9973 == 0 and at > 0
        self.icount += 1

    def _shorten(self, icount: int) -> None:
        self.limit = min(self.limit, max(icount, self.icount + 1))

    def _tick(self) -> None:
        self.ticks += 1
        self.halted = False
        self.timer.arm(self.icount + 5000)

    def _input(self, channel: str, data: bytes) -> None:
        self.halted = False
        self._store(len(self.ram) - 4096, channel.encode() + data)
        self.x ^= int.from_bytes(data[:8], "little") + self.icount
        self.border.output("serial0", b"[" + data + b"]")
        if data == b"halt":
            self.timer.cancel()
            self.halted = True

    def _store(self, at: int, data: bytes) -> None:
        self.ram[at : at + len(data)] = data
        self.dirty[at // PAGE : (at + len(data) - 1) // PAGE + 1] = True

    def cpu_state(self) -> bytes:
        return self.x.to_bytes(8, "little") + bytes([self.halted])

    def restore_cpu(self, state: bytes, icount: int) -> None:
        self.x, self.halted, self.icount = int.from_bytes(state[:8], "little"), bool(state[8]), icount
        self.polled = icount

    def device_state(self) -> dict:
        return {"toy": {"ticks": self.ticks}, "clock": self.clock.save()}

    def restore_devices(self, state: dict) -> None:
        self.ticks = state["toy"]["ticks"]
        self.clock.restore(state["clock"])

    def take_dirty_pages(self) -> np.ndarray:
        pages = np.flatnonzero(self.dirty)
        self.dirty[:] = False
        return pages

    def take_touched(self) -> np.ndarray:
        return np.zeros(TOUCHED, np.uint8)

    def ram_replaced(self, pages: np.ndarray) -> None:
        pass

    def close(self) -> None:
        pass


def make_machine(config: MachineConfig, border) -> ToyMachine:
    return ToyMachine(config, border)
