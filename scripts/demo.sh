#!/bin/sh
# usage: scripts/demo.sh PROGRAM [PROMPT]     one answer of SmolLM2-135M-Instruct and its speed
set -eu
program=$1
prompt=${2:-Why is the sky blue? Answer in two sentences.}
model=$("$(dirname "$0")/fetch-model.sh")
printf '$ mica generate -m %s "%s"\n\n' "$(basename "$model")" "$prompt"
"$program" generate -m "$model" --max-new-tokens 120 --no-do-sample --stats "$prompt"
