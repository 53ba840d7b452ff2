"""The compile worker: a process of its own that turns regions into machine code, so that the guest keeps running.

Reads length-prefixed pickles ``(number, name, digests, opt, pc_bits, blocks)`` from standard input (``opt``: as in
codegen.compile_region_ir), keeps each region in the cache under its name, and writes ``(number, code, failure)``:
``code`` is machine code that can be anywhere, or None when it cannot be compiled. At the end of its input it goes on
with what has been left in a file, in the background.
"""

from __future__ import annotations

import fcntl
import os
import resource
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import chain
from pathlib import Path
from typing import IO, Any

import msgpack

from jitrr.engine import cache
from jitrr.engine.codegen import compile_region_ir
from jitrr.engine.messages import message, read_message
from jitrr.engine.object_file import link
from jitrr.engine.region_ir import Block, Region, generate

#: Processor seconds for what has been left, at most.
LEFT_SECONDS = 30


def compile_region(frontend: Any, region: Region, opt: int = 1) -> bytes:
    """The region's code, which begins with its entry."""
    code, symbols = link(compile_region_ir(generate(frontend, region, "region"), opt))
    if symbols["region"]:
        raise ValueError("the entry is not where a region begins")
    return code


def _compiled(frontend: Any, request: tuple[Any, ...]) -> tuple[bytes | None, str]:
    """A region's code, or None and the reason: what cannot be compiled stays with the interpreter."""
    *_, opt, pc_bits, blocks = request
    try:
        return compile_region(frontend, Region([Block(*b) for b in blocks], pc_bits), opt), ""
    except Exception as error:
        return None, f"{type(error).__name__}: {error}"


def _keep(request: tuple[Any, ...], code: bytes | None) -> None:
    """Store a region as Tier looks for it: deltas and digests of its blocks, then the code."""
    _, name, digests, *_, blocks = request
    if code is not None:
        cache.store(name, msgpack.packb(([delta for *_, delta in blocks], digests, code)))


def _messages(file: IO[bytes]) -> Iterator[Any]:
    while (request := read_message(file)) is not None:
        yield request


def _to_background() -> None:
    """Nobody waits for this process any more, neither for its end nor for a processor."""
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(nothing, stream)
    os.nice(19)
    with suppress(OSError):  # the kernel shares processors among sessions first, if it has been built that way
        Path("/proc/self/autogroup").write_text("19")
    used = resource.getrusage(resource.RUSAGE_SELF)
    limit = int(used.ru_utime + used.ru_stime) + LEFT_SECONDS
    resource.setrlimit(resource.RLIMIT_CPU, (limit, limit))


def _alone() -> bool:
    """Whether no other process is finishing regions for this cache; none does from now on until this one ends. Many
    short runs shall not leave a crowd behind them."""
    try:
        fcntl.flock(os.open(cache.cache_dir(), os.O_RDONLY), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def _finish(frontend: Any, requests: Iterable[Any]) -> None:
    """Compile for the cache alone, unless somebody removes it meanwhile: nothing may appear in a directory that is
    being deleted."""
    there = cache.names("region")
    for request in requests:
        if request[1] in there:
            continue
        code, _ = _compiled(frontend, request)
        now = cache.names("region")
        if not there <= now or not cache.cache_dir().is_dir():
            return
        _keep(request, code)
        there = now


def main() -> None:
    """Serve until standard input ends, then finish what the machine has left in a file (its descriptor is the second
    argument), if anything."""
    from jitrr.engine.frontends import load_frontend

    frontend = load_frontend(sys.argv[1])
    target = sys.stdout.buffer
    requests = _messages(sys.stdin.buffer)
    for request in requests:
        code, failure = _compiled(frontend, request)
        _keep(request, code)
        try:
            target.write(message((request[0], code, failure)))
            target.flush()
        except BrokenPipeError:  # the machine has ended meanwhile
            break
    _to_background()
    if not _alone():
        return
    with open(int(sys.argv[2]), "rb") as left:
        left.seek(0)
        _finish(frontend, chain(requests, _messages(left)))
    cache.trim()


if __name__ == "__main__":
    main()
