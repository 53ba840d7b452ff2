"""LLVM: IR text to object bytes, object bytes to addresses."""

from __future__ import annotations

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


def host_key() -> str:
    """What object code depends on besides its IR."""
    return f"llvmlite {llvm.llvm_version_info} {llvm.get_host_cpu_name()}"


def compile_ir(text: str, *, speed: int = 2, opt: int = 2, keep: list[str] | None = None) -> bytes:
    """Object bytes of a module. ``speed`` 0..3 is the optimisation pipeline, ``opt`` 0..3 the code generator's level;
    ``keep``: the only symbols to export (default: as declared)."""
    machine = target_machine(opt)
    module = llvm.parse_assembly(text)
    if keep is not None:
        for value in (*module.functions, *module.global_variables):
            if not value.is_declaration and value.name not in keep:
                value.linkage = "internal"
    if speed:
        options = llvm.create_pipeline_tuning_options(speed_level=speed)
        options.loop_vectorization = False
        options.slp_vectorization = False
        options.loop_unrolling = False
        builder = llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)
    return machine.emit_object(module)


#: Measured on kernel regions: half the time of the standard pipelines for code of the same size (docs/performance.md).
_REGION_PASSES = ("sroa", "instruction_combine", "new_gvn", "simplify_cfg")


def compile_region_ir(text: str, opt: int = 1) -> bytes:
    """Object bytes of a region: few passes, because it is compiled while the guest waits for it. ``opt``: the code
    generator's level (0: a third of the time of 1, for code of more than twice the size)."""
    machine = target_machine(opt)
    module = llvm.parse_assembly(text)
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=2))
    passes = llvm.create_new_function_pass_manager()
    for name in _REGION_PASSES:
        getattr(passes, f"add_{name}_pass")()
    for function in module.functions:
        if not function.is_declaration:
            passes.run(function, builder)
    return machine.emit_object(module)


class Linker:
    """Loads objects into this process; each is a library of its own, kept alive by this object."""

    def __init__(self) -> None:
        target_machine()
        self._jit = llvm.create_lljit_compiler(target_machine())
        self._libraries: list[Any] = []

    def load(self, image: bytes, symbols: list[str]) -> dict[str, int]:
        """Link an object; addresses of ``symbols``."""
        library = llvm.JITLibraryBuilder().add_object_img(image)
        for name in symbols:
            library = library.export_symbol(name)
        tracker = library.link(self._jit, f"lib{len(self._libraries)}")
        self._libraries.append(tracker)
        return {name: tracker[name] for name in symbols}
