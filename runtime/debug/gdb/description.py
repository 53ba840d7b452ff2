"""What the server tells gdb about the machine: the target description and the memory map (gdb manual, appendix G and
E.13), as XML made from the list of registers."""

from __future__ import annotations

from itertools import groupby
from xml.sax.saxutils import quoteattr

from frontends.registers import Register

_ARCHITECTURES = {"x86_64": "i386:x86-64", "i386": "i386", "arm": "arm"}
#: EFLAGS and MXCSR by their bits (SDM volume 1, 3.4.3 and 10.2.3); "" for the bit that is always 1.
_FLAGS = {
    "i386_eflags": {
        "CF": 0, "": 1, "PF": 2, "AF": 4, "ZF": 6, "SF": 7, "TF": 8, "IF": 9, "DF": 10, "OF": 11, "NT": 14, "RF": 16,
        "VM": 17, "AC": 18, "VIF": 19, "VIP": 20, "ID": 21,
    },
    "i386_mxcsr": {
        "IE": 0, "DE": 1, "ZE": 2, "OE": 3, "UE": 4, "PE": 5, "DAZ": 6, "IM": 7, "DM": 8, "ZM": 9, "OM": 10, "UM": 11,
        "PM": 12, "FZ": 15,
    },
}  # fmt: skip
#: The ways to read 128 bits: name of the view, element type, elements.
_VECTORS = {
    "vec128": (("v4_float", "ieee_single", 4), ("v2_double", "ieee_double", 2), ("v16_int8", "int8", 16),
               ("v8_int16", "int16", 8), ("v4_int32", "int32", 4), ("v2_int64", "int64", 2)),
    "neon_q": (("u8", "uint8", 16), ("u16", "uint16", 8), ("u32", "uint32", 4), ("u64", "uint64", 2),
               ("f32", "ieee_single", 4), ("f64", "ieee_double", 2)),
}  # fmt: skip


def target_description(arch: str, registers: list[Register]) -> str:
    """``target.xml``: the architecture, and its registers by features. Their numbers are their places in the list."""
    lines = ['<?xml version="1.0"?>', '<!DOCTYPE target SYSTEM "gdb-target.dtd">', '<target version="1.0">',
             f"<architecture>{_ARCHITECTURES[arch]}</architecture>"]  # fmt: skip
    for feature, members in groupby(registers, key=lambda register: register.feature):
        lines += _feature(feature, list(members))
    return "\n".join([*lines, "</target>", ""])


def memory_map(arch: str) -> str:
    """All addresses may be asked for: gdb's are virtual ones, and what is mapped changes as the guest goes on."""
    half = 1 << (63 if arch == "x86_64" else 31)
    lines = [f'<memory type="ram" start="{start:#x}" length="{half:#x}"/>' for start in (0, half)]
    head = '<?xml version="1.0"?>\n<!DOCTYPE memory-map PUBLIC "+//IDN gnu.org//DTD GDB Memory Map V1.0//EN" '
    return (
        head
        + '"http://sourceware.org/gdb/gdb-memory-map.dtd">\n'
        + "\n".join(["<memory-map>", *lines, "</memory-map>\n"])
    )


def _feature(name: str, members: list[Register]) -> list[str]:
    kinds = dict.fromkeys(register.kind for register in members)
    lines = [f"<feature name={quoteattr(name)}>"]
    for kind in kinds:
        lines += _type(kind)
    for register in members:
        kind = f' type="{register.kind}"' if register.kind != "int" else ""
        lines.append(f'<reg name="{register.name}" bitsize="{register.bits}"{kind} group="{register.group}"/>')
    return [*lines, "</feature>"]


def _type(kind: str) -> list[str]:
    """The definition of a type that gdb does not know by itself."""
    if kind in _FLAGS:
        fields = [f'<field name="{name}" start="{bit}" end="{bit}"/>' for name, bit in _FLAGS[kind].items()]
        return [f'<flags id="{kind}" size="4">', *fields, "</flags>"]
    views = _VECTORS.get(kind, ())
    if not views:
        return []
    vectors = [f'<vector id="{view}_view" type="{element}" count="{count}"/>' for view, element, count in views]
    fields = [f'<field name="{view}" type="{view}_view"/>' for view, _, _ in views]
    return [*vectors, f'<union id="{kind}">', *fields, '<field name="uint128" type="uint128"/>', "</union>"]
