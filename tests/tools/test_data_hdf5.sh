#!/usr/bin/env bash
# bmtool data hdf5: a user's own file becomes the data set that IDX files make, and trains the same to the bit; rows and targets of
# every kind; bad input, and that nothing half-written stays behind.
. "$BM_TEST_SOURCE/tests/cli/common.sh"
need_python

"$python" - <<'PY'
import gzip, struct
import h5py
import numpy as np
r = np.random.default_rng(1)
x = r.integers(0, 256, (200, 6, 5), dtype=np.uint8)
y = (x.reshape(200, -1).astype(int).sum(1) // 7 % 3).astype(np.uint8)
for name, a in (("x.gz", x), ("y.gz", y)):
    gzip.open(name, "wb").write(bytes([0, 0, 8, a.ndim]) + struct.pack(">%dI" % a.ndim, *a.shape) + a.tobytes())
f = h5py.File("user.h5", "w")
f.create_dataset("data/x", data=x, chunks=(17, 4, 5), compression="gzip", shuffle=True, fletcher32=True)
f.create_dataset("data/y", data=y.astype("i8"), chunks=(30,), compression="gzip")
f.create_dataset("data/y2", data=y.astype("u1").reshape(200, 1))
c = r.integers(0, 256, (20, 4, 5, 3), dtype=np.uint8)
f["hwc"], f["chw"] = c, c.transpose(0, 3, 1, 2)
f["either"] = c[:, :1]
f["y20"] = np.arange(20, dtype="i4") % 2
f["gap"], f["below"], f["one"] = np.arange(20) % 2 * 2, np.arange(20) - 2, np.zeros(20, "i4")
f["some"] = np.arange(20) % 3 - 1
f["rows"] = r.normal(size=(20, 7))
f["more"] = r.normal(size=(6, 7)).astype("f4")
f["price"], f["more_price"] = r.normal(size=20), r.normal(size=6)
f["price"][3] = np.nan
f["two"] = r.normal(size=(20, 2)).astype("f4")
f["tags"] = np.where(np.arange(60).reshape(20, 3) % 5 == 4, -1, np.arange(60).reshape(20, 3) % 5)
f["truth"] = np.arange(20) % 3 == 0
f["frames"] = r.normal(size=(20, 3, 4)).astype("f4")
f["spelled"] = np.tile([[2, 1, -1], [1, 2, 3]], (10, 1))
f["long"] = f["spelled"][()]
f["long"][7] = [2, 2, -1]
f["longer"] = f["long"][()]
f["longer"][7] = [3, 3, 1]
f["nan"] = f["rows"][()]
f["nan"][5, 2] = np.nan
f["ids"] = np.arange(20) * 10**8
f["words"] = np.array([b"a"] * 20)
f["out"] = h5py.ExternalLink("other.h5", "/x")
f.create_dataset("packed", data=np.zeros((20, 3)), compression="lzf")
PY
h5=("$bmtool" data hdf5 user.h5)

# The same data set as from IDX, byte for byte, and so the same losses.
expect 0 "$bmtool" data images --images x.gz --labels y.gz -o idx.h5 --json
sed -n 's/.*"content_id": //p' out >want
expect 0 "${h5[@]}" --inputs data/x --targets /data/y -o same.h5 --json
[[ $(sed -n 's/.*"content_id": //p' out) == "$(<want)" ]] || fail "another content than IDX gives"
expect 0 "${h5[@]}" --inputs data/x --targets /data/y2 -o same2.h5 --json
[[ $(sed -n 's/.*"content_id": //p' out) == "$(<want)" ]] || fail "another content with targets [N, 1]"
for name in idx same; do
  printf 'model: {family: mlp, task: classes, widths: [8]}\ndata: {path: %s.h5}\ntrain: {epochs: 2, batch: 16}\n' $name >$name.yaml
  expect 0 "$bmtool" train $name.yaml --run $name
done
"$python" - <<'PY'
import json
runs = [[json.loads(line) for line in open(f"{name}/metrics.jsonl")] for name in ("idx", "same")]
keys = ("step", "loss", "val_loss", "lr", "grad_norm", "tokens")
assert len(runs[0]) == 20 and [[s[k] for k in keys] for s in runs[0]] == [[s[k] for k in keys] for s in runs[1]]
PY
expect 0 "${h5[@]}" --inputs data/x -o new.h5 --like idx
expect 0 "$bmtool" predict idx -i new.h5 -o predicted.h5

# Channels last and first; rows with targets of every kind; parts that are given.
expect 0 "${h5[@]}" --inputs hwc --targets y20 -o hwc.h5 --val-fraction 0
expect 0 "${h5[@]}" --inputs chw --targets y20 -o chw.h5 --val-fraction 0 --classes no,yes
expect 0 "${h5[@]}" --inputs either --targets y20 -o either.h5 --layout hwc
expect 0 "${h5[@]}" --inputs rows --targets price --val-inputs more --val-targets more_price -o price.h5
expect 0 "${h5[@]}" --inputs rows --targets two -o two.h5
expect 0 "${h5[@]}" --inputs rows --targets tags -o tags.h5 --val-fraction 0
expect 0 "${h5[@]}" --inputs rows --targets some -o some.h5 --val-fraction 0.5
expect 0 "${h5[@]}" --inputs hwc --targets some -o some-images.h5 --val-fraction 0
expect 0 "${h5[@]}" --inputs rows --targets truth -o truth.h5 --val-fraction 0
expect 0 "${h5[@]}" --inputs rows --targets ids -o ids.h5 --target-type number
expect 0 "${h5[@]}" --inputs more -o like.h5 --like price.h5
expect 0 "${h5[@]}" --inputs y20 --targets y20 -o one.h5 --val-fraction 0
"$python" - <<'PY'
import h5py, json
import numpy as np
u = h5py.File("user.h5")
def read(name): return h5py.File(name + ".h5")
def encoding(name): return json.loads(bytes(read(name)["encoding/json"]))
assert (read("hwc")["images/data"][()] == u["chw"][()]).all() and (read("chw")["images/data"][()] == u["chw"][()]).all()
assert encoding("chw")["classes"] == ["no", "yes"] and read("either")["images/data"].shape == (20, 3, 1, 5)
f = read("price")
assert (f["rows/inputs"][()] == np.concatenate([u["rows"], u["more"]]).astype("f4")).all()
assert np.array_equal(f["rows/targets"][:, 0], np.concatenate([u["price"], u["more_price"]]).astype("f4"), equal_nan=True)
assert f["splits/val"].attrs["start"] == 20 and f["splits/val"].attrs["count"] == 6
assert encoding("price") == {"kind": "rows", "input": [7], "target": [1], "classes": None}
assert read("two")["rows/targets"].shape == (20, 2) and read("two")["splits/val"].attrs["count"] == 4
assert (read("tags")["rows/targets"][()] == u["tags"][()]).all() and encoding("tags")["classes"] == list("0123")
assert sorted(read("some")["rows/targets"]) == sorted(u["some"]) and encoding("some")["classes"] == list("01")
assert (read("some-images")["images/label"][()] == u["some"][()]).all()
assert (read("truth")["rows/targets"][()] == u["truth"][()]).all()
assert read("ids")["rows/targets"].dtype == "f4" and set(read("ids")["rows/targets"][:, 0]) == set(np.arange(20, dtype="f4") * 1e8)
assert np.isnan(read("like")["rows/targets"][()]).all() and encoding("like") == encoding("price")
assert (read("one")["rows/inputs"][:, 0] == u["y20"][()]).all() and encoding("one")["input"] == [1]
assert (read("new")["images/label"][()] == -1).all() and encoding("new") == encoding("idx")
PY

# Samples without a class are not scored.
printf 'model: {family: mlp, task: classes, widths: [4]}\ndata: {path: some.h5}\ntrain: {steps: 2}\n' >some.yaml
expect 0 "$bmtool" train some.yaml --run some
expect 0 "$bmtool" eval some --json
"$python" - <<'PY'
import h5py, json
f = h5py.File("some.h5")
val = list(f["rows/targets"][f["splits/val"].attrs["start"]:])
assert [sum(row) for row in json.load(open("out"))["confusion"]] == [val.count(0), val.count(1)] and val.count(-1) > 0
PY
rm -r some some.yaml

# Sequences: a class at each frame, or labels that ctc aligns, of which none is the blank and all must have room.
train() { # TARGETS LOSS: into the run seq
  rm -rf seq seq.h5
  expect 0 "${h5[@]}" --inputs frames --targets "$1" -o seq.h5
  printf 'model: {family: rnn, task: tags, layers: 1, width: 8}\ndata: {path: seq.h5}\ntrain: {loss: %s, steps: 2, batch: 4}\n' "$2" >seq.yaml
  "$bmtool" train seq.yaml --run seq >out 2>err
}
train tags 'null' || fail "tags"
expect 0 "$bmtool" eval seq --json
grep -q '"accuracy"' out || fail "tags are not scored: $(cat out)"
expect 0 "$bmtool" predict seq -i seq.h5 -o tagged.h5
"$python" -c 'import h5py; f = h5py.File("tagged.h5")["outputs"]; assert f["class"].shape == (20, 3) and f["logits"].shape == (20, 3, 4)'
train spelled ctc || fail "ctc"
expect 0 "$bmtool" predict seq -i seq.h5 -o read.h5
"$python" -c 'import h5py; f = h5py.File("read.h5")["outputs"]; assert f["labels"].shape == (20, 3) and "class" not in f'
expect 0 "$bmtool" eval seq --json
grep -q '"word_error_rate"' out || fail "as many labels as frames are not read by ctc: $(cat out)"
train long ctc || fail "two labels that are alike have room in three frames"
! train longer ctc || fail "labels that ctc cannot align"
says 'seq.h5: sample 7: 3 frames, but ctc needs 4 to align its 3 labels'
! train tags ctc || fail "the blank is a label"
says 'seq.h5: sample 0: label 0 is class 0, which is the blank'
[[ ! -e seq ]] || fail "a run without a step was left"
rm -rf seq seq.h5 seq.yaml

# Bad input: the right code, the path or the item by name, and no new file.
told() { # CODE WORDS COMMAND...
  local code=$1 words=$2
  shift 2
  expect "$code" "$@" -o no.h5
  says "$words"
}
touch after && ls -A >before
told 4 'user.h5: there is no data/z; is it /data/x|/data/y' "${h5[@]}" --inputs data/z --targets y20
told 4 'user.h5: there is no nothing; it has /' "${h5[@]}" --inputs nothing --targets y20
told 3 'user.h5: out is a link to /x in another file, other.h5' "${h5[@]}" --inputs out --targets y20
told 3 'words holds texts, not numbers' "${h5[@]}" --inputs words --targets y20
told 3 'packed is packed by filter 32000, "lzf"' "${h5[@]}" --inputs packed --targets y20
told 3 'data is no data set' "${h5[@]}" --inputs data --targets y20
told 2 'rows has 20 rows, data/y 200' "${h5[@]}" --inputs rows --targets data/y
told 2 'gap: no item of class 1' "${h5[@]}" --inputs rows --targets gap
told 2 'gap: item 1: class 2: there are 2' "${h5[@]}" --inputs rows --targets gap --classes a,b
told 2 'below: item 0: class -2' "${h5[@]}" --inputs rows --targets below
told 2 'one: one class only' "${h5[@]}" --inputs rows --targets one
told 2 'ids: class 1900000000: at most' "${h5[@]}" --inputs rows --targets ids
told 2 'nan: row 5: number 2 is not finite' "${h5[@]}" --inputs nan --targets y20
told 2 'price holds floating numbers: classes are integers' "${h5[@]}" --inputs rows --targets price --target-type category
told 2 'targets are \[N\] or \[N, D\]' "${h5[@]}" --inputs rows --targets hwc
told 2 'which of them are channels' "${h5[@]}" --inputs either --targets y20
told 2 'layout is that of images' "${h5[@]}" --inputs rows --targets y20 --layout hwc
told 2 'only the first dimension may differ' "${h5[@]}" --inputs rows --targets price --val-inputs two --val-targets price
told 2 'rows \[2\], price.h5 \[7\]' "${h5[@]}" --inputs two --like price.h5
told 2 'y20 is not numbers' "${h5[@]}" --inputs rows --targets y20 --like price.h5
told 2 'images \[4, 5, 3\]' "${h5[@]}" --inputs hwc --like idx.h5
told 3 'was made of something else than rows' "${h5[@]}" --inputs rows --like idx.h5
told 4 'nowhere.h5' "$bmtool" data hdf5 nowhere.h5 --inputs x --targets y
for words in "--targets y20 --val-inputs more" "" "--targets y20 --layout cwh" "--targets y20 --target-type word" "--targets y20 --val-fraction 1"; do
  read -ra more <<<"$words"
  expect 2 "${h5[@]}" --inputs rows -o no.h5 "${more[@]}"
done
expect 3 "${h5[@]}" --inputs rows --targets y20 -o price.h5
expect 2 "${h5[@]}" --inputs rows --targets y20 -o user.h5 --force
head -c 20000 user.h5 >cut.h5
told 1 'cut.h5: libhdf5 cannot open it: ' "$bmtool" data hdf5 cut.h5 --inputs data/x --targets data/y
rm cut.h5
ls -A >after
cmp before after || fail "left behind: $(diff before after)"
