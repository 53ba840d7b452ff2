"""Guest architectures by name."""

from __future__ import annotations

from typing import Any

#: All there are; x86 is that of i386 and of x86_64.
NAMES = ("x86", "arm")


def load_frontend(name: str) -> Any:
    """A new front end; see jitrr.engine.frontend.Frontend."""
    if name == "x86":
        from frontends.x86.frontend import X86Frontend

        return X86Frontend()
    if name == "arm":
        from frontends.arm.frontend import ArmFrontend

        return ArmFrontend()
    raise ValueError(f"no front end for {name}")
