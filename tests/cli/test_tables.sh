#!/usr/bin/env bash
# A table from the file to predictions: a line through points is least squares, in eval, predict and inspect; and what is wrong
# with a table is told in one sentence.
. "$BM_TEST_SOURCE/tests/cli/common.sh"
need_python
check() { "$python" "$here/check_line.py" "$@" >out 2>err || fail "$*"; }
check make line.csv 100

config() { # FILE DATA
  printf 'model: {family: linear, task: regression}\ndata: {path: %s}\ntrain: {epochs: 400, checkpoint_every: 0, eval_every: 0, log_every: 100}\n' "$2" >"$1"
}
for standardize in '' --standardize; do
  rm -rf run ./*.h5
  expect 0 "$bmtool" data csv line.csv -o line.h5 --target y $standardize
  grep -q '100 samples.*80 to learn from, 20 for validation' err || fail "data csv does not tell the parts"
  config line.yaml line.h5
  expect 0 "$bmtool" train line.yaml --run run
  expect 0 "$bmtool" eval run --data line.h5 --json
  cp out eval.json
  expect 0 "$bmtool" predict run --input line.h5 --output out.h5
  check line line.csv line.h5 run/checkpoints/step-00000400.h5 eval.json out.h5
  # Other points, of which nobody knows y, encoded as the run has it.
  printf 'x\n-1.5\n0\n2.25\n' >new.csv
  expect 0 "$bmtool" data csv new.csv -o new.h5 --like run
  grep -q 'no column "y".*for predictions' err || fail "a missing target is not told"
  expect 0 "$bmtool" predict run --input new.h5 --output new-out.h5
  check values line.csv line.h5 new.csv new-out.h5
done
expect 0 "$bmtool" inspect run
grep -qE '^  model .*family linear, task regression' out && grep -qE '^  head/weight .*\[1, 1\]' out || fail "inspect does not show the line: $(cat out)"
expect 0 "$bmtool" inspect out.h5
grep -q 'outputs/values f32 \[100, 1\]' out || fail "inspect does not show the predictions"

# A run of epochs goes on for more of them, and says when it is over.
expect 0 "$bmtool" resume run
says 'run is at step 400 of 400; for more: .* --set train.epochs=N'
expect 0 "$bmtool" resume run --set train.epochs=402
[[ -e run/checkpoints/step-00000402.h5 ]] || fail "two epochs more are not two steps more"
# A model of numbers writes no text; what is for others is refused, not left aside.
expect 2 "$bmtool" generate run --prompt a --tokens 1
says 'step-.*h5: a model that has learned no language writes nothing'
expect 0 "$bmtool" data csv line.csv -o whole.h5 --target y --val-fraction 0
refused() { # WORDS KEY=VALUE...
  local words=$1 set=()
  shift
  for key in "$@"; do set+=(--set "$key"); done
  expect 2 "$bmtool" train line.yaml --run refused "${set[@]}"
  says "$words"
  [[ ! -e refused ]] || fail "a run that was refused was left"
}
refused 'train.early_stop: it waits for evaluations, but train.eval_every is 0' train.early_stop=2
refused 'train.schedule: .*no validation part' train.schedule=plateau train.eval_every=5 data.path=whole.h5
refused 'data.flip: that is for images; the data set holds rows' data.flip=true
refused 'train.label_smoothing: that is for cross_entropy' train.label_smoothing=0.1
# There is nothing to learn where nobody knows y.
config unknown.yaml new.h5
expect 2 "$bmtool" train unknown.yaml --run unknown
says "step 1: none of the batch's targets counts"
[[ ! -e unknown ]] || fail "a run without a step was left"

told() { # WORDS COMMAND...: fails with code 2, one sentence holds WORDS, and no file is left
  local words=$1
  shift
  expect 2 "$@" -o bad.h5
  says "$words"
  (($(grep -c . err) == 1)) && [[ ! -s out ]] || fail "more than a sentence"
  [[ -z $(find . -name '*bad*') ]] || fail "left: $(find . -name '*bad*')"
}
csv=("$bmtool" data csv)
printf 'x,y\n1,2\n3\n4,5\n' >ragged.csv
told 'ragged.csv:3: 1 field.* has 2' "${csv[@]}" ragged.csv --target y
printf 'size,price\n1,2\n3,4\n4,5\n' >houses.csv
told 'no column "prize"; is it "price"\?' "${csv[@]}" houses.csv --target prize
told 'no column "siez"; is it "size"\?' "${csv[@]}" houses.csv --target price --features siez
printf 'x,kind\n1,a\n3,a\n4,a\n' >one.csv
told 'column "kind".* one class only, "a"' "${csv[@]}" one.csv --target kind
printf 'x,y\n1,2\n3,4\noops,6\n4,8\n' >text.csv
told 'text.csv:4: column "x": "oops" is not a number' "${csv[@]}" text.csv --target y
printf 'x,y\n1,2\n3,oops\n' >target.csv
told 'target.csv:3: column "y": "oops" is not a number' "${csv[@]}" target.csv --target y --target-type number
printf 'x,y\n1,2\nhello,3\n' >like.csv
told 'like.csv:3: column "x": "hello" is not a number' "${csv[@]}" like.csv --like run
printf 'a,"b,c",d,y\n1,2,3,4\n2,3,4,5\n' >comma.csv
expect 0 "$bmtool" data csv comma.csv -o comma.h5 --target y --features 'a,"b,c"'
grep -q 'samples numbers \[2\] -> numbers \[1\]' err || fail "a column with a comma in its name is not taken: $(cat err)"
printf 'x,kind\n1,a\n3,a\n4,a\n1,a\n2,a\n5,b\n' >rare.csv
for seed in 1 2 3 4 5 6 7 8; do
  expect 0 "$bmtool" data csv rare.csv -o rare.h5 --target kind --val-fraction 0.5 --split-seed $seed --force
  train=$("$python" -c 'import h5py; f = h5py.File("rare.h5"); print(*f["rows/targets"][: f["splits/train"].attrs["count"]])')
  [[ $train == *1* ]] || break
done
[[ $train != *1* ]] || fail "no seed of these puts b into the validation part"
says '1 of 2 classes stand in the validation part alone, the first "b"'
rm rare.csv rare.h5
printf 'x,y\n' >none.csv
told 'none.csv: no rows' "${csv[@]}" none.csv --target y
told 'cannot come from standard input' "${csv[@]}" - --target price <houses.csv
told 'one of --target COLUMN and --like' "${csv[@]}" houses.csv

# A model is not trained on what it cannot learn, nor used on what it has not learned.
printf 'x,kind\n1,a\n3,a\n4,b\n1,b\n2,b\n' >two.csv
expect 0 "$bmtool" data csv two.csv -o two.h5 --target kind
printf 'model: {family: linear}\ndata: {path: two.h5}\ntrain: {epochs: 1}\n' >two.yaml
expect 0 "$bmtool" train two.yaml --run two
expect 0 "$bmtool" inspect two
grep -q '^  classes  *2: a, b$' out || fail "inspect does not name the classes: $(cat out)"
expect 2 "$bmtool" train line.yaml --run bad --set data.path=two.h5
says 'model.task: regression cannot be learned from samples'
expect 2 "$bmtool" eval run --data new.h5 --split train
says 'new.h5: none of the targets counts'
expect 4 "$bmtool" eval run --data new.h5
says 'no part "val" \(it has: train\): --split'
expect 2 "$bmtool" eval run --data two.h5
says 'two.h5 was encoded otherwise'
expect 2 "$bmtool" predict run --input two.h5 --output bad.h5
says 'two.h5 was encoded otherwise'
[[ ! -e bad && ! -e bad.h5 ]] || fail "something was left"

# A data frame as R saves it, written here by the format's description: factor, integers, numbers, texts, each with what is not known.
"$python" - <<'PY'
import gzip, struct
word = lambda *n: struct.pack(">%di" % len(n), *n)
chars = lambda s: word(9, -1) if s is None else word(9, len(s.encode())) + s.encode()
texts = lambda x: word(16, len(x)) + b"".join(map(chars, x))
symbols = []
def symbol(s):
    if s in symbols:
        return word((symbols.index(s) + 1) << 8 | 255)
    symbols.append(s)
    return word(1) + chars(s)
def attributes(**x):
    return b"".join(word(0x402) + symbol(k) + v for k, v in x.items()) + word(254)
NA = -2**31
frame = symbol("frame")
columns = [word(0x30d, 3, 2, NA, 1) + attributes(levels=texts(["a,b", 'say "c"']), **{"class": texts(["factor"])}),
           word(13, 3, -7, NA, 2**31 - 1), word(14, 3) + struct.pack(">2d", 0.1, -1e-310) + bytes.fromhex("7ff00000000007a2"),
           texts(["x", None, "é"])]
data = word(0x313, 4) + b"".join(columns) + attributes(names=texts(list("fint")), **{"class": texts(["data.frame"]), "row.names": word(13, 2, NA, -3)})
whole = b"RDX2\nX\n" + word(2, 0x40202, 0x20300, 0x402) + frame + data + word(254)
gzip.open("frame.rda", "wb").write(whole)
open("cut.rda", "wb").write(whole[:-200])
open("third.rda", "wb").write(b"RDX3\nX\n" + whole[7:])
PY
expect 0 "$BM_TEST_SOURCE/tools/rda_csv" frame.rda
printf 'f,i,n,t\n"say ""c""",-7,0.10000000000000001,x\n,,-9.9999999999999694e-311,\n"a,b",2147483647,,é\n' | cmp - out || fail "$(cat out)"
expect 1 "$BM_TEST_SOURCE/tools/rda_csv" cut.rda
grep -qx 'rda_csv: cut.rda: it ends too soon' err || fail "$(cat err)"
expect 1 "$BM_TEST_SOURCE/tools/rda_csv" third.rda
grep -q 'third.rda: not what R saves in its second format' err || fail "$(cat err)"
