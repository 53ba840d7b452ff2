"""Fetching guests: packages are unpacked, the initramfs is reproducible, only an intact cache is trusted."""

from __future__ import annotations

import gzip
import io
import lzma
import os
import stat
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard

from runtime import guests
from runtime.guests import apt, cpio, deb, debian
from runtime.guests.errors import GuestError

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "data.tar": bytes,
    "data.tar.gz": gzip.compress,
    "data.tar.xz": lzma.compress,
    "data.tar.zst": zstandard.compress,
}


def tar(files: dict[str, bytes]) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    return out.getvalue()


def ar(members: dict[str, bytes]) -> bytes:
    parts = [b"!<arch>\n"]
    for name, data in members.items():
        parts.append(b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name.encode(), 0, 0, 0, b"100644", len(data)))
        parts.append(data + b"\n" * (len(data) % 2))
    return b"".join(parts)


def package(path: Path, packed_as: str, files: dict[str, bytes]) -> Path:
    payload = PACKERS[packed_as](tar(files))
    path.write_bytes(ar({"debian-binary": b"2.0\n", "control.tar.xz": b"odd", packed_as: payload}))
    return path


@pytest.mark.parametrize("packed_as", PACKERS)
def test_a_file_comes_out_of_a_package(tmp_path: Path, packed_as: str) -> None:
    path = package(tmp_path / "a.deb", packed_as, {"./boot/config-6": b"no", "./boot/vmlinuz-6": b"kernel"})
    assert deb.extract_first(path, lambda name: name.startswith("boot/vmlinuz-")) == b"kernel"


def test_a_package_without_the_file_is_refused(tmp_path: Path) -> None:
    path = package(tmp_path / "a.deb", "data.tar.xz", {"./boot/config-6": b"no"})
    with pytest.raises(GuestError, match="does not contain"):
        deb.extract_first(path, lambda name: name == "boot/vmlinuz")


@pytest.mark.parametrize("packed_as", ["data.tar.gz", "data.tar.xz"])
@pytest.mark.parametrize("keep", [0, 5, 70, 150, 200])
def test_a_package_cut_short_is_refused(tmp_path: Path, packed_as: str, keep: int) -> None:
    path = package(tmp_path / "a.deb", packed_as, {"./bin/busybox": bytes(range(256)) * 40})
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(GuestError):
        deb.extract_first(path, lambda name: name == "bin/busybox")


def test_a_damaged_payload_is_refused(tmp_path: Path) -> None:
    path = package(tmp_path / "a.deb", "data.tar.xz", {"./bin/busybox": os.urandom(4000)})
    data = bytearray(path.read_bytes())
    data[2000] ^= 0x55
    path.write_bytes(data)
    with pytest.raises(GuestError, match="damaged"):
        deb.extract_first(path, lambda name: name == "bin/busybox")


def members(archive: bytes) -> list[tuple[str, int, bytes, tuple[int, int]]]:
    """An independent reading of newc: (name, mode, data, device) of every entry before the trailer."""
    found: list[tuple[str, int, bytes, tuple[int, int]]] = []
    at = 0
    while True:
        assert archive[at : at + 6] == b"070701"
        numbers = [int(archive[at + 6 + 8 * index : at + 14 + 8 * index], 16) for index in range(13)]
        _inode, mode, user, group, _links, time, size, _, _, major, minor, name_size, check = numbers
        assert (user, group, time, check) == (0, 0, 0, 0)
        name = archive[at + 110 : at + 110 + name_size - 1].decode()
        at = (at + 110 + name_size + 3) & ~3
        if name == "TRAILER!!!":
            return found
        found.append((name, mode, archive[at : at + size], (major, minor)))
        at = (at + size + 3) & ~3


def test_the_initramfs_holds_what_the_kernel_needs() -> None:
    entries = members(gzip.decompress(debian.initramfs(b"busybox!!")))
    names = [entry[0] for entry in entries]
    assert names == sorted(names)
    by_name = {name: (mode, data, device) for name, mode, data, device in entries}
    assert by_name["dev/console"] == (stat.S_IFCHR | 0o600, b"", (5, 1))
    assert by_name["bin/busybox"] == (stat.S_IFREG | 0o755, b"busybox!!", (0, 0))
    assert by_name["bin/sh"] == (stat.S_IFLNK | 0o777, b"busybox", (0, 0))
    assert by_name["init"][0] == stat.S_IFREG | 0o755
    for folder in ("bin", "dev", "proc", "sys"):
        assert stat.S_ISDIR(by_name[folder][0])


def test_the_initramfs_is_the_same_every_time() -> None:
    assert debian.initramfs(b"one") == debian.initramfs(b"one") != debian.initramfs(b"two")
    header = debian.initramfs(b"one")[:10]
    assert header[3:8] == bytes(5)  # neither a name nor a time


def test_entries_may_come_in_any_order() -> None:
    entries = [cpio.program("b/x", b"1"), cpio.directory("b"), cpio.symlink("a", "b")]
    assert cpio.archive(entries) == cpio.archive(entries[::-1])


@pytest.fixture
def builds(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Replaces Debian's archive; lists the kernels that were asked for."""
    asked: list[str] = []

    def build(recipe: debian.Recipe, workspace: Path) -> debian.Built:
        assert not list(workspace.iterdir())
        asked.append(recipe.kernel)
        return debian.Built(b"kernel", b"initrd", ("linux 6.1", "busybox 1.35"))

    monkeypatch.setattr(debian, "build", build)
    return asked


def test_a_second_fetch_needs_no_network(tmp_path: Path, builds: list[str]) -> None:
    first = guests.fetch("debian-x86_64", cache_dir=tmp_path)
    assert guests.fetch("debian-x86_64", cache_dir=tmp_path) == first
    assert builds == ["linux-image-amd64"]
    assert first.kernel.read_bytes() == b"kernel" and first.initrd.read_bytes() == b"initrd"
    assert first.packages == ("linux 6.1", "busybox 1.35")


@pytest.mark.parametrize("name", ["vmlinuz", "initrd.gz", "manifest.json"])
@pytest.mark.parametrize("damage", ["alter", "remove"])
def test_a_damaged_cache_is_fetched_again(tmp_path: Path, builds: list[str], name: str, damage: str) -> None:
    guests.fetch("debian-x86_64", cache_dir=tmp_path)
    path = tmp_path / "debian-x86_64" / name
    path.write_bytes(b"?") if damage == "alter" else path.unlink()
    again = guests.fetch("debian-x86_64", cache_dir=tmp_path)
    assert len(builds) == 2
    assert again.kernel.read_bytes() == b"kernel" and again.initrd.read_bytes() == b"initrd"
    assert [entry.name for entry in tmp_path.iterdir()] == ["debian-x86_64"]


def test_another_init_is_another_guest(tmp_path: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    guests.fetch("debian-x86_64", cache_dir=tmp_path)
    monkeypatch.setattr(debian, "INIT", "#!/bin/sh\n")
    guests.fetch("debian-x86_64", cache_dir=tmp_path)
    assert len(builds) == 2


def test_the_arguments_are_ready_for_record(tmp_path: Path, builds: list[str]) -> None:
    guest = guests.fetch("debian-x86_64", cache_dir=tmp_path)
    options = dict(zip(guest.record_args[::2], guest.record_args[1::2], strict=True))
    assert options == {
        "--arch": "x86_64",
        "--memory": "256M",
        "--kernel": str(guest.kernel),
        "--initrd": str(guest.initrd),
        "--append": "console=ttyS0 quiet",
    }


def test_the_user_says_where_the_cache_is(tmp_path: Path, builds: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("JITRR_CACHE_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert guests.fetch("debian-x86_64").kernel == tmp_path / "xdg/jitrr/guests/debian-x86_64/vmlinuz"
    monkeypatch.setenv("JITRR_CACHE_DIR", str(tmp_path / "own"))
    assert guests.fetch("debian-x86_64").kernel == tmp_path / "own/guests/debian-x86_64/vmlinuz"


def test_an_unknown_guest_names_those_there_are() -> None:
    with pytest.raises(GuestError, match="no guest 'beos'; there are debian-arm, debian-arm-lpae, debian-cloud"):
        guests.fetch("beos")


def test_a_cache_that_cannot_be_written_is_one_clear_line(tmp_path: Path, builds: list[str]) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(GuestError, match="cannot write the guest"):
        guests.fetch("debian-x86_64", cache_dir=tmp_path / "file")


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_without_apt_the_error_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GuestError, match="apt-cache is not there"):
        apt.concrete("linux-image-amd64", "amd64")


def test_a_package_apt_does_not_know(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "apt-cache", "echo 'E: No packages found' >&2; exit 100")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GuestError, match=r'knows no package linux-image-amd64.*"apt-get update"'):
        apt.concrete("linux-image-amd64", "amd64")


def test_a_stale_index_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "apt-get", "echo 'E: Failed to fetch linux.deb  404  Not Found' >&2; exit 100")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(GuestError, match=r'404.*"apt-get update"') as caught:
        apt.download("linux-image-6", "amd64", tmp_path / "new")
    assert "\n" not in str(caught.value)


def test_the_concrete_kernel_and_its_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "apt-cache", "echo linux-image-amd64; echo '  Depends: linux-image-6.1.0-9-amd64'")
    tool(tmp_path, "apt-get", ": > linux-image-6.1.0-9-amd64_1%3a6.1.27-1_amd64.deb")
    monkeypatch.setenv("PATH", str(tmp_path))
    name = apt.concrete("linux-image-amd64", "amd64")
    assert name == "linux-image-6.1.0-9-amd64"
    assert apt.download(name, "amd64", tmp_path / "new").version == "1:6.1.27-1"


def test_the_hosts_own_architecture_needs_no_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "dpkg", "echo amd64")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert apt.index_options("amd64", tmp_path / "index") == ()


def test_another_architecture_has_an_index_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One that half failed is good enough, and every command gets it."""
    tool(tmp_path, "dpkg", "echo amd64")
    index = f": > {tmp_path}/index/state/lists/debian_main_binary-i386_Packages.lz4"
    tool(tmp_path, "apt-get", f"{index}; echo 'E: Failed to fetch security' >&2; exit 100")
    tool(tmp_path, "apt-cache", f'echo "$*" > {tmp_path}/asked; echo "  Depends: linux-image-6.1-686"')
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    options = apt.index_options("i386", tmp_path / "index")
    assert {"APT::Architecture=i386", f"Dir::State={tmp_path}/index/state"} < set(options)
    assert apt.concrete("linux-image-686", "i386", options) == "linux-image-6.1-686"
    assert " ".join(options) in (tmp_path / "asked").read_text()


def test_no_index_at_all_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool(tmp_path, "dpkg", "echo amd64")
    tool(tmp_path, "apt-get", "echo 'E: Could not resolve the archive' >&2; exit 100")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    with pytest.raises(GuestError, match=r"index for i386 \(Could not resolve the archive"):
        apt.index_options("i386", tmp_path / "index")


def test_debian_itself(tmp_path: Path) -> None:
    """The real thing, small: busybox from Debian's archive runs here and packs into an initramfs."""
    try:
        got = apt.download("busybox-static", "amd64", tmp_path / "busybox")
    except GuestError as error:
        pytest.skip(str(error))
    program = deb.extract_first(got.path, lambda path: path in ("bin/busybox", "usr/bin/busybox"))
    path = tmp_path / "busybox" / "busybox"
    path.write_bytes(program)
    path.chmod(0o755)
    assert subprocess.run([path, "echo", "alive"], capture_output=True, check=True).stdout == b"alive\n"
    (found,) = [entry for entry in members(gzip.decompress(debian.initramfs(program))) if entry[0] == "bin/busybox"]
    assert found[2] == program
