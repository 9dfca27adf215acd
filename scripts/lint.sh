#!/bin/sh
# usage: scripts/lint.sh [BUILD]      clang-tidy and cppcheck over the project's own C, mypy over its Python; quick checks only
#
# BUILD is a build folder with compile_commands.json (default build/release). clang-tidy's checks are in .clang-tidy.
set -eu
build=${1:-build/release}
jobs=$(nproc)
# shellcheck disable=SC2046 # file names of the project have no spaces
sources=$(git ls-files 'src/*.c' 'examples/*.c' | while read -r f; do [ -e "$f" ] && echo "$f"; done)
[ -n "$sources" ] || exit 0

echo "clang-tidy: $(echo "$sources" | wc -l) files"
echo "$sources" | xargs -P "$jobs" -n 4 clang-tidy -p "$build" --quiet --warnings-as-errors='*' 2>"$build/clang-tidy.log" || {
    grep -vE '^[0-9]+ warnings? (generated|treated)' "$build/clang-tidy.log" >&2 || true
    exit 1
}
echo "cppcheck: $(cppcheck --version)"
# shellcheck disable=SC2086
cppcheck --quiet -j "$jobs" --std=c17 --enable=warning,portability --inline-suppr --error-exitcode=1 \
    --suppressions-list=.cppcheck -D_GNU_SOURCE -Iinclude -Isrc $sources
echo "mypy: $(mypy --version)"
mypy # pyproject.toml says of what, and how strictly
