"""The cache on disk: bounded, atomic, deaf to damage."""

from __future__ import annotations

import os

import pytest

from jitrr.engine import cache


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("JITRR_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_what_was_stored_is_found():
    cache.store("entry", b"content")
    assert cache.load("entry") == b"content"
    assert cache.load("other") is None


def test_a_damaged_entry_is_a_miss(own_cache):
    cache.store("entry", b"content")
    path = own_cache / "entry"
    path.write_bytes(b"X" + path.read_bytes()[1:])
    assert cache.load("entry") is None
    path.write_bytes(b"short")
    assert cache.load("entry") is None


def test_the_oldest_entries_go_first(own_cache):
    for age, name in enumerate(("newest", "middle", "oldest")):
        cache.store(name, bytes(1000))
        os.utime(own_cache / name, (10_000 - age, 10_000 - age))
    cache.trim(2100)
    assert sorted(p.name for p in own_cache.iterdir()) == ["middle", "newest"]


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_bytes(b"")
    monkeypatch.setenv("JITRR_CACHE_DIR", str(blocked / "below"))
    cache.store("entry", b"content")
    cache.trim()
    assert cache.load("entry") is None
