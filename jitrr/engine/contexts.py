"""Translations of several address spaces at once, each a *context*: its TLBs, and its epoch of the jump cache. Compiled
by numba.

A guest that goes back to an address space it was in a moment ago finds its translations again. All of a context is
forgotten by giving it a salt that no entry of any TLB has. The contexts hold what fresh walks would give, like the one
in use: a flush forgets all of them. Each processor has contexts of its own; epochs are given once to all of them, since
regions that all of them run keep keys made of epochs.
"""

from __future__ import annotations

from types import SimpleNamespace

from jitrr.engine.constants import CONTEXT_ENTRY, CONTEXTS, SALTS, TLB_BYTES, TLB_ENTRY, TLB_SIZE, TLBS
from jitrr.engine.layout import Layout
from jitrr.engine.native import helper, inner, ld64, st64

#: In an entry of the table: what identifies the address space (three words), salt (0: forgotten), epoch, time of its
#: last use. Those of the context in use are in the CPU block.
C_KEY, C_SALT, C_EPOCH, C_USED = 0, 24, 32, 40


def build(layout: Layout) -> SimpleNamespace:
    """The helpers: ``flush_tlb``, ``flush_all``, ``forget_others``, ``shoot_down``, ``switch_context``."""
    O_TLB, O_TLB_BASE, O_ALL, O_TABLE = (layout[n] for n in ("tlb", "tlb_base", "tlb_all", "contexts"))
    O_SALT, O_LAST_SALT, O_EPOCH, O_LAST_EPOCH = (
        layout[n] for n in ("tlb_salt", "last_salt", "jc_epoch", "last_epoch")
    )  # fmt: skip
    O_SHOOTDOWNS = layout["shootdowns"]
    O_KEY, O_MODE, O_CURRENT, O_TIME = (layout[n] for n in ("jc_key", "mode", "context", "context_time"))

    @inner
    def forget_others(cpu):
        """The contexts that are not in use hold nothing any more."""
        table, current = ld64(cpu + O_TABLE), ld64(cpu + O_CURRENT)
        for i in range(CONTEXTS):
            if i != current:
                st64(table + i * CONTEXT_ENTRY + C_SALT, 0)
        return 0

    @inner
    def renew(cpu):
        """The context in use holds nothing any more."""
        salt = ld64(cpu + O_LAST_SALT) + 1
        if salt == SALTS:
            forget_others(cpu)
            base = ld64(cpu + O_ALL)
            for i in range(CONTEXTS * TLBS * TLB_SIZE):
                st64(base + i * TLB_ENTRY, 0)
                st64(base + i * TLB_ENTRY + 8, 0)
                st64(base + i * TLB_ENTRY + 16, 0)
            salt = 1
        st64(cpu + O_LAST_SALT, salt)
        st64(cpu + O_SALT, salt)
        epoch = max(ld64(cpu + O_LAST_EPOCH), ld64(cpu + O_EPOCH)) + 1
        st64(cpu + O_LAST_EPOCH, epoch)
        return st64(cpu + O_EPOCH, epoch)

    @helper
    def flush_tlb(cpu):
        """Forget all translations of this processor, of data and of code."""
        forget_others(cpu)
        renew(cpu)
        return st64(cpu + O_KEY, (ld64(cpu + O_EPOCH) << 16) | ld64(cpu + O_MODE))

    @inner
    def shoot_down(cpu):
        """The other processors forget all translations before they run again (Engine.select)."""
        return st64(cpu + O_SHOOTDOWNS, ld64(cpu + O_SHOOTDOWNS) + 1)

    @helper
    def flush_all(cpu):
        """Forget all translations of every processor."""
        shoot_down(cpu)
        return flush_tlb(cpu)

    @inner
    def find(cpu, a, b, c):
        """The context with a key, or else the one whose last use is longest ago, emptied and with that key."""
        table, oldest = ld64(cpu + O_TABLE), 0
        for i in range(CONTEXTS):
            entry = table + i * CONTEXT_ENTRY
            if ld64(entry + C_KEY) == a and ld64(entry + C_KEY + 8) == b and ld64(entry + C_KEY + 16) == c:
                return i
            if ld64(entry + C_USED) < ld64(table + oldest * CONTEXT_ENTRY + C_USED):
                oldest = i
        entry = table + oldest * CONTEXT_ENTRY
        st64(entry + C_KEY, a)
        st64(entry + C_KEY + 8, b)
        st64(entry + C_KEY + 16, c)
        st64(entry + C_SALT, 0)
        return oldest

    @inner
    def switch_context(cpu, a, b, c):
        """Go to the address space that three words identify: everything else that walks depend on is the same."""
        table = ld64(cpu + O_TABLE)
        entry = table + ld64(cpu + O_CURRENT) * CONTEXT_ENTRY
        time = ld64(cpu + O_TIME) + 1
        st64(cpu + O_TIME, time)
        st64(entry + C_SALT, ld64(cpu + O_SALT))
        st64(entry + C_EPOCH, ld64(cpu + O_EPOCH))
        st64(entry + C_USED, time)
        number = find(cpu, a, b, c)
        entry = table + number * CONTEXT_ENTRY
        which = ld64(cpu + O_TLB) - ld64(cpu + O_TLB_BASE)
        base = ld64(cpu + O_ALL) + number * TLBS * TLB_BYTES
        st64(cpu + O_CURRENT, number)
        st64(cpu + O_TLB_BASE, base)
        st64(cpu + O_TLB, base + which)
        if ld64(entry + C_SALT) == 0:
            renew(cpu)
        else:
            st64(cpu + O_SALT, ld64(entry + C_SALT))
            st64(cpu + O_EPOCH, ld64(entry + C_EPOCH))
        return st64(cpu + O_KEY, (ld64(cpu + O_EPOCH) << 16) | ld64(cpu + O_MODE))

    return SimpleNamespace(
        flush_tlb=flush_tlb, flush_all=flush_all, forget_others=forget_others, shoot_down=shoot_down,
        switch_context=switch_context,
    )  # fmt: skip
