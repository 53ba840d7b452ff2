"""How a timeline gets its machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from runtime.config import ConfigError, MachineConfig
from runtime.machine_api import Machine

#: Builds a machine behind a border; ValueError (one line) when it cannot be built.
Factory = Callable[[MachineConfig, Any], Machine]


def build(config: MachineConfig, border: Any, factory: Factory | None = None) -> Machine:
    """The machine of ``config``; ConfigError when the user asked for something that cannot be."""
    if factory is None:
        from runtime.machine import make_machine as factory  # late: it brings LLVM with it
    try:
        return factory(config, border)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error
