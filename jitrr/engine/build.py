"""The native code every run starts with: helpers (numba) and the interpreter (micro-op table).

It is built when jitrr is installed (:mod:`jitrr.engine.install`). Where it was built for another processor, from other
sources or not at all, the first start builds it and keeps it in the cache. A build is shared by one process per CPU (at
most four). Of several programs that start at the same time one builds and the others wait.
"""

from __future__ import annotations

import fcntl
import json
import os
import struct
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from jitrr.engine import cache
from jitrr.engine.memory import CodeArena
from jitrr.engine.messages import message, read_message
from jitrr.engine.object_file import ALIGNMENT, link
from jitrr.microops.table import Outline

if TYPE_CHECKING:
    import subprocess

MAX_WORKERS = 4
#: Beside the installed native code when it could not be built: a line that says why.
FAILED = "failed"


def tell(line: str) -> None:
    """Where a build says what it does, unless the caller knows better: standard error."""
    print(line, file=sys.stderr, flush=True)


@dataclass(frozen=True)
class _Native:
    """The native code in this process, shared by all its machines: it finds everything through the CPU block."""

    addresses: dict[str, int]
    #: Helpers in the order of their numbers, with how many arguments they take.
    helpers: dict[str, int]
    #: The table that the handlers were made from.
    outlines: list[Outline]
    arena: CodeArena


_loaded: dict[str, _Native] = {}


def load_native(frontend: Any, notify: Callable[[str], None] = tell) -> dict[str, int]:
    """Addresses of helpers, handlers (``op_<row>``) and the special entries; fills the front end's helper tables.

    ``notify`` gets one line when the code is not in the cache and takes its seconds to build. Raises RuntimeError when
    it cannot be built."""
    native = _loaded.get(frontend.name)
    if native is None:
        native = _loaded[frontend.name] = _load(_cached_or_built(frontend.name, notify))
    frontend.helper_names = list(native.helpers)
    frontend.helper_arity = native.helpers
    frontend.outlines = native.outlines
    return native.addresses


def _load(packed: bytes) -> _Native:
    (size,) = struct.unpack_from("<I", packed)
    meta, code = json.loads(packed[4 : 4 + size]), packed[4 + size :]
    arena = CodeArena(len(code))
    base = arena.add(code)
    assert base is not None
    addresses = {name: base + offset for name, offset in meta["symbols"].items()}
    return _Native(addresses, meta["helpers"], [Outline(*row) for row in meta["rows"]], arena)


def _cached_or_built(frontend: str, notify: Callable[[str], None]) -> bytes:
    name = cache.key("native", frontend)
    packed = cache.load(name, cache.INSTALLED) or cache.load(name)
    if packed is not None:
        return packed
    notify(f"{_failure()}building native code for this machine (once)...")
    with _one_at_a_time():
        packed = cache.load(name)
        if packed is None:
            packed = build(frontend)
            cache.store(name, packed)
    return packed


def _failure() -> str:
    """What went wrong when jitrr was installed, for a person to read."""
    try:
        return f"it could not be built when jitrr was installed ({(cache.INSTALLED / FAILED).read_text().strip()}); "
    except OSError:
        return ""


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    """Hold the lock of the cache directory; where it cannot be locked, go on without."""
    try:
        cache.cache_dir().mkdir(parents=True, exist_ok=True)
        file = open(cache.cache_dir() / ".build-lock", "w")  # noqa: SIM115 (closed below)
    except OSError:
        yield
        return
    with file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def build(frontend: str) -> bytes:
    """Compile everything: the table's outlines, helpers with their numbers of arguments, where everything is in the
    code; behind it the code. Raises RuntimeError when that fails."""
    count = min(len(os.sched_getaffinity(0)), MAX_WORKERS)
    with _workers(frontend, count) as ask:
        asked = ask("helpers")
        handlers = [ask("interpret", number) for number in range(ask("parts").result())]
        rows = ask("rows").result()
        helpers, image = asked.result()
        code, symbols = _joined([image, *(part.result() for part in handlers)])
    head = json.dumps({"rows": rows, "helpers": helpers, "symbols": symbols}).encode()
    return struct.pack("<I", len(head)) + head + code


def _joined(images: list[bytes]) -> tuple[bytes, dict[str, int]]:
    """The code of objects, one behind the other, and the offsets of their symbols."""
    code, symbols = b"", dict[str, int]()
    for part, names in map(link, images):
        code += bytes(-len(code) % ALIGNMENT)
        symbols |= {name: len(code) + offset for name, offset in names.items()}
        code += part
    return code, symbols


@contextmanager
def _workers(frontend: str, count: int) -> Iterator[Callable[..., Any]]:
    """Start build processes; gives ``ask(task, *arguments) -> Future``."""
    import subprocess  # late, like the next: most starts build nothing
    from concurrent.futures import ThreadPoolExecutor

    command = [sys.executable, "-m", "jitrr.engine.build_worker", frontend]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True)
        for _ in range(count)
    ]
    idle: SimpleQueue[subprocess.Popen[bytes]] = SimpleQueue()
    for process in processes:
        idle.put(process)

    def run(task: str, arguments: tuple[Any, ...]) -> Any:
        process = idle.get()
        try:
            return _request(process, task, arguments)
        finally:
            idle.put(process)

    pool = ThreadPoolExecutor(count)
    try:
        yield lambda task, *arguments: pool.submit(run, task, arguments)
    finally:
        for process in processes:
            process.kill()
        pool.shutdown(cancel_futures=True)
        for process in processes:
            process.communicate()


def _request(process: subprocess.Popen[bytes], task: str, arguments: tuple[Any, ...]) -> Any:
    assert process.stdin is not None and process.stdout is not None
    try:
        process.stdin.write(message((task, arguments)))
        process.stdin.flush()
        answer = read_message(process.stdout)
    except BrokenPipeError:
        answer = None
    if answer is None:
        raise RuntimeError("native code cannot be built: the build process ended")
    error, result = answer
    if error:
        raise RuntimeError(f"native code cannot be built: {error}")
    return result
