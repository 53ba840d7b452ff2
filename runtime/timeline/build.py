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
    try:
        return (factory or _default())(config, border)
    except ConfigError:
        raise
    except ValueError as error:
        raise ConfigError(str(error)) from error


def _default() -> Factory:
    from runtime.machine import make_machine  # late: it brings LLVM with it

    return make_machine
