"""A build process: compiles parts of the native code that every run starts with.

Reads length-prefixed pickles ``(task, arguments)`` from standard input and answers each with ``(error, result)``.
Several work side by side on one build; see :mod:`jitrr.engine.build`.
"""

from __future__ import annotations

import gc
import sys
import traceback
from functools import cached_property
from typing import Any

from jitrr.engine.codegen import compile_ir
from jitrr.engine.frontends import load_frontend
from jitrr.engine.interp import Part, generate
from jitrr.engine.messages import message, read_message
from jitrr.engine.native import FUNCTIONS, HELPERS, arity
from jitrr.microops.table import Outline


class Builder:
    """The tasks of a build, for one front end. Helpers are numbered the same way in every process."""

    def __init__(self, frontend: str):
        self.frontend = load_frontend(frontend)
        self.frontend.declare_helpers()
        self.indexes = {name: number for number, name in enumerate(HELPERS)}

    def parts(self) -> int:
        """Number of parts of the interpreter."""
        return len(self._parts)

    @cached_property
    def _parts(self) -> list[Part]:
        return generate(self.frontend, self.indexes)

    def rows(self) -> list[Outline]:
        """What starts need to know of the table, by number."""
        return [row.outline for row in self.frontend.rows]

    def helpers(self) -> tuple[dict[str, int], bytes]:
        """Arguments of each helper, and the object of all of them."""
        from jitrr.engine.lower import to_ir  # numba, which takes long to import, for one of the processes only

        pieces = [piece for symbol, function in FUNCTIONS.items() for piece in to_ir(symbol, function)]
        names = list(HELPERS)
        image = compile_ir("\n".join(dict.fromkeys(pieces)), keep=names)
        return {name: arity(function) for name, function in HELPERS.items()}, image

    def interpret(self, number: int) -> bytes:
        """The object of a part of the interpreter."""
        part = self._parts[number]
        return compile_ir(part.text, passes=part.passes, keep=part.symbols)


def main() -> None:
    """Serve until standard input ends."""
    gc.disable()  # lowering makes much garbage that is alive anyway; the process is short-lived
    source, target = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr
    builder = Builder(sys.argv[1])
    while (request := read_message(source)) is not None:
        task, arguments = request
        answer: tuple[str, Any]
        try:
            answer = "", getattr(builder, task)(*arguments)
        except Exception:
            answer = traceback.format_exc(), None
        target.write(message(answer))
        target.flush()


if __name__ == "__main__":
    main()
