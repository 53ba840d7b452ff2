"""The log, page hashes, the page store and checkpoints, each by itself."""

from __future__ import annotations

import os
import pickle
import time

import numpy as np
import pytest

from runtime.config import ConfigError, Image, MachineConfig, parse_size
from runtime.recording.checkpoints import Checkpoints, CheckpointWriter, _least_missed
from runtime.recording.digest import PAGE, PageHashes, decode_state, encode_state, machine_digest, page_hash
from runtime.recording.errors import Divergence, RecordingError
from runtime.recording.files import write_parts
from runtime.recording.log import Digest, Event, Log, LogWriter
from runtime.recording.pages import PageReader, PageWriter


def test_log_gives_back_what_was_written(tmp_path):
    writer = LogWriter(tmp_path / "log.mcap")
    kinds = ("clock", "entropy", "input:serial0")
    events = [Event(i * 3 // 2, kinds[i % 3], bytes([i % 256]) * (i % 9)) for i in range(999)]
    digests = [Digest(i * 10, os.urandom(16)) for i in range(20)]
    for at in range(0, 999, 100):
        for event in events[at : at + 100]:
            writer.event(*event)
        for digest in digests[at // 50 : at // 50 + 2]:
            writer.digest(*digest)
        writer.flush(at)
    assert Log(tmp_path / "log.mcap").events == events  # before it is closed
    writer.flush(2000, {"reason": "power-off", "message": ""})
    writer.close()
    log = Log(tmp_path / "log.mcap")
    assert (log.events, log.digests, log.icount) == (events, digests, 2000)
    assert log.end == {"reason": "power-off", "message": ""}


def test_log_of_a_long_boot_is_small(tmp_path):
    """A minute of recording without input, flushed twice and digested once a second."""
    writer = LogWriter(tmp_path / "log.mcap")
    writer.event(0, "clock", bytes(8))
    for half_second in range(120):
        if half_second % 2:
            writer.digest(half_second * 10**8, os.urandom(16))
        writer.flush(half_second * 10**8)
    writer.close()
    assert (tmp_path / "log.mcap").stat().st_size < 60_000


def test_page_hashes_follow_dirty_pages_only():
    ram = memoryview(bytearray(os.urandom(64 * PAGE)))
    hashes, full = PageHashes(64), PageHashes(64)
    assert (hashes.table == hashes.table[0]).all() and hashes.table[0].tobytes() == page_hash(bytes(PAGE))
    hashes.scan(ram)
    ram[5 * PAGE + 7] ^= 1
    ram[63 * PAGE] ^= 1
    full.scan(ram)
    assert np.flatnonzero((hashes.table != full.table).any(axis=1)).tolist() == [5, 63]
    hashes.update(ram, np.array([5, 63]))
    assert (hashes.table == full.table).all()
    hashes.update(ram, np.array([], dtype=np.int64))
    assert hashes.table[5].tobytes() == page_hash(ram[5 * PAGE : 6 * PAGE])


def test_hashing_twenty_thousand_pages_takes_tens_of_ms():
    ram, pages = memoryview(bytearray(20_000 * PAGE)), np.arange(20_000)
    hashes = PageHashes(20_000)
    best = min(_seconds(lambda: hashes.update(ram, pages)) for _ in range(3))
    assert best < 0.3  # 0.01 on a quiet machine


def _seconds(work) -> float:
    before = time.perf_counter()
    work()
    return time.perf_counter() - before


def test_a_digest_depends_on_every_part_and_not_on_the_order_of_keys():
    table = PageHashes(4).table
    base = machine_digest(b"cpu", encode_state({"a": 1, "b": {"x": [1], "y": b"z"}}), table)
    assert base == machine_digest(b"cpu", encode_state({"b": {"y": b"z", "x": (1,)}, "a": 1}), table)
    changed = table.copy()
    changed[3, 1] ^= 1
    others = [
        machine_digest(b"cpv", encode_state({"a": 1, "b": {"x": [1], "y": b"z"}}), table),
        machine_digest(b"cpu", encode_state({"a": 2, "b": {"x": [1], "y": b"z"}}), table),
        machine_digest(b"cpu", encode_state({"a": 1, "b": {"x": [1], "y": b"z"}}), changed),
    ]
    assert len({base, *others}) == 4
    assert decode_state(encode_state({"a": [1, b"x", True, "s", None]})) == {"a": [1, b"x", True, "s", None]}


def test_the_page_store_keeps_each_page_once_and_checks_it(tmp_path):
    writer = PageWriter(tmp_path / "pages")
    pages = [bytes([i]) * PAGE for i in range(100)]
    names = [page_hash(page) for page in pages]
    fresh = writer.new(names + names)
    assert list(fresh.values()) == list(range(1, 100))  # all but the page of zeros
    writer.write(list(fresh), memoryview(b"".join(pages[at] for at in fresh.values())))
    assert writer.new(names) == {}
    reader = PageReader(tmp_path / "pages")
    assert dict(reader.fetch(enumerate(names))) == dict(enumerate(pages))
    with pytest.raises(RecordingError, match="missing from the recording"):
        list(reader.fetch([(0, b"x" * 16)]))
    writer.collect(set(names[:10]))
    reader = PageReader(tmp_path / "pages")
    assert dict(reader.fetch(enumerate(names[:10]))) == dict(enumerate(pages[:10]))
    assert names[10] not in reader and list(writer.new(names[:11])) == [names[10]]


def test_pages_that_were_read_ahead_are_the_same_and_damage_is_noticed_later(tmp_path):
    pages = {page_hash(page): page for page in (os.urandom(PAGE) for _ in range(200))}
    writer = PageWriter(tmp_path / "pages")
    names = list(pages)
    writer.write(names[:150], memoryview(b"".join(pages[name] for name in names[:150])))
    writer.write(names[150:], memoryview(b"".join(pages[name] for name in names[150:])))
    reader = PageReader(tmp_path / "pages")
    for ahead in (names[:90], names[90:95], names, []):  # less than is wanted then, other pages, all
        reader.read_ahead(ahead)
        found = {number: bytes(page) for number, page in reader.fetch(enumerate(names))}
        assert found == {number: pages[name] for number, name in enumerate(names)}
    pack = tmp_path / "pages" / "00000001.pack"
    data = bytearray(pack.read_bytes())
    data[-100] ^= 1
    pack.write_bytes(data)
    reader.read_ahead(names)
    assert len(list(reader.fetch(enumerate(names[:64])))) == 64
    reader.read_ahead(names)
    with pytest.raises(RecordingError, match=r"00000001\.pack is damaged: pages at byte \d+ were altered"):
        list(reader.fetch(enumerate(names)))


def test_checkpoints_give_back_the_page_map_through_thinning(tmp_path):
    rng, ram = np.random.default_rng(4), bytearray(200 * PAGE)
    hashes, expected = PageHashes(200), {}
    pages = PageWriter(tmp_path / "pages")
    writer = CheckpointWriter(tmp_path / "checkpoints", pages, 200, budget=1_500_000)
    for step in range(40):
        dirty = np.unique(rng.integers(0, 200, 20))
        for page in dirty.tolist():
            ram[page * PAGE : page * PAGE + PAGE] = rng.integers(0, 256, PAGE, dtype=np.uint8).tobytes()
        hashes.update(memoryview(ram), dirty)
        digest = machine_digest(b"cpu", b"", hashes.table)
        writer.save(step * 100, step, step * 2000, b"cpu", b"", digest, hashes.table, memoryview(ram))
        expected[step * 100] = (hashes.table.copy(), bytes(ram))
    writer.close()
    assert writer.bytes <= 1_500_000
    kept = Checkpoints(tmp_path / "checkpoints", 0, 3900)
    assert 2 < len(kept.icounts) == writer.count < 40
    assert (kept.icounts[0], kept.icounts[-1]) == (0, 3900)
    reader = PageReader(tmp_path / "pages")
    for icount in kept.icounts:
        saved, table = kept.load(icount)
        assert saved.events == icount // 100 and (table == expected[icount][0]).all()
        content = dict(reader.fetch((page, table[page].tobytes()) for page in range(200)))
        assert b"".join(content[page] for page in range(200)) == expected[icount][1]


def test_thinning_leaves_recent_checkpoints_close_and_old_ones_far_apart():
    times = {icount: icount * 2000 for icount in range(200)}
    while len(times) > 20:
        del times[_least_missed(times)]
    gaps = np.diff(list(times))
    assert gaps[:5].mean() > 4 * gaps[-5:].mean() and 0 in times and 199 in times


@pytest.mark.parametrize("most", [1 << 20, 1000])
def test_buffers_are_written_whole_however_much_the_disk_takes_at_once(tmp_path, monkeypatch, most):
    parts = [bytes([number % 251]) * (number % 7) for number in range(3000)]
    monkeypatch.setattr(
        "runtime.recording.files.os.writev", lambda file, group: os.write(file, b"".join(group)[:most])
    )  # fmt: skip
    with (tmp_path / "file").open("xb", buffering=0) as file:
        assert write_parts(file, [memoryview(part) for part in parts]) == file.tell() == sum(map(len, parts))
    assert (tmp_path / "file").read_bytes() == b"".join(parts)


def test_a_machine_description_comes_back():
    config = MachineConfig(kernel=Image("vmlinuz", b"kernel"), append="quiet", shift=5, rtc="2024-02-29T12:00:00")
    images = {image.hash: image.data for image in config.images()}
    assert MachineConfig.from_dict(config.to_dict(), images.__getitem__) == config
    assert config.rtc_base_ns() == 1_709_208_000 * 10**9
    assert "tier" not in config.to_dict()
    with pytest.raises(ConfigError, match="'turbo', which this version does not know"):
        MachineConfig.from_dict(config.to_dict() | {"turbo": 1}, images.__getitem__)
    assert [parse_size(text) for text in ("4096", "64K", "256M", "2g")] == [4096, 1 << 16, 1 << 28, 1 << 31]


def test_a_divergence_crosses_processes():
    error = pickle.loads(pickle.dumps(Divergence(5, "what")))
    assert (error.icount, str(error)) == (5, "divergence at instruction 5: what")
