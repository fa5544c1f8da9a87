#!/usr/bin/python3
"""PyTorch's side of bench_recurrent: one recurrent layer with its input projection on a CPU, f32, forward and backward.

    torch_recurrent.py --threads 2 --sizes "lstm,32,64,256 gru,32,64,256"     cell,B,T,H; as many inputs as H

One JSON object a line on stdout: the best milliseconds of several rounds. Gradients of the input, of weights and biases.
"""
import argparse
import json
import math
import time

import torch

CELLS = {"rnn": torch.nn.RNN, "lstm": torch.nn.LSTM, "gru": torch.nn.GRU}


def best_ms(cell, b, t, h, rounds):
    layer = CELLS[cell](h, h, batch_first=True)
    x, dy = torch.randn(b, t, h, requires_grad=True), torch.randn(b, t, h)
    best = math.inf
    for _ in range(rounds):
        layer.zero_grad(set_to_none=True)
        x.grad = None
        began = time.perf_counter()
        layer(x)[0].backward(dy)
        best = min(best, time.perf_counter() - began)
    return best * 1e3


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--rounds", type=int, default=12)
    p.add_argument("--sizes", default="lstm,32,64,256")
    o = p.parse_args()
    torch.set_num_threads(o.threads)
    for size in o.sizes.split():
        cell, *numbers = size.split(",")
        b, t, h = map(int, numbers)
        print(json.dumps({"cell": cell, "B": b, "T": t, "H": h, "ms": best_ms(cell, b, t, h, o.rounds)}), flush=True)


if __name__ == "__main__":
    main()
