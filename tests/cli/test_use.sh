#!/usr/bin/env bash
# Using a trained model: what eval, predict, generate and convert say of one checkpoint fits together, checked by numpy.
. "$BM_TEST_SOURCE/tests/cli/common.sh"
need_python
make_data data.h5
config c.yaml data.h5
expect 0 "$bmtool" train c.yaml --run run
check() { "$python" "$here/check_use.py" "$@" >out 2>err || fail "$*"; }

# A text without a validation part: its samples for predict are the windows of eval, in order.
head -c 3000 text.txt >some.txt
expect 0 "$bmtool" data text some.txt -o some.h5 --tokenizer byte --val-fraction 0
expect 0 "$bmtool" predict run --input some.h5 --output some-out.h5 --outputs logits,hidden --batch 5
expect 0 "$bmtool" eval run --data some.h5 --split train --batch 4 --json
cp out eval.json
check loss some.h5 some-out.h5 eval.json
expect 0 "$bmtool" inspect some-out.h5
grep -q 'outputs/logits .*257' out || fail "inspect does not show the outputs"
expect 0 "$bmtool" inspect some-out.h5 --json
grep -q '"holds": "outputs"' out && grep -q '"sound": true' out || fail "inspect --json does not tell outputs"

# Decoding with the cache takes the likeliest token of the full forward pass, for prompts of one piece and of several.
letters=$(tr -cd a-z <some.txt)
for length in 1 20 45; do
  prompt=${letters:0:length}
  expect 0 "$bmtool" generate run --prompt "$prompt" --tokens $((63 - length)) --temperature 0
  cp out said.txt
  (($(stat -c %s said.txt) == 63)) || fail "generate wrote $(stat -c %s said.txt) bytes, not 63"
  expect 0 "$bmtool" data text said.txt -o said.h5 --tokenizer byte --val-fraction 0 --force
  expect 0 "$bmtool" predict run --input said.h5 --output said-out.h5 --force
  check greedy said.h5 said-out.h5 "$length"
done
# Beyond the context it goes on, and the same seed says the same.
expect 0 "$bmtool" generate run --prompt x --tokens 200 --seed 3
cp out first.txt
(($(stat -c %s first.txt) == 201)) || fail "generate wrote $(stat -c %s first.txt) bytes, not 201"
expect 0 "$bmtool" generate run --prompt x --tokens 200 --seed 3
cmp out first.txt || fail "one seed, two texts"

# Matrices in 16 bits and in 8 are those of the checkpoint, rounded.
expect 0 "$bmtool" eval run --data some.h5 --split train --json
cp out f32.json
for type in f16 bf16; do
  expect 0 "$bmtool" eval run --data some.h5 --split train --json --weights $type
  mv out narrow.json
  check near f32.json narrow.json 3e-3
done
expect 0 "$bmtool" eval run --data some.h5 --split train --json --weights int8
mv out narrow.json
check near f32.json narrow.json 2e-2
expect 0 "$bmtool" generate run --prompt x --tokens 20 --seed 3 --weights int8
expect 0 "$bmtool" predict run --input some.h5 --output narrow.h5 --weights int8
expect 0 "$bmtool" generate run --prompt x --tokens 20 --seed 3 --weights f32
cmp out <(head -c 21 first.txt) || fail "--weights f32 is not what is done without it"
# Of a recurrent network too: embedding, input and head; the weights of its states are never in 8 bits.
printf 'model: {family: rnn, task: lm, layers: 1, width: 24}\ndata: {path: data.h5, window: 16}\ntrain: {steps: 3, batch: 4, eval_every: 0}\n' >rnn.yaml
expect 0 "$bmtool" train rnn.yaml --run recurrent
expect 0 "$bmtool" eval recurrent --data some.h5 --split train --json
cp out f32.json
cp out recurrent.json
for type in f16 bf16 int8; do
  expect 0 "$bmtool" eval recurrent --data some.h5 --split train --json --weights $type
  mv out narrow.json
  check near f32.json narrow.json 2e-2
  expect 0 "$bmtool" generate recurrent --prompt x --tokens 5 --weights $type
done
expect 2 "$bmtool" generate run --weights int3
says '--weights int3: there is f32, f16, bf16 and int8'

# Out and in again: names and layouts of GPT-2 in the transformers library, and the same weights bit for bit.
expect 0 "$bmtool" convert run out.safetensors --print-config
cp out config.json
expect 0 "$bmtool" convert out.safetensors back.h5 --config config.json
check safetensors run/checkpoints/step-00000060.h5 out.safetensors back.h5
expect 3 "$bmtool" convert run out.safetensors
says 'exists'
expect 0 "$bmtool" eval back.h5 --data some.h5 --split train --batch 4 --json
cmp out eval.json || fail "the converted model has another loss"

# A recurrent network under PyTorch's names, which say in the file what they are of.
expect 0 "$bmtool" convert recurrent rnn.safetensors --print-config
grep -q '"cell": "lstm"' out || fail "this is no configuration of a recurrent network"
expect 0 "$bmtool" convert rnn.safetensors rnn.h5
expect 0 "$bmtool" eval rnn.h5 --data some.h5 --split train --json
cmp out recurrent.json || fail "the converted recurrent network has another loss"
printf 'model: {family: mlp, widths: [4], task: classes, input: [2], outputs: 2}\n' >mlp.yaml
expect 2 "$bmtool" convert rnn.safetensors mlp.h5 --config mlp.yaml
says 'of the family mlp nothing is read from safetensors'

# The tables of the machine, small.
expect 0 "$bmtool" bench c.yaml --set model.vocab=257 --steps 1 --json
mv out bench.json
check json bench.json device.name dtype gemm train_step.share_of_limit
expect 0 "$bmtool" plan c.yaml --device auto --json
mv out plan.json
check json plan.json memory.total parameters flops_per_step least_s_per_step
check rates bench.json plan.json
expect 0 "$bmtool" bench c.yaml --set model.vocab=257 --set train.dtype=bf16 --steps 1 --ops --weights bf16 --json
grep -q '"dtype": "bf16"' out || fail "the products of a bf16 model are not measured in bf16"
mv out ops.json
check ops ops.json
check generation bench.json
check generation ops.json
expect 0 "$bmtool" bench c.yaml --set model.vocab=257 --steps 1 --ops
grep -q '^attention_backward .*%' out || fail "no table of ops"
grep -qE '^read [0-9.]+ GB/s, write [0-9.]+ GB/s, copy [0-9.]+ GB/s .* GEMM [0-9.]+ GFLOP/s in f32, [0-9.]+ in bf16$' out || fail "the machine's limits"
expect 0 "$bmtool" plan c.yaml --gflops 100 --json
mv out plan.json
check json plan.json least_s_per_step
expect 0 "$bmtool" plan c.yaml --graph text
grep -q '= weight h1/mlp/proj/weight$' out && grep -q -- '-> grad h0/attn/qkv/weight' out || fail "no weight, no gradient in the graph"
expect 0 "$bmtool" plan c.yaml --graph dot
[[ $(head -n 1 out) == 'digraph bm {' && $(tail -n 1 out) == '}' ]] || fail "this is not DOT"
expect 2 "$bmtool" plan c.yaml --graph svg
says 'text and dot'
