"""Steps through ranges of addresses go through the handlers of interrupts. (The i386 guest's handlers are tasks, in
which a step ends; Debian's kernel stands in for it in test_gdb_kernels.py.)"""

from __future__ import annotations

import pytest
from debug_recordings import demo_recording
from gdb_interrupts import check_range_past_an_interrupt

from runtime.timeline.travel import Travel


@pytest.mark.parametrize("arch", ["x86_64", "arm"])
def test_a_range_goes_past_an_interrupt(arch: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    travel = Travel(demo_recording(arch, tmp_path_factory.getbasetemp()))
    travel.seek(31_000_000)
    check_range_past_an_interrupt(travel)
    travel.close()
