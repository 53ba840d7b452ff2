"""What the random programs of both architectures have in common: bodies of random pieces, some left out at times."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random

#: How many bodies a program has, and pieces a body.
BODIES, ACTIONS = 3, 24


def bodies(rng: Random, kinds: Sequence[Callable[[Random], str]], skip: str, jump: str) -> str:
    """All bodies, each of pieces of some ``kinds``. ``skip``: instructions behind ``draw`` that go to a place if a bit
    is clear, with {bit} and {place}; ``jump``: the instruction that goes on with another body."""
    return "\n".join(_body(rng, number, kinds, skip, jump) for number in range(BODIES))


def _body(rng: Random, number: int, kinds: Sequence[Callable[[Random], str]], skip: str, jump: str) -> str:
    lines = [f"body{number}:"]
    for at in range(ACTIONS):
        if rng.random() < 0.25:  # not each time
            lines.append("draw\n" + skip.format(bit=1 << rng.randrange(12), place=f"skip_{number}_{at}"))
        lines.append(rng.choice(kinds)(rng))
        lines.append(f"skip_{number}_{at}:")
    return "\n".join([*lines, f"{jump} body{rng.choice((number, number, (number + 1) % BODIES))}"])
