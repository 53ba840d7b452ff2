"""The compile worker: a process of its own that turns regions into machine code, so that the guest keeps running.

Reads length-prefixed pickles ``(number, opt, pc_bits, blocks)`` from standard input (``opt``: as in
codegen.compile_region_ir) and writes ``(number, code, linked)``: ``code`` is position-independent machine code, or with
``linked`` an object image to link, or None when it cannot be compiled.
"""

from __future__ import annotations

import os
import sys
from typing import Any

from jitrr.engine.codegen import compile_region_ir
from jitrr.engine.messages import message, read_message
from jitrr.engine.object_file import plain_code
from jitrr.engine.region_ir import Block, Region, generate


def compile_region(frontend: Any, region: Region, opt: int = 1) -> tuple[bytes, bool]:
    """(code, False), or (object image, True) when the code refers to constants of its own."""
    text = generate(frontend, region, "region")
    image = compile_region_ir(text, opt)
    code = plain_code(image)
    return (image, True) if code is None else (code, False)


def main() -> None:
    """Serve until standard input ends."""
    from jitrr.engine.frontends import load_frontend

    frontend = load_frontend(sys.argv[1])
    source, target = sys.stdin.buffer, sys.stdout.buffer
    while (request := read_message(source)) is not None:
        number, opt, pc_bits, blocks = request
        region = Region([Block(*b) for b in blocks], pc_bits)
        try:
            code, linked = compile_region(frontend, region, opt)
        except Exception as error:  # what cannot be compiled stays with the interpreter; the reason is reported
            reply = message((number, None, f"{type(error).__name__}: {error}"))
        else:
            reply = message((number, code, linked))
        try:
            target.write(reply)
            target.flush()
        except BrokenPipeError:  # the machine has ended meanwhile
            os._exit(0)


if __name__ == "__main__":
    main()
