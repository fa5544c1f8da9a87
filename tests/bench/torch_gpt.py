#!/usr/bin/python3
"""The GPT of `bmtool train` in plain PyTorch: the same model, windows, batches, AdamW, schedule and evaluation, on a CPU.

    torch_gpt.py time  --layers 12 --width 768 ... --steps 6     trains on random tokens and exits: time the process from outside
    torch_gpt.py learn --data kjv.h5 --steps 500                 trains on a dataset of bm's and prints the losses
    torch_gpt.py prefill --window 512 --steps 3                  reads prompts: logits of the last position, keys and values kept
    torch_gpt.py attention                                       attention alone, forward and backward: best times of several
    torch_gpt.py decode --steps 64                               writes tokens one by one after a first one, with a cache
    torch_gpt.py about                                           says which PyTorch this is and whether its AdamW is fused on CPUs

Defaults are those of bm's configuration file. One JSON object a line on stdout: first what ran (torch, BLAS, threads), then the
losses of steps, then the validation loss. Works with any PyTorch from 1.12 on; where it has them, scaled_dot_product_attention
and the fused AdamW are used (--no-sdpa, --no-fused turn them off). --dtype bf16 trains under autocast: weights and what AdamW
keeps stay f32. --weights bf16 reads prompts and writes tokens with all of the model in bf16.
"""
import argparse
import json
import math
import re
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

MASK32 = 0xFFFFFFFF


def philox(counter, key):
    """Philox4x32-10, Salmon et al. 2011."""
    c0, c1, c2, c3 = counter
    k0, k1 = key
    for _ in range(10):
        a, b = 0xD2511F53 * c0, 0xCD9E8D57 * c2
        c0, c1, c2, c3 = (b >> 32) ^ c1 ^ k0, b & MASK32, (a >> 32) ^ c3 ^ k1, a & MASK32
        k0, k1 = (k0 + 0x9E3779B9) & MASK32, (k1 + 0xBB67AE85) & MASK32
    return c0, c1, c2, c3


def permute(n, seed, epoch, i):
    """bm's order of windows: a Feistel network on the least even number of bits that holds n - 1, cycle-walking."""
    half = 1
    while half < 32 and (n - 1) >> (2 * half):
        half += 1
    mask = (1 << half) - 1
    key = (seed & MASK32, seed >> 32)
    while True:
        left, right = i >> half, i & mask
        for rnd in range(4):
            f = philox((right, rnd, epoch & MASK32, epoch >> 32), key)[0]
            left, right = right, left ^ (f & mask)
        i = left << half | right
        if i < n:
            return i


class Windows:
    """Window i of a split is inputs ids[i W .. i W + W), targets one later."""

    def __init__(self, path, split, window):
        import h5py

        with h5py.File(path, "r") as f:
            start, count = (int(f[f"splits/{split}"].attrs[k]) for k in ("start", "count"))
            self.ids = torch.from_numpy(f["tokens/ids"][start:start + count].astype("int64"))
            self.vocab = int(f["tokens"].attrs["vocab_size"])
        self.window = window
        self.n = (count - 1) // window

    def batch(self, numbers):
        w = self.window
        rows = torch.stack([self.ids[i * w:i * w + w + 1] for i in numbers])
        return rows[:, :-1], rows[:, 1:]

    def shuffled(self, seed):
        epoch = 0
        while True:
            for i in range(self.n):
                yield permute(self.n, seed, epoch, i)
            epoch += 1


class Block(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.heads, self.sdpa = o.heads, o.sdpa
        self.norm1, self.norm2 = nn.LayerNorm(o.width, eps=1e-5), nn.LayerNorm(o.width, eps=1e-5)
        self.qkv, self.attn_proj = nn.Linear(o.width, 3 * o.width), nn.Linear(o.width, o.width)
        self.fc, self.mlp_proj = nn.Linear(o.width, 4 * o.width), nn.Linear(4 * o.width, o.width)

    def attention(self, x, mask):
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in self.qkv(x).split(c, dim=2))
        if self.sdpa:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        else:
            s = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(c // self.heads))
            y = F.softmax(s.masked_fill(mask[:t, :t], float("-inf")), dim=-1) @ v
        return self.attn_proj(y.transpose(1, 2).reshape(b, t, c))

    def attention_cached(self, x, mask, cache, at):
        """x [1, t, c] at positions at .. at + t; cache is keys and values, [2, 1, heads, context, head]."""
        b, t, c = x.shape
        q, k, v = (y.view(b, t, self.heads, c // self.heads).transpose(1, 2) for y in self.qkv(x).split(c, dim=2))
        cache[0, :, :, at:at + t], cache[1, :, :, at:at + t] = k, v
        k, v = cache[0, :, :, :at + t], cache[1, :, :, :at + t]
        if self.sdpa:
            y = F.scaled_dot_product_attention(q, k, v, is_causal=t > 1)
        else:
            s = (q @ k.transpose(-2, -1)) * (1 / math.sqrt(c // self.heads))
            y = F.softmax(s.masked_fill(mask[at:at + t, :at + t], float("-inf")), dim=-1) @ v
        return self.attn_proj(y.transpose(1, 2).reshape(b, t, c))

    def forward(self, x, mask, cache=None, at=0):
        y = self.norm1(x)
        x = x + (self.attention(y, mask) if cache is None else self.attention_cached(y, mask, cache, at))
        return x + self.mlp_proj(F.gelu(self.fc(self.norm2(x)), approximate="tanh"))


class GPT(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.token, self.position = nn.Embedding(o.vocab, o.width), nn.Embedding(o.context, o.width)
        self.blocks = nn.ModuleList(Block(o) for _ in range(o.layers))
        self.norm = nn.LayerNorm(o.width, eps=1e-5)
        self.register_buffer("mask", ~torch.ones(o.context, o.context, dtype=torch.bool).tril(), persistent=False)
        for name, p in self.named_parameters():
            if p.dim() >= 2:
                nn.init.normal_(p, std=0.02 / (math.sqrt(2 * o.layers) if name.endswith("proj.weight") else 1))
            elif name.endswith("bias"):
                nn.init.zeros_(p)

    def forward(self, ids, targets):
        x = self.token(ids) + self.position.weight[:ids.shape[1]]
        for block in self.blocks:
            x = block(x, self.mask)
        logits = F.linear(self.norm(x), self.token.weight)
        return F.cross_entropy(logits.view(-1, logits.shape[-1]), targets.reshape(-1))

    def next(self, ids, caches, at):
        """The logits after ids [1, t], which begin at position `at`."""
        x = self.token(ids) + self.position.weight[at:at + ids.shape[1]]
        for block, cache in zip(self.blocks, caches):
            x = block(x, self.mask, cache, at)
        return F.linear(self.norm(x[:, -1]), self.token.weight)


def load_bm(model, path):
    """Weights of a bm checkpoint."""
    import h5py

    own = {"token/weight": model.token.weight, "position/weight": model.position.weight,
           "norm/weight": model.norm.weight, "norm/bias": model.norm.bias}
    for i, b in enumerate(model.blocks):
        parts = {"norm1": b.norm1, "norm2": b.norm2, "attn/qkv": b.qkv, "attn/proj": b.attn_proj, "mlp/fc": b.fc,
                 "mlp/proj": b.mlp_proj}
        for name, m in parts.items():
            own[f"h{i}/{name}/weight"], own[f"h{i}/{name}/bias"] = m.weight, m.bias
    with h5py.File(path, "r") as f, torch.no_grad():
        for name, p in own.items():
            p.copy_(torch.from_numpy(f["params/" + name][...]))


def learning_rate(o, n):
    if n <= o.warmup:
        return o.lr * n / o.warmup
    if o.schedule == "constant":
        return o.lr
    done = (n - o.warmup) / (o.steps - o.warmup)
    share = (1 + math.cos(math.pi * done)) / 2 if o.schedule == "cosine" else 1 - done
    return o.min_lr + (o.lr - o.min_lr) * share


def make_optimizer(o, model):
    groups = [{"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": o.weight_decay},
              {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    args = dict(lr=o.lr, betas=(o.beta1, o.beta2), eps=o.eps)
    if o.fused:
        try:
            return torch.optim.AdamW(groups, fused=True, **args), True
        except (TypeError, RuntimeError):
            pass
    return torch.optim.AdamW(groups, **args), False


def blas_libraries():
    """What is mapped that may do the work of a matrix product."""
    with open("/proc/self/maps") as f:
        paths = {line.split(None, 5)[5].strip() for line in f if line.count("/") > 0}
    return sorted(p for p in paths if re.search(r"(^|[^u])blas|mkl|blis|dnnl", p.rsplit("/", 1)[-1]))


def autocast(o):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=o.dtype == "bf16")


@torch.no_grad()
def evaluate(o, model, val):
    n = min(val.n, max(1, o.eval_tokens // val.window)) if o.eval_tokens else val.n
    total = 0.0
    for first in range(0, n, o.batch):
        numbers = range(first, min(n, first + o.batch))
        with autocast(o):
            total += model(*val.batch(numbers)).item() * len(numbers)
    return total / n, n * val.window


def time_attention(o, sizes, rounds=20):
    """Best milliseconds forward and backward of attention over [B, T, 3, heads, d], of f32."""
    for b, t, heads, d in sizes:
        qkv = torch.randn(b, t, 3 * heads * d, requires_grad=True)
        dy = torch.randn(b, t, heads * d)
        mask = ~torch.ones(t, t, dtype=torch.bool).tril()
        best = [math.inf, math.inf]
        for _ in range(rounds):
            began = time.perf_counter()
            q, k, v = (y.view(b, t, heads, d).transpose(1, 2) for y in qkv.split(heads * d, dim=2))
            if o.sdpa:
                y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
            else:
                y = F.softmax((q @ k.transpose(-2, -1) * (1 / math.sqrt(d))).masked_fill(mask, float("-inf")), dim=-1) @ v
            y = y.transpose(1, 2).reshape(b, t, heads * d)
            between = time.perf_counter()
            y.backward(dy)
            ended = time.perf_counter()
            qkv.grad = None
            best = [min(best[0], between - began), min(best[1], ended - between)]
        say(B=b, T=t, heads=heads, d=d, forward_ms=best[0] * 1e3, backward_ms=best[1] * 1e3)


def new_caches(o, model):
    return torch.zeros(o.layers, 2, 1, o.heads, o.context, o.width // o.heads, dtype=model.token.weight.dtype)


@torch.inference_mode()
def read_prompts(o, model):
    caches = new_caches(o, model)
    for _ in range(o.steps):
        model.next(torch.randint(0, o.vocab, (1, o.window)), caches, 0)


@torch.inference_mode()
def write_tokens(o, model):
    caches = new_caches(o, model)
    ids = torch.randint(0, o.vocab, (1, 1))
    for n in range(o.steps):
        ids = model.next(ids, caches, n).argmax(-1, keepdim=True)


def say(**what):
    print(json.dumps(what), flush=True)


def parse():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mode", choices=("time", "learn", "prefill", "decode", "attention", "about"))
    for name, kind, value in (("layers", int, 6), ("heads", int, 6), ("width", int, 384), ("context", int, 256),
                              ("vocab", int, None), ("window", int, None), ("batch", int, 12), ("micro-batch", int, None),
                              ("steps", int, 500), ("lr", float, 1e-3), ("min-lr", float, 1e-4), ("beta1", float, 0.9),
                              ("beta2", float, 0.99), ("eps", float, 1e-8), ("weight-decay", float, 0.1), ("warmup", int, 50),
                              ("clip", float, 1.0), ("seed", int, 1), ("eval-every", int, 100), ("eval-tokens", int, 65536),
                              ("log-every", int, 10), ("threads", int, 2)):
        p.add_argument("--" + name, type=kind, default=value)
    p.add_argument("--sizes", default="1,1024,12,64", help="of attention: B,T,heads,d, more behind spaces")
    p.add_argument("--dtype", choices=("f32", "bf16"), default="f32", help="what training computes in")
    p.add_argument("--weights", choices=("f32", "bf16"), default="f32", help="what prefill and decode keep the model in")
    p.add_argument("--schedule", choices=("cosine", "linear", "constant"), default="cosine")
    p.add_argument("--data", help="a dataset of bm's, with training and validation part")
    p.add_argument("--init", help="a checkpoint of bm's to start from")
    p.add_argument("--no-sdpa", dest="sdpa", action="store_false")
    p.add_argument("--no-fused", dest="fused", action="store_false")
    o = p.parse_args()
    o.window = o.window or o.context
    o.micro_batch = o.micro_batch or o.batch
    o.sdpa = o.sdpa and hasattr(F, "scaled_dot_product_attention")
    if o.mode == "learn" and not o.data:
        p.error("learn needs --data")
    if o.batch % o.micro_batch:
        p.error("the batch is not a multiple of the micro-batch")
    return o


def main():
    o = parse()
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    if o.mode == "about":
        say(torch=torch.__version__, fused=make_optimizer(o, nn.Linear(1, 1))[1])
        return
    val = None
    if o.data:
        train, val = Windows(o.data, "train", o.window), Windows(o.data, "val", o.window)
        o.vocab = o.vocab or train.vocab
        order = train.shuffled(o.seed)
        next_batch = lambda n: train.batch([next(order) for _ in range(n)])
    else:
        o.vocab = o.vocab or 257
        rows = torch.randint(0, o.vocab, (64, o.window + 1))
        next_batch = lambda n: ((r := rows[torch.randint(0, 64, (n,))])[:, :-1], r[:, 1:])
    if o.mode == "attention":
        time_attention(o, [[int(n) for n in s.split(",")] for s in o.sizes.split()])
        return
    model = GPT(o)
    if o.init:
        load_bm(model, o.init)
    if o.mode in ("prefill", "decode"):
        if o.weights == "bf16":
            model.to(torch.bfloat16)
        say(torch=torch.__version__, threads=torch.get_num_threads(), sdpa=o.sdpa)
        {"prefill": read_prompts, "decode": write_tokens}[o.mode](o, model)
        say(steps=o.steps, blas=blas_libraries())
        return
    optimizer, fused = make_optimizer(o, model)
    say(torch=torch.__version__, threads=torch.get_num_threads(), sdpa=o.sdpa, fused=fused,
        parameters=sum(p.numel() for p in model.parameters()), vocab=o.vocab)
    began = time.perf_counter()
    for n in range(1, o.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(o, n)
        optimizer.zero_grad(set_to_none=True)
        loss = 0.0
        for _ in range(o.batch // o.micro_batch):
            with autocast(o):
                part = model(*next_batch(o.micro_batch)) * (o.micro_batch / o.batch)
            part.backward()
            loss += part.item()
        norm = nn.utils.clip_grad_norm_(model.parameters(), o.clip) if o.clip else torch.zeros(())
        optimizer.step()
        if n % o.log_every == 0 or n in (1, o.steps):
            say(step=n, loss=loss, lr=learning_rate(o, n), grad_norm=float(norm))
        if o.mode == "learn" and (n == o.steps or (o.eval_every and n % o.eval_every == 0)):
            v, tokens = evaluate(o, model, val)
            say(step=n, val_loss=v, val_tokens=tokens)
    say(seconds=time.perf_counter() - began, steps=o.steps, blas=blas_libraries())


if __name__ == "__main__":
    main()
