"""Native helpers of the floating-point units: whole state images, stores of more than 8 bytes, string comparison
(numba).

FCS and FDS are not kept (as on processors with CPUID.7.0:EBX[13]): images hold 0 there.
"""

from __future__ import annotations

from types import SimpleNamespace

from frontends.x86 import state as st
from frontends.x86.common import GP, fault, update_mode
from frontends.x86.mmu import refused
from frontends.x86.simd import POINTERS_64, REAL, WIDE, XMM_16
from jitrr.engine.constants import READ, WRITE
from jitrr.engine.native import helper, inner, ld8, ld16, ld32, ld64, ldmxcsr, lsr, st8, st32, st64, stmxcsr

FPR, FCW, FSW, FTOP, FTAG = st.FPR, st.FCW, st.FSW, st.FTOP, st.FTAG
FOP, FIP, FDP, XMM, MXCSR, GPR = st.FOP, st.FIP, st.FDP, st.XMM, st.MXCSR, st.GPR
CF, ZF, SF, OF = st.CF, st.ZF, st.SF, st.OF


@inner
def status_word(cpu):
    """FSW with TOP."""
    return ld64(cpu + FSW) | (ld64(cpu + FTOP) << 11)


@inner
def set_status(cpu, control, status):
    """FCW and FSW with TOP; ES and B follow from the flags and masks."""
    st64(cpu + FCW, (control & 0x1F3F) | 0x40)
    st64(cpu + FTOP, (status >> 11) & 7)
    status &= 0x477F
    if status & ~control & 0x3F:
        status |= 0x8080
    return st64(cpu + FSW, status)


@inner
def full_tags(cpu):
    """The 16-bit tag word: 0 valid, 1 zero, 2 special, 3 empty."""
    tags, empty = 0, ld64(cpu + FTAG)
    for i in range(8):
        low, exponent = ld64(cpu + FPR + 16 * i), ld16(cpu + FPR + 16 * i + 8) & 0x7FFF
        if (empty >> i) & 1:
            tag = 3
        elif exponent == 0 and low == 0:
            tag = 1
        else:
            tag = 2 if exponent == 0 or exponent == 0x7FFF or low >= 0 else 0
        tags |= tag << (2 * i)
    return tags


@inner
def empty_of(tags):
    """FTAG of a 16-bit tag word."""
    empty = 0
    for i in range(8):
        if (tags >> (2 * i)) & 3 == 3:
            empty |= 1 << i
    return empty


@inner
def reset(cpu):
    """As FNINIT."""
    st64(cpu + FCW, 0x37F)
    for field in (FSW, FTOP, FOP, FIP, FDP):
        st64(cpu + field, 0)
    return st64(cpu + FTAG, 255)


def build(mmu: SimpleNamespace) -> None:
    """Declare the helpers."""
    load_as, store_as, finish, is_user = mmu.load_data, mmu.store_data, mmu.finish, mmu.is_user
    translate, translate_last = mmu.translate, mmu.translate_last
    O_WRAP, O_BASE = st.LAYOUT["linear_mask"], st.LAYOUT["code_base"]
    DS_BASE = st.seg_base(st.DS)

    @inner
    def reachable(cpu, address, size, access):
        """Whether ``size`` bytes (at most a page) may be accessed; if not, an exception is pending."""
        if translate(cpu, address, access, is_user(cpu)) == -1:
            return False
        return (address & 4095) + size <= 4096 or translate_last(cpu, address, size, access, is_user(cpu)) != -1

    @inner
    def image_reachable(cpu, address, size, access):
        """The same of an environment, of which the first four bytes and then the last one are tried."""
        last = (address + size - 1) & ld64(cpu + O_WRAP)
        return reachable(cpu, address, 4, access) and translate(cpu, last, access, is_user(cpu)) != -1

    @helper
    def fpu_mode(cpu):
        """Recompute the translation mode."""
        update_mode(cpu)
        return finish(cpu)

    @helper
    def x87_store(cpu, address, size, low, high, blocked):
        """Store 2, 4, 8 or 10 bytes, all or nothing; with ``blocked`` only see whether they could be."""
        if not refused(cpu, address, size, 0) and reachable(cpu, address, size, WRITE) and not blocked:
            if size == 10:
                store_as(cpu, address, 8, low, is_user(cpu))
                store_as(cpu, address + 8, 2, high, is_user(cpu))
            else:
                store_as(cpu, address, size, low, is_user(cpu))
        return finish(cpu)

    @helper
    def masked_store(cpu, address, size, low, high, mask_low, mask_high):
        """MASKMOVQ and MASKMOVDQU: the bytes whose mask has its top bit set; all ``size`` bytes must be writable."""
        if reachable(cpu, address, size, WRITE):
            for i in range(size):
                mask = mask_low if i < 8 else mask_high
                value = low if i < 8 else high
                if (mask >> (8 * (i & 7))) & 0x80:
                    store_as(cpu, address + i, 1, (value >> (8 * (i & 7))) & 255, is_user(cpu))
        return finish(cpu)

    # -- environments -------------------------------------------------------------------------------------------------

    @inner
    def put_environment(cpu, address, form):
        """14 or 28 bytes that have been found reachable."""
        user, size = is_user(cpu), 4 if form & WIDE else 2
        unused = 0xFFFF0000 if form & WIDE else 0
        fip, fdp, fop = ld64(cpu + FIP), ld64(cpu + FDP), ld64(cpu + FOP)
        second, fourth = fop << 16 if form & WIDE else 0, 0
        if form & REAL:
            fip, fdp = fip + ld64(cpu + O_BASE), fdp + ld64(cpu + DS_BASE)
            second, fourth = ((fip >> 16) << 12) | fop, (fdp >> 16) << 12
            if form & WIDE:
                fip, fdp = fip & 0xFFFF, fdp & 0xFFFF
        store_as(cpu, address, size, ld64(cpu + FCW) | unused, user)
        store_as(cpu, address + size, size, status_word(cpu) | unused, user)
        store_as(cpu, address + 2 * size, size, full_tags(cpu) | unused, user)
        store_as(cpu, address + 3 * size, size, fip, user)
        store_as(cpu, address + 4 * size, size, second, user)
        store_as(cpu, address + 5 * size, size, fdp, user)
        return store_as(cpu, address + 6 * size, size, fourth | (unused if form == WIDE else 0), user)

    @inner
    def get_environment(cpu, address, form):
        user, size = is_user(cpu), 4 if form & WIDE else 2
        control, status = load_as(cpu, address, 2, user), load_as(cpu, address + size, 2, user)
        st64(cpu + FTAG, empty_of(load_as(cpu, address + 2 * size, 2, user)))
        fip, second = load_as(cpu, address + 3 * size, size, user), load_as(cpu, address + 4 * size, size, user)
        fdp, fourth = load_as(cpu, address + 5 * size, size, user), load_as(cpu, address + 6 * size, size, user)
        fop = second >> 16 if form & WIDE else 0
        if form & REAL:
            fop = second
            fip, fdp = (fip & 0xFFFF) | (lsr(second, 12) << 16), (fdp & 0xFFFF) | (lsr(fourth, 12) << 16)
        set_status(cpu, control, status)
        st64(cpu + FIP, fip)
        st64(cpu + FDP, fdp)
        return st64(cpu + FOP, fop & 0x7FF)

    @helper
    def x87_fstenv(cpu, address, form):
        """FNSTENV; all exceptions are masked afterwards."""
        if image_reachable(cpu, address, 28 if form & WIDE else 14, WRITE):
            put_environment(cpu, address, form)
            set_status(cpu, ld64(cpu + FCW) | 0x3F, status_word(cpu))
        return finish(cpu)

    @helper
    def x87_fldenv(cpu, address, form):
        """FLDENV."""
        if image_reachable(cpu, address, 28 if form & WIDE else 14, READ):
            get_environment(cpu, address, form)
        return finish(cpu)

    @helper
    def x87_fsave(cpu, address, form):
        """FNSAVE."""
        head = 28 if form & WIDE else 14
        if image_reachable(cpu, address, head + 80, WRITE):
            put_environment(cpu, address, form)
            user, top = is_user(cpu), ld64(cpu + FTOP)
            for i in range(8):
                register = cpu + FPR + 16 * ((top + i) & 7)
                store_as(cpu, address + head + 10 * i, 8, ld64(register), user)
                store_as(cpu, address + head + 10 * i + 8, 2, ld16(register + 8), user)
            reset(cpu)
        return finish(cpu)

    @helper
    def x87_frstor(cpu, address, form):
        """FRSTOR."""
        head = 28 if form & WIDE else 14
        if image_reachable(cpu, address, head + 80, READ):
            get_environment(cpu, address, form)
            user, top = is_user(cpu), ld64(cpu + FTOP)
            for i in range(8):
                register = cpu + FPR + 16 * ((top + i) & 7)
                st64(register, load_as(cpu, address + head + 10 * i, 8, user))
                st64(register + 8, load_as(cpu, address + head + 10 * i + 8, 2, user))
        return finish(cpu)

    # -- FXSAVE -------------------------------------------------------------------------------------------------------

    @inner
    def block_reachable(cpu, address, access):
        """The same of the 512 bytes of FXSAVE, of which the last one is tried first."""
        last = (address + 511) & ld64(cpu + O_WRAP)
        return translate(cpu, last, access, is_user(cpu)) != -1 and reachable(cpu, address, 1, access)

    @helper
    def x87_fxsave(cpu, address, form):
        """FXSAVE to an aligned address (SDM volume 1, 10.5.1)."""
        registers = 16 if form & XMM_16 else 8
        if block_reachable(cpu, address, WRITE):
            user, top = is_user(cpu), ld64(cpu + FTOP)
            stmxcsr(cpu + MXCSR)
            mxcsr = ld32(cpu + MXCSR) ^ (ld32(cpu + MXCSR + 4) << 7)
            tags = ld64(cpu + FTAG) ^ 255
            head = ld64(cpu + FCW) | (status_word(cpu) << 16) | (tags << 32) | (ld64(cpu + FOP) << 48)
            fip, fdp = ld64(cpu + FIP), ld64(cpu + FDP)
            if not form & POINTERS_64:
                fip, fdp = fip & 0xFFFFFFFF, fdp & 0xFFFFFFFF
            store_as(cpu, address, 8, head, user)
            store_as(cpu, address + 8, 8, fip, user)
            store_as(cpu, address + 16, 8, fdp, user)
            store_as(cpu, address + 24, 8, mxcsr | (0xFFFF << 32), user)
            for i in range(8):
                register = cpu + FPR + 16 * ((top + i) & 7)
                store_as(cpu, address + 32 + 16 * i, 8, ld64(register), user)
                store_as(cpu, address + 40 + 16 * i, 8, ld16(register + 8), user)
            for i in range(2 * registers):
                store_as(cpu, address + 160 + 8 * i, 8, ld64(cpu + XMM + 8 * i), user)
        return finish(cpu)

    @helper
    def x87_fxrstor(cpu, address, form):
        """FXRSTOR from an aligned address; reserved bits of MXCSR are #GP(0)."""
        if not block_reachable(cpu, address, READ):
            return finish(cpu)
        user = is_user(cpu)
        mxcsr = load_as(cpu, address + 24, 4, user)
        if mxcsr & ~0xFFFF:
            fault(cpu, GP, 0)
            return finish(cpu)
        head = load_as(cpu, address, 8, user)
        fip, fdp = load_as(cpu, address + 8, 8, user), load_as(cpu, address + 16, 8, user)
        if not form & POINTERS_64:
            fip, fdp = fip & 0xFFFFFFFF, fdp & 0xFFFFFFFF
        set_status(cpu, head & 0xFFFF, lsr(head, 16) & 0xFFFF)
        st64(cpu + FTAG, (lsr(head, 32) & 255) ^ 255)
        st64(cpu + FOP, lsr(head, 48) & 0x7FF)
        st64(cpu + FIP, fip)
        st64(cpu + FDP, fdp)
        top = ld64(cpu + FTOP)
        for i in range(8):
            register = cpu + FPR + 16 * ((top + i) & 7)
            st64(register, load_as(cpu, address + 32 + 16 * i, 8, user))
            st64(register + 8, load_as(cpu, address + 40 + 16 * i, 2, user))
        for i in range(32 if form & XMM_16 else 16):
            st64(cpu + XMM + 8 * i, load_as(cpu, address + 160 + 8 * i, 8, user))
        st32(cpu + MXCSR, mxcsr | 0x1F80)
        st32(cpu + MXCSR + 4, ((mxcsr >> 7) & 63) ^ 63)
        ldmxcsr(cpu + MXCSR)
        update_mode(cpu)
        return finish(cpu)

    _build_strings(finish)


def _build_strings(finish):
    """PCMPESTRI, PCMPESTRM, PCMPISTRI and PCMPISTRM (SDM volume 2, 4.1)."""
    scratch = st.V
    RAX, RCX, RDX = st.gpr(0), st.gpr(1), st.gpr(2)

    @inner
    def element(at, i, control):
        """Element ``i`` of a vector: words or bytes (bit 0), signed or not (bit 1)."""
        if control & 1:
            value = ld16(at + 2 * i)
            return value - 65536 if control & 2 and value >= 32768 else value
        value = ld8(at + i)
        return value - 256 if control & 2 and value >= 128 else value

    @inner
    def explicit_length(cpu, register, wide, count):
        """|EAX| or |RAX| and so on, at most ``count``."""
        value = ld64(cpu + register)
        if not wide:
            value = (value << 32) >> 32
        if value < -count or value > count:
            return count
        return -value if value < 0 else value

    @inner
    def implicit_length(at, control, count):
        for i in range(count):
            if element(at, i, control & 1) == 0:
                return i
        return count

    @inner
    def aggregate(a, b, control, count, length_a, length_b):
        """IntRes1: a bit per element of ``b``. Elements beyond a length compare as SDM table 4-6 says."""
        how, result = (control >> 2) & 3, 0
        for j in range(count):
            bit = 0
            if how == 0:  # equal any
                for i in range(length_a):
                    if j < length_b and element(a, i, control) == element(b, j, control):
                        bit = 1
            elif how == 1:  # ranges
                for i in range(0, length_a - 1, 2):
                    value = element(b, j, control)
                    if j < length_b and element(a, i, control) <= value and value <= element(a, i + 1, control):
                        bit = 1
            elif how == 2:  # equal each
                if j < length_a and j < length_b:
                    bit = 1 if element(a, j, control) == element(b, j, control) else 0
                else:
                    bit = 1 if j >= length_a and j >= length_b else 0
            else:  # equal ordered
                bit = 1
                for i in range(min(length_a, count - j)):
                    if i + j >= length_b or element(a, i, control) != element(b, i + j, control):
                        bit = 0
            result |= bit << j
        return result

    @inner
    def polarised(control, result, count, length_b):
        """IntRes2."""
        if control & 0x10:
            return result ^ ((1 << (length_b if control & 0x20 else count)) - 1)
        return result

    @inner
    def put_mask(cpu, control, result, count):
        """XMM0: the bits, or with bit 6 a whole element for each."""
        if control & 0x40:
            size = 2 if control & 1 else 1
            for i in range(16):
                st8(cpu + XMM + i, 255 if (result >> (i // size)) & 1 else 0)
        else:
            st64(cpu + XMM, result)
            st64(cpu + XMM + 8, 0)
        return 0

    @inner
    def put_index(cpu, control, result, count):
        """ECX: the first set bit, or with bit 6 the last; the element count if there is none."""
        found = count
        for i in range(count):
            if (result >> i) & 1 and (control & 0x40 or found == count):
                found = i
        return st64(cpu + RCX, found)

    @helper
    def pcmpstr(cpu, a_low, a_high, b_low, b_high, control, index):
        """``control``: the immediate | 256: lengths in EAX and EDX | 512: in RAX and RDX."""
        a, b, count = cpu + scratch, cpu + scratch + 16, 8 if control & 1 else 16
        st64(a, a_low)
        st64(a + 8, a_high)
        st64(b, b_low)
        st64(b + 8, b_high)
        if control >> 8:
            length_a = explicit_length(cpu, RAX, control & 512 != 0, count)
            length_b = explicit_length(cpu, RDX, control & 512 != 0, count)
        else:
            length_a, length_b = implicit_length(a, control, count), implicit_length(b, control, count)
        result = polarised(control, aggregate(a, b, control, count, length_a, length_b), count, length_b)
        if index:
            put_index(cpu, control, result, count)
        else:
            put_mask(cpu, control, result, count)
        flags = (CF if result else 0) | (OF if result & 1 else 0)
        flags |= (ZF if length_b < count else 0) | (SF if length_a < count else 0)
        st64(cpu + st.CC_OP, st.CC_EFL)
        st64(cpu + st.CC_A, flags)
        return finish(cpu)
