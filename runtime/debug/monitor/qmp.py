"""The monitor for programs: QEMU's machine protocol, JSON over a stream (QEMU, docs/interop/qmp-spec.rst)."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from runtime.debug.monitor.commands import MonitorError
from runtime.debug.monitor.inputs import HOLD, press_keys
from runtime.debug.monitor.look import replay_mode, version
from runtime.recording.errors import Divergence, RecordingError

if TYPE_CHECKING:
    from runtime.debug.monitor.channel import Channel
    from runtime.debug.monitor.monitor import Monitor

#: A request that is longer is none.
_LONGEST = 1 << 20
_TYPES = {int: "integer", str: "string", list: "array", bool: "boolean"}


class QmpError(Exception):
    """What a request is answered with instead of a result."""

    def __init__(self, message: str, kind: str = "GenericError"):
        super().__init__(message)
        self.kind = kind


@dataclass(frozen=True)
class _Command:
    handler: Callable[..., Any]
    required: dict[str, type]
    optional: dict[str, type]


_TABLE: dict[str, _Command] = {}
_Handler = Callable[..., Any]


def _command(name: str, required: dict[str, type] | None = None,
             optional: dict[str, type] | None = None) -> Callable[[_Handler], _Handler]:  # fmt: skip
    def put(handler: _Handler) -> _Handler:
        _TABLE[name] = _Command(handler, required or {}, optional or {})
        return handler

    return put


class Qmp:
    """One conversation in JSON. A request interrupts what ``cont`` or ``replay-seek`` began, which then goes on."""

    wants_prompt = False

    def __init__(self, channel: Channel, monitor: Monitor):
        self.channel, self.monitor = channel, monitor
        self.negotiated = False
        self._buffer = b""
        self._requests: list[bytes] = []
        self._send({"QMP": {"version": _version(), "capabilities": []}})

    def feed(self, data: bytes) -> None:
        """More has come."""
        self._buffer += data
        while (end := _complete(self._buffer)) is not None:
            self._requests.append(self._buffer[:end])
            self._buffer = self._buffer[end:]
        self._buffer = self._buffer.lstrip()
        if len(self._buffer) > _LONGEST:
            self._requests.append(self._buffer)
            self._buffer = b""

    @property
    def pending(self) -> bool:
        """A request waits."""
        return bool(self._requests)

    @property
    def wants_stop(self) -> bool:
        """The motion under way, which somebody else waits for, is to end."""
        return self.pending and any(f'"{word}"'.encode() in self._requests[0] for word in ("stop", "quit"))

    def perform(self) -> None:
        """Answer the next request."""
        text, answer = self._requests.pop(0), {}
        try:
            request = _parse(text)
            if "id" in request:
                answer["id"] = request["id"]
            answer = {"return": self._result(request), **answer}
        except QmpError as error:
            answer = {"error": {"class": error.kind, "desc": str(error)}, **answer}
        except (MonitorError, RecordingError, Divergence, ValueError) as error:
            answer = {"error": {"class": "GenericError", "desc": str(error)}, **answer}
        self._send(answer)

    def event(self, name: str, data: dict[str, Any]) -> None:
        """Tell of something that happened."""
        if not self.negotiated:
            return
        seconds, ns = divmod(time.time_ns(), 10**9)
        told: dict[str, Any] = {"event": name, "timestamp": {"seconds": seconds, "microseconds": ns // 1000}}
        self._send({**told, "data": data} if data else told)

    def _result(self, request: dict[str, Any]) -> Any:
        name = request["execute"]
        if not self.negotiated and name != "qmp_capabilities":
            raise QmpError("Expecting capabilities negotiation with 'qmp_capabilities'", "CommandNotFound")
        if name not in _TABLE or (self.negotiated and name == "qmp_capabilities"):
            raise QmpError(f"The command {name} has not been found", "CommandNotFound")
        found = _TABLE[name]
        arguments = request.get("arguments", {})
        _check(found, arguments)
        return found.handler(self, **{key.replace("-", "_"): value for key, value in arguments.items()})

    def _send(self, message: dict[str, Any]) -> None:
        self.channel.write(json.dumps(message).encode() + b"\r\n")


def _complete(buffer: bytes) -> int | None:
    """Where the first JSON value of a stream ends (anything else: the line), or None when it is not all there."""
    depth, text, start = 0, False, len(buffer) - len(buffer.lstrip())
    if start == len(buffer):
        return None
    if buffer[start : start + 1] not in b"{[":
        end = buffer.find(b"\n", start)
        return None if end < 0 else end + 1
    at = start
    while at < len(buffer):
        byte = buffer[at : at + 1]
        if text:
            at += byte == b"\\"
            text = byte != b'"'
        elif byte == b'"':
            text = True
        else:
            depth += (byte in b"{[") - (byte in b"}]")
            if depth == 0:
                return at + 1
        at += 1
    return None


def _parse(text: bytes) -> dict[str, Any]:
    try:
        request = json.loads(text)
    except (ValueError, RecursionError):
        raise QmpError("JSON parse error, Invalid JSON syntax") from None
    if not isinstance(request, dict):
        raise QmpError("QMP input must be a JSON object")
    if "execute" not in request:
        raise QmpError("QMP input lacks member 'execute'")
    if not isinstance(request["execute"], str):
        raise QmpError("QMP input member 'execute' must be a string")
    if not isinstance(request.get("arguments", {}), dict):
        raise QmpError("QMP input member 'arguments' must be an object")
    for name in request:
        if name not in ("execute", "arguments", "id"):
            raise QmpError(f"QMP input member '{name}' is unexpected")
    return request


def _check(command: _Command, arguments: dict[str, Any]) -> None:
    known = command.required | command.optional
    for name, value in arguments.items():
        if name not in known:
            raise QmpError(f"Parameter '{name}' is unexpected")
        if type(value) is not known[name]:
            raise QmpError(f"Invalid parameter type for '{name}', expected: {_TYPES[known[name]]}")
    for name in command.required:
        if name not in arguments:
            raise QmpError(f"Parameter '{name}' is missing")


def _version() -> dict[str, Any]:
    major, minor, micro = (*(int(part) for part in version().split(".")[:3] if part.isdigit()), 0, 0, 0)[:3]
    return {"qemu": {"major": major, "minor": minor, "micro": micro}, "package": f"jitrr {version()}"}


# -- the commands ------------------------------------------------------------------------------------------------------
@_command("qmp_capabilities", optional={"enable": list})
def _capabilities(qmp: Qmp, enable: list[str] | None = None) -> dict[str, Any]:
    if enable:
        raise QmpError(f"Capability '{enable[0]}' is not available")
    qmp.negotiated = True
    return {}


@_command("query-version")
def _query_version(qmp: Qmp) -> dict[str, Any]:
    return _version()


@_command("query-commands")
def _query_commands(qmp: Qmp) -> list[dict[str, str]]:
    return [{"name": name} for name in sorted(_TABLE)]


@_command("query-status")
def _query_status(qmp: Qmp) -> dict[str, Any]:
    running = qmp.monitor.running
    return {"status": "running" if running else "paused", "running": running, "singlestep": False}


@_command("query-replay")
def _query_replay(qmp: Qmp) -> dict[str, Any]:
    mode, name = replay_mode(qmp.monitor)
    found: dict[str, Any] = {"mode": mode, "icount": qmp.monitor.icount}
    return {**found, "filename": name} if name else found


@_command("replay-break", {"icount": int})
def _replay_break(qmp: Qmp, icount: int) -> dict[str, Any]:
    qmp.monitor.perform(f"replay_break {hex(icount)}")  # a plain number, whatever its sign
    return {}


@_command("replay-delete-break", optional={"icount": int})
def _replay_delete_break(qmp: Qmp, icount: int | None = None) -> dict[str, Any]:
    qmp.monitor.perform("replay_delete_break" if icount is None else f"replay_delete_break {icount}")
    return {}


@_command("replay-seek", {"icount": int})
def _replay_seek(qmp: Qmp, icount: int) -> dict[str, Any]:
    """The answer comes at once, STOP when it is there."""
    travel = qmp.monitor.travel
    if travel is None:
        raise QmpError("replay must be enabled to seek")
    travel.recording.check_within(icount)
    qmp.monitor.begin(lambda: travel.seek(icount))
    return {}


@_command("cont")
def _cont(qmp: Qmp) -> dict[str, Any]:
    monitor = qmp.monitor
    if monitor.travel is None:
        monitor.perform("cont")
    elif monitor.motion is None:
        monitor.begin(monitor.travel.run)
    return {}


@_command("stop")
def _stop(qmp: Qmp) -> dict[str, Any]:
    qmp.monitor.perform("stop")
    return {}


@_command("human-monitor-command", {"command-line": str}, {"cpu-index": int})
def _human(qmp: Qmp, command_line: str, cpu_index: int | None = None) -> str:
    """A processor is chosen for this command only."""
    target = qmp.monitor.target
    if cpu_index is None:
        return qmp.monitor.execute(command_line).replace("\n", "\r\n")
    if not 0 <= cpu_index < target.machine.processors:
        raise QmpError("Parameter 'cpu-index' expects a CPU number")
    with target.of(cpu_index):
        return qmp.monitor.execute(command_line).replace("\n", "\r\n")


@_command("query-cpus-fast")
def _query_cpus(qmp: Qmp) -> list[dict[str, Any]]:
    """All of them are in one thread of the host."""
    target, thread = qmp.monitor.target, threading.get_native_id()
    return [
        {"cpu-index": number, "qom-path": f"/machine/cpu[{number}]", "thread-id": thread, "target": target.arch}
        for number in range(target.machine.processors)
    ]


@_command("quit")
def _quit(qmp: Qmp) -> dict[str, Any]:
    qmp.monitor.perform("quit")
    return {}


@_command("system_powerdown")
def _powerdown(qmp: Qmp) -> dict[str, Any]:
    qmp.monitor.perform("system_powerdown")
    return {}


@_command("system_reset")
def _reset(qmp: Qmp) -> dict[str, Any]:
    qmp.monitor.perform("system_reset")
    return {}


@_command("send-key", {"keys": list}, {"hold-time": int})
def _send_key(qmp: Qmp, keys: list[Any], hold_time: int = HOLD) -> dict[str, Any]:
    names = []
    for key in keys:
        match key:
            case {"type": "qcode", "data": str(name)}:
                names.append(name)
            case {"type": "number", "data": int(number)}:
                names.append(f"{number:#x}")
            case _:
                raise QmpError("Invalid parameter type for 'keys', expected: array of KeyValue")
    if hold_time < 0:
        raise QmpError("Parameter 'hold-time' is negative")
    if qmp.monitor.live is None:
        raise QmpError("send-key: this is a replay, its input is what was recorded; golive leaves it")
    press_keys(qmp.monitor, names, hold_time)
    return {}
