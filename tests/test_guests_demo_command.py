"""What ``jitrr demo`` does and says, on a machine that is quick; and that it notices when something is wrong."""

from __future__ import annotations

import pytest
from toy_machine import ToyMachine, make_machine

from jitrr import demo
from runtime.config import MachineConfig
from runtime.recording.errors import Divergence

TOY = MachineConfig(memory=1 << 20, append="off=40000")


def test_it_records_replays_and_seeks(capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.run(config=TOY, factory=make_machine) == 0
    said = capfd.readouterr().out
    assert "39000\r\n" in said  # the guest's own console is shown
    assert "40,000 instructions" in said
    assert "entropy" not in said and "host random numbers: 10" in said
    for place in demo.PLACES:
        assert f"{int(40000 * place):,} " in said


def test_a_guest_that_crashes_is_told_and_is_exit_code_4(capfd: pytest.CaptureFixture[str]) -> None:
    assert demo.run(config=MachineConfig(memory=1 << 20, append="crash=30000"), factory=make_machine) == 4
    assert "crashed" in capfd.readouterr().err


@pytest.mark.parametrize("wrong", [2, 3])
def test_a_replay_that_goes_wrong_is_noticed(wrong: int) -> None:
    """The machines are built in this order: recording, replay, seek; the last goes to instruction 38,000 first."""
    built = []

    def factory(config: MachineConfig, border) -> ToyMachine:  # type: ignore[no-untyped-def]
        built.append(config)
        return ToyMachine(config, border, flaw=37_999 if len(built) == wrong else None)

    with pytest.raises(Divergence):
        demo.run(config=TOY, factory=factory)
    assert len(built) == wrong
