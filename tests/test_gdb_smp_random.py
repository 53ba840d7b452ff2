"""Hundreds of random commands of a debugger to a machine of two processors, with threads chosen at random, each
compared with a model made by single steps of the machine.

The model is the list of instructions in a window: where each was run, by whom, and what it found. A breakpoint is put
only where no interrupt and no time spent halted went before a visit.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from gdb_client import Client, Served, served_replay
from smp_guest import ARCHITECTURES, PRIVATE, places, smp_recording

from runtime.debug.target import Target, make_target
from runtime.processors import TURN
from runtime.timeline.travel import Point, Travel

COMMANDS, STEPS = 400, 700
BOTH = (0, 1)


@dataclass
class Model:
    """Of each instruction: ``places`` (its icount), ``who`` ran it. Before each, and behind the last one: ``pcs`` of
    both processors, ``values`` of the words. ``writes``: words -> the instructions that write them; ``breakable``:
    addresses."""

    places: list[int] = field(default_factory=list)
    who: list[int] = field(default_factory=list)
    pcs: list[tuple[int, ...]] = field(default_factory=list)
    values: dict[int, list[bytes]] = field(default_factory=dict)
    writes: dict[int, set[int]] = field(default_factory=dict)
    breakable: list[int] = field(default_factory=list)

    @property
    def count(self) -> int:
        return len(self.places)

    def first(self, icount: int) -> int:
        """The first instruction at a position or behind it."""
        return next((n for n, place in enumerate(self.places) if place >= icount), self.count)


def pcs_of(target: Target) -> tuple[int, ...]:
    found = []
    for number in BOTH:
        with target.of(number):
            found.append(target.pc)
    return tuple(found)


def build_model(travel: Travel, words: list[int], start: int) -> Model:
    """Step through the window, and once more for each word, with it watched."""
    target, model = make_target(travel.machine), Model(values={word: [] for word in words})
    travel.seek(start)
    wrong, positions = set(), []
    for number in range(STEPS + 1):
        positions.append(travel.icount)
        model.pcs.append(pcs_of(target))
        for word in words:
            model.values[word].append(target.read(word, 4))
        if number == STEPS:
            break
        travel.step()
        who = travel.machine.turn
        model.places.append(travel.icount - 1)
        model.who.append(who)
        before, after = model.pcs[-1][who], pcs_of(target)[who]
        if travel.icount != positions[-1] + 1 or not 0 < after - before <= 15:
            wrong.add(before)
    model.breakable = sorted({pcs[who] for pcs, who in zip(model.pcs, model.who, strict=False)} - wrong)
    for word in words:
        model.writes[word] = written(travel, positions, word)
    travel.set_points(())
    return model


def written(travel: Travel, positions: list[int], word: int) -> set[int]:
    """The instructions that write a word."""
    travel.set_points([Point("write", word, 4)])
    travel.seek(positions[0])
    found = set()
    for number, there in enumerate(positions[1:]):
        if travel.run(there).why == "watch":
            found.add(number)
        if travel.icount != there:  # the access was an instruction of the halted machine's delivery
            travel.seek(there)
    return found


class Explorer:
    """Gives random commands and knows where each one leads. ``at`` is the position, ``turn`` whose turn it is there
    (behind a breakpoint's stop that of its processor), ``thread`` the one that was stopped."""

    def __init__(self, client: Client, model: Model, rng: random.Random):
        self.client, self.model, self.rng = client, model, rng
        self.on_arm = client.arch == "arm"
        self.breaks: set[int] = set()
        self.watches: set[int] = set()
        self.done: dict[str, int] = {}
        self.seek()

    # -- the model ----------------------------------------------------------------------------------------------------
    def turn_at(self, icount: int) -> int:
        """Whose turn it is at a position within the window."""
        number = self.model.first(icount)
        return self.model.who[number - 1] if number else self.before

    def is_written(self, number: int) -> bool:
        return any(number in self.model.writes[word] for word in self.watches)

    def is_broken(self, number: int) -> bool:
        model = self.model
        return number < model.count and model.pcs[number][model.who[number]] in self.breaks

    def watch_stop(self, number: int, forward: bool) -> tuple[int, int, int]:
        """Where a watchpoint stops, whose turn it is there, and who is told of."""
        place, who = self.model.places[number], self.model.who[number]
        if forward != self.on_arm:
            return place + 1, who, who
        return place, self.turn_at(place), who

    def break_stop(self, number: int) -> tuple[int, int, int]:
        return self.model.places[number], self.model.who[number], self.model.who[number]

    def ahead(self, stepped: int | None) -> tuple[int, int, int] | None:
        """Where a run, or a step of a processor, ends; None: not in the window."""
        model = self.model
        first = model.first(self.at)
        for number in range(first, model.count):
            passed = number == first and model.places[number] == self.at and model.who[number] == self.turn
            if self.is_broken(number) and not passed and model.who[number] != stepped:
                return self.break_stop(number)
            if self.is_written(number):
                return self.watch_stop(number, True)
            if model.who[number] == stepped:
                return model.places[number] + 1, stepped, stepped
        return None

    def behind(self, stepped: int | None) -> tuple[int, int, int] | None:
        """The same backward."""
        model = self.model
        for number in range(model.first(self.at) - 1, -1, -1):
            if self.is_written(number):
                return self.watch_stop(number, False)
            if model.who[number] == stepped:
                return model.places[number], self.turn_at(model.places[number]), stepped
            if self.is_broken(number):
                return self.break_stop(number)
        return None

    # -- commands -----------------------------------------------------------------------------------------------------
    def command(self) -> None:
        """One command, and a look at where it led to."""
        names = {"s": 25, "bs": 25, "c": 12, "bc": 12, "break": 8, "unbreak": 8, "watch": 4, "unwatch": 5, "seek": 4}
        name = self.rng.choices(list(names), list(names.values()))[0]
        self.done[name] = self.done.get(name, 0) + 1
        if name == "seek":
            self.seek()
        elif name in ("s", "bs", "c", "bc"):
            self.move(name)
        else:
            self.change(name)
        self.look(name)

    def look(self, name: str) -> None:
        model, client, rng = self.model, self.client, self.rng
        number = model.first(self.at)
        assert client.icount == self.at, name
        other = rng.choice(BOTH)
        assert client.ask(f"Hg{other + 1}") == "OK" and client.pc == model.pcs[number][other], (name, self.at, other)
        word = rng.choice(list(model.values))
        assert client.memory(word, 4) == model.values[word][number], (name, self.at)
        count = int.from_bytes(client.memory(PRIVATE[client.arch], 4), "little")
        assert count & 1 == other
        assert client.ask(f"Hg{self.thread + 1}") == "OK"

    def seek(self) -> None:
        model = self.model
        number = self.rng.randrange(1, model.count)
        self.at = model.places[number - 1] + 1
        self.before = self.turn = self.thread = model.who[number - 1]
        self.client.seek(self.at)

    def move(self, name: str) -> None:
        stepped = self.rng.choice(BOTH) if name in ("s", "bs") else None
        found = self.behind(stepped) if name.startswith("b") else self.ahead(stepped)
        if found is None:
            return
        packet = name
        if stepped is not None:
            how = self.rng.choice(("Hg", "Hc", "vCont") if name == "s" else ("Hg", "Hc"))
            if how == "vCont":
                packet = f"vCont;{self.rng.choice((f's:{stepped + 1};c', f's:{stepped + 1}', f'c:{2 - stepped};s'))}"
            elif how == "Hg":
                assert self.client.ask("Hc0") == self.client.ask(f"Hg{stepped + 1}") == "OK"
            else:
                assert self.client.ask(f"Hc{stepped + 1}") == "OK"
        reply = self.client.ask(packet)
        told = re.search(r"thread:(\w+);", reply)
        assert told is not None and reply.startswith("T05"), (name, reply)
        state = (self.at, self.turn, stepped, sorted(self.breaks), sorted(self.watches))
        assert (self.client.icount, int(told[1], 16) - 1) == (found[0], found[2]), (packet, reply, found, state)
        self.at, self.turn, self.thread = found

    def change(self, name: str) -> None:
        rng = self.rng
        if name == "break" and len(self.breaks) < 4:
            self.breaks.add(pc := rng.choice(self.model.breakable))
            self.client.insert(0, pc)
        elif name == "watch" and len(self.watches) < 2:
            self.watches.add(word := rng.choice(list(self.model.writes)))
            self.client.insert(2, word, 4)
        elif name == "unbreak" and self.breaks:
            self.breaks.remove(pc := rng.choice(sorted(self.breaks)))
            self.client.remove(0, pc)
        elif name == "unwatch" and self.watches:
            self.watches.remove(word := rng.choice(sorted(self.watches)))
            self.client.remove(2, word, 4)


@pytest.fixture(params=ARCHITECTURES)
def served(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Served, dict]]:
    recording, linked = smp_recording(request.param, tmp_path_factory.getbasetemp())
    with served_replay(recording) as served:
        yield served, places(linked, request.param)


def windows(travel: Travel) -> list[int]:
    """Before the machine is halted as a whole, and before the turn of one that did not wait is over."""
    travel.seek(1_000_000)
    idled = travel.machine.idled
    while travel.machine.idled == idled:
        travel.replay.advance(travel.icount + 500)
    found = [travel.icount - STEPS // 2]
    turns: list[tuple[int, int]] = []
    travel.machine.turns = turns
    travel.replay.advance(travel.icount + 1_400_000)
    travel.machine.turns = None
    long = next(after for (at, _), (after, _) in pairwise(turns) if after - at == TURN)
    return [*found, long - STEPS // 2]


@pytest.mark.parametrize("which", [0, 1])
def test_random_commands(served: tuple[Served, dict[str, int]], which: int) -> None:
    server, names = served
    travel = server.subject.travel  # type: ignore[attr-defined]
    arch = server.subject.target.arch
    start = windows(travel)[which]
    words = [names[name] + offset for name in ("counts", "sums") for offset in (0, 4)] + [names["turn"]]
    model = build_model(travel, words, start)
    assert set(model.who) == set(BOTH) and len(model.breakable) > 5 and any(model.writes.values())
    client = server.client()
    try:
        explorer = Explorer(client, model, random.Random(which + int(arch[-2:], 36)))
        for _ in range(COMMANDS):
            explorer.command()
    finally:
        client.close()
    assert min(explorer.done.values()) > 5
