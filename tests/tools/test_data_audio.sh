#!/usr/bin/env bash
# bmtool data audio: what the data set holds (read by h5py), bad input, and that nothing half-written stays behind.
. "$BM_TEST_SOURCE/tests/cli/common.sh"
need_python

# Tones of three voices at 8 kHz: d/high, d/low with {anna,bo,cy}_{1,2}.wav, from 0.15 s to 0.2 s.
"$python" - <<'PY'
import math, os, random, struct, wave
random.seed(1)
def wav(name, hz, seconds, rate=8000):
    os.makedirs(os.path.dirname(name) or ".", exist_ok=True)
    w = wave.open(name, "wb")
    w.setnchannels(1); w.setsampwidth(2); w.setframerate(rate)
    n = round(seconds * rate)
    w.writeframes(struct.pack("<%dh" % n, *(int(8000 * math.sin(2 * math.pi * hz * i / rate) + random.gauss(0, 500)) for i in range(n))))
    w.close()
for v, voice in enumerate(("anna", "bo", "cy")):
    for k in (1, 2):
        wav(f"d/high/{voice}_{k}.wav", 2000 + 100 * v, 0.15 + 0.01 * v + 0.005 * k)
        wav(f"d/low/{voice}_{k}.wav", 300 + 20 * v, 0.15 + 0.01 * v + 0.005 * k)
wav("fast.wav", 500, 0.15, 16000)
wav("tiny.wav", 500, 0.01)
wav("long.wav", 500, 0.4)
wav("slow.wav", 500, 30)
PY

# Voices that are held out; frames that count have mean 0 and deviation 1 over the training part, the others are zeros.
expect 0 "$bmtool" data audio d -o d.h5 --mels 8 --val-voices bo --licence CC0 --json
grep -q '"val_samples": 4' out || fail "no report"
expect 0 "$bmtool" data audio d -o mfcc.h5 --features mfcc --coefficients 5 --window-ms 20 --hop-ms 5 --val-fraction 0.25
expect 0 "$bmtool" data audio d -o level.h5 --features mfcc --coefficients 5 --trim-db 10 --top-db 20 --centre --val-voices bo
expect 0 "$bmtool" data audio d -o fast.h5 --rate 16000 --seconds 0.16 --cut
"$python" - <<'PY'
import h5py, json
import numpy as np
f = h5py.File("d.h5")
x, n, y = f["rows/inputs"][()], f["rows/lengths"][()], f["rows/targets"][()]
# 1 + N / hop frames: of 0.155 s to 0.18 s at 8 kHz, each 80 samples
assert x.shape == (12, 19, 8) and sorted(n) == [16, 16, 17, 17, 17, 17, 18, 18, 18, 18, 19, 19], (x.shape, n)
assert f["splits/train"].attrs["count"] == 8 and f["splits/val"].attrs["count"] == 4
assert list(y) == [0] * 4 + [1] * 4 + [0, 0, 1, 1]
frames = np.concatenate([x[i, :n[i]] for i in range(8)]).astype("f8")
assert abs(frames.mean(0)).max() < 1e-5 and abs(frames.std(0) - 1).max() < 1e-5
assert all((x[i, n[i]:] == 0).all() and (x[i, :n[i]] != 0).any() for i in range(12))
e = json.loads(bytes(f["encoding/json"]))
want = dict(kind="audio", features="logmel", rate=8000, n_fft=256, window=200, hop=80, mels=8, coefficients=0, frames=19, letters=0,
            classes=["high", "low"])
assert {k: e[k] for k in want} == want and len(e["mean"]) == len(e["scale"]) == 8 and len(e) == len(want) + 2, e
m = h5py.File("mfcc.h5")
e = json.loads(bytes(m["encoding/json"]))
assert m["rows/inputs"].shape == (12, 37, 5) and m["splits/val"].attrs["count"] == 3 and (e["window"], e["hop"], e["n_fft"]) == (160, 40, 256)
frames = np.concatenate([m["rows/inputs"][i, :m["rows/lengths"][i]] for i in range(9)]).astype("f8")
assert abs(frames.mean(0)).max() < 1e-5 and abs(frames.std(0) - 1).max() < 1e-5
v = h5py.File("level.h5")
e = json.loads(bytes(v["encoding/json"]))
assert (e["trim_db"], e["top_db"]) == (10, 20) and e["centre"] is True and np.abs(e["mean"]).max() < 1e-5
for x, n in zip(v["rows/inputs"], v["rows/lengths"]):
    assert abs(x[:n].astype("f8").mean(0)).max() < 1e-5
s = h5py.File("fast.h5")
assert s["rows/inputs"].shape == (12, 17, 40) and max(s["rows/lengths"]) == 17
PY

# Texts: classes are the blank and the characters in order; targets are padded with -1; parts from a column.
printf 'file,text,part\nhigh/cy_1.wav,ehé,val\nhigh/anna_1.wav,he,train\nlow/bo_2.wav,low,train\n' >t.csv
expect 0 "$bmtool" data audio d -o t.h5 --labels t.csv --transcripts --mels 8
"$python" - <<'PY'
import h5py, json
f = h5py.File("t.h5")
assert json.loads(bytes(f["encoding/json"]))["classes"] == ["<blank>", "e", "h", "l", "o", "w", "é"]
assert f["rows/targets"][()].tolist() == [[2, 1, -1], [3, 4, 5], [1, 2, 6]] and f["splits/val"].attrs["count"] == 1
assert f["rows"].attrs["n_classes"] == 7
PY

# Trained with ctc: what is predicted are the labels that each sound's own frames spell, not those of the padding.
printf 'file,text\nhigh/anna_1.wav,hehehehehehehe\nlow/bo_1.wav,lolololololololo\nlow/cy_2.wav,ololehehehehehehol\n' >w.csv
printf 'model: {family: rnn, task: tags, layers: 1, width: 8}\ndata: {path: w.h5}\ntrain: {loss: ctc, lr: 0.1, steps: 2, batch: 3}\n' >w.yaml
expect 0 "$bmtool" data audio d -o w.h5 --labels w.csv --transcripts --mels 8 --val-fraction 0
expect 0 "$bmtool" train w.yaml --run w
expect 0 "$bmtool" predict w -i w.h5 -o read.h5
"$python" - <<'PY'
import h5py
f, n = h5py.File("read.h5")["outputs"], h5py.File("w.h5")["rows/lengths"][()]
x, labels = f["logits"][()], f["labels"][()]
def spelled(best):
    return [int(c) for i, c in enumerate(best) if c and (not i or c != best[i - 1])]
assert "class" not in f and labels.dtype == "i4" and labels.shape == x.shape[:2]
for row, logits, k in zip(labels, x, n):
    want = spelled(logits[:k].argmax(1))
    assert row.tolist() == want + [-1] * (len(row) - len(want)), (row, want)
assert any(spelled(a.argmax(1)) != spelled(a[:k].argmax(1)) for a, k in zip(x, n))
PY
rm -r w w.csv w.yaml w.h5 read.h5

# --like: the same bytes for the same sounds; others are brought to its rate; sounds may be of no class.
mkdir -p new/low && cp d/low/bo_1.wav new/low && cp fast.wav new/
expect 0 "$bmtool" data audio new -o new.h5 --like d.h5
expect 0 "$bmtool" data audio new -o level-new.h5 --like level.h5
expect 0 "$bmtool" data audio d/low -o spelled.h5 --like t.h5 --cut
"$python" - <<'PY'
import h5py, json
a, b, c = h5py.File("d.h5"), h5py.File("new.h5"), h5py.File("spelled.h5")
assert json.loads(bytes(a["encoding/json"])) == json.loads(bytes(b["encoding/json"]))
assert list(b["rows/targets"]) == [-1, 1] and list(b["rows/lengths"]) == [16, 17] and "val" not in b["splits"]
assert (a["rows/inputs"][10] == b["rows/inputs"][1]).all()
v, w = h5py.File("level.h5"), h5py.File("level-new.h5")
assert (v["rows/inputs"][10] == w["rows/inputs"][1]).all() and bytes(v["encoding/json"][()]) == bytes(w["encoding/json"][()])
assert c["rows/targets"].shape == (6, 3) and (c["rows/targets"][()] == -1).all()
PY

# Bad input: the right code, the file by name, and no new file.
told() { # CODE WORDS COMMAND...
  local code=$1 words=$2
  shift 2
  expect "$code" "$@"
  says "$words"
}
cp -r d bad && touch after && ls -A >before
bad=("$bmtool" data audio bad -o no.h5)
cp fast.wav bad/high/z.wav
told 2 'bad/high/z.wav is of 16000 Hz, bad/high/anna_1.wav of 8000 Hz' "${bad[@]}"
expect 0 "${bad[@]}" --rate 8000 && rm no.h5
told 0 '1 file was left out' "${bad[@]}" --skip-bad && rm no.h5
cp tiny.wav bad/high/z.wav
told 2 'bad/high/z.wav: 80 samples are too few' "${bad[@]}"
head -c 1000 long.wav >bad/high/z.wav
told 1 'bad/high/z.wav: cut off' "${bad[@]}"
cp long.wav bad/high/z.wav
told 2 'bad/high/z.wav: 0.40 s, 3200 samples; at most 2400 are' "${bad[@]}" --seconds 0.3
told 2 'bad/high/z.wav: 0.40 s, 3200 samples; at most 1519 are' "${bad[@]}" --like d.h5
expect 0 "${bad[@]}" --like d.h5 --cut && rm no.h5
rm bad/high/z.wav
told 2 'no file.s name begins with "dan"' "${bad[@]}" --val-voices bo,dan
mkdir bad/none
told 2 'class "none" has no files' "${bad[@]}"
cp long.wav bad/none/eve_1.wav
told 2 'no item of class 2, "none"' "${bad[@]}" --val-voices eve
told 2 '"none" is none of the 2 classes' "${bad[@]}" --like d.h5
rm -r bad/none bad/low
told 2 'one class only, "high"' "${bad[@]}"
printf 'file,text\nhigh/bo_1.wav,aaaaaaaaaa\n' >u.csv
told 2 'd/high/bo_1.wav: 17 frames, but CTC needs 19 to align "aaaaaaaaaa"' "$bmtool" data audio d -o no.h5 --labels u.csv --transcripts
expect 0 "$bmtool" data audio d -o no.h5 --labels u.csv --transcripts --hop-ms 5 --val-fraction 0 && rm no.h5
printf 'file,text\nhigh/bo_1.wav,he!\n' >u.csv
told 2 'd/high/bo_1.wav: the text has the character "!"' "$bmtool" data audio d -o no.h5 --labels u.csv --like t.h5
told 2 'has a column of parts' "$bmtool" data audio d -o no.h5 --labels t.csv --val-fraction 0.5
rm u.csv
for words in "--features chroma" "--coefficients 5" "--mels 0x" "--transcripts" "--cut" "--hop-ms 0" "--val-fraction 1" "--like d.h5 --mels 5" \
             "--top-db -1" "--trim-db -1" "--like d.h5 --centre" "--val-voices bo --val-fraction 0.2" "--rate -5" "--window-ms 1e9" "--seconds 1000" \
             "--rate 0" "--mels 0" "--features mfcc --coefficients 0" "--coefficients 0" "--top-db 0" "--trim-db 0" "--seconds 0"; do
  read -ra more <<<"$words"
  expect 2 "$bmtool" data audio d -o no.h5 "${more[@]}"
done
told 3 'd.h5: exists already' "$bmtool" data audio d -o d.h5
told 2 'd.h5: is what is read' "$bmtool" data audio d -o d.h5 --like d.h5
told 2 't.csv: is what is read' "$bmtool" data audio d -o t.csv --labels t.csv --force
printf 'a,b\n1,x\n2,y\n' >c.csv
expect 0 "$bmtool" data csv c.csv -o c.h5 --target b
told 3 'c.h5 was made of something else than audio' "$bmtool" data audio d -o no.h5 --like c.h5
rm c.csv c.h5

# A signal in the middle: nothing left behind, the old file as it was.
cp -r d/low bad/low && cp tiny.wav bad/high/b.wav
cp d.h5 ../kept.h5
stopped_midway "$bmtool" data audio bad -o d.h5 --force --skip-bad
ls -A >after
cmp before after || fail "left behind: $(diff before after)"
cmp d.h5 ../kept.h5 || fail "the old file has changed"
