#!/usr/bin/python3
"""bm's families cnn and rnn in plain PyTorch, on a CPU: the same models, samples, batches, optimizers, schedule and evaluation.

    torch_models.py time  --family cnn --arch vgg --width 32 --batch 64 --steps 20    trains on random samples and exits
    torch_models.py learn --family rnn --cell lstm --width 256 --data kjv.h5          trains on a data set of bm's and prints the losses

Models, their parameters and how these begin: models/cnn.c and models/rnn.c. One JSON object a line on stdout: first what ran, then the
losses of steps, then the validation loss and, where there is one, the score: accuracy of classes, word_error_rate of CTC.

Convolutions have two layouts here, and recurrent layers may run in oneDNN or without it. --way says which; where it does not, `time`
takes a few steps each way before all others, on a copy of the model, and keeps to the faster one.
"""
import copy
import time

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from torch_train import Part, Windows, make_optimizer, options, parse, random_windows, say, train, train_step

CELLS = {"rnn": nn.RNN, "lstm": nn.LSTM, "gru": nn.GRU}
WAYS = {"cnn": ("channels_last", "contiguous"), "rnn": ("onednn", "plain")}


class Samples(Part):
    """Images, as bm normalises them [H, W, C], with their classes; or rows of frames with their labels and lengths."""

    def __init__(self, path, split):
        import h5py

        with h5py.File(path, "r") as f:
            start, count = (int(f[f"splits/{split}"].attrs[k]) for k in ("start", "count"))
            part = slice(start, start + count)
            group = f["images" if "images" in f else "rows"]
            self.classes, self.lengths = int(group.attrs["n_classes"]), None
            if "images" in f:
                x = torch.from_numpy(group["data"][part]).permute(0, 2, 3, 1).float() / 255
                self.inputs = ((x - torch.tensor(group.attrs["mean"])) / torch.tensor(group.attrs["std"])).contiguous()
                targets = group["label"][part]
            else:
                self.inputs, targets = torch.from_numpy(group["inputs"][part]), group["targets"][part]
                self.lengths = torch.from_numpy(group["lengths"][part].astype("int64"))
        self.targets = torch.from_numpy(targets.astype("int64"))
        self.n, self.window = count, 1

    def batch(self, numbers):
        rows = torch.tensor(list(numbers))
        batch = self.inputs[rows], self.targets[rows]
        return batch if self.lengths is None else (*batch, self.lengths[rows])


def random_images(o):
    x, classes = torch.randn(8 * o.batch, *o.input), torch.randint(0, o.outputs, (8 * o.batch,))
    return lambda n: (x[rows := torch.randint(0, len(x), (n,))], classes[rows])


def begin(layer, std):
    nn.init.normal_(layer.weight, std=std)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def conv(i, o, kernel, stride=1, bias=False):
    return begin(nn.Conv2d(i, o, kernel, stride, kernel // 2, bias=bias), (2 / (kernel * kernel * i)) ** 0.5)


def linear(i, o, std):
    return begin(nn.Linear(i, o), std)


class ConvNorm(nn.Module):
    def __init__(self, i, o, kernel, stride=1):
        super().__init__()
        self.conv, self.norm = conv(i, o, kernel, stride), nn.BatchNorm2d(o)

    def forward(self, x):
        return self.norm(self.conv(x))

    def named(self, j=""):
        return {f"conv{j}": self.conv, f"norm{j}": self.norm}


class Residual(nn.Module):
    def __init__(self, i, o, stride):
        super().__init__()
        self.first, self.second = ConvNorm(i, o, 3, stride), ConvNorm(o, o, 3)
        self.shortcut = ConvNorm(i, o, 1, stride) if stride != 1 or i != o else None

    def forward(self, x):
        y = self.second(self.first(x).relu_())
        return y.add_(self.shortcut(x) if self.shortcut else x).relu_()

    def named(self):
        short = {"shortcut/" + k: m for k, m in self.shortcut.named().items()} if self.shortcut else {}
        return {**self.first.named(0), **self.second.named(1), **short}


class LeNet(nn.Module):
    def __init__(self, o):
        super().__init__()
        h, w, c = o.input
        self.conv0, self.conv1 = conv(c, o.width, 5, bias=True), conv(o.width, 2 * o.width, 5, bias=True)
        flat = (h // 4) * (w // 4) * 2 * o.width
        self.fc, self.out = linear(flat, 4 * o.width, (2 / flat) ** 0.5), 4 * o.width

    def forward(self, x):
        for layer in (self.conv0, self.conv1):
            x = F.max_pool2d(layer(x).relu_(), 2)
        return self.fc(x.permute(0, 2, 3, 1).flatten(1)).relu_()

    def named(self):
        return {"conv0": self.conv0, "conv1": self.conv1, "fc": self.fc}


class VGG(nn.Module):
    def __init__(self, o):
        super().__init__()
        channels, self.stages = o.input[2], nn.ModuleList()
        for i, n in enumerate(o.blocks):
            out = o.width << i
            self.stages.append(nn.ModuleList(ConvNorm(channels if j == 0 else out, out, 3) for j in range(n)))
            channels = out
        self.out = channels

    def forward(self, x):
        for stage in self.stages:
            for layer in stage:
                x = layer(x).relu_()
            x = F.max_pool2d(x, 2)
        return x.mean((2, 3))

    def named(self):
        return {f"stage{i}/{k}": m for i, stage in enumerate(self.stages) for j, layer in enumerate(stage)
                for k, m in layer.named(j).items()}


class ResNet(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.stem, channels, self.stages = ConvNorm(o.input[2], o.width, 3), o.width, nn.ModuleList()
        for i, n in enumerate(o.blocks):
            out = o.width << i
            self.stages.append(nn.ModuleList(Residual(channels if j == 0 else out, out, 2 if i and j == 0 else 1) for j in range(n)))
            channels = out
        self.out = channels

    def forward(self, x):
        x = self.stem(x).relu_()
        for stage in self.stages:
            for block in stage:
                x = block(x)
        return x.mean((2, 3))

    def named(self):
        return {**{"stem/" + k: m for k, m in self.stem.named().items()},
                **{f"stage{i}/block{j}/{k}": m for i, stage in enumerate(self.stages) for j, block in enumerate(stage)
                   for k, m in block.named().items()}}


class CNN(nn.Module):
    def __init__(self, o):
        super().__init__()
        self.body = {"lenet": LeNet, "vgg": VGG, "resnet": ResNet}[o.arch](o)
        self.head = linear(self.body.out, o.outputs, self.body.out ** -0.5)
        self.layout = torch.contiguous_format

    def use(self, way):
        self.layout = torch.channels_last if way == "channels_last" else torch.contiguous_format
        self.to(memory_format=self.layout)

    def logits(self, x):
        x = x.permute(0, 3, 1, 2)  # channels last; the strides of one channel tell nothing but what they say
        return self.head(self.body(x if self.layout == torch.channels_last else x.clone(memory_format=self.layout)))

    def forward(self, x, classes):
        return F.cross_entropy(self.logits(x), classes)

    def parameters_of_bm(self):
        named = {**self.body.named(), "head": self.head}
        return {f"{k}/{what}": p for k, m in named.items() for what, p in m.named_parameters()}


class RNN(nn.Module):
    """A language model over ids, or labels of frames by CTC."""

    def __init__(self, o):
        super().__init__()
        self.ids = o.loss != "ctc"
        if self.ids:
            self.token = nn.Embedding(o.vocab, o.width)
            nn.init.normal_(self.token.weight, std=o.width ** -0.5)
        self.layers = CELLS[o.cell](o.width if self.ids else o.input[1], o.width, o.layers, batch_first=True, bidirectional=o.bidirectional)
        for name, p in self.layers.named_parameters():
            nn.init.zeros_(p) if name.startswith("bias") else nn.init.normal_(p, std=(3 * o.width) ** -0.5)
        out = o.width * (2 if o.bidirectional else 1)
        self.head = linear(out, o.vocab if self.ids else o.outputs, out ** -0.5)

    def use(self, way):
        torch.backends.mkldnn.set_flags(way == "onednn")

    def logits(self, x, lengths=None):
        if self.ids:
            return self.head(self.layers(self.token(x))[0])
        packed = pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False)
        return self.head(pad_packed_sequence(self.layers(packed)[0], batch_first=True)[0])

    def forward(self, x, targets, lengths=None):
        y = self.logits(x, lengths)
        if self.ids:
            return F.cross_entropy(y.flatten(0, 1), targets.flatten())
        counted = (targets >= 0).sum(1)
        return F.ctc_loss(F.log_softmax(y.float(), 2).transpose(0, 1), targets, lengths, counted, reduction="sum") / counted.sum()

    def parameters_of_bm(self):
        own = {"token/weight": self.token.weight} if self.ids else {}
        for name, p in self.layers.named_parameters():
            kind, which, layer, *back = name.split("_")
            own[f"layer{layer[1:]}/{'backward' if back else 'forward'}/{'input' if which == 'ih' else 'hidden'}/{kind}"] = p
        return {**own, "head/weight": self.head.weight, "head/bias": self.head.bias}


def load_bm(model, path):
    """Weights of a bm checkpoint; running statistics begin anew."""
    import h5py

    own = model.parameters_of_bm()
    with h5py.File(path, "r") as f, torch.no_grad():
        there = []
        f["params"].visititems(lambda name, x: there.append(name) if isinstance(x, h5py.Dataset) else None)
        strange = set(own) ^ {name for name in there if not name.endswith(("/mean", "/var"))}
        if strange:
            raise SystemExit(f"{path} is of another model: {', '.join(sorted(strange))}")
        for name, p in own.items():
            w = torch.from_numpy(f["params/" + name][...])
            p.copy_(w.permute(0, 3, 1, 2) if w.dim() == 4 else w)


def fastest(o, model, next_batch):
    """The way in which the best of a few steps is fastest."""
    best = {}
    for way in WAYS[o.family]:
        tried = copy.deepcopy(model)
        tried.use(way)
        optimizer, _ = make_optimizer(o, tried)
        for i in range(4):
            began = time.perf_counter()
            train_step(o, tried, optimizer, next_batch)
            best[way] = min(best.get(way, 1e9), time.perf_counter() - began) if i else 1e9
    return min(best, key=best.get)


def edits(a, b):
    """The least number of insertions, deletions and substitutions from a to b (Levenshtein 1966)."""
    row = list(range(len(b) + 1))
    for i, x in enumerate(a, 1):
        before, row[0] = row[0], i
        for j, y in enumerate(b, 1):
            before, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, before + (x != y))
    return row[-1]


@torch.no_grad()
def score(o, model, val):
    wrong = n = 0
    model.eval()
    for first in range(0, val.n, o.batch):
        x, targets, *lengths = val.batch(range(first, min(val.n, first + o.batch)))
        told = model.logits(x, *lengths).argmax(-1)
        if not lengths:
            wrong += int((told != targets).sum())
            n += len(targets)
            continue
        for path, length, target in zip(told.tolist(), lengths[0].tolist(), targets.tolist()):
            path, target = path[:length], [k for k in target if k >= 0]
            wrong += edits([k for k, before in zip(path, [0, *path]) if k and k != before], target)
            n += len(target)
    model.train()
    return {"word_error_rate": wrong / n} if lengths else {"accuracy": 1 - wrong / n}


def open_part(o, split):
    return Windows(o.data, split, o.window) if o.family == "rnn" and o.loss != "ctc" else Samples(o.data, split)


def batches(o, part):
    if part and o.mode == "learn":
        return part.batches(o)
    if part:  # in any order
        return lambda n: part.batch(torch.randint(0, part.n, (n,)).tolist())
    return random_images(o) if o.family == "cnn" else random_windows(o)


def arguments():
    numbers = lambda text: [int(n) for n in text.replace(",", " ").strip("[]").split()]
    p = options(__doc__, ("time", "learn"), (("layers", int, 2), ("width", int, 32), ("vocab", int, 257), ("outputs", int, 10)))
    p.add_argument("--family", choices=("cnn", "rnn"), required=True)
    p.add_argument("--arch", choices=("lenet", "vgg", "resnet"), default="lenet")
    p.add_argument("--blocks", type=numbers, default=[2, 2, 2])
    p.add_argument("--input", type=numbers, default=[28, 28, 1], help="of images: height, width, channels")
    p.add_argument("--cell", choices=tuple(CELLS), default="lstm")
    p.add_argument("--bidirectional", choices=("true", "false"), default="false")
    p.add_argument("--loss", choices=("cross_entropy", "ctc"), default="cross_entropy")
    p.add_argument("--way", help="channels_last or contiguous (cnn), onednn or plain (rnn); default: what is fastest")
    o = parse(p)
    o.bidirectional = o.bidirectional == "true"
    if o.loss == "ctc" and not o.data:
        p.error("ctc needs --data")
    return o


def main():
    o = arguments()
    part, val = (open_part(o, split) if o.data else None for split in ("train", "val"))
    if isinstance(part, Windows):
        o.vocab = part.vocab
    elif part:
        o.outputs, o.input = part.classes, part.inputs.shape[1:]
    model = (CNN if o.family == "cnn" else RNN)(o)
    if o.init:
        load_bm(model, o.init)
    next_batch = batches(o, part)
    way = o.way or (fastest(o, model, next_batch) if o.mode == "time" else WAYS[o.family][0])
    model.use(way)
    judged = o.mode == "learn" and isinstance(val, Samples)
    train(o, model, next_batch, val if o.mode == "learn" else None, (lambda: score(o, model, val)) if judged else None, way=way)


if __name__ == "__main__":
    main()
