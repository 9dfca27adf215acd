#!/bin/sh
# usage: scripts/fuzz-replay.sh BUILD [SECONDS]    every fuzzer over its stored corpus, then SECONDS (default 0) of new inputs
#
# New inputs are kept in BUILD/corpus/NAME, never in the tree; a crash leaves its input in BUILD/artifacts and fails.
set -eu
build=$1
seconds=${2:-0}
root=$(cd "$(dirname "$0")/.." && pwd)
mkdir -p "$build/artifacts"
found=0
for fuzzer in "$build"/fuzz/fuzz_*; do
    if [ ! -f "$fuzzer" ] || [ ! -x "$fuzzer" ]; then continue; fi
    found=$((found + 1))
    name=$(basename "$fuzzer")
    name=${name#fuzz_}
    stored=$root/fuzz/corpus/$name
    new=$build/corpus/$name
    mkdir -p "$new"
    [ -d "$stored" ] || stored=""
    dictionary=$root/fuzz/$name.dict
    [ -e "$dictionary" ] && dictionary="-dict=$dictionary" || dictionary=""
    log=$build/artifacts/$name.log
    # shellcheck disable=SC2086 # empty words vanish
    "$fuzzer" -runs=0 -rss_limit_mb=3000 -timeout=20 -artifact_prefix="$build/artifacts/$name-" $stored >"$log" 2>&1 ||
        { tail -n 40 "$log" >&2; echo "fuzz: $name fails on its corpus" >&2; exit 1; }
    if [ "$seconds" -gt 0 ]; then
        # shellcheck disable=SC2086
        "$fuzzer" -max_total_time="$seconds" -rss_limit_mb=3000 -timeout=20 $dictionary \
            -artifact_prefix="$build/artifacts/$name-" "$new" $stored >"$log" 2>&1 ||
            { tail -n 40 "$log" >&2; echo "fuzz: $name found something, see $build/artifacts" >&2; exit 1; }
    fi
    n=$( [ -n "$stored" ] && find "$stored" -type f | wc -l || echo 0)
    runs=$(sed -n 's/^#\([0-9]*\).*DONE.*/\1/p' "$log" | tail -n 1)
    printf 'fuzz: %-20s %4d stored inputs, %s executions, nothing found\n' "$name" "$n" "${runs:-$n}"
done
[ "$found" -gt 0 ] || echo "fuzz: no fuzzers in $build"
