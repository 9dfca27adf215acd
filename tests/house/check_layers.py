#!/usr/bin/env python3
"""Includes point the way docs/ARCHITECTURE.md says.

The table "Layers" there is read as the rule: each row names a folder of src/ and the folders it may include from. Checked are
all quoted and <mica/...> includes of src/: the target exists, its folder is allowed, and the program includes public headers only.
"""
import pathlib
import re
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src"
INCLUDE = re.compile(r'^\s*#\s*include\s+(?:"([^"]+)"|<(mica/[^>]+)>)', re.M)


def read_rules():
    """{'array': {'base'}, ...} from rows such as | `src/array/` | what | base |"""
    rules = {}
    for line in (ROOT / "docs/ARCHITECTURE.md").read_text().splitlines():
        match = re.match(r"\| `src/([a-z_/]+)/` \|.*\| ([^|]*) \|$", line)
        if match:
            rules[match[1]] = set(re.findall(r"[a-z]+", match[2])) - {"nothing", "public", "headers"}
    return rules


def layer_of(path, rules):
    folder = path.relative_to(SOURCE).parent.as_posix()
    return next((name for name in sorted(rules, key=len, reverse=True) if (folder + "/").startswith(name + "/")), None)


def check(path, rules):
    layer = layer_of(path, rules)
    if layer is None:
        yield f"{path.relative_to(ROOT)}: its folder is not in the table of docs/ARCHITECTURE.md"
        return
    for quoted, public in INCLUDE.findall(path.read_text()):
        if public:
            if not (ROOT / "include" / public).exists():
                yield f"{path.relative_to(ROOT)}: includes <{public}>, which does not exist"
            continue
        target = next((c.resolve() for c in (path.parent / quoted, SOURCE / quoted) if c.exists()), None)
        if target is None:
            yield f'{path.relative_to(ROOT)}: includes "{quoted}", which does not exist'
        elif target.is_relative_to(SOURCE):
            other = layer_of(target, rules)
            if other != layer and (other or "").split("/")[0] not in rules[layer]:
                yield f'{path.relative_to(ROOT)}: {layer} may not include "{quoted}" of {other}'
        else:
            yield f'{path.relative_to(ROOT)}: includes "{quoted}" from outside src/'


def main():
    rules = read_rules()
    if "base" not in rules or "cli" not in rules:
        sys.exit("docs/ARCHITECTURE.md: the table of layers was not found")
    files = sorted(p for p in SOURCE.rglob("*") if p.suffix in (".c", ".h"))
    faults = [fault for path in files for fault in check(path, rules)]
    print("\n".join(faults) or f"{len(files)} files in {len(rules)} layers")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
