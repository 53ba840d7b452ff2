#!/bin/sh
# Installs the assembler and the QEMU that tests and benchmarks compare with, where that is possible without asking:
# on Debian, as root. Anywhere else, and without a network, it says what is missing and succeeds.
missing=
command -v as >/dev/null && command -v ld >/dev/null || missing="binutils"
command -v qemu-system-x86_64 >/dev/null || missing="$missing qemu-system-x86"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    { apt-get update -q && apt-get install -q -y --no-install-recommends $missing; } >/dev/null 2>&1 && exit 0
fi
echo "not installed, so what needs it is skipped: $missing"
