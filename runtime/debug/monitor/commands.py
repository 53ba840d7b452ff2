"""The table of commands: each is one function, with the line that ``help`` shows of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from runtime.debug.monitor.monitor import Monitor

#: Which machines a command is for.
ANY, REPLAY, LIVE = "any", "replay", "live"
_LINE = re.compile(r"\s*([A-Za-z_?][\w-]*)\s*(.*?)\s*", re.DOTALL)
_FORMAT = re.compile(r"(?:/(\S*))?\s*(.*)", re.DOTALL)


class MonitorError(Exception):
    """A command that cannot be done; the message is one line."""


@dataclass(frozen=True)
class Command:
    """``usage`` begins with the name (one word or two); then words for arguments: those in brackets may be left out,
    the last one takes the rest of the line when it ends in ``...``. ``/FORMAT`` behind the name is an argument, too."""

    name: str
    usage: str
    help: str
    machine: str
    handler: Callable[..., str]

    def arguments(self, rest: str) -> list[str]:
        """What the handler is called with. MonitorError when the words are too few or too many."""
        wanted = self.usage[len(self.name) :].split()
        formatted = bool(wanted) and wanted[0].startswith("[/")
        first = []
        if formatted:
            form, rest = _FORMAT.fullmatch(rest).groups("")  # type: ignore[union-attr]
            first.append(form)
        wanted = wanted[formatted:]
        last = bool(wanted) and wanted[-1].rstrip("]").endswith("...")
        words = rest.split(maxsplit=len(wanted) - 1) if last else rest.split()
        if not sum(not word.startswith("[") for word in wanted) <= len(words) <= len(wanted):
            raise MonitorError(f"usage: {self.usage}")
        return first + words


TABLE: dict[str, Command] = {}
ALIASES: dict[str, str] = {}
_Handler = Callable[..., str]


def command(usage: str, help: str, machine: str = ANY, *aliases: str) -> Callable[[_Handler], _Handler]:
    """Put a function ``(monitor, *arguments) -> output`` into the table."""
    name = re.match(r"[a-z?][\w-]*( [a-z][\w-]*)?", usage)[0]  # type: ignore[index]

    def put(handler: _Handler) -> _Handler:
        TABLE[name] = Command(name, usage, help, machine, handler)
        ALIASES.update(dict.fromkeys(aliases, name))
        return handler

    return put


def find(line: str) -> tuple[Command, list[str]]:
    """The command of a line and its arguments. MonitorError: there is no such command, or its arguments are wrong."""
    matched = _LINE.fullmatch(line)
    if matched is None:
        raise MonitorError(f"unknown command: {line.strip()!r}")
    name, rest = matched.groups()
    name = ALIASES.get(name, name)
    word, _, after = rest.partition(" ")
    if f"{name} {word}" in TABLE:
        found = TABLE[f"{name} {word}"]
        return found, found.arguments(after)
    if name not in TABLE:
        kinds = [usage.partition(" ")[2] for usage in TABLE if usage.startswith(name + " ")]
        if kinds:
            raise MonitorError(f"{name} what? one of: {', '.join(kinds)}")
        raise MonitorError(f"unknown command: {name!r} (help lists them)")
    return TABLE[name], TABLE[name].arguments(rest)


def perform(monitor: Monitor, line: str) -> str:
    """Do what a line says; its output. MonitorError: it cannot be done."""
    found, arguments = find(line)
    if found.machine == REPLAY and monitor.travel is None:
        raise MonitorError(f"{found.name} works on a replay; this machine runs live")
    if found.machine == LIVE and monitor.live is None:
        raise MonitorError(f"{found.name}: this is a replay, its input is what was recorded; golive leaves it")
    return found.handler(monitor, *arguments)


@command("help [NAME...]", "this list, or one command", ANY, "?")
def help_command(monitor: Monitor, name: str = "") -> str:
    """All commands, one a line, in the order of their names."""
    name = ALIASES.get(name, name)
    chosen = [found for key, found in sorted(TABLE.items()) if not name or key == name or key.startswith(name + " ")]
    if not chosen:
        raise MonitorError(f"unknown command: {name!r} (help lists them)")
    return "".join(f"{found.usage:<31}  {found.help}\n" for found in chosen)
