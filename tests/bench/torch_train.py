"""What the twins of bm's models in PyTorch share: bm's data sets and its order of samples, its schedule, training and evaluation."""
import argparse
import json
import math
import re
import time

import torch
import torch.nn as nn

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
    """bm's order of samples: a Feistel network on the least even number of bits that holds n - 1, cycle-walking."""
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


class Part:
    """A part of a data set: n samples; batch(numbers) is what a model's forward takes, its second value the targets."""

    def shuffled(self, seed):
        epoch = 0
        while True:
            for i in range(self.n):
                yield permute(self.n, seed, epoch, i)
            epoch += 1

    def batches(self, o):
        """next_batch(n), in bm's order."""
        order = self.shuffled(o.seed)
        return lambda n: self.batch([next(order) for _ in range(n)])


class Windows(Part):
    """Window i is inputs ids[i W .. i W + W), targets one later."""

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


def random_windows(o):
    rows = torch.randint(0, o.vocab, (64, o.window + 1))
    return lambda n: ((r := rows[torch.randint(0, 64, (n,))])[:, :-1], r[:, 1:])


def learning_rate(o, n):
    if n <= o.warmup:
        return o.lr * n / o.warmup
    if o.schedule == "constant":
        return o.lr
    done = (n - o.warmup) / (o.steps - o.warmup)
    share = (1 + math.cos(math.pi * done)) / 2 if o.schedule == "cosine" else 1 - done
    return o.min_lr + (o.lr - o.min_lr) * share


def make_optimizer(o, model):
    """The optimizer, and whether it is fused."""
    args = dict(lr=o.lr, betas=(o.beta1, o.beta2), eps=o.eps)
    if o.optimizer == "adam":
        kind, groups = torch.optim.Adam, [{"params": list(model.parameters())}]
    else:
        kind, groups = torch.optim.AdamW, [
            {"params": [p for p in model.parameters() if p.dim() >= 2], "weight_decay": o.weight_decay},
            {"params": [p for p in model.parameters() if p.dim() < 2], "weight_decay": 0.0}]
    if o.fused:
        try:
            return kind(groups, fused=True, **args), True
        except (TypeError, RuntimeError):
            pass
    return kind(groups, **args), False


def blas_libraries():
    """What is mapped that may do the work of a matrix product."""
    with open("/proc/self/maps") as f:
        paths = {line.split(None, 5)[5].strip() for line in f if line.count("/") > 0}
    return sorted(p for p in paths if re.search(r"(^|[^u])blas|mkl|blis|dnnl", p.rsplit("/", 1)[-1]))


def autocast(o):
    return torch.autocast("cpu", dtype=torch.bfloat16, enabled=o.dtype == "bf16")


@torch.no_grad()
def evaluate(o, model, val):
    """The mean loss over the targets that count, and their number."""
    n = min(val.n, max(1, -(-o.eval_tokens // val.window))) if o.eval_tokens else val.n
    total, targets = 0.0, 0
    model.eval()
    for first in range(0, n, o.batch):
        batch = val.batch(range(first, min(n, first + o.batch)))
        counted = int((batch[1] >= 0).sum())
        with autocast(o):
            total += model(*batch).item() * counted
        targets += counted
    model.train()
    return total / targets, targets


def say(**what):
    print(json.dumps(what), flush=True)


def options(doc, modes, sizes):
    """A parser with what all twins take; the defaults are those of bm's configuration file. sizes: (name, type, default), ..."""
    p = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("mode", choices=modes)
    for name, kind, value in (*sizes, ("window", int, None), ("batch", int, 12), ("micro-batch", int, None), ("steps", int, 500),
                              ("lr", float, 1e-3), ("min-lr", float, 1e-4), ("beta1", float, 0.9), ("beta2", float, 0.99),
                              ("eps", float, 1e-8), ("weight-decay", float, 0.1), ("warmup", int, 50), ("clip", float, 1.0),
                              ("seed", int, 1), ("eval-every", int, 100), ("eval-tokens", int, 65536), ("log-every", int, 10),
                              ("threads", int, 2)):
        p.add_argument("--" + name, type=kind, default=value)
    p.add_argument("--optimizer", choices=("adamw", "adam"), default="adamw")
    p.add_argument("--schedule", choices=("cosine", "linear", "constant"), default="cosine")
    p.add_argument("--dtype", choices=("f32", "bf16"), default="f32", help="what training computes in")
    p.add_argument("--data", help="a data set of bm's, with training and validation part")
    p.add_argument("--init", help="a checkpoint of bm's to start from")
    p.add_argument("--no-fused", dest="fused", action="store_false")
    return p


def parse(p):
    o = p.parse_args()
    o.micro_batch = o.micro_batch or o.batch
    if o.mode == "learn" and not o.data:
        p.error("learn needs --data")
    if o.batch % o.micro_batch:
        p.error("the batch is not a multiple of the micro-batch")
    torch.set_num_threads(o.threads)
    torch.manual_seed(o.seed)
    return o


def train_step(o, model, optimizer, next_batch):
    """Loss and norm of the gradient (0 where it is not clipped)."""
    optimizer.zero_grad(set_to_none=True)
    loss = 0.0
    for _ in range(o.batch // o.micro_batch):
        with autocast(o):
            part = model(*next_batch(o.micro_batch)) * (o.micro_batch / o.batch)
        part.backward()
        loss += part.item()
    norm = nn.utils.clip_grad_norm_(model.parameters(), o.clip) if o.clip else 0.0
    optimizer.step()
    return loss, float(norm)


def train(o, model, next_batch, val=None, score=None, **about):
    """Trains and says how it goes; about: more of what ran, score: gives what to say of an evaluation beside the loss."""
    optimizer, fused = make_optimizer(o, model)
    say(torch=torch.__version__, threads=torch.get_num_threads(), fused=fused,
        parameters=sum(p.numel() for p in model.parameters()), **about)
    began = time.perf_counter()
    for n in range(1, o.steps + 1):
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(o, n)
        loss, norm = train_step(o, model, optimizer, next_batch)
        if n % o.log_every == 0 or n in (1, o.steps):
            say(step=n, loss=loss, lr=learning_rate(o, n), grad_norm=norm)
        if val and (n == o.steps or (o.eval_every and n % o.eval_every == 0)):
            v, targets = evaluate(o, model, val)
            say(step=n, val_loss=v, val_targets=targets, **(score() if score else {}))
    say(seconds=time.perf_counter() - began, steps=o.steps, blas=blas_libraries())
