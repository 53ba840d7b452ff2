"""Rules that keep devices deterministic, checked on their source."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

import runtime.devices

FOLDER = Path(runtime.devices.__file__).parent
ALLOWED = {"__future__", "collections.abc", "dataclasses", "enum", "functools", "struct", "typing"}
FORBIDDEN_CALLS = ("open", "__import__", "exec", "eval", "hash", "id", "set", "input", "float")
SOURCES = sorted(FOLDER.rglob("*.py"))


def imported(tree: ast.AST) -> list[str]:
    found: list[str] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            found.append(node.module or "." * node.level)
    return found


def impurities(source: str) -> list[str]:
    """What a device must not do, in source order."""
    tree = ast.parse(source)
    found = [name for name in imported(tree) if name not in ALLOWED and not name.startswith("runtime.")]
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            found.append(f"float {node.value}")
        elif isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            found.append("true division")
        elif isinstance(node, ast.For | ast.comprehension) and isinstance(node.iter, ast.Set | ast.SetComp):
            found.append("iteration over a set")
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in FORBIDDEN_CALLS:
            found.append(f"{node.func.id}()")
    return found


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_device_has_no_way_out_but_the_border(path: Path) -> None:
    assert impurities(path.read_text()) == []


def test_the_check_finds_what_it_looks_for() -> None:
    assert impurities("import time") == ["time"]
    assert impurities("from os.path import join") == ["os.path"]
    assert impurities("def f():\n  from random import random\n  return hash(1) / 2 + 0.5") == [
        "random", "true division", "float 0.5", "hash()",
    ]  # fmt: skip
    assert impurities("for x in {1, 2}: pass") == ["iteration over a set"]
    assert len(SOURCES) > 10
