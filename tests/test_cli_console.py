"""The terminal: raw mode and back, Ctrl-A commands, real-time waits; and input scripts."""

from __future__ import annotations

import os
import pty
import termios
import time

import pytest

from runtime.borders.console import ConsoleOutput, FileInput, NoInput
from runtime.borders.keys import press_chord, type_text
from runtime.borders.live import LiveBorder
from runtime.borders.script import AFTER_DELAY, KEY_INTERVAL, Script, parse_script
from runtime.config import ConfigError


@pytest.fixture
def terminal():
    """(the person's end, the guest's end) of a pseudo terminal."""
    person, guest = pty.openpty()
    yield person, guest
    os.close(person)
    os.close(guest)


def type_in(person: int, data: bytes, console: FileInput) -> None:
    os.write(person, data)
    assert console.wait(5)


def test_raw_mode_is_given_back(terminal):
    before = termios.tcgetattr(terminal[1])
    console = FileInput(terminal[1])
    assert console.interactive and termios.tcgetattr(terminal[1]) != before
    console.close()
    assert termios.tcgetattr(terminal[1]) == before


def test_ctrl_a_commands(terminal, capfd):
    console = FileInput(terminal[1])
    type_in(terminal[0], b"a\x03b\x01\x01c", console)
    assert console.read() == b"a\x03b\x01c" and not console.leave
    type_in(terminal[0], b"\x01", console)
    assert console.read() == b""
    type_in(terminal[0], b"hd", console)
    assert console.read() == b"d" and "Ctrl-A x" in capfd.readouterr().err
    type_in(terminal[0], b"\x01x", console)
    assert console.read() == b"" and console.leave
    console.close()


def test_leaving_hands_nothing_over(terminal):
    border = LiveBorder(terminal=FileInput(terminal[1]))
    got: list[bytes] = []
    border.connect("serial0", got.append)
    os.write(terminal[0], b"ls\n\x01x")
    time.sleep(0.1)
    assert border.poll(5) is True and got == [] and border.leave == "left"


def test_console_input_arrives_in_bursts():
    read, write = os.pipe()
    os.write(write, bytes(range(40)))
    os.close(write)
    border = LiveBorder(terminal=FileInput(read))
    got: list[bytes] = []
    border.connect("serial0", got.append)
    assert [border.poll(icount) for icount in range(4)] == [False] * 4
    assert [len(burst) for burst in got] == [16, 16, 8] and b"".join(got) == bytes(range(40))
    os.close(read)


def test_idle_warps_without_a_person():
    border = LiveBorder(terminal=NoInput(), shift=3)
    before = time.monotonic()
    assert border.idle(100, 10**12) == 10**12
    assert time.monotonic() - before < 1 and border.waited == 0


def test_idle_waits_in_real_time_with_a_person_and_input_ends_it(terminal):
    border = LiveBorder(terminal=FileInput(terminal[1]), shift=0)
    before = time.monotonic()
    assert border.idle(0, 50_000_000) == 50_000_000  # 50 ms at 1 ns an instruction
    assert time.monotonic() - before >= 0.05 and border.waited >= 0.05
    os.write(terminal[0], b"x")
    assert 0 < border.idle(0, 10**10) < 10**10  # far less than 10 s
    assert time.monotonic() - before < 5


def test_idle_for_good_asks_to_stop():
    border = LiveBorder()
    assert border.idle(100, None) == 101
    assert border.poll(101) is True and border.leave == "idle"


def test_a_reader_that_went_away_is_no_error():
    read, write = os.pipe()
    os.close(read)
    console = ConsoleOutput(write, owned=True)
    console.write(b"hello")
    console.flush()
    console.write(b"more")
    console.close()


def take_all(script: Script) -> list[tuple[int, str, bytes]]:
    found = []
    while (icount := script.next()) is not None:
        found += [(icount, *entry) for entry in script.take(icount)]
    return found


def test_at_steps_are_sorted_and_of_one_icount_in_order():
    script = Script(parse_script('at 20 serial "b"\nat 1_0 serial "a"  # early\n\nat 20 serial "c"\nat 30 power off'))
    assert take_all(script) == [
        (10, "serial0", b"a"), (20, "serial0", b"b"), (20, "serial0", b"c"), (30, "power", b"\3"),
    ]  # fmt: skip


def test_after_steps_wait_for_their_text_one_after_the_other():
    script = Script(parse_script('after "login: " serial "root\\n"\nafter "login: " +7 serial "x"\nafter "# " stop'))
    assert script.next() is None
    for byte in b"# login":
        assert script.printed(bytes([byte]), 5) is None
    assert script.printed(b": ", 6) == 6 + AFTER_DELAY
    assert take_all(script) == [(6 + AFTER_DELAY, "serial0", b"root\n")]
    assert script.printed(b"login: # ", 100) == 107
    assert take_all(script) == [(107, "serial0", b"x"), (100 + AFTER_DELAY, "stop", b"")]


def test_typing_is_spread_over_time():
    script = Script(parse_script('at 5 keyboard "aB\\n"\nat 7 key ctrl+alt+delete\nat 8 mouse -3 4 1'))
    assert take_all(script) == [
        (5, "keyboard", b"\x1e\x9e"), (7, "keyboard", b"\x1d\x38\x6f\xef\xb8\x9d"), (8, "mouse", b"\x01\xfd\x04\x00"),
        (5 + KEY_INTERVAL, "keyboard", b"\x2a\x30\xb0\xaa"), (5 + 2 * KEY_INTERVAL, "keyboard", b"\x1c\x9c"),
    ]  # fmt: skip


def test_every_printable_character_has_its_key():
    text = "".join(map(chr, range(32, 127)))
    strokes = type_text(text)
    assert len(set(strokes)) == len(text)
    with pytest.raises(ConfigError, match="no key types"):
        type_text("ü")
    assert press_chord("f10") == (b"\x44\xc4",)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("later serial", "a step is"),
        ('at x serial "a"', "'x' is not an instruction count"),
        ("at 5 serial a", "text goes in double quotes"),
        ('at 5 serial "a', "a text is not closed"),
        ('at 5 serial "\\q"', "unknown escape"),
        ('after "" stop', "a text to wait for"),
        ("at 5 dance", "unknown action"),
        ("at 5 mouse 1 300", "at most 127"),
        ("at 5 key hyper+a", "no key 'hyper'"),
        ("at 5 power up", "unknown action"),
    ],
)
def test_a_wrong_line_is_named(line, message):
    with pytest.raises(ConfigError, match=f"^script:2: .*{message}"):
        parse_script(f"# first\n{line}\n")
