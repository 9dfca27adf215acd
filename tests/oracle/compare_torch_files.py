#!/usr/bin/env python3
"""Files made by torch.save in every way that occurs, read by mica and compared bit for bit.

    compare_torch_files.py PROGRAM [--seed N]     PROGRAM: the built tests/test_torch
    compare_torch_files.py --write FOLDER         the small fixed set that the tests of mica keep

Each NAME.bin is written beside a NAME.safetensors with the same tensors made contiguous, which test_torch compares. Needs torch and
safetensors; says so and ends with 77 where they are missing.
"""
import argparse
import collections
import os
import random
import subprocess
import sys
import tempfile
import warnings

try:
    import torch
    from safetensors.torch import save_file
except ImportError as e:
    print(f"skipped: {e}")
    sys.exit(77)

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.float64, torch.int8, torch.int16, torch.int32, torch.int64, torch.uint8,
          torch.bool]
NEW_DTYPES = [torch.uint16, torch.uint32, torch.uint64, torch.float8_e4m3fn, torch.float8_e5m2]  # saved as untyped storages


def values(dtype, *shape):
    """Random bits of that type, NaNs and denormals included."""
    n = 1
    for s in shape:
        n *= s
    if dtype == torch.bool:
        return torch.randint(0, 2, shape, dtype=torch.uint8).bool()
    size = torch.empty((), dtype=dtype).element_size()
    return torch.randint(0, 256, (n * size,), dtype=torch.uint8).view(dtype).reshape(shape)


def random_view(base):
    """A part of base: sliced, stepped, transposed, permuted, expanded."""
    v = base
    for _ in range(random.randint(1, 3)):
        kind = random.choice(["slice", "step", "permute", "select", "expand", "unfold", "squeeze"])
        axis = random.randrange(v.dim()) if v.dim() else None
        if kind == "permute" and v.dim() > 1:
            order = list(range(v.dim()))
            random.shuffle(order)
            v = v.permute(order)
        elif kind == "slice" and axis is not None:
            a, b = sorted(random.randint(0, v.shape[axis]) for _ in range(2))
            v = v.narrow(axis, a, b - a)
        elif kind == "step" and axis is not None:
            v = v[(slice(None),) * axis + (slice(None, None, random.randint(2, 3)),)]
        elif kind == "select" and v.dim() > 1 and v.shape[axis]:
            v = v.select(axis, random.randrange(v.shape[axis]))
        elif kind == "expand" and v.dim() < 5:
            v = v.unsqueeze(0).expand(3, *v.shape)
        elif kind == "unfold" and axis is not None and v.dim() < 5 and v.shape[axis] >= 2:
            v = v.unfold(axis, 2, 1)
        elif kind == "squeeze":
            v = v.unsqueeze(random.randint(0, v.dim()))
    return v


def dtype_tensors(dtypes):
    return {f"{str(t)[6:]}.{name}": values(t, *shape)
            for t in dtypes for name, shape in [("matrix", (3, 5)), ("scalar", ()), ("empty", (2, 0, 3)), ("vector", (7,))]}


def view_tensors():
    base = values(torch.float32, 6, 8)
    words = values(torch.bfloat16, 40)
    return {"whole": base, "transposed": base.t(), "rows": base[2:4], "columns": base[:, 1:4], "stepped": base[::2, ::3],
            "one": base[3, 5], "expanded": base[:, :1].expand(6, 9), "words": words, "tail": words[33:], "words.again": words,
            "permuted": values(torch.int16, 2, 3, 4).permute(2, 0, 1), "bytes": values(torch.int8, 5, 3).t(),
            "wide": values(torch.float64, 4, 3).t()}


def random_tensors(n):
    out, bases = {}, []
    for i in range(n):
        if not bases or random.random() < 0.4:
            bases.append(values(random.choice(DTYPES), *(random.randint(0, 9) for _ in range(random.randint(0, 4)))))
        base = random.choice(bases)
        out[f"layer.{i}.weight"] = base if random.random() < 0.3 else random_view(base)
    return out


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = torch.nn.Embedding(11, 6)
        self.layers = torch.nn.ModuleList([torch.nn.Linear(6, 6) for _ in range(2)])
        self.norm = torch.nn.BatchNorm1d(6)
        self.head = torch.nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight  # tied


def trained():
    """A checkpoint of a training program."""
    net = Net()
    optimizer = torch.optim.AdamW(net.parameters())
    net.head(net.norm(net.layers[1](net.layers[0](net.embed(torch.arange(11)))))).sum().backward()
    optimizer.step()
    return net, optimizer


def cases(small):
    net, optimizer = trained()
    state = net.state_dict()
    yield "dtypes", dtype_tensors(DTYPES), None
    yield "views", view_tensors(), None
    if small:
        return
    yield "new_dtypes", dtype_tensors(NEW_DTYPES), None
    yield "complex", {"c": values(torch.complex64, 3, 2)}, None
    yield "module", state, None
    yield "parameters", dict(net.named_parameters(remove_duplicate=False)), None
    yield "wrapped", state, {"state_dict": state, "epoch": 3, "loss": 0.5, "name": "x", "done": False, "none": None, "list": [1, (2, b"3")]}
    yield "training", state, {"epoch": 1 << 70, "model": state, "optimizer": optimizer.state_dict(), "dtype": torch.bfloat16,
                              "size": torch.Size([1, 2]), "device": torch.device("cpu")}
    yield "twice_wrapped", state, {"model": {"state_dict": state}, "step": torch.tensor(3)}
    yield "beside", state, dict(state, config={"hidden": 6}, version=torch.Size([1]))
    yield "ordered", state, collections.OrderedDict(state)
    yield "many", {f"t.{i}": torch.full((1,), float(i)) for i in range(3000)}, None
    parameter = torch.nn.Parameter(values(torch.float16, 3, 4).t())
    parameter.note = "attributes make PyTorch use another function"
    yield "subclass", {"p": parameter}, None
    for i in range(40):
        yield f"random_{i}", random_tensors(random.randint(1, 30)), None


def write(folder, name, tensors, saved, protocol, new_zip):
    torch.save(tensors if saved is None else saved, os.path.join(folder, name + ".bin"), pickle_protocol=protocol,
               _use_new_zipfile_serialization=new_zip)
    dense = {k: v.detach().clone(memory_format=torch.contiguous_format).contiguous() for k, v in tensors.items()}
    save_file(dense, os.path.join(folder, name + ".safetensors"))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program", nargs="?")
    parser.add_argument("--write", metavar="FOLDER")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    random.seed(args.seed)
    torch.manual_seed(args.seed)
    if args.write:
        for name, tensors, saved in cases(small=True):
            for form in ("zip", "plain"):
                write(args.write, f"{name}-{form}", tensors, saved, 2, form == "zip")
        return 0
    if not args.program:
        parser.error("PROGRAM or --write FOLDER")
    with tempfile.TemporaryDirectory() as folder:
        n = 0
        for name, tensors, saved in cases(small=False):
            for form in ("zip", "plain"):
                for protocol in (2, 3, 4, 5) if not name.startswith("random") else (random.choice((2, 4)),):
                    write(folder, f"{name}-{form}-{protocol}", tensors, saved, protocol, form == "zip")
                    n += 1
        torch.serialization.set_crc32_options(False)
        write(folder, "no_checksums", view_tensors(), None, 2, True)
        torch.serialization.set_crc32_options(True)
        print(f"{n + 1} files of torch {torch.__version__}", flush=True)
        return subprocess.run([args.program], env=dict(os.environ, MICA_TORCH_FILES=folder)).returncode


if __name__ == "__main__":
    sys.exit(main())
