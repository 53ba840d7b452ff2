"""``jitrr symbols``: the kernel's own tables, made up and a Debian kernel's, and what gdb reads of the file."""

from __future__ import annotations

import re
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from debug_recordings import demo_recording
from gdb_client import free_port
from linux_guests import fetched, jitrr

from runtime.debug.kallsyms import NoSymbols, Symbol, find_symbols, kernel_symbols
from runtime.debug.symbol_file import symbol_file

MACHINES = {"x86_64": "Advanced Micro Devices X86-64", "i386": "Intel 80386", "arm": "ARM"}
TEXT = {"x86_64": 0xFFFF_FFFF_8100_0000, "i386": 0xC100_0000, "arm": 0xC030_0000}
#: Tokens of more than a character; the others that names here have stand for themselves.
WORDS = {1: b"__", 2: b"init", 3: b"tvery", 200: b"_function", 255: b"12"}


def made_up(arch: str, count: int = 3000) -> list[Symbol]:
    """Symbols as a kernel's: code, data, two names of one address, a long name; on x86-64 per-processor data."""
    per_processor = [Symbol(16 * n, "A", f"cpu_{n}") for n in range(300)] if arch == "x86_64" else []
    code = [Symbol(TEXT[arch] + 24 * n, "Tt"[n % 2], f"__init{n}_function12") for n in range(count)]
    data = [Symbol(code[-1].address + 4096 + 8 * n, "dDbBrR"[n % 6], f"value{n}") for n in range(count)]
    alias = [Symbol(code[7].address, "W", "weak_alias"), Symbol(code[9].address, "t", "very" + "Long" * 70)]
    return sorted(per_processor + code + data + alias)


def packed(symbols: list[Symbol], pointer: int, behind: bool, order: bool) -> bytes:
    """The tables as in Linux 6.1, or with the offsets ``behind`` as in 6.4; ``order``: with that of the names."""
    per_processor = pointer == 8
    base = next(symbol.address for symbol in symbols if symbol.kind != "A")
    offsets = [
        s.address if s.kind == "A" else base - 1 - s.address if per_processor else s.address - base for s in symbols
    ]
    names, marks = b"", []
    for n, symbol in enumerate(symbols):
        if n % 256 == 0:
            marks.append(len(names))
        text = (symbol.kind + symbol.name).encode()
        for token, word in WORDS.items():
            text = text.replace(word, bytes((token,)))
        names += (bytes((len(text),)) if len(text) < 128 else bytes((len(text) & 127 | 128, len(text) >> 7))) + text
    tokens = [WORDS.get(n, bytes((n,)) if 32 < n < 127 else b"?") for n in range(256)]
    starts = np.cumsum([0, *(len(token) + 1 for token in tokens[:-1])])

    def aligned(part: bytes) -> bytes:
        return part + bytes(-len(part) % pointer)

    addresses = [struct.pack(f"<{len(offsets)}i", *offsets), base.to_bytes(pointer, "little")]
    middle = [struct.pack("<I", len(symbols)), names, struct.pack(f"<{len(marks)}I", *marks),
              b"\3\1\2" * len(symbols) if order else b"", b"".join(token + b"\0" for token in tokens),
              struct.pack("<256H", *starts.tolist())]  # fmt: skip
    parts = middle + addresses if behind else addresses + middle
    return b"".join(map(aligned, parts))


@pytest.mark.parametrize("behind", [False, True])
@pytest.mark.parametrize("order", [False, True])
@pytest.mark.parametrize("arch", MACHINES)
def test_tables_are_found_and_read(arch: str, order: bool, behind: bool) -> None:
    symbols, pointer = made_up(arch), 8 if arch == "x86_64" else 4
    noise = np.random.default_rng(7).integers(0, 256, 40_960, np.uint8).tobytes()
    digits = b"".join(b"%d\0" % n for n in range(10))
    memory = digits + bytes(12) + noise + packed(symbols, pointer, behind, order) + noise
    (found,) = find_symbols(memory, pointer)
    assert sorted(found) == symbols


def test_a_table_whose_offsets_are_overwritten_is_none() -> None:
    memory = bytearray(packed(made_up("i386"), 4, False, False))
    memory[400:404] = b"\xff" * 4
    assert not list(find_symbols(bytes(memory), 4))


class Memory:
    """Some pages of memory."""

    def __init__(self, pieces: dict[int, bytes]):
        self.map = bytearray(1 << 20)
        for at, piece in pieces.items():
            self.map[at : at + len(piece)] = piece

    def touched(self) -> np.ndarray:
        return np.flatnonzero(np.frombuffer(bytes(self.map), np.uint8).reshape(-1, 4096).any(axis=1))


def a_target(memory: Memory, mapped: int) -> SimpleNamespace:
    """What is looked at of a machine that has one page mapped."""
    machine = SimpleNamespace(engine=SimpleNamespace(ram=memory))
    return SimpleNamespace(
        arch="i386", machine=machine, translate=lambda address: 0 if address >> 12 == mapped >> 12 else None
    )


def test_of_two_kernels_the_one_that_is_mapped() -> None:
    one = made_up("i386")
    two = [Symbol(symbol.address + 0x40_0000, symbol.kind, symbol.name) for symbol in one]
    memory = Memory({0x1000: packed(one, 4, False, True), 0x8_0000: packed(two, 4, True, False)})
    for mapped, expected in ((one[0].address, one), (two[0].address, two), (0, one)):
        assert sorted(kernel_symbols(a_target(memory, mapped))) == expected  # type: ignore[arg-type]
    with pytest.raises(NoSymbols):
        kernel_symbols(a_target(Memory({0x1000: b"no kernel" * 1000}), 0))  # type: ignore[arg-type]


def shown(*command: object) -> str:
    """What a tool says; the test is skipped where it is not installed."""
    if shutil.which(str(command[0])) is None:
        pytest.skip(f"{command[0]} is not installed")
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=60)
    return done.stdout + done.stderr


@pytest.fixture(params=MACHINES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, list[Symbol], Path]:
    path, symbols = tmp_path / "kernel.elf", made_up(request.param)
    path.write_bytes(symbol_file(request.param, symbols))
    return request.param, symbols, path


def test_readelf_reads_every_symbol(written: tuple[str, list[Symbol], Path]) -> None:
    arch, symbols, path = written
    said = shown("readelf", "-hSsW", path)
    assert "Warning" not in said and "Error" not in said
    assert f"Machine:                           {MACHINES[arch]}" in said
    lines = re.findall(r"^ *\d+: ([0-9a-f]+) +\w+ +(\w+) +(\w+) +DEFAULT +(\w+) (\S+)$", said, re.MULTILINE)
    types = {symbol.name: ("NOTYPE" if symbol.kind == "A" else "FUNC" if symbol.kind in "tTW" else "OBJECT")
             for symbol in symbols}  # fmt: skip
    bindings = {"W": "WEAK"}
    expected = {(s.address, types[s.name], bindings.get(s.kind, "GLOBAL" if s.kind.isupper() else "LOCAL"), s.name)
                for s in symbols}  # fmt: skip
    assert {(int(address, 16), kind, binding, name) for address, kind, binding, _, name in lines} == expected
    sections = re.findall(r"^ +\[ *(\d+)\] \.(text|data) +NOBITS +([0-9a-f]+) \S+ ([0-9a-f]+)", said, re.MULTILINE)
    assert [name for _, name, _, _ in sections] == ["text", "data"]
    spans = {number: range(int(begin, 16), int(begin, 16) + int(size, 16)) for number, _, begin, size in sections}
    assert all(section == "ABS" or int(address, 16) in spans[section] for address, _, _, section, _ in lines)


def test_gdb_reads_it(written: tuple[str, list[Symbol], Path]) -> None:
    arch, symbols, path = written
    function = next(symbol for symbol in symbols if symbol.name == "__init20_function12")
    asked = ("p &value11", f"info symbol {function.address + 5:#x}", "info address __init21_function12",
             "info symbol 0x20")  # fmt: skip
    words = [word for line in asked for word in ("-ex", line)]
    said = shown(
        "gdb-multiarch" if arch == "arm" else "gdb", "-q", "-nx", "-batch", "-ex", f"symbol-file {path}", *words
    )
    value = next(symbol for symbol in symbols if symbol.name == "value11")
    assert f"(<data variable, no debug info> *) {value.address:#x} <value11>" in said
    assert "__init20_function12 + 5 in section .text" in said
    assert f'"__init21_function12" is at {function.address + 24:#x}' in said
    assert "No symbol matches 0x20" in said


def test_no_kernel_is_one_line(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    recording = demo_recording("x86_64", tmp_path_factory.getbasetemp())
    done = jitrr("symbols", recording.path, "--at", "50%", "-o", tmp_path / "none.elf")
    assert done.returncode == 2 and not (tmp_path / "none.elf").exists()
    assert "there is no symbol table of a Linux kernel" in done.stderr.splitlines()[-1]
    assert "Traceback" not in done.stderr


@pytest.fixture(scope="module")
def boot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beginning of a boot: the kernel is unpacked and has begun."""
    path = tmp_path_factory.mktemp("symbols") / "boot.jrr"
    done = jitrr("record", *fetched("debian-cloud-x86_64"), "--max-icount", 120_000_000, "-o", path)
    assert done.returncode == 0, done.stderr
    return path


@pytest.mark.slow
def test_gdb_goes_about_in_a_debian_kernel_by_names(boot: Path, tmp_path: Path) -> None:
    symbols = tmp_path / "kernel.elf"
    done = jitrr("symbols", boot, "-o", symbols)
    assert done.returncode == 0 and "symbols of the kernel" in done.stdout, done.stderr
    listed = shown("readelf", "-sW", symbols)
    for name, kind in (("start_kernel", "FUNC"), ("panic", "FUNC"), ("vfs_read", "FUNC"), ("jiffies", "OBJECT")):
        assert re.search(rf" {kind} +GLOBAL +DEFAULT +\d+ {name}$", listed, re.MULTILINE), name
    if shutil.which("gdb") is None:
        pytest.skip("gdb is not installed")
    port = free_port()
    command = [sys.executable, "-m", "jitrr", "replay", str(boot), "--gdb", str(port), "--seek", "end"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        try:
            assert server.stderr is not None
            assert any("waiting for gdb" in line for line in server.stderr)
            lines = ("set pagination off", "set remotetimeout 60", f"symbol-file {symbols}", f"target remote :{port}",
                     "break start_kernel", "reverse-continue", "p $icount", "x/i $pc", "break setup_arch", "continue",
                     "p $icount", "bt", "reverse-stepi", "info symbol $pc", "reverse-continue", "p $icount",
                     "break panic")  # fmt: skip
            said = shown("gdb", "-q", "-nx", "-batch", *(word for line in lines for word in ("-ex", line)))
        finally:
            server.terminate()
    first, later, again = (int(number) for number in re.findall(r"^\$\d+ = (\d+)$", said, re.MULTILINE))
    assert first == again < later < 120_000_000, said
    assert said.count("Breakpoint 1, ") == 2 and said.count("Breakpoint 2, ") == 1, said
    assert re.search(r"^=> 0x[0-9a-f]+ <start_kernel>:", said, re.MULTILINE), said
    assert re.search(r"^#0 .* in setup_arch \(\)\n#1 .* in start_kernel \(\)$", said, re.MULTILINE), said
    assert re.search(r"^start_kernel \+ \d+ in section \.text$", said, re.MULTILINE), said
    assert re.search(r"^Breakpoint 3 at 0x", said, re.MULTILINE), said
