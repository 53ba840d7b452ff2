"""The native code is built with the installation, or once, whoever asks for it first; a second start finds it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jitrr.engine import build, cache, install
from jitrr.engine.frontends import NAMES, load_frontend

ROOT = Path(__file__).resolve().parents[1]
#: Prints whether the code was loaded, whether this process built it, and the lines it was told meanwhile. With an
#: argument, building is done by reading that file.
START = """
import sys
from pathlib import Path
from jitrr.engine import build
from jitrr.engine.frontends import load_frontend
builds, lines = [], []
really = (lambda name: Path(sys.argv[1]).read_bytes()) if sys.argv[1:] else build.build
build.build = lambda name: builds.append(name) or really(name)
frontend = load_frontend("x86")
print(len(build.load_native(frontend, lines.append)) > len(frontend.helper_names) > 0, len(builds), *lines, sep="|")
"""
BUILDING = "building native code for this machine (once)..."


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """The program without installed native code, for subprocesses."""
    for package in ("jitrr", "frontends"):
        shutil.copytree(
            ROOT / package, tmp_path / "tree" / package, ignore=shutil.ignore_patterns("native", "__pycache__")
        )
    return tmp_path / "tree"


@pytest.fixture(scope="module")
def native() -> bytes:
    """The native code that this process runs with."""
    build.load_native(load_frontend("x86"))
    name = cache.key("native", "x86")
    packed = cache.load(name, cache.INSTALLED) or cache.load(name)
    assert packed
    return packed


def start(tree: Path, folder: Path, *arguments: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "JITRR_CACHE_DIR": str(folder), "PYTHONPATH": str(tree)}
    command = [sys.executable, "-c", START, *arguments]
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True, cwd=tree)


def answer(starter: subprocess.Popen[str]) -> list[str]:
    return starter.communicate()[0].strip().split("|")


def put(tree: Path, native: bytes) -> Path:
    """Native code of these sources, as an installation leaves it in the tree."""
    folder = tree / "jitrr" / "native"
    folder.mkdir()
    cache.store(cache.key("native", "x86"), native, folder)
    return folder


def test_two_starters_build_once_and_the_next_not_at_all(tree: Path, tmp_path: Path) -> None:
    folder = tmp_path / "cache"
    answers = [answer(starter) for starter in [start(tree, folder), start(tree, folder)]]
    assert sorted(answers) == [["True", "0", BUILDING], ["True", "1", BUILDING]]
    assert answer(start(tree, folder)) == ["True", "0"]


def test_a_cache_that_cannot_be_written_is_no_obstacle(tree: Path, tmp_path: Path, native: bytes) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "native").write_bytes(native)
    assert answer(start(tree, tmp_path / "file" / "cache", str(tmp_path / "native"))) == ["True", "1", BUILDING]


def test_what_was_installed_is_used_and_not_built(tree: Path, tmp_path: Path, native: bytes) -> None:
    put(tree, native)
    assert answer(start(tree, tmp_path / "cache")) == ["True", "0"]
    assert not (tmp_path / "cache").exists()


def test_what_was_installed_from_other_sources_is_not_used(tree: Path, tmp_path: Path, native: bytes) -> None:
    put(tree, native)
    with open(tree / "jitrr" / "engine" / "constants.py", "a") as source:
        source.write("# changed\n")
    (tmp_path / "native").write_bytes(native)
    assert answer(start(tree, tmp_path / "cache", str(tmp_path / "native"))) == ["True", "1", BUILDING]
    assert answer(start(tree, tmp_path / "cache")) == ["True", "0"]


def test_damaged_installed_code_is_not_used(tree: Path, tmp_path: Path, native: bytes) -> None:
    (entry,) = put(tree, native).iterdir()
    entry.write_bytes(native[:-20] + bytes(20))
    (tmp_path / "native").write_bytes(native)
    assert answer(start(tree, tmp_path / "cache", str(tmp_path / "native"))) == ["True", "1", BUILDING]


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty place for installed code, and an empty cache."""
    monkeypatch.setattr(cache, "INSTALLED", tmp_path / "native")
    monkeypatch.setenv("JITRR_CACHE_DIR", str(tmp_path / "cache"))
    return tmp_path / "native"


def test_an_installation_builds_what_is_missing(installed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    builds: list[str] = []

    def built(name: str) -> bytes:
        builds.append(name)
        return name.encode()

    monkeypatch.setattr(install, "build", built)
    cache.store("native-of-another-version", b"", installed)
    install.main()
    assert sorted(builds) == sorted(NAMES)
    assert {path.name for path in installed.iterdir()} == {cache.key("native", name) for name in NAMES}
    assert [cache.load(cache.key("native", name), installed) for name in NAMES] == [name.encode() for name in NAMES]
    install.main()
    assert len(builds) == len(NAMES)


def test_a_build_that_fails_stops_no_installation_and_the_first_start_says_why(
    installed: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], native: bytes
) -> None:
    def fail(name: str) -> bytes:
        raise RuntimeError("native code cannot be built: no LLVM")

    monkeypatch.setattr(install, "build", fail)
    install.main()
    assert "the first start will do it: native code cannot be built: no LLVM\n" in capsys.readouterr().err
    monkeypatch.setattr(build, "build", lambda name: native)
    monkeypatch.setattr(build, "_loaded", {})
    lines: list[str] = []
    build.load_native(load_frontend("x86"), lines.append)
    assert len(lines) == 1 and "when jitrr was installed" in lines[0] and "no LLVM" in lines[0]


def test_the_build_requires_llvm_only_where_python_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "build_backend"))
    monkeypatch.chdir(ROOT)
    import backend

    assert not any("llvmlite" in each for each in backend.get_requires_for_build_wheel())
    monkeypatch.setattr(backend, "_own_environment", lambda: None)
    for hook in (backend.get_requires_for_build_wheel, backend.get_requires_for_build_editable):
        assert any("llvmlite" in each for each in hook())
        assert not any("llvmlite" in each for each in hook({"native": "later"}))
