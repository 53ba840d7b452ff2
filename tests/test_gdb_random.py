"""A thousand random commands of a debugger, each compared with a model made by single stepping.

The window has an interrupt in it, and time in which the processor is halted. Position n of the model is what n steps
lead to. A breakpoint is put only where every visit falls through to the next instruction: elsewhere the model does not
know whether an interrupt went before the instruction.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from debug_recordings import ARCHITECTURES, demo_recording
from gdb_client import Client, Served, served_replay

from runtime.debug.target import make_target
from runtime.timeline.travel import Point, Travel

STEPS, COMMANDS, WORDS = 1000, 1000, 8
STACK = {"x86_64": "rsp", "i386": "esp", "arm": "sp"}


@dataclass
class Model:
    """``icounts``, ``pcs``: of the positions; ``values``: of each word there; ``writes``: steps that write it."""

    icounts: list[int] = field(default_factory=list)
    pcs: list[int] = field(default_factory=list)
    values: dict[int, list[bytes]] = field(default_factory=dict)
    writes: dict[int, set[int]] = field(default_factory=dict)

    def breakable(self) -> list[int]:
        """Addresses at which every visit falls through."""
        steps = list(zip(self.icounts, self.icounts[1:], self.pcs, self.pcs[1:], strict=False))
        wrong = {pc for a, b, pc, after in steps if b != a + 1 or not 0 < after - pc <= 15} | {self.pcs[-1]}
        return sorted(set(self.pcs) - wrong)


def build_model(travel: Travel, words: list[int], start: int) -> Model:
    """Step through the window, once to see what is there, and once more for each word, with it watched."""
    target, model = make_target(travel.machine), Model(values={word: [] for word in words})
    travel.seek(start)
    for _ in range(STEPS + 1):
        model.icounts.append(travel.icount)
        model.pcs.append(travel.pc)
        for word in words:
            model.values[word].append(target.read(word, 4))
        travel.step()
    for word in words:
        if (writes := watched_steps(travel, model, word)) is not None:
            values = model.values[word]
            assert {number for number in range(STEPS) if values[number] != values[number + 1]} <= writes
            model.writes[word] = writes
    travel.set_points(())
    return model


def watched_steps(travel: Travel, model: Model, word: int) -> set[int] | None:
    """The steps that write a word; None if one begins with the processor halted: it is not known at which icount."""
    travel.set_points([Point("write", word, 4)])
    travel.seek(model.icounts[0])
    found = set()
    for number, (here, there) in enumerate(zip(model.icounts, model.icounts[1:], strict=False)):
        if travel.run(there).why == "watch":
            if there != here + 1:
                return None
            found.add(number)
        assert travel.icount == there
    return found


def busy_words(travel: Travel, arch: str, start: int) -> list[int]:
    """Words at and below the stack pointers that the window has."""
    target, rng = make_target(travel.machine), random.Random(7)
    travel.seek(start)
    stacks = []
    for _ in range(STEPS):
        stacks.append(target.read_register(STACK[arch]) & -4)
        travel.step()
    return sorted({rng.choice(stacks) - 4 * rng.randrange(4) for _ in range(WORDS)})


class Explorer:
    """Gives random commands and knows where each one leads."""

    def __init__(self, client: Client, model: Model, rng: random.Random):
        self.client, self.model, self.rng = client, model, rng
        self.on_arm = client.arch == "arm"
        self.at = 0
        self.breaks: set[int] = set()
        self.watches: set[int] = set()
        self.done: dict[str, int] = {}

    @property
    def last(self) -> int:
        return len(self.model.pcs) - 1

    def written(self, step: int) -> bool:
        """A watched word is written by the step from this position."""
        return any(step in self.model.writes[word] for word in self.watches)

    def ahead(self) -> set[int]:
        """Where a run may end (more than one: a breakpoint and a watchpoint at once)."""
        for number in range(self.at, self.last):
            found = {number if self.on_arm else number + 1} if self.written(number) else set()
            found |= {number + 1} if self.model.pcs[number + 1] in self.breaks else set()
            if found:
                return found
        return {self.last}

    def behind(self) -> set[int]:
        """The same for a run backwards."""
        for number in range(self.at - 1, -1, -1):
            found = {number + 1 if self.on_arm else number} if self.written(number) else set()
            found |= {number} if self.model.pcs[number] in self.breaks else set()
            if found:
                return found
        return {0}

    def command(self) -> None:
        """One command, and a look at where it led to."""
        names = {"s": 20, "bs": 20, "c": 15, "bc": 15, "break": 10, "unbreak": 8, "watch": 6, "unwatch": 6, "seek": 5}
        name = self.rng.choices(list(names), list(names.values()))[0]
        self.done[name] = self.done.get(name, 0) + 1
        if name in ("s", "bs", "c", "bc"):
            self.move(name)
        elif name == "seek":
            self.at = self.rng.randrange(self.last + 1)
            self.client.seek(self.model.icounts[self.at])
        else:
            self.change(name)
        assert self.client.icount == self.model.icounts[self.at], (name, self.at)
        assert self.client.pc == self.model.pcs[self.at], (name, self.at)
        word = self.rng.choice(list(self.model.values))
        assert self.client.memory(word, 4) == self.model.values[word][self.at], (name, self.at)

    def move(self, name: str) -> None:
        if self.at == (0 if name.startswith("b") else self.last):
            return
        if name == "s":
            expected = {self.at if self.on_arm and self.written(self.at) else min(self.at + 1, self.last)}
        elif name == "bs":
            expected = {self.at if self.on_arm and self.written(self.at - 1) else max(self.at - 1, 0)}
        else:
            expected = self.ahead() if name == "c" else self.behind()
        reply = self.client.ask(self.rng.choice(("s", "vCont;s:1")) if name == "s" else name)
        icount = self.client.icount
        assert icount in {self.model.icounts[number] for number in expected}, (name, self.at, reply, expected)
        self.at = next(number for number in expected if self.model.icounts[number] == icount)

    def change(self, name: str) -> None:
        rng = self.rng
        if name == "break" and len(self.breaks) < 12:
            pc = rng.choice(self.model.breakable())
            self.breaks.add(pc)
            self.client.insert(0, pc)
        elif name == "watch":
            word = rng.choice(list(self.model.writes))
            self.watches.add(word)
            self.client.insert(2, word, 4)
        elif name == "unbreak" and self.breaks:
            pc = rng.choice(sorted(self.breaks))
            self.breaks.remove(pc)
            self.client.remove(0, pc)
        elif name == "unwatch" and self.watches:
            word = rng.choice(sorted(self.watches))
            self.watches.remove(word)
            self.client.remove(2, word, 4)


@pytest.fixture(scope="module", params=ARCHITECTURES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served_replay(demo_recording(request.param, tmp_path_factory.getbasetemp())) as served:
        yield served


def test_random_commands_lead_where_single_stepping_says(served: Served) -> None:
    travel: Travel = served.subject.travel  # type: ignore[attr-defined]
    arch = served.subject.target.arch
    typed = next(event.icount for event in travel.recording.log.events if event.kind == "input:keyboard")
    travel.seek(typed - STEPS // 3)
    start = travel.back().icount
    words = busy_words(travel, arch, start)
    model = build_model(travel, words, start)
    assert any(model.writes.values()) and len(model.breakable()) > 5
    assert any(b > a + 1 for a, b in zip(model.icounts, model.icounts[1:], strict=False))  # it was halted
    client = served.client()
    client.seek(start)
    travel.stops = {model.icounts[0], model.icounts[-1]}
    explorer = Explorer(client, model, random.Random(int(arch[-2:], 36)))
    try:
        for _ in range(COMMANDS):
            explorer.command()
    finally:
        travel.stops = set()
        client.close()
    assert min(explorer.done.values()) > 10
