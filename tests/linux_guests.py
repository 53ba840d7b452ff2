"""What the tests with a real operating system share: Debian's guests by the command line, somebody at a terminal."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
from pathlib import Path
from select import select

import pytest

from runtime import guests
from runtime.guests.debian import INIT_STARTED, POWERING_OFF

#: The 32-bit kernels test their ciphers and look for ISA cards for half of their boot.
WITHOUT_SELF_TESTS = "initcall_blacklist=crypto_algapi_init,isapnp_init"
PROMPT = "guest:/# "


def jitrr(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run a command of jitrr to its end, without standard input."""
    command = [sys.executable, "-m", "jitrr", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, errors="replace", stdin=subprocess.DEVNULL, timeout=300
    )


def digest(recording: Path, icount: int, tier: str) -> bytes:
    """What ``replay --seek --digest`` says of ``icount``."""
    done = jitrr("replay", recording, "--seek", icount, "--digest", "--tier", tier)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout.splitlines()[-1])
    assert answer["icount"] == icount
    return bytes.fromhex(answer["digest"])


def info(recording: Path) -> dict:
    """What ``info --json`` says."""
    done = jitrr("info", recording, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def fetched(name: str) -> list[str]:
    """Arguments to ``jitrr record`` for a guest."""
    try:
        return guests.fetch(name).record_args
    except guests.GuestError as error:
        pytest.skip(f"no guest: {error}")


def with_words(guest: list[str], *more: str) -> list[str]:
    """The same, with more words on the kernel's command line."""
    at = guest.index("--append") + 1
    return [*guest[:at], " ".join((guest[at], *more)), *guest[at + 1 :]]


def powering_off(guest: list[str], *more: str) -> list[str]:
    """The same, for a guest that switches itself off."""
    return with_words(guest, "jitrr=poweroff", *more)


def recorded(guest: list[str], path: Path) -> Path:
    """A recording of a boot, to its power-off."""
    done = jitrr("record", *guest, "-o", path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.index(INIT_STARTED) < done.stdout.index(POWERING_OFF) < done.stdout.index("Power down")
    return path


class Person:
    """Somebody who runs a command of jitrr on a (pseudo) terminal, reads and types; ``shown`` is all that was there."""

    def __init__(self, *arguments: object):
        self._terminal, theirs = pty.openpty()
        command = [sys.executable, "-m", "jitrr", *map(str, arguments)]
        self._child = subprocess.Popen(command, stdin=theirs, stdout=theirs, stderr=theirs)
        os.close(theirs)
        self.shown = ""
        self._read = 0

    def __enter__(self) -> Person:
        return self

    def __exit__(self, *error: object) -> None:
        self._child.kill()
        self._child.wait()
        os.close(self._terminal)

    def sees(self, text: str, seconds: float = 100) -> None:
        """Wait until ``text`` appears, behind what was waited for before."""
        while (at := self.shown.find(text, self._read)) < 0:
            assert self._more(seconds), f"{text!r} was not shown: {self.shown[-500:]}"
        self._read = at + len(text)

    def types(self, text: str) -> None:
        """Press these keys."""
        os.write(self._terminal, text.encode())

    def leaves(self, seconds: float = 100) -> int:
        """Wait for the end of the command: its exit code."""
        while self._more(seconds):
            pass
        return self._child.wait(seconds)

    def _more(self, seconds: float) -> bool:
        """Read on; False at the end of the command, or when nothing comes for so long."""
        if not select([self._terminal], [], [], seconds)[0]:
            return False
        try:
            self.shown += os.read(self._terminal, 65536).decode(errors="replace")
        except OSError:  # what Linux says once the other end is closed
            return False
        return True
