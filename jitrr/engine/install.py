"""Native code as a part of the installed program: built for all front ends, beside the package's sources.

    python -m jitrr.engine.install

The installation runs this (``build_backend/backend.py``, ``Makefile``). What is there already is kept, what belongs to
other sources or to another processor goes.
"""

from __future__ import annotations

import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

from jitrr.engine import cache
from jitrr.engine.build import FAILED, build
from jitrr.engine.frontends import NAMES


def install() -> None:
    """Build what is missing in :data:`jitrr.engine.cache.INSTALLED`. Raises RuntimeError when that fails."""
    folder = cache.INSTALLED
    wanted = {name: cache.key("native", name) for name in NAMES}
    packed = {name: cache.load(entry, folder) or cache.load(entry) for name, entry in wanted.items()}
    missing = [name for name in NAMES if packed[name] is None]
    # Each build has phases for one process only: side by side they take less than one after the other.
    with ThreadPoolExecutor(len(NAMES)) as pool:
        packed.update(zip(missing, pool.map(build, missing), strict=True))
    shutil.rmtree(folder, ignore_errors=True)
    for name, content in packed.items():
        if content is not None:
            cache.store(wanted[name], content, folder)
        if content is None or cache.load(wanted[name], folder) != content:
            raise RuntimeError(f"{folder} cannot be written")
        (folder / wanted[name]).chmod(0o644)


def main() -> None:
    """Install, or leave a line that says why not: whoever starts jitrr first then sees it."""
    try:
        install()
    except Exception as error:
        line = str(error).strip().splitlines()[-1]
        print(f"native code was not built, the first start will do it: {line}", file=sys.stderr)
        shutil.rmtree(cache.INSTALLED, ignore_errors=True)
        with suppress(OSError):
            cache.INSTALLED.mkdir()
            (cache.INSTALLED / FAILED).write_text(line + "\n")


if __name__ == "__main__":
    main()
