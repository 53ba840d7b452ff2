"""Debian kernels with a busybox initramfs: which packages, which init, which arguments to ``jitrr record``."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from runtime.guests import apt, cpio, deb

#: The first line a Debian guest's init prints: how far a boot has come is measured by it.
INIT_STARTED = "jitrr guest: init started"
#: The last line, when the guest was asked to power off (kernel command line word ``jitrr=poweroff``).
POWERING_OFF = "jitrr guest: powering off"

#: A shell owns the console as its controlling terminal (Ctrl-C works), and leaving it switches the machine off: init
#: itself must never end. The kernel hands words of the form name=value that it does not know to init's environment.
INIT = f"""\
#!/bin/sh
echo '{INIT_STARTED}'
export PATH=/bin:/sbin HOME=/ TERM=vt100 PS1='guest:\\w# '
busybox mount -t proc proc /proc
busybox --install -s /bin
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
if [ "$jitrr" != poweroff ]; then
    echo 'jitrr guest: a shell on the console; "exit" switches the machine off'
    setsid cttyhack sh
fi
echo '{POWERING_OFF}'
poweroff -f
"""


@dataclass(frozen=True)
class Recipe:
    """How one guest is made of packages. ``architecture`` is Debian's name, ``arch`` ours (``jitrr record --arch``)."""

    arch: str
    architecture: str
    kernel: str
    console: str
    description: str

    def append(self) -> str:
        """The kernel command line; add ``jitrr=poweroff`` for a guest that switches itself off."""
        return f"console={self.console} quiet"


_PC = "Debian's kernel for PCs, a busybox shell on the serial console"
_CLOUD = "Debian's kernel for cloud machines, a shell likewise; boots in half the time"
_PC_32 = "Debian's kernel for 32-bit PCs without PAE, a shell likewise"
_PC_PAE = "Debian's kernel for 32-bit PCs with PAE, a shell likewise"
_ARM = "Debian's kernel for 32-bit ARM, a shell likewise"
_ARM_LPAE = "Debian's kernel for 32-bit ARM with long descriptors, a shell likewise"

RECIPES = {
    "debian-x86_64": Recipe("x86_64", "amd64", "linux-image-amd64", "ttyS0", _PC),
    "debian-cloud-x86_64": Recipe("x86_64", "amd64", "linux-image-cloud-amd64", "ttyS0", _CLOUD),
    "debian-i386": Recipe("i386", "i386", "linux-image-686", "ttyS0", _PC_32),
    "debian-i386-pae": Recipe("i386", "i386", "linux-image-686-pae", "ttyS0", _PC_PAE),
    "debian-arm": Recipe("arm", "armhf", "linux-image-armmp", "ttyAMA0", _ARM),
    "debian-arm-lpae": Recipe("arm", "armhf", "linux-image-armmp-lpae", "ttyAMA0", _ARM_LPAE),
}


def initramfs(busybox: bytes) -> bytes:
    """The compressed initramfs around a static ``busybox`` program; the same bytes for the same program.

    ``/dev/console`` must be in it: the kernel opens it as init's standard streams before anything is mounted.
    """
    folders = [cpio.directory(name) for name in ("bin", "dev", "proc", "sys", "root", "tmp")]
    files = [
        cpio.character_device("dev/console", 5, 1),
        cpio.program("bin/busybox", busybox),
        cpio.symlink("bin/sh", "busybox"),
        cpio.program("init", INIT.encode()),
    ]
    return cpio.compressed(cpio.archive(folders + files))


@dataclass(frozen=True)
class Built:
    """A guest's two files and the packages ("name version") they came from."""

    kernel: bytes
    initrd: bytes
    packages: tuple[str, ...]


def build(recipe: Recipe, workspace: Path) -> Built:
    """Download and unpack under the empty directory ``workspace``. GuestError says in one line why that failed."""
    architecture = recipe.architecture
    options = apt.index_options(architecture, workspace / "apt")
    name = apt.concrete(recipe.kernel, architecture, options)
    kernel = apt.download(name, architecture, workspace / "kernel", options)
    busybox = apt.download("busybox-static", architecture, workspace / "busybox", options)
    image = deb.extract_first(kernel.path, lambda path: path.startswith("boot/vmlinuz-"))
    program = deb.extract_first(busybox.path, lambda path: path in ("bin/busybox", "usr/bin/busybox"))
    return Built(image, initramfs(program), tuple(f"{package.name} {package.version}" for package in (kernel, busybox)))
