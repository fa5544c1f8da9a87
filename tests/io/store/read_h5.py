"""Reads every dataset of a file with h5py: usage read_h5.py FILE OUT.

OUT gets, for each dataset in the order of the paths' bytes, a line "path dtype dims... bytes" and the bytes as h5py hands them
over; bf16, which NumPy does not have, as the bytes that libhdf5 reads without conversion, after its values as float32."""
import sys

import h5py
import numpy as np

NAMES = {"float16": "f16", "float32": "f32", "float64": "f64", "int8": "i8", "uint8": "u8", "int16": "i16", "uint16": "u16",
         "int32": "i32", "uint32": "u32", "int64": "i64", "uint64": "u64"}


def raw(dataset, nbytes):
    data = np.empty(nbytes, np.uint8)
    dataset.id.read(h5py.h5s.ALL, h5py.h5s.ALL, data, mtype=dataset.id.get_type())
    return data.tobytes()


def main(name, out):
    found = []
    with h5py.File(name, "r") as f, open(out, "wb") as o:
        f.visititems(lambda path, x: found.append(path) if isinstance(x, h5py.Dataset) else None)
        for path in sorted(found, key=lambda p: ("/" + p).encode()):
            d = f[path]
            size = d.id.get_type().get_size()
            if size == 2 and d.dtype == np.float32:
                dtype, data = "bf16", raw(d, d.size * 2) if d.size else b""
                values = np.frombuffer(data, "<u2").astype("<u4") << 16
                assert np.array_equal(values.view("<f4"), np.asarray(d[()]).ravel(), equal_nan=True), path
            else:
                dtype, data = NAMES[d.dtype.name], np.asarray(d[()]).astype(d.dtype.newbyteorder("<")).tobytes()
            o.write(("/%s %s%s %d\n" % (path, dtype, "".join(" %d" % n for n in d.shape), len(data))).encode())
            o.write(data)
        for _, value in f.attrs.items():
            assert value is not None


main(sys.argv[1], sys.argv[2])
