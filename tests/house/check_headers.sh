#!/bin/sh
# usage: check_headers.sh CC      every public header compiles alone, as C and as C++, with all warnings
set -eu
cc=$1
cxx=${CXX:-c++}
root=$(cd "$(dirname "$0")/../.." && pwd)
n=0
for header in "$root"/include/mica/*.h; do
    "$cc" -std=c17 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c "$header"
    if command -v "$cxx" >/dev/null 2>&1; then
        "$cxx" -std=c++11 -Wall -Wextra -Wpedantic -Werror -fsyntax-only -x c++ "$header"
    else
        echo "skipped for C++: no compiler $cxx"
    fi
    n=$((n + 1))
done
echo "$n headers"
