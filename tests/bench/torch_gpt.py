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
import math
import time

import torch
import torch.nn as nn
import torch.nn.functional as F

from torch_train import Windows, blas_libraries, make_optimizer, options, parse, random_windows, say, train


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


def arguments():
    p = options(__doc__, ("time", "learn", "prefill", "decode", "attention", "about"),
                (("layers", int, 6), ("heads", int, 6), ("width", int, 384), ("context", int, 256), ("vocab", int, None)))
    p.add_argument("--sizes", default="1,1024,12,64", help="of attention: B,T,heads,d, more behind spaces")
    p.add_argument("--weights", choices=("f32", "bf16"), default="f32", help="what prefill and decode keep the model in")
    p.add_argument("--no-sdpa", dest="sdpa", action="store_false")
    o = parse(p)
    o.window = o.window or o.context
    o.sdpa = o.sdpa and hasattr(F, "scaled_dot_product_attention")
    return o


def use(o, model):
    if o.weights == "bf16":
        model.to(torch.bfloat16)
    say(torch=torch.__version__, threads=torch.get_num_threads(), sdpa=o.sdpa)
    {"prefill": read_prompts, "decode": write_tokens}[o.mode](o, model)
    say(steps=o.steps, blas=blas_libraries())


def main():
    o = arguments()
    if o.mode == "about":
        say(torch=torch.__version__, fused=make_optimizer(o, nn.Linear(1, 1))[1])
        return
    if o.mode == "attention":
        time_attention(o, [[int(n) for n in s.split(",")] for s in o.sizes.split()])
        return
    part, val = (Windows(o.data, split, o.window) if o.data else None for split in ("train", "val"))
    o.vocab = o.vocab or (part.vocab if part else 257)
    model = GPT(o)
    if o.init:
        load_bm(model, o.init)
    if o.mode in ("prefill", "decode"):
        use(o, model)
    else:
        train(o, model, part.batches(o) if part else random_windows(o), val if o.mode == "learn" else None, sdpa=o.sdpa, vocab=o.vocab)


if __name__ == "__main__":
    main()
