#!/usr/bin/python3
"""What test_use.sh asks of numpy:
check_use.py loss DATA OUTPUTS EVAL.json | near EVAL.json EVAL.json SLACK | greedy DATA OUTPUTS PROMPT | safetensors CKPT FILE BACK | rates BENCH.json PLAN.json |
json FILE KEY..."""
import json
import struct
import sys

import h5py
import numpy as np


def log_softmax(x):
    x = x.astype(np.float64)
    x = x - x.max(-1, keepdims=True)
    return x - np.log(np.exp(x).sum(-1, keepdims=True))


def ids_and_logits(data, outputs):
    with h5py.File(data, "r") as d, h5py.File(outputs, "r") as o:
        return d["/tokens/ids"][()].astype(np.int64), o["/outputs/logits"][()], o["/outputs"].get("hidden")


def loss(data, outputs, result):
    with h5py.File(outputs, "r") as o:
        assert o["/outputs/hidden"].shape == o["/outputs/logits"].shape[:2] + (64,)
    ids, logits, _ = ids_and_logits(data, outputs)
    s, w, _ = logits.shape
    assert (s, w) == (len(ids) // 64, 64), logits.shape
    n = (len(ids) - 1) // w
    logp = log_softmax(logits[:n].reshape(n * w, -1))
    want = -logp[np.arange(n * w), ids[1 : n * w + 1]].mean()
    with open(result) as f:
        got = json.load(f)
    assert got["tokens"] == n * w, got
    assert abs(got["loss"] - want) < 1e-5 * want, (got, want)
    assert abs(got["perplexity"] - np.exp(want)) < 1e-4 * np.exp(want), got


def near(one, other, slack):
    """Equal up to the rounding of weights, and not the same."""
    with open(one) as a, open(other) as b:
        x, y = json.load(a)["loss"], json.load(b)["loss"]
    assert 0 < abs(x - y) < float(slack) * x, (x, y)


def greedy(data, outputs, prompt):
    """Position i of the full pass predicts byte i + 1; equal up to rounding, the end of text left out."""
    ids, logits, _ = ids_and_logits(data, outputs)
    n = len(ids) - 1  # the last is the end of text
    for i in range(int(prompt) - 1, n - 1):
        row = logits[0, i, :256]
        assert row[ids[i + 1]] >= row.max() - 1e-4, (i, ids[i + 1], int(row.argmax()))


def safetensors(checkpoint, path, back):
    with open(path, "rb") as f:
        (n,) = struct.unpack("<Q", f.read(8))
        header, data = json.loads(f.read(n)), f.read()
    header.pop("__metadata__")
    with h5py.File(checkpoint, "r") as a, h5py.File(back, "r") as b:

        def ours(name):
            x, y = a["/params/" + name][()], b["/params/" + name][()]
            assert x.tobytes() == y.tobytes(), name
            return x

        def theirs(name):
            e = header.pop("transformer." + name)
            assert e["dtype"] == "F32"
            return np.frombuffer(data[slice(*e["data_offsets"])], np.float32).reshape(e["shape"])

        pairs = [("wte.weight", "token/weight"), ("wpe.weight", "position/weight"), ("ln_f.weight", "norm/weight"),
                 ("ln_f.bias", "norm/bias")]
        for i in range(2):
            for t, o in (("ln_1", "norm1"), ("attn.c_attn", "attn/qkv"), ("attn.c_proj", "attn/proj"), ("ln_2", "norm2"),
                         ("mlp.c_fc", "mlp/fc"), ("mlp.c_proj", "mlp/proj")):
                pairs += [(f"h.{i}.{t}.{p}", f"h{i}/{o}/{p}") for p in ("weight", "bias")]
        for t, o in pairs:
            x = ours(o)
            turned = ".c_" in t and t.endswith("weight")  # Conv1D stores [in, out]
            assert np.array_equal(theirs(t), x.T if turned else x), t
        for f in (a, b):  # a second name, not a second tensor
            head = f["/params/head/weight"]
            assert isinstance(head, h5py.Group) and len(head) == 0 and head.attrs["tied_to"] in (b"token/weight", "token/weight")
        schedule = json.loads(bytes(a["/sched/json"][()]))
        assert schedule["type"] == "cosine" and schedule["lr"] > schedule["min_lr"] and schedule["steps"] > 0, schedule
    assert not header, f"more tensors: {list(header)}"


def rates(bench, plan):
    """Every limit was measured; plan counts with the f32 rate that bench has kept, in 6 digits."""
    with open(bench) as f:
        b = json.load(f)
    for key in ("read_gb_per_s", "write_gb_per_s", "copy_gb_per_s", "gemm_gflops", "gemm_bf16_gflops"):
        assert b[key] > 0 and np.isfinite(b[key]), key
    assert b["dtype"] == "f32", b["dtype"]
    best = max(row[k] or 0 for row in b["gemm"] for k in ("clblast", "packed", "tiled"))
    assert b["gemm_gflops"] >= best, (b["gemm_gflops"], best)
    with open(plan) as f:
        p = json.load(f)
    want = p["flops_per_step"] / b["gemm_gflops"] / 1e9
    assert abs(p["least_s_per_step"] - want) < 1e-5 * want, (p["least_s_per_step"], want)


def generation(path):
    """A prompt and a token took some time, and no more was moved than the machine can."""
    with open(path) as f:
        g = json.load(f)["generate"]
    assert g["prompt_tokens"] == 32 and g["prompt_ms"] > 0 and g["token_ms"] > 0, g
    # 2 layers of width 64: 12 C^2 elements of matrices each, and the head, 257 rows
    matrices = 2 * 12 * 64 * 64 + 257 * 64
    cache = 2 * 2 * 64 * 4 * (32 + 18)  # keys and values of the prompt and half of 32 tokens after the first
    want = matrices * {"f32": 4, "bf16": 2}[g["weights"]] + cache
    assert abs(g["token_gb_per_s"] * g["token_ms"] * 1e6 - want) < 1e-3 * want, g
    flops = 2 * (2 * 12 * 64 * 64 * 32 + 257 * 64)
    assert abs(g["prompt_gflops"] * g["prompt_ms"] * 1e6 - flops) < 1e-3 * flops, g


def ops(path):
    """The ops of a step are all there, the longest first, and none took longer than the step."""
    with open(path) as f:
        j = json.load(f)
    times = [o["ms"] for o in j["ops"]]
    names = {o["op"] for o in j["ops"] if o["kernels"] > 0}
    assert {"linear", "attention", "attention_backward", "norm", "softmax_xent", "adamw", "grad_norm"} <= names, names
    assert times == sorted(times, reverse=True) and times[0] < 2 * j["train_step"]["ms"], times
    least = sum(o["least_ms"] for o in j["ops"])
    assert abs(least - j["train_step"]["least_ms"]) < 1e-6 * least, (least, j["train_step"])


def json_keys(path, *keys):
    with open(path) as f:
        root = json.load(f)
    for key in keys:
        x = root
        for part in key.split("."):
            x = x[part]
        assert x or x == 0, key


globals()[{"json": "json_keys"}.get(sys.argv[1], sys.argv[1])](*sys.argv[2:])
