#!/usr/bin/env bash
# bmtool tokenizer train, import, encode and decode.
set -euo pipefail
fail() { echo "$1"; exit 1; }
expect() { # CODE COMMAND...: its output lands in out and err
  local want=$1 code=0
  shift
  "$@" >out 2>err || code=$?
  ((code == want)) || { cat out err; fail "exit code $code, not $want: $*"; }
}
says() { grep -qF -- "$1" err || { cat err; fail "stderr does not say: $1"; }; }
bm=$BM_TEST_BMTOOL data=$BM_TEST_SOURCE/tests/io/text
rm -rf work
mkdir work
cd work

# Training gives the merges of a plain trainer (see tests/fixtures/make_gpt2_ids.py).
/usr/bin/python3 -c 'import json, sys; d = json.load(open(sys.argv[1])); open("text", "wb").write(d["text"].encode())' \
  "$data/small_training.json"
expect 0 "$bm" tokenizer train text -o own.json --vocab 420
/usr/bin/python3 - "$data/small_training.json" <<'PY'
import json, sys
own, plain = json.load(open("own.json")), json.load(open(sys.argv[1]))
assert own["merges"] == plain["merges"] and own["byte_ids"] == list(range(256))
assert own["vocab_size"] == 420 and own["eot_id"] == 419 and own["kind"] == "bpe"
PY
expect 3 "$bm" tokenizer train text -o own.json --vocab 420
says 'own.json: exists already'
expect 0 "$bm" tokenizer train - -o own2.json --vocab 420 <text
cmp own.json own2.json || fail "standard input gives another tokenizer than the file"

# Import, and ids that independent encoders gave.
expect 0 "$bm" tokenizer import --vocab-json "$data/small_encoder.json" --merges "$data/small_vocab.bpe" -o small.json
expect 3 "$bm" tokenizer import --vocab-json "$data/small_encoder.json" --merges "$data/small_vocab.bpe" -o small.json
expect 1 "$bm" tokenizer import --vocab-json "$data/small_encoder.json" --merges text -o x.json
says 'text:1: '
/usr/bin/python3 - "$data/text_ids.json" "$bm" <<'PY'
import json, subprocess, sys
for case in json.load(open(sys.argv[1]))["cases"][1::7]:
    text = bytes.fromhex(case["hex"])
    run = lambda *args, data: subprocess.run([sys.argv[2], "tokenizer", *args], input=data, stdout=subprocess.PIPE, check=True).stdout
    out = json.loads(run("encode", "small.json", "--json", data=text))
    assert out == {"ids": case["small"], "tokens": len(case["small"]), "bytes": len(text)}, case
    ids = run("encode", "small.json", "-", "--ids", data=text)
    assert ids.split() == [b"%d" % i for i in case["small"]], case
    assert run("decode", "small.json", data=ids) == text, case
    assert run("decode", "small.json", "-", data=b",\n".join(ids.split())) == text, case
PY

printf 'a\tb\xff<|endoftext|>' >odd
expect 0 "$bm" tokenizer encode byte odd
[[ $(sed -n 2p out) == $'9\t\\t' && $(sed -n 4p out) == $'255\t\\xff' && $(wc -l <out) == 17 ]] || { cat out; fail "lines of tokens"; }
expect 0 "$bm" tokenizer encode byte odd --ids --special
[[ $(cat out) == '97 9 98 255 256' ]] || { cat out; fail "end-of-text as a token"; }

expect 2 "$bm" tokenizer encode byte /dev/null
says 'empty'
expect 4 "$bm" tokenizer encode none.json odd
expect 2 "$bm" tokenizer decode byte odd
says 'expected numbers'
expect 2 "$bm" tokenizer decode byte - <<<'97 300 98'
says 'id 300 (number 2) is outside the vocabulary of 257'
expect 2 "$bm" tokenizer decode byte - <<<'99999999999999999999999999'
expect 2 "$bm" tokenizer train text -o y.json --vocab 256
expect 2 "$bm" tokenizer train text -o y.json
expect 0 "$bm" tokenizer train text -o piped.json --vocab 300
expect 0 "$bm" tokenizer train text -o - --vocab 300
cmp out piped.json || fail "another tokenizer on standard output than in a file"
expect 2 "$bm" tokenizer train text -o text --vocab 300 --force
says 'is what is read'
expect 3 "$bm" tokenizer train text -o /dev/null --vocab 300 --force
says 'no regular file'
[[ ! -e y.json && ! -e x.json ]] || fail "a file was written"
