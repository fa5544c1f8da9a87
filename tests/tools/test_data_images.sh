#!/usr/bin/env bash
# bmtool data images: what the data set holds (read by h5py), bad input, and that nothing half-written stays behind.
. "$BM_TEST_SOURCE/tests/cli/common.sh"
need_python

# x.gz [20, 3, 2] with labels y.gz, 0 and 1 in turn; v.gz [4, 3, 2] with w; t.gz, colours [20, 3, 2, 3]; pictures as PNG.
"$python" - <<'PY'
import gzip, os, struct, zlib
def idx(name, *dims, data=None):
    n = 1
    for d in dims: n *= d
    head = bytes([0, 0, 8, len(dims)]) + struct.pack(">%dI" % len(dims), *dims)
    body = head + (bytes(data) if data is not None else bytes(i * 7 % 251 for i in range(n)))
    (gzip.open if name.endswith(".gz") else open)(name, "wb").write(body)
def png(name, w, h, pixels, bits=8, kind=2):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    def chunk(t, d): return struct.pack(">I", len(d)) + t + d + struct.pack(">I", zlib.crc32(t + d))
    size = w * 3
    raw = b"".join(b"\0" + pixels[y * size:(y + 1) * size] for y in range(h))
    open(name, "wb").write(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">2I5B", w, h, bits, kind, 0, 0, 0)) +
                           chunk(b"IDAT", zlib.compress(raw)) + chunk(b"IEND", b""))
idx("x.gz", 20, 3, 2)
idx("y.gz", 20, data=[i % 2 for i in range(20)])
idx("v.gz", 4, 3, 2)
idx("w", 4, data=[1, 0, 1, 0])
idx("t.gz", 20, 3, 2, 3)
idx("short", 19, data=[i % 2 for i in range(19)])
idx("gap", 20, data=[i % 2 * 2 for i in range(20)])
idx("same", 20, data=[0] * 20)
idx("wide", 4, 3, 3)
for i in range(5):
    png(f"d/red/{i}.png", 4, 2, bytes([200 + i, 10, 20] * 8))
    png(f"d/blue/{i}.png", 2, 2, bytes([10, 20, 200 + i] * 4))
png("d/blue/huge.PNG", 30000, 30000, b"")
os.rename("d/blue/huge.PNG", "huge.png")
PY

# IDX: bytes as they are, [N, H, W] and [N, H, W, C] as planes; mean and deviation are the training part's.
expect 0 "$bmtool" data images --images x.gz --labels y.gz --val-images v.gz --val-labels w --classes no,yes -o idx.h5 --licence MIT --json
grep -q '"train_samples": 20' out || fail "no report"
expect 0 "$bmtool" data images --images t.gz --labels y.gz -o colour.h5 --val-fraction 0.25
"$python" - <<'PY'
import h5py, json
import numpy as np
f = h5py.File("idx.h5")
x = np.array([i * 7 % 251 for i in range(20 * 6)], np.uint8).reshape(20, 1, 3, 2)
data = f["images/data"][()]
assert data.dtype == "uint8" and (data[:20] == x).all() and (data[20:] == x[:4]).all()
assert list(f["images/label"]) == [i % 2 for i in range(20)] + [1, 0, 1, 0]
assert f["splits/train"].attrs["count"] == 20 and f["splits/val"].attrs["start"] == 20 and f["splits/val"].attrs["count"] == 4
assert abs(f["images"].attrs["mean"][0] - x.mean() / 255) < 1e-6 and abs(f["images"].attrs["std"][0] - x.std() / 255) < 1e-6
e = json.loads(bytes(f["encoding/json"]))
assert set(e) == {"kind", "height", "width", "channels", "classes", "mean", "std"}, e
assert (e["kind"], e["height"], e["width"], e["channels"], e["classes"]) == ("images", 3, 2, 1, ["no", "yes"])
m = json.loads(bytes(f["meta/json"]))
assert m["source"] == ["x.gz", "v.gz"] and m["licence"] == "MIT"
f = h5py.File("colour.h5")
t = np.array([i * 7 % 251 for i in range(20 * 18)], np.uint8).reshape(20, 3, 2, 3).transpose(0, 3, 1, 2)
got = f["images/data"][()]
assert got.shape == (20, 3, 3, 2) and f["splits/val"].attrs["count"] == 5
assert sorted(a.tobytes() for a in got) == sorted(a.tobytes() for a in t)
assert json.loads(bytes(f["encoding/json"]))["classes"] == ["0", "1"]
PY

printf 'model: {family: mlp}\ndata: {path: idx.h5, shift: 3}\ntrain: {steps: 1}\n' >far.yaml
expect 2 "$bmtool" train far.yaml --run far
says 'far.yaml:2: data.shift: 3 pixels move images of .* out of sight'

# A folder for each class, by name; a file that is left out is told and counted; parts from a table.
expect 0 "$bmtool" data images d -o d.h5 --size 3x2 --val-fraction 0
cp d/red/1.png cut.png && truncate -s 60 cut.png
cp -r d e && cp cut.png e/red/cut.png && cp huge.png e/blue/huge.png
expect 0 "$bmtool" data images e -o e.h5 --size 3x2 --val-fraction 0 --skip-bad
says '2 files were left out'
says 'left out: e/red/cut.png'
printf 'file,label,part\nd/red/0.png,warm,val\nd/red/1.png,warm,train\nd/blue/0.png,cold,train\n' >table.csv
expect 0 "$bmtool" data images . --labels table.csv -o parts.h5 --size 2 --channels 1 --crop
printf 'file,label,prat\nd/red/0.png,warm,val\nd/red/1.png,warm,train\nd/blue/0.png,cold,train\n' >odd.csv
expect 0 "$bmtool" data images . --labels odd.csv -o odd.h5 --size 2
grep -q 'odd.csv: the column "prat" is not read: there is file, label and part' err || fail "a column that is not read is not told"
printf 'file,label,part\nd/red/0.png,warm,train\nd/red/1.png,hot,val\nd/blue/0.png,cold,train\n' >held.csv
"$python" - <<'PY'
import h5py, json
import numpy as np
f, g, p = h5py.File("d.h5"), h5py.File("e.h5"), h5py.File("parts.h5")
assert f["images/data"].shape == (10, 3, 2, 3) and list(f["images/label"]) == [0] * 5 + [1] * 5
assert (f["images/data"][()] == g["images/data"][()]).all()
assert [list(f["images/data"][i, :, 0, 0]) for i in (0, 9)] == [[10, 20, 200], [204, 10, 20]]
e = json.loads(bytes(f["encoding/json"]))
assert e["classes"] == ["blue", "red"] and (e["height"], e["width"]) == (2, 3) and "crop" not in e
assert p["images/data"].shape == (3, 1, 2, 2) and list(p["images/label"]) == [0, 1, 1]
assert p["splits/train"].attrs["count"] == 2 and p["splits/val"].attrs["count"] == 1
assert json.loads(bytes(p["encoding/json"]))["crop"] is True
PY

# --like takes sizes, classes and normalisation; files of no class are for predictions.
mkdir -p new/red && cp d/red/3.png new/red && cp d/blue/1.png new/x.png
expect 0 "$bmtool" data images new -o new.h5 --like d.h5
expect 0 "$bmtool" data images --images v.gz -o vnew.h5 --like idx.h5
"$python" - <<'PY'
import h5py, json
a, b = h5py.File("d.h5"), h5py.File("new.h5")
assert list(b["images/label"]) == [-1, 1] and "val" not in b["splits"]
assert json.loads(bytes(a["encoding/json"])) == json.loads(bytes(b["encoding/json"]))
assert (a["images"].attrs["mean"] == b["images"].attrs["mean"]).all() and (a["images"].attrs["std"] == b["images"].attrs["std"]).all()
assert list(h5py.File("vnew.h5")["images/label"]) == [-1] * 4
PY

# Bad input: the right code, the item by name, and no new file.
cp -r d bad && touch after && ls -A >before
idx=("$bmtool" data images -o no.h5 --images x.gz)
told() { # CODE WORDS COMMAND...
  local code=$1 words=$2
  shift 2
  expect "$code" "$@"
  says "$words"
}
told 2 'x.gz has 20 images, short 19 labels' "${idx[@]}" --labels short
told 2 'gap: item 1: class 2: there are 2' "${idx[@]}" --labels gap --classes a,b
told 2 'gap: no item of class 1, "1", of 3' "${idx[@]}" --labels gap
told 2 'same: one class only' "${idx[@]}" --labels same
told 2 'same: no item of class 1, "b"' "${idx[@]}" --labels same --classes a,b
told 2 'two classes are called "a"' "${idx[@]}" --labels y.gz --classes a,a
told 2 'IDX of rank 4: labels have 1' "${idx[@]}" --labels t.gz
told 2 'IDX of rank 1: images have 3' "$bmtool" data images -o no.h5 --images y.gz --labels y.gz
told 2 'wide: images \[3, 3, 1\]' "${idx[@]}" --labels y.gz --val-images wide --val-labels w
told 2 '--classes: one class only' "${idx[@]}" --labels y.gz --classes none
told 4 'nowhere' "${idx[@]}" --labels nowhere
gunzip -c x.gz | head -c 100 >cutx
told 1 'cutx: 100 bytes, where its sizes ask for 136' "$bmtool" data images -o no.h5 --images cutx --labels y.gz
rm cutx
for words in "--val-images v.gz" "--size 3x3" "--val-fraction 0.5 --val-images v.gz --val-labels w" "--val-fraction 1"; do
  read -ra more <<<"$words"
  expect 2 "${idx[@]}" --labels y.gz "${more[@]}"
done
folder=("$bmtool" data images bad -o no.h5)
told 2 'size' "${folder[@]}"
told 2 'size' "${folder[@]}" --size 3x
told 2 'channels' "${folder[@]}" --size 3 --channels 2
cp cut.png bad/red/5.png
told 1 'bad/red/5.png' "${folder[@]}" --size 3
cp huge.png bad/red/5.png
told 3 'bad/red/5.png' "${folder[@]}" --size 3
echo text >bad/red/5.png
told 2 'bad/red/5.png' "${folder[@]}" --size 3
rm bad/red/5.png && mkdir bad/green
told 2 'class "green" has no files' "${folder[@]}" --size 3
cp cut.png bad/green/
told 2 'no item of class 1, "green"' "${folder[@]}" --size 3 --skip-bad
told 2 '"green" is none of the 2 classes' "${folder[@]}" --like d.h5
rm -r bad/green bad/red
told 2 'one class only, "blue"' "${folder[@]}" --size 3
told 2 'the training part: no item of class 1, "hot", of 3' "$bmtool" data images . --labels held.csv -o no.h5 --size 3
told 3 'd.h5: exists already' "$bmtool" data images d -o d.h5 --size 3
printf 'a,b\n1,x\n2,y\n' >t.csv
expect 0 "$bmtool" data csv t.csv -o t.h5 --target b
told 3 't.h5 was made of something else than images' "$bmtool" data images d -o no.h5 --like t.h5
rm t.csv t.h5

# A signal in the middle: nothing left behind, the old file as it was.
cp d.h5 ../kept.h5
stopped_midway "$bmtool" data images e -o d.h5 --force --size 8 --skip-bad
ls -A >after
cmp before after || fail "left behind: $(diff before after)"
cmp d.h5 ../kept.h5 || fail "the old file has changed"
