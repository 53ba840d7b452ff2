"""From one helper's Python function to LLVM IR, with numba's front end and lowering and nothing else of numba.

Every helper takes and gives int64 only, so each can be typed and lowered on its own: calls of other helpers are calls
of external C functions, and LLVM puts them together once all IR is linked. numba's own linking, optimising and
machine code (most of what ``njit`` costs) never run. Imported only to build.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

from numba import types
from numba.core import bytecode, funcdesc, lowering, typed_passes, untyped_passes
from numba.core.compiler import CompilerBase, Flags
from numba.core.compiler_machinery import LoweringPass, PassManager, register_pass
from numba.core.registry import cpu_target
from numba.core.target_extension import target_override


@register_pass(mutates_CFG=False, analysis_only=True)
class _ToText(LoweringPass):
    """Ends the pipeline: ``state.cr`` is (mangled name, IR modules)."""

    _name = "jitrr_to_text"

    def __init__(self) -> None:
        LoweringPass.__init__(self)

    def run_pass(self, state: Any) -> bool:
        target = state.targetctx
        library = target.codegen().create_library(state.func_id.func_qualname)
        texts: list[str] = []
        library.add_ir_module = lambda module: texts.append(str(module))
        description = funcdesc.PythonFunctionDescriptor.from_specialized_function(
            state.func_ir, state.typemap, state.return_type, state.calltypes, mangler=target.mangler, inline=False,
            noalias=False, abi_tags=[],
        )  # fmt: skip
        with target.push_code_library(library):
            lowering.Lower(target, library, description, state.func_ir, metadata=state.metadata).lower()
        # What numba itself writes in Python (``min``, ``in`` on a tuple) comes as libraries.
        used = {id(each): each for each in library._linking_libraries if each.name != "nrt"}
        texts += [str(each._get_module_for_linking()) for each in used.values()]
        state.cr = description.llvm_func_name, texts
        return True


class _Compiler(CompilerBase):
    """Bytecode to typed IR to text: the passes that functions over integers need."""

    def define_pipelines(self) -> list[Any]:
        passes = PassManager("jitrr")
        for each in (
            untyped_passes.TranslateByteCode, untyped_passes.FixupArgs, untyped_passes.IRProcessing,
            untyped_passes.ReconstructSSA, typed_passes.NopythonTypeInference, typed_passes.PreLowerStripPhis,
            typed_passes.IRLegalization, _ToText,
        ):  # fmt: skip
            passes.add_pass(each, each.__name__)
        passes.finalize()
        return [passes]

    def text(self, function: Callable[..., int]) -> tuple[str, list[str]]:
        """(name of the function in the IR, IR modules)."""
        state = self.state
        state.func_id = bytecode.FunctionIdentity.from_function(function)
        state.bc = bytecode.ByteCode(state.func_id)
        state.func_ir = state.func_ir_original = state.lifted_from = None
        state.lifted = ()
        result: tuple[str, list[str]] = self._compile_core()
        return result


def declaration(symbol: str, count: int) -> Any:
    """What other helpers see of a helper with ``count`` arguments: an external C function."""
    return types.ExternalFunction(symbol, types.int64(*[types.int64] * count))


@cache
def _contexts() -> tuple[Any, Any]:
    """numba's contexts, once."""
    typing, target = cpu_target.typing_context, cpu_target.target_context
    typing.refresh()
    target.refresh()
    _remember_calls()
    return typing, target


def _remember_calls() -> None:
    """What a function gives for arguments of certain types is found out once: nearly all is int64. This halves the
    time of a build, of which numba asks tens of thousands of times."""
    find = types.functions.BaseFunction.get_call_type
    known: dict[Any, tuple[Any, Any]] = {}

    def remembered(self: Any, context: Any, args: Any, kws: Any) -> Any:
        key = id(self), tuple(args), tuple(dict(kws).items())
        if key not in known:
            known[key] = find(self, context, args, kws), self  # kept alive, so that its id stays its own
        return known[key][0]

    types.functions.BaseFunction.get_call_type = remembered  # type: ignore[method-assign]


def to_ir(symbol: str, function: Callable[..., int]) -> list[str]:
    """IR modules that together define ``i64 @symbol(i64...)``."""
    count = function.__code__.co_argcount
    flags: Any = Flags()
    flags.error_model = "numpy"
    flags.no_cpython_wrapper = flags.no_cfunc_wrapper = True
    typing, target = _contexts()
    arguments = (types.int64,) * count
    with target_override("cpu"):
        name, texts = _Compiler(typing, target, None, arguments, types.int64, flags, {}).text(function)
    body = f"{symbol}.body"
    # numba promises LLVM that signed arithmetic does not overflow; helpers are written for arithmetic that wraps.
    texts = [text.replace(name, body).replace(" nsw ", " ") for text in texts]
    return [*texts, _wrapper(symbol, body, count)]


def _wrapper(name: str, body: str, count: int) -> str:
    """A C function around numba's calling convention: status fn(result*, exception**, args...). Helpers never raise."""
    params = ", ".join(f"i64 %a{i}" for i in range(count))
    return (
        f"declare i32 @{body}(ptr, ptr{', i64' * count})\n"
        f"define i64 @{name}({params}) nounwind {{\n %r = alloca i64\n %x = alloca ptr\n store i64 0, ptr %r\n"
        f" call i32 @{body}(ptr %r, ptr %x{', ' if count else ''}{params})\n"
        " %v = load i64, ptr %r\n ret i64 %v\n}"
    )
