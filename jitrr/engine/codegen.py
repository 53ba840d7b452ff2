"""LLVM: IR text to object bytes."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from typing import Any

import llvmlite.binding as llvm


@cache
def target_machine(opt: int = 2) -> Any:
    """The host's target machine."""
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    llvm.initialize_native_asmparser()
    target = llvm.Target.from_default_triple()
    return target.create_target_machine(
        cpu=llvm.get_host_cpu_name(), features="", opt=opt, reloc="pic", codemodel="small", jit=True
    )


#: LLVM's passes over each function. The standard pipelines take twice as long for code of the same size
#: (docs/performance.md).
PASSES = ("sroa", "instruction_combine", "simplify_cfg")
_REGION_PASSES = ("sroa", "instruction_combine", "new_gvn", "simplify_cfg")


def compile_ir(text: str, *, passes: Sequence[str] = PASSES, opt: int = 2, keep: Sequence[str] | None = None) -> bytes:
    """Object bytes of a module. ``opt`` 0..3 is the code generator's level; ``keep``: the only symbols to export
    (default: as declared), what they do not need goes."""
    machine = target_machine(opt)
    module = llvm.parse_assembly(text)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    if keep is not None:
        for value in (*module.functions, *module.global_variables):
            if not value.is_declaration and value.name not in keep:
                value.linkage = "internal"
        whole = llvm.create_new_module_pass_manager()
        whole.add_always_inliner_pass()
        whole.add_global_dead_code_eliminate_pass()
        whole.run(module, builder)
    if passes:
        each = llvm.create_new_function_pass_manager()
        for name in passes:
            getattr(each, f"add_{name}_pass")()
        for function in module.functions:
            if not function.is_declaration:
                each.run(function, builder)
    return machine.emit_object(module)


def compile_region_ir(text: str, opt: int = 1) -> bytes:
    """Object bytes of a region: few passes, because it is compiled while the guest waits for it. ``opt``: the code
    generator's level (0: a third of the time of 1, for code of more than twice the size)."""
    return compile_ir(text, passes=_REGION_PASSES, opt=opt)
