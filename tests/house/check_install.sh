#!/bin/sh
# usage: check_install.sh BUILD CC      installs into a temporary prefix and builds consumers there
#
# A C and a C++ consumer through find_package (shared and static) and a C one through pkg-config (shared and static); each is run.
# The shared library must export nothing but mica_*.
set -eu
build=$1
cc=$2
consumer=$(cd "$(dirname "$0")/consumer" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

cmake --install "$build" --prefix "$work/prefix" >"$work/log"
lib=$(dirname "$(find "$work/prefix" -name libmica.so)")
for wanted in "$lib/libmica.a" "$lib/pkgconfig/mica.pc" "$lib/cmake/mica/mica-config.cmake" "$work/prefix/include/mica/mica.h"; do
    [ -e "$wanted" ] || { echo "not installed: $wanted"; exit 1; }
done
if [ -x "$build/mica" ]; then "$work/prefix/bin/mica" --version; fi

languages=C
command -v "${CXX:-c++}" >/dev/null 2>&1 && languages="C;CXX" || echo "skipped for C++: no compiler"
cmake -S "$consumer" -B "$work/consumer" -DCMAKE_PREFIX_PATH="$work/prefix" -DCMAKE_C_COMPILER="$cc" \
    "-DCONSUMER_LANGUAGES=$languages" >>"$work/log"
cmake --build "$work/consumer" >>"$work/log" || { cat "$work/log"; exit 1; }
for program in "$work"/consumer/consumer_*; do
    "$program" || { echo "$program failed"; exit 1; }
done

export PKG_CONFIG_PATH="$lib/pkgconfig"
# shellcheck disable=SC2046
"$cc" -o "$work/shared" "$consumer/consumer.c" $(pkg-config --cflags --libs mica)
LD_LIBRARY_PATH=$lib "$work/shared"
# shellcheck disable=SC2046 # the archive by its path, so that the linker does not take the shared library beside it
"$cc" -o "$work/static" "$consumer/consumer.c" $(pkg-config --cflags mica) \
    $(pkg-config --static --libs mica | sed "s|-lmica|$lib/libmica.a|")
"$work/static"

foreign=$(nm -D --defined-only "$lib/libmica.so" | awk '{ print $NF }' | grep -v '^mica_[a-z]' || true)
[ -z "$foreign" ] || { echo "libmica.so exports:"; echo "$foreign"; exit 1; }
echo "installed, found and linked: find_package ($languages), pkg-config"
