#!/usr/bin/env bash
# What scripts rely on beside the figures: where keys may come from, where output may go, what stays behind, how much is said.
. "$BM_TEST_SOURCE/tests/cli/common.sh"
make_data data.h5
config c.yaml data.h5
sed -i 's/steps: 60/steps: 3/' c.yaml

says_once() { # WORDS: the last command failed with one line, which holds WORDS
  says "$1"
  (($(grep -c . err) == 1)) || fail "not one line"
}

# A configuration from standard input; every key may come from the command line, the model's family too.
expect 0 "$bmtool" train - --run piped <c.yaml
grep -q "path: $PWD/data.h5" piped/config.yaml || fail "a path of standard input does not start in the working folder"
expect 2 "$bmtool" train - --run bad <text.txt
says_once 'standard input'
sed 's/family: gpt, //' c.yaml >nofamily.yaml
expect 0 "$bmtool" train nofamily.yaml --run family --set model.family=gpt
expect 2 "$bmtool" train nofamily.yaml --run bad --set model.family=gtp
says_once 'model.family: gtp: expected one of .*gpt'
expect 2 "$bmtool" train c.yaml --run bad --set train.learning_rate=1
says_once 'train.learning_rate: no such key \(there are steps, .*lr'
expect 2 "$bmtool" train c.yaml --run ''
says_once '--run'
[[ ! -e bad ]] || fail "a run folder was left"

# A command that fails says so once, whatever else then fails.
expect 4 bash -c '"$0" cat piped params/token/weight >/dev/full' "$bmtool"
says_once 'standard output: .*space'
expect 4 bash -c '"$0" generate piped --tokens 5 >/dev/full' "$bmtool"
says_once 'standard output: .*space'
expect 4 bash -c '"$0" tokenizer encode byte text.txt >/dev/full' "$bmtool"
says_once 'standard output: .*space'
# When nobody reads on, filters end without a word.
for command in 'tokenizer encode byte text.txt' 'cat data.h5 tokens/ids' 'generate piped --tokens 100000'; do
  read -ra words <<<"$command"
  { code=0; "$bmtool" "${words[@]}" 2>err || code=$?; echo "$code" >code; } | head -c 1 >/dev/null || true
  [[ $(cat code) == 141 ]] || fail "$command into a closed pipe: exit code $(cat code)"
  [[ ! -s err ]] || fail "$command into a closed pipe says something"
done

expect 2 "$bmtool" generate piped --tokens 1 --seed -1
says_once '--seed'
expect 2 "$bmtool" generate piped --tokens 1 --top-p 0
says_once '--top-p'
expect 2 "$bmtool" tokenizer train text.txt -o bad.json --vocab 3
says_once ' --vocab must be from 257'
expect 2 "$bmtool" data text text.txt -o bad.h5 --tokenizer bpe:many
says_once 'bpe:N'
for command in 'verify none' 'inspect none' 'ls none' 'eval none' 'generate none'; do
  mkdir -p none
  read -ra words <<<"$command"
  expect 4 "$bmtool" "${words[@]}"
  says_once 'none: not the folder of a run'
done

# A run that fails before its first step leaves no folder, nor those above it; one that is there is told apart.
mkdir taken && : >taken/file
expect 3 "$bmtool" train c.yaml --run taken
says_once 'taken exists already, and is no run'
expect 3 "$bmtool" train c.yaml --run piped
says_once 'bmtool resume piped'
expect 4 "$bmtool" train c.yaml --run taken/file/new
says_once 'taken/file is no folder'
expect 6 "$bmtool" train c.yaml --run new/a/b --set train.lr=1e30 --set train.min_lr=1e30 --set train.warmup=0 --set train.steps=9
if unshare -rm true 2>/dev/null; then
  mkdir tiny
  expect 4 unshare -rm bash -c 'mount -t tmpfs -o size=4k none tiny && "$0" train c.yaml --run tiny/new/run; code=$?; ls -A tiny >left; exit $code' "$bmtool"
  says 'space'
  [[ ! -s left ]] || fail "a run without a step left $(cat left)"
fi

# A finished run still hears its keys; a run keeps its model, for the weights fit no other.
expect 2 "$bmtool" resume piped --set train.stepz=5
for key in heads=4 activation=relu norm_eps=1e-3 width=32 bias=false; do
  expect 2 "$bmtool" resume piped --set "model.$key" --set train.steps=5
  says_once "model.${key%=*} is "
  expect 2 "$bmtool" train c.yaml --run bad --set init=piped --set "model.$key"
  says_once "model.${key%=*} is "
done
expect 2 "$bmtool" resume piped --set init=family --set train.steps=5
says_once 'init'
expect 0 "$bmtool" train c.yaml --run from --set init=piped --set model.dropout=0
expect 4 "$bmtool" resume nowhere
expect 4 "$bmtool" resume none
says_once 'not the folder of a run'

# Checkpoints remember the options of the command that wrote them, and the licences of all that they were made from.
came_from() { # RUN FLAGS LICENCES, both as JSON
  expect 0 "$bmtool" inspect "$1" --json
  python3 - "$2" "$3" <<'PY' || fail "provenance of $1"
import json, sys
p = json.load(open("out"))["provenance"]
assert (p["flags"], p["licence"]) == tuple(map(json.loads, sys.argv[1:])), (p["flags"], p["licence"])
PY
}
expect 0 "$bmtool" data text text.txt -o free.h5 --tokenizer byte --licence CC0-1.0
expect 0 "$bmtool" train --run free --set data.path=free.h5 c.yaml
came_from free '["--run", "free", "--set", "data.path=free.h5"]' '["CC0-1.0"]'
expect 0 "$bmtool" resume free --set train.steps=4
came_from free '["--set", "train.steps=4"]' '["CC0-1.0"]'
expect 0 "$bmtool" convert free free.safetensors
expect 0 "$bmtool" convert free.safetensors mit.h5 --licence MIT
came_from mit.h5 '[]' '["MIT"]'
expect 0 "$bmtool" train c.yaml --run both -s data.path=free.h5 -sinit=mit.h5
came_from both '["--run", "both", "-s", "data.path=free.h5", "-sinit=mit.h5"]' '["MIT", "CC0-1.0"]'
expect 0 "$bmtool" inspect both
grep -q 'licence *MIT; CC0-1.0$' out || fail "inspect shows no licences"
expect 0 "$bmtool" train c.yaml --run half --set init=mit.h5
came_from half '["--run", "half", "--set", "init=mit.h5"]' '["MIT", null]'
expect 2 "$bmtool" convert free bad.safetensors --licence MIT

# Ids of another tokenizer mean nothing to a model, however few they are.
expect 0 "$bmtool" data text text.txt -o bpe.h5 --tokenizer bpe:300
expect 0 "$bmtool" train c.yaml --run wide --set model.vocab=300
for command in 'eval wide --data bpe.h5' 'predict wide --input bpe.h5 --output bad.h5' 'train c.yaml --run bad --set init=wide --set model.vocab=300 --set data.path=bpe.h5'; do
  read -ra words <<<"$command"
  expect 2 "$bmtool" "${words[@]}"
  says_once 'bpe.h5 was tokenized with another tokenizer'
done

# What a file or a size should have been is said, and what to do.
expect 3 "$bmtool" train c.yaml --run bad --set data.path=text.txt
says_once 'text.txt: .*not an HDF5 file.*bmtool data text'
expect 0 "$bmtool" convert piped piped.safetensors
expect 3 "$bmtool" train c.yaml --run bad --set init=piped.safetensors
says_once 'bmtool convert'
expect 2 "$bmtool" train c.yaml --run bad --set model.width=1024 --set model.heads=2
says_once 'model.heads: 2 heads of model.width 1024 have 512 elements each, more than 256'
expect 5 "$bmtool" train c.yaml --run bad --set model.width=8192 --set model.heads=64 --set model.layers=90
says_once 'memory: region "weights" needs .*model.width'
cp -r piped alldead
printf 'x' | dd of=alldead/checkpoints/step-00000003.h5 bs=1 seek=100000 conv=notrunc status=none
expect 1 "$bmtool" resume alldead
says 'alldead: none of its 1 checkpoints is sound'

expect 5 "$bmtool" train c.yaml --run bad --set train.batch=1000000000
says_once 'train.batch: 1000000000 samples of .*host memory'
expect 5 "$bmtool" train c.yaml --run bad --set train.steps=1000000000000
says_once 'train.steps: .*memory'

# Streams that come closed are no files to write messages into.
expect 0 bash -c '"$0" train c.yaml --run closed --set train.checkpoint_every=1 <&- >&- 2>&-' "$bmtool"
expect 0 "$bmtool" verify closed
[[ $(wc -l <closed/metrics.jsonl) == 3 ]] || fail "messages were written into the metrics"
expect 4 bash -c '"$0" ls data.h5 >&-' "$bmtool"
says_once 'standard output'

# What is not finite is exit code 6, wherever it is met. 0x7fc00000 is a NaN.
cp piped.safetensors nan.safetensors
printf '\0\0\300\177' | dd of=nan.safetensors bs=1 seek=$(($(stat -c %s piped.safetensors) - 40000)) conv=notrunc status=none
expect 0 "$bmtool" convert nan.safetensors nan.h5
expect 6 "$bmtool" eval nan.h5 --data data.h5 --json
grep -q '"loss": null' out || fail "a loss that is not finite is no null in JSON"
says_once 'the loss is '
expect 6 "$bmtool" train c.yaml --run bad --set init=nan.h5
says 'step 1: the loss is .*not finite is that of .*init'
[[ ! -e bad ]] || fail "a run folder was left"

# A data set that was moved is found again, if it is the same.
cp -r piped away
mv data.h5 elsewhere.h5
expect 4 "$bmtool" resume away --set train.steps=4
says_once 'data.h5: .*--set data.path='
expect 0 "$bmtool" resume away --set train.steps=4 --set data.path=elsewhere.h5
mv elsewhere.h5 data.h5

# A name need not be UTF-8, but JSON must.
odd=$(printf 'od\377d.h5')
cp data.h5 "$odd"
for command in 'inspect' 'ls' 'stats' 'verify' 'data info' 'data verify'; do
  read -ra words <<<"$command"
  expect 0 "$bmtool" "${words[@]}" "$odd" --json
  grep -qF '"path": "od\\xffd.h5"' out || fail "$command --json does not show the name: $(grep path out)"
done

# One process trains a run.
"$bmtool" train c.yaml --run busy --set train.steps=100000 >/dev/null 2>busy.err &
pid=$!
wait_for_step busy 10 "$pid"
expect 3 "$bmtool" resume busy
says 'another process is training this run'
grep -q 'steps: 100000' busy/config.yaml || fail "the configuration of a running run was changed"
kill -INT "$pid"
wait "$pid" || true
expect 0 "$bmtool" verify busy

# A restarted run begins with the very weights it began with.
expect 0 "$bmtool" train c.yaml --run from2 --set init=piped
grep -q "^init: $PWD/piped/checkpoints/step-00000003.h5" from2/config.yaml || fail "init is not resolved to its file"
rm from2/checkpoints/*.h5
cp from/checkpoints/step-00000003.h5 piped/checkpoints/step-00000003.h5
expect 1 "$bmtool" resume from2
says 'init: .* is not the checkpoint that this run began with'

expect 0 "$bmtool" help data text
grep -q 'usage: bmtool data text' out || fail "help data text says something else"
expect 2 "$bmtool" help nothing

# Files go where they are asked to, and nowhere else.
for command in 'predict piped --input data.h5 --output -' 'data text text.txt --tokenizer byte -o -' 'convert piped -'; do
  read -ra words <<<"$command"
  expect 2 "$bmtool" "${words[@]}"
  says_once 'not standard output'
done
for command in 'predict piped --input data.h5 --output data.h5 --force' 'data text text.txt --tokenizer byte -o text.txt --force' 'cat data.h5 tokens/ids -o data.h5 --force'; do
  read -ra words <<<"$command"
  expect 2 "$bmtool" "${words[@]}"
  says_once 'is what is read'
done
expect 2 "$bmtool" convert piped bad.h5
says_once 'safetensors'
expect 3 "$bmtool" convert piped piped.safetensors
says_once '--force'
echo nothing >odd.safetensors
expect 1 "$bmtool" convert odd.safetensors bad.h5
says_once 'safetensors'
[[ ! -e bad && ! -e bad.h5 && ! -e ./- ]] || fail "something was left"
