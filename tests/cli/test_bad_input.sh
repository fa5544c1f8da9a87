#!/usr/bin/env bash
# What goes wrong is told in one sentence with the right exit code, and leaves nothing half-written.
. "$BM_TEST_SOURCE/tests/cli/common.sh"
make_data data.h5
config c.yaml data.h5
sed -i 's/steps: 60/steps: 3/' c.yaml

told() { # CODE WORDS COMMAND...: fails with CODE, one line on stderr holds WORDS, and no run folder or file is left
  local code=$1 words=$2
  shift 2
  expect "$code" "$@"
  says "$words"
  [[ ! -s out ]] || fail "something on stdout: $(head -c 200 out)"
  (($(grep -c . err) <= 2)) || fail "more than a sentence or two"
  [[ ! -e bad ]] || fail "a run folder was left"
  [[ -z $(find . -name '*.tmp*' -o -name '.*.h5*' -o -name 'bad*') ]] || fail "left: $(find . -name '*.tmp*' -o -name '.*.h5*' -o -name 'bad*')"
}
train=("$bmtool" train c.yaml --run bad)

# Configuration
told 2 'stepz.*steps' "${train[@]}" --set train.stepz=5
told 2 'layrs.*layers' "${train[@]}" --set model.layrs=5
told 2 'train.steps' "${train[@]}" --set train.steps=many
told 2 'train.lr' "${train[@]}" --set train.lr=true
told 2 'heads.*width' "${train[@]}" --set model.heads=5
told 2 'model.vocab' "${train[@]}" --set model.vocab=100
told 2 'data.window|context' "${train[@]}" --set data.window=65
told 2 'window|context' "${train[@]}" --set model.context=300000
told 4 'nowhere.h5' "${train[@]}" --set data.path=nowhere.h5
told 4 'nowhere.yaml' "$bmtool" train nowhere.yaml --run bad
printf 'model: {family: gpt\n' >broken.yaml
told 2 'broken.yaml:' "$bmtool" train broken.yaml --run bad
told 2 'no backend|--gemm|backend' "${train[@]}" --gemm magic

# Devices
told 5 'no such device|matches|device' "${train[@]}" --device gpu:7
told 5 'memory' "${train[@]}" --set model.width=262144 --set model.heads=1024
mkdir none
told 5 'platform|OpenCL' env OCL_ICD_VENDORS="$PWD/none" "${train[@]}"

# Files
head -c 1000 data.h5 >short.h5
told 1 'short.h5' "${train[@]}" --set data.path=short.h5
cp data.h5 flipped.h5
printf '\377' | dd of=flipped.h5 bs=1 seek=$(($(stat -c %s data.h5) / 2)) conv=notrunc status=none
expect 1 "$bmtool" verify flipped.h5
expect 1 "$bmtool" data verify flipped.h5
echo 'no HDF5 at all' >text.h5
for command in "inspect text.h5" "verify text.h5" "data info text.h5" "eval text.h5 --data data.h5" "generate text.h5 --prompt a --tokens 1"; do
  read -ra words <<<"$command"
  code=0
  "$bmtool" "${words[@]}" >out 2>err || code=$?
  ((code == 1 || code == 3)) || fail "$command: exit code $code"
  says 'text.h5'
done

# Outputs
told 3 'exists' "$bmtool" data text text.txt -o data.h5 --tokenizer byte
mkdir taken
told 3 'exists' "$bmtool" train c.yaml --run taken
[[ -z $(ls taken) ]] || fail "a folder that was there was changed"
: >empty.txt
told 2 'empty' "$bmtool" data text empty.txt -o new.h5 --tokenizer byte
[[ ! -e new.h5 ]] || fail "a dataset of nothing was made"

# A full disk: on a file system of 64 KB where one may be mounted, else by a limit on the size of files.
if unshare -rm true 2>/dev/null; then
  mkdir tiny
  expect 4 unshare -rm bash -c 'mount -t tmpfs -o size=64k none tiny && "$0" data text text.txt -o tiny/new.h5 --tokenizer byte; code=$?; ls -A tiny >left; exit $code' "$bmtool"
  says 'no space left.* free'
  [[ ! -s left ]] || fail "a full disk: left $(cat left)"
fi
(trap '' XFSZ; ulimit -f 64; code=0; "$bmtool" data text text.txt -o new.h5 --tokenizer byte >out 2>err || code=$?; ((code == 4))) || fail "a file too large: not told"
[[ ! -e new.h5 ]] || fail "half a dataset"

# Bytes that are no UTF-8 are kept.
head -c 3000 /dev/urandom >noise.bin
"$bmtool" tokenizer encode byte noise.bin --ids >ids 2>err && "$bmtool" tokenizer decode byte ids >back 2>err || fail "random bytes"
cmp noise.bin back || fail "random bytes came back changed"

# A loss that is not finite: the last good checkpoint stays, the step and the op are named.
sed -e 's/steps: 3/steps: 40/; s/warmup: 10/warmup: 1, lr: 1e30, min_lr: 1e30, clip: 0/' c.yaml >nan.yaml
expect 6 "$bmtool" train nan.yaml --run nan --set train.checkpoint_every=1
says 'step [0-9]+'
grep -qE 'h[0-9]+/|head/|embedding|norm|xent' err || fail "the op is not named"
if [[ -d nan/checkpoints ]]; then expect 0 "$bmtool" verify nan; fi

# A cache that cannot be written is gone without, and said once.
[[ $(id -u) == 0 ]] && cache=/proc/none || cache=/none
expect 0 env BM_CACHE_DIR=$cache "$bmtool" train c.yaml --run uncached
(($(grep -ci 'cache' err) >= 1)) || fail "a cache that cannot be written is not told"
(($(grep -ci "$cache" err) <= 3)) || fail "said $(grep -ci "$cache" err) times"
