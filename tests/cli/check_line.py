#!/usr/bin/python3
"""A line through points, by numpy: what bmtool makes of a table, read by h5py.

    make TABLE N                              x and y = 3 x + 2 + noise
    line TABLE DATA CHECKPOINT EVAL OUTPUTS   the line is least squares over the training part; the loss is that over the validation
                                              part; the outputs are the line's values, in the table's units
    values TABLE DATA NEW OUTPUTS             the outputs are the line's values at the points of NEW
"""
import json
import sys

import h5py
import numpy as np

TOLERANCE = 1e-4


def table(path):
    with open(path) as f:
        return np.array([[float(v) for v in line.split(",")] for line in f.read().split()[1:]])


def near(got, want, what):
    far = np.abs(np.asarray(got) - want).max() / max(1.0, np.abs(want).max())
    assert far < TOLERANCE, f"{what}: {got} is not {want} (off by {far:.2g})"


def make(path, n):
    rng = np.random.default_rng(1)
    x = rng.normal(size=int(n))
    with open(path, "w") as f:
        f.write("x,y\n")
        for a, b in zip(x, 3 * x + 2 + 0.5 * rng.normal(size=len(x))):
            f.write(f"{a:.9g},{b:.9g}\n")


class Data:
    """The numbers of a data set, and its parts in the units of the table."""

    def __init__(self, points, path):
        with h5py.File(path) as f:
            self.x, self.y = f["rows/inputs"][:, 0].astype(float), f["rows/targets"][:, 0].astype(float)
            parts = {k: f["splits"][k].attrs for k in ("train", "val")}
            assert parts["train"]["start"] == 0 and parts["val"]["start"] == parts["train"]["count"]
            self.train = int(parts["train"]["count"])
            assert self.train + parts["val"]["count"] == len(points) == len(self.x)
            target = json.loads(bytes(f["encoding/json"]))["target"]
        self.shift, self.scale = target.get("shift", 0.0), target.get("scale", 1.0)
        order = self.rows_of(points)
        self.points = points[order]
        self.line = fit(*self.points[:self.train].T)

    def rows_of(self, points):
        """The row of the table that each sample is: its target is the nearest one."""
        real = self.y * self.scale + self.shift
        rows = [int(np.abs(points[:, 1] - y).argmin()) for y in real]
        assert sorted(rows) == list(range(len(points))), "a row is missing or stands twice"
        near(real, points[rows, 1], "the targets")
        return rows


def fit(x, y):
    return np.linalg.lstsq(np.stack([x, np.ones_like(x)], 1), y, rcond=None)[0]


def check_line(path, data, checkpoint, evaluation, outputs):
    d = Data(table(path), data)
    with h5py.File(checkpoint) as f:
        line = [f["params/head/weight"][0, 0], f["params/head/bias"][0]]
    near(line, fit(d.x[:d.train], d.y[:d.train]), "the line as it is stored")
    with open(evaluation) as f:
        found = json.load(f)
    assert found["tokens"] == len(d.x) - d.train, found
    near(found["loss"], np.mean((line[0] * d.x[d.train:] + line[1] - d.y[d.train:])**2), "the loss")
    with h5py.File(outputs) as f:
        near(f["outputs/values"][:, 0], d.line[0] * d.points[:, 0] + d.line[1], "the predictions")


def check_values(path, data, new, outputs):
    d = Data(table(path), data)
    with h5py.File(outputs) as f:
        near(f["outputs/values"][:, 0], d.line[0] * table(new)[:, 0] + d.line[1], "the predictions")


{"make": make, "line": check_line, "values": check_values}[sys.argv[1]](*sys.argv[2:])
