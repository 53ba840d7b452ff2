"""The build backend: setuptools, and before it packs anything, the native code (:mod:`jitrr.engine.install`).

The native code is machine code, for this processor and by this version of LLVM. So it is best built with the packages
that jitrr will run with: where the Python that installs it has them already, they are used; otherwise they are build
requirements like any other.
``--config-settings native=later`` leaves the native code out: to be built by ``python -m jitrr.engine.install``.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

from setuptools import build_meta
from setuptools.build_meta import *  # noqa: F403  (the hooks that are not below)

ROOT = Path(__file__).resolve().parents[1]
Settings = dict[str, Any] | None


def get_requires_for_build_wheel(config_settings: Settings = None) -> list[str]:
    """What setuptools needs, and the native code."""
    return build_meta.get_requires_for_build_wheel(config_settings) + _requirements(config_settings)


def get_requires_for_build_editable(config_settings: Settings = None) -> list[str]:
    """What setuptools needs, and the native code."""
    return build_meta.get_requires_for_build_editable(config_settings) + _requirements(config_settings)


def build_wheel(wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None) -> str:
    """A wheel with native code for this machine; on any other it builds its own at the first start."""
    _build_native(config_settings)
    name: str = build_meta.build_wheel(wheel_directory, config_settings, metadata_directory)
    return name


def build_editable(
    wheel_directory: str, config_settings: Settings = None, metadata_directory: str | None = None
) -> str:
    """The same for an editable installation: the native code is beside the sources."""
    _build_native(config_settings)
    name: str = build_meta.build_editable(wheel_directory, config_settings, metadata_directory)
    return name


def _later(settings: Settings) -> bool:
    return (settings or {}).get("native") == "later"


def _requirements(settings: Settings) -> list[str]:
    if _later(settings) or _own_environment() is not None:
        return []
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    requirements: list[str] = project["dependencies"]
    return requirements


def _own_environment() -> dict[str, str] | None:
    """The environment in which this Python finds what it will run jitrr with, and not what pip has put in front of it
    for the build; None where those packages are not there (yet)."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONNOUSERSITE"}
    environment["PYTHONPATH"] = str(ROOT)
    test = [sys.executable, "-c", "import jitrr.engine.build_worker"]
    return None if subprocess.run(test, env=environment, capture_output=True).returncode else environment


def _build_native(settings: Settings) -> None:
    """Leaves the native code, or the reason why there is none, in the folder ``jitrr/native``."""
    shutil.rmtree(ROOT / "build" / "lib" / "jitrr" / "native", ignore_errors=True)
    if _later(settings):
        return
    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    environment = _own_environment() or {**os.environ, "PYTHONPATH": path}
    subprocess.run([sys.executable, "-m", "jitrr.engine.install"], env=environment, check=False)
