#!/usr/bin/python3
"""Compares two runs, read by h5py: same_run.py RUN OTHER [STEP]. All of /params, /optim and /state of the checkpoint of a step
(default: the last) must be equal bit for bit, and so must be the columns of metrics.jsonl that do not tell of time."""
import json
import os
import re
import sys

import h5py

EXACT = ("step", "loss", "val_loss", "lr", "grad_norm", "tokens")


def last_step(run):
    return max(int(re.fullmatch(r"step-(\d+)\.h5", n)[1]) for n in os.listdir(run + "/checkpoints") if n.endswith(".h5"))


def contents(run, step):
    out = {}
    with h5py.File(f"{run}/checkpoints/step-{step:08d}.h5", "r") as f:

        def visit(name, item):
            out["/" + name] = {k: repr(v.tolist() if hasattr(v, "tolist") else v) for k, v in item.attrs.items()}
            if isinstance(item, h5py.Dataset):
                out["/" + name]["data"] = (item.dtype.str, item.shape, item[()].tobytes())

        for group in ("params", "optim", "state"):
            f[group].visititems(visit)
    return out


def metrics(run):
    """Each step once, in order. The text of numbers is compared: that is what is promised."""
    with open(run + "/metrics.jsonl") as f:
        lines = f.read()
    assert lines.endswith("\n"), f"{run}: the last line of metrics.jsonl is not ended"
    rows = [json.loads(line, parse_float=str) for line in lines.splitlines()]
    steps = [row["step"] for row in rows]
    assert steps == sorted(set(steps)), f"{run}: steps stand twice or out of order: {steps}"
    return [{k: row[k] for k in EXACT} for row in rows]


def main():
    a, b = sys.argv[1:3]
    step = int(sys.argv[3]) if len(sys.argv) > 3 else last_step(a)
    x, y = contents(a, step), contents(b, step)
    assert len(x) > 20, f"{a}: next to nothing in the checkpoint"
    assert x.keys() == y.keys(), f"other tensors: {sorted(x.keys() ^ y.keys())}"
    for name in x:
        for key in x[name].keys() | y[name].keys():
            assert x[name].get(key) == y[name].get(key), f"{name} differs in {key}"
    m, n = metrics(a), metrics(b)
    assert len(m) == len(n), f"{len(m)} and {len(n)} lines of metrics"
    for p, q in zip(m, n):
        assert p == q, f"metrics differ:\n{p}\n{q}"
    print(f"{a} and {b}: equal at step {step}, {len(x)} objects, {len(m)} lines of metrics")


main()
