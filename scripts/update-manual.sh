#!/bin/sh
# usage: scripts/update-manual.sh [PROGRAM]     puts each verb's --help into its page of docs/manual, between the two ``` lines
# that follow "## Options"
set -eu
program=${1:-build/release/mica}
cd "$(dirname "$0")/.."
for page in docs/manual/*.md; do
    verb=$(basename "$page" .md)
    [ "$verb" != README ] || continue
    { sed '/^## Options$/q' "$page"; echo; echo '```'; "$program" "$verb" --help; echo '```'; } >"$page.new"
    # what follows the old block
    awk '/^## Options$/ { options = 1 } options && /^```/ { fences++; next } fences == 2' "$page" >>"$page.new"
    mv "$page.new" "$page"
done
