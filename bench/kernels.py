"""Debian's kernels: boot, a script that tries what a user does, the kernel's messages, power off; here and in QEMU.

What the script prints is the same in both, line by line. Of the kernel's messages, on the console and in ``dmesg``,
there is none here that QEMU's machine of the same parts does not have, numbers and names aside, but for what DIFFERENT
explains.
"""

from __future__ import annotations

import difflib
import re
import shutil
from functools import partial
from pathlib import Path

import verdict
from measure import qemu
from verdict import FAIL, PASS, Job, Missing, Result, console

from runtime.guests import GuestError, cpio, debian, fetch

#: Each with how many processors.
KERNELS = (
    ("debian-i386", 1), ("debian-i386-pae", 1), ("debian-x86_64", 1), ("debian-cloud-x86_64", 1), ("debian-arm", 1),
    ("debian-arm-lpae", 1), ("debian-i386-pae", 2), ("debian-x86_64", 4), ("debian-arm", 4), ("debian-arm-lpae", 2),
)  # fmt: skip
BEGIN, END = "messages of the kernel:", "end of messages"
#: Every line that the script prints is the same wherever it runs.
SCRIPT = f"""{debian.INIT.partition("if [")[0]}
mount -t tmpfs none /tmp && cd /tmp
sha256sum /bin/busybox
gzip -c /bin/busybox | gunzip -c | cmp - /bin/busybox && echo "gzip and back"
bzip2 -c /bin/busybox | bunzip2 -c | cmp - /bin/busybox && echo "bzip2 and back"
tar -cf - -C /bin . | tar -xf - && cmp busybox /bin/busybox && rm -f * && echo "tar and back"
seq 3000 | awk '{{ s += $1 / 7.3 - s / $1 }} END {{ printf "%.12f\\n", s }}'
seq 20000 | sort -r | md5sum
factor 600851475143 1000003
for n in 1 2 3 4 5 6 7 8 9 10 11 12; do (sleep 0.0$n; echo $n >$n) & done; wait; cat * | sort -n | tr '\\n' ' '; echo
mkfifo pipe; (dd if=/dev/zero bs=4096 count=2000 2>/dev/null >pipe &); sha1sum <pipe
mkdir -p a/b/c; ln -s a/b link; echo text >a/b/c/file; cat link/c/file; mv a/b/c a/d; find a | sort; rm -r a
sh -c 'trap "echo a signal" USR1; kill -USR1 $$; sleep 0.01; echo and on'
sh -c 'kill -SEGV $$'; echo "status $?"
ip link set lo up; ping -c 3 127.0.0.1 >/dev/null && echo "loopback"
now() {{ cut -d ' ' -f 1 /proc/uptime | tr -d .; }}
start=$(now); sleep 2; took=$(($(now) - start)); [ $took -ge 199 -a $took -le 600 ] && echo "two seconds"
[ $(date +%Y) -ge 2024 ] && echo "the clock is set"
awk '/timer|LOC/ {{ n += $2 }} END {{ print (n > 100) ? "timer interrupts" : "no timer interrupts" }}' /proc/interrupts
head -c 1000000 /dev/urandom | wc -c
echo '{BEGIN}'; dmesg; echo '{END}'
poweroff -f
"""
#: Before the messages on several processors: work on each of them, on all at once, and one is taken away for a while.
SEVERAL = """
nproc
for n in $(seq 0 $(($(nproc) - 1))); do taskset $((1 << n)) sh -c 'seq 3000 | md5sum'; done
for n in $(seq $((2 * $(nproc)))); do (seq 20000 | sort -r | sha1sum) & done; wait
for n in 0 1; do echo $n >/sys/devices/system/cpu/cpu1/online; cat /sys/devices/system/cpu/online; done
grep -c "^core id" /proc/cpuinfo
"""
#: What makes QEMU's PC one of the same parts as ours, each of which its kernel speaks of: no HPET, an ISA VGA, no
#: sleep states but soft-off, and a processor with our processor's features and no sign of a hypervisor.
_PC = (
    "-machine hpet=off -device isa-vga -global PIIX4_PM.disable_s3=1 -global PIIX4_PM.disable_s4=1 "
    "-cpu Nehalem-v1,+rdrand,+pdpe1gb,-hypervisor"
)
SAME_PARTS = {"x86_64": _PC.split(), "i386": _PC.split(), "arm": []}
#: What machine, firmware and processor are called, in messages with numbers replaced by #.
NAMES = re.compile(r"(?<=^DMI: ).*(?=, BIOS)|(?<=, BIOS ).*|(?<=\(v# ).*(?=\))|(?<=^smpboot: CPU#: ).*(?= \(family)")
#: Messages, numbers and names replaced, that QEMU's machine has not, and why.
DIFFERENT = (
    (r"^TSC deadline timer available", "QEMU's processor has no TSC deadlines unless it is the host's (KVM)"),
    (r"^clocksource: (tsc|acpi_pm|Switched to clocksource tsc)|^sched_clock: Marking stable",
     "Several processors have the host's time on QEMU, and if the host is busy its kernel does not trust the clocks"),
)  # fmt: skip


def jobs(work: Path) -> list[Job]:
    """One for each kernel."""
    return [partial(_run, name, processors, work) for name, processors in KERNELS]


def _run(name: str, processors: int, work: Path) -> list[Result]:
    try:
        guest = fetch(name)
    except GuestError as error:
        raise Missing(str(error)) from error
    command = qemu(guest.record_args[1])
    if not shutil.which(command[0]):
        raise Missing(f"{command[0]} (Debian's qemu-system packages)")
    several = processors > 1
    label, tag = name + (f", {processors} processors" if several else ""), f"{name}-{processors}"
    image = work / f"{tag}.initrd"
    first = guest.initrd.read_bytes()
    script = SCRIPT.replace(f"echo '{BEGIN}'", SEVERAL + f"echo '{BEGIN}'") if several else SCRIPT
    image.write_bytes(first + bytes(-len(first) % 4) + cpio.archive([cpio.program("init", script.encode())]))
    command[command.index("stdio")] = f"file:{work / f'{tag}-qemu' / 'console'}"
    command += [*SAME_PARTS[guest.record_args[1]], "-smp", f"{processors},cores={processors}"]
    if not several:
        command += ["-icount", "shift=5,sleep=off"]  # guest time, however busy this machine is
    command += ["-kernel", str(guest.kernel), "-initrd", str(image), "-append", guest.append]
    there = verdict.printed(command, work / f"{tag}-qemu")
    here = console([*guest.record_args, "--smp", processors, "--initrd", image], work / tag)
    return [script_result(label, here, there), messages_result(label, here, there)]


def script_result(name: str, here: str, there: str) -> Result:
    """Whether the script printed the same on both."""
    ours, theirs = printed(here), printed(there)
    different = [line for line in difflib.ndiff(theirs, ours) if line[:2] in ("- ", "+ ")]
    ended = END in here and "reboot: Power down" in here
    passed = ended and ours == theirs
    detail = f"boots, {len(ours)} lines, powers off" if ended else "does not come to its end"
    if not passed:
        detail = "; ".join([detail, *different[:3]])
    return Result("Debian's kernels", f"{name}: script", PASS if passed else FAIL, detail)


def messages_result(name: str, here: str, there: str) -> Result:
    """Whether the kernel had nothing to say that it does not say in QEMU."""
    ours, theirs = messages(here), set(messages(there))
    more = [line for line in ours if line not in theirs]
    reasons = {line: next((why for pattern, why in DIFFERENT if re.search(pattern, line)), "") for line in more}
    unexplained = [line for line, why in reasons.items() if not why]
    passed = bool(ours) and not unexplained
    detail = f"{len(ours)} lines, {len(more)} of them not QEMU's"
    if unexplained:
        detail = "; ".join([detail, *unexplained[:3]])
    why = "; ".join(sorted(set(reasons.values()) - {""}))
    return Result("Debian's kernels", f"{name}: dmesg", PASS if passed else FAIL, detail, why if passed else "")


def printed(text: str) -> list[str]:
    """What the script printed."""
    lines = text.partition(BEGIN)[0].splitlines()
    return [line for line in lines if line and not line.startswith("[ ")]


def messages(text: str) -> list[str]:
    """The kernel's messages, without times, numbers, and names of the machine."""
    text = re.sub(r"^\[ *[0-9.]+\] ", "", text.partition(BEGIN)[2].partition(END)[0], flags=re.MULTILINE)
    lines = (re.sub(r"-?(0x[0-9a-f]+|[0-9a-f]*[0-9][0-9a-f]*)", "#", line, flags=re.I) for line in text.splitlines())
    return [NAMES.sub("@", line) for line in lines if line]
