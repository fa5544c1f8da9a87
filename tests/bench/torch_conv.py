#!/usr/bin/env python3
"""The shapes of bench_conv in PyTorch, one JSON object a line: the best of several rounds, in ms, in both layouts.

usage: torch_conv.py [THREADS]   (2)
"""
import json
import sys
import time

import torch

ROUNDS, BATCH = 8, 64
CASES = {  # H, C, O, k, stride, pad: those of bench_conv.c
    "lenet1": (28, 1, 6, 5, 1, 2), "lenet2": (14, 6, 16, 5, 1, 0), "vgg1": (28, 1, 32, 3, 1, 1), "vgg2": (28, 32, 32, 3, 1, 1),
    "vgg3": (14, 32, 64, 3, 1, 1), "vgg4": (14, 64, 64, 3, 1, 1), "vgg5": (7, 64, 128, 3, 1, 1), "vgg6": (7, 128, 128, 3, 1, 1),
    "stem": (32, 3, 32, 3, 1, 1), "res1": (32, 32, 32, 3, 1, 1), "res2d": (32, 32, 64, 3, 2, 1), "res2": (16, 64, 64, 3, 1, 1),
    "res3d": (16, 64, 128, 3, 2, 1), "res3": (8, 128, 128, 3, 1, 1), "short": (32, 32, 64, 1, 2, 0),
}


def measure(case, layout):
    h, c, o, k, stride, pad = case
    x = torch.randn(BATCH, c, h, h).contiguous(memory_format=layout).requires_grad_()
    w = torch.randn(o, c, k, k).contiguous(memory_format=layout).requires_grad_()
    d = None
    best = [1e9, 1e9]
    for _ in range(ROUNDS):
        start = time.perf_counter()
        y = torch.nn.functional.conv2d(x, w, None, stride, pad)
        middle = time.perf_counter()
        if d is None:
            d = torch.randn_like(y)
            middle = time.perf_counter()
        torch.autograd.grad(y, (x, w), d)
        end = time.perf_counter()
        best = [min(best[0], middle - start), min(best[1], end - middle)]
    return [1e3 * t for t in best]


def main():
    torch.set_num_threads(int(sys.argv[1]) if len(sys.argv) > 1 else 2)
    for name, case in CASES.items():
        last, first = measure(case, torch.channels_last), measure(case, torch.contiguous_format)
        print(json.dumps({"name": name, "channels_last": [round(t, 4) for t in last], "contiguous": [round(t, 4) for t in first],
                          "best": round(min(sum(last), sum(first)), 4), "torch": torch.__version__}), flush=True)


if __name__ == "__main__":
    main()
