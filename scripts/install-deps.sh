#!/bin/sh
# usage: scripts/install-deps.sh [build] [test] [demo] [check] [cross]
#
# Makes sure that what a group needs is on this machine: looks for each program or library and, on Debian and its relatives,
# installs the packages of what is missing with apt-get (as root or through sudo). Where nothing is missing it does and says
# nothing. MICA_NO_INSTALL=1: only look, and fail if something is missing.
set -eu

missing=""
need() { # PACKAGE COMMAND...: the package is missing if the command fails
    package=$1; shift
    "$@" >/dev/null 2>&1 || missing="$missing $package"
}
program() { command -v "$1"; }
library() { pkg-config --exists "$1"; }

build_group() {
    need gcc program cc
    need libc6-dev test -e /usr/include/stdio.h
    need make program make
    need cmake program cmake
    need ninja-build program ninja
    need pkg-config program pkg-config
    need libpcre2-dev library libpcre2-8
    need libutf8proc-dev library libutf8proc
    need libedit-dev library libedit
    need libcurl4-openssl-dev library libcurl
    need libssl-dev library libcrypto
}
test_group() {
    need g++ program c++
    need libcmocka-dev library cmocka
    need python3 program python3
    need python3-numpy python_module numpy
    need python3-pytest python_module pytest
    need mypy python_module mypy
    need xz-utils program xz
    need valgrind program valgrind
}
# In the interpreter that is found first, or in Debian's own.
python_module() { python3 -c "import $1" || /usr/bin/python3 -c "import $1"; }
demo_group() {
    need python3 program python3
    need python3-pip python3 -m pip --version
    need ca-certificates test -d /etc/ssl/certs
}
check_group() {
    need git program git
    need clang program clang
    need clang-format program clang-format
    need clang-tidy program clang-tidy
    need cppcheck program cppcheck
    need libclang-rt-dev fuzzer_runtime
}
fuzzer_runtime() { test -e "$(clang -print-runtime-dir 2>/dev/null)/libclang_rt.fuzzer-$(uname -m).a"; }
cross_group() {
    need gcc-aarch64-linux-gnu program aarch64-linux-gnu-gcc
    need qemu-user program qemu-aarch64
    need libc6:arm64 test -e /lib/ld-linux-aarch64.so.1
    for name in pcre2 utf8proc edit cmocka; do
        need "lib$name-dev:arm64" test -n "$(ls /usr/lib/aarch64-linux-gnu/lib"$name"*.so 2>/dev/null)"
    done
    need libcurl4-openssl-dev:arm64 test -e /usr/lib/aarch64-linux-gnu/libcurl.so
    need libssl-dev:arm64 test -e /usr/lib/aarch64-linux-gnu/libcrypto.so
}

[ $# -gt 0 ] || set -- build
for group in "$@"; do
    case $group in
    build | test | demo | check | cross) "${group}_group" ;;
    *) echo "install-deps.sh: unknown group '$group' (build, test, demo, check, cross)" >&2; exit 64 ;;
    esac
done
[ -n "$missing" ] || exit 0

echo "missing on this machine (Debian package names):$missing"
if [ "${MICA_NO_INSTALL:-0}" != 0 ]; then
    echo "MICA_NO_INSTALL is set: install them and run this again" >&2
    exit 69
fi
if ! command -v apt-get >/dev/null 2>&1; then
    echo "this is no Debian (no apt-get): install what provides them with this system's package manager" >&2
    exit 69
fi
sudo=""
if [ "$(id -u)" != 0 ]; then
    command -v sudo >/dev/null 2>&1 || { echo "not root and no sudo: ask an administrator to install them" >&2; exit 77; }
    sudo=sudo
fi
case $missing in *:arm64*)
    dpkg --print-foreign-architectures | grep -qx arm64 || $sudo dpkg --add-architecture arm64 ;;
esac
echo "installing them with apt-get ..."
export DEBIAN_FRONTEND=noninteractive
$sudo apt-get update -qq
# shellcheck disable=SC2086 # one word for each package
$sudo apt-get install -y -qq --no-install-recommends $missing >/dev/null
