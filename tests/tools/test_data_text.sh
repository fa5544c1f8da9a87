#!/usr/bin/env bash
# bmtool data text: what the data set holds (read by h5py), bad input, and that nothing half-written stays behind.
set -euo pipefail
fail() { echo "$1"; exit 1; }
expect() { # CODE COMMAND...: its output lands in out and err
  local want=$1 code=0
  shift
  "$@" >out 2>err || code=$?
  ((code == want)) || { cat out err; fail "exit code $code, not $want: $*"; }
}
says() { grep -qF -- "$1" err || { cat err; fail "stderr does not say: $1"; }; }
bm=$BM_TEST_BMTOOL
rm -rf work
mkdir work
cd work

printf 'In the beginning\xff\0 God' >a.txt
printf 'x' >b.txt
: >empty.txt
seq 1 3000 >c.txt

# One document a file, id 256 behind each; the last floor(f N) tokens are for validation.
expect 0 "$bm" data text a.txt b.txt -o byte.h5 --tokenizer byte --val-fraction 0.3
/usr/bin/python3 - <<'PY'
import h5py, json
f = h5py.File("byte.h5")
a, b = open("a.txt", "rb").read(), open("b.txt", "rb").read()
ids = [*a, 256, *b, 256]
assert f["tokens/ids"].dtype == "uint16" and list(f["tokens/ids"]) == ids
assert list(f["tokens/doc_offsets"]) == [0, len(a) + 1, len(ids)]
assert f["tokens"].attrs["vocab_size"] == 257 and f["tokens"].attrs["eot_id"] == 256
train = len(ids) - int(0.3 * len(ids))
for name, start, count in (("train", 0, train), ("val", train, len(ids) - train)):
    assert f["splits"][name].attrs["start"] == start and f["splits"][name].attrs["count"] == count, name
assert json.loads(bytes(f["tokenizer/json"])) == {"format": "bm-tokenizer", "version": 1, "kind": "byte",
                                                  "vocab_size": 257, "eot_id": 256}
meta = json.loads(bytes(f["meta/json"]))
assert meta["source"] == ["a.txt", "b.txt"] and meta["licence"] is None, meta
PY

# The licence is kept as it was given.
expect 0 "$bm" data text a.txt -o licence.h5 --tokenizer byte --licence 'CC-BY-4.0 — “Ω”'
expect 0 "$bm" data info licence.h5
grep -qF 'licence CC-BY-4.0 — “Ω”' out || fail "data info shows no licence: $(cat out)"
expect 2 "$bm" data text a.txt -o bad.h5 --tokenizer byte --licence $'\xff'
says '--licence is not UTF-8'

# bpe:N counts bytes, merges and end-of-text; the ids join to the text again.
expect 0 "$bm" data text c.txt -o bpe.h5 --tokenizer bpe:300 --val-fraction 0 --json
/usr/bin/python3 - <<'PY'
import h5py, json, struct
report = json.load(open("out"))
f = h5py.File("bpe.h5")
ids = [int(i) for i in f["tokens/ids"]]
assert f["tokens"].attrs["vocab_size"] == 300 and f["tokens"].attrs["eot_id"] == 299 and ids[-1] == 299
words = struct.unpack("<%dI" % (256 + 2 * 43), bytes(f["tokenizer/blob"]))
text = [None] * 256
for b in range(256):
    text[words[b]] = bytes([b])
for k in range(43):
    text.append(text[words[256 + 2 * k]] + text[words[257 + 2 * k]])
assert b"".join(text[i] for i in ids[:-1]) == open("c.txt", "rb").read()
assert "val" not in f["splits"]
assert report["tokens"] == len(ids) and report["documents"] == 1 and report["val_tokens"] == 0, report
PY
expect 0 "$bm" data text - -o pipe.h5 --tokenizer bpe:300 --val-fraction 0 --json < <(cat c.txt)
grep -q "$(sed -n 's/.*"content_id": //p' out)" <("$bm" data text c.txt -o bpe.h5 --force --tokenizer bpe:300 --val-fraction 0 --json 2>/dev/null) ||
  fail "a pipe gives other tokens than the file"
expect 0 "$bm" data text a.txt -o as.h5 --tokenizer bpe.h5
expect 1 cmp bpe.h5 as.h5

# Bad input: the right code, one line, and no new file.
touch after
ls -A >before
expect 3 "$bm" data text a.txt -o byte.h5 --tokenizer byte
says 'byte.h5: exists already (--force replaces it)'
expect 2 "$bm" data text empty.txt -o no.h5 --tokenizer byte
says 'empty.txt: the text is empty'
expect 2 "$bm" data text a.txt empty.txt -o no.h5 --tokenizer bpe:260
says 'empty.txt: the text is empty'
expect 2 "$bm" data text - -o no.h5 --tokenizer byte </dev/null
says 'standard input: the text is empty'
expect 2 "$bm" data text - - -o no.h5 --tokenizer byte </dev/null
says 'only one of the texts'
expect 4 "$bm" data text none.txt -o no.h5 --tokenizer byte
says 'none.txt'
expect 4 "$bm" data text . -o no.h5 --tokenizer byte
says 'is a folder'
expect 4 "$bm" data text a.txt -o no/such/folder.h5 --tokenizer byte
expect 4 "$bm" data text a.txt -o no.h5 --tokenizer none.json
says 'none.json'
expect 1 "$bm" data text a.txt -o no.h5 --tokenizer c.txt
says 'c.txt: not a tokenizer'
expect 2 "$bm" data text a.txt -o no.h5 --tokenizer bpe:256
says 'expected 257'
expect 2 "$bm" data text a.txt -o no.h5 --tokenizer bpe:many
expect 2 "$bm" data text b.txt -o no.h5 --tokenizer bpe:300
says 'too small for a vocabulary of 300: it has pairs for 257'
for fraction in 1 -0.1 nan; do
  expect 2 "$bm" data text a.txt -o no.h5 --tokenizer byte --val-fraction $fraction
  says '--val-fraction'
done
expect 2 "$bm" data text a.txt --tokenizer byte
expect 2 "$bm" data text a.txt -o no.h5
expect 2 "$bm" data text -o no.h5 --tokenizer byte

# A signal in the middle: exit code 130 or 143, nothing left behind, the old file as it was.
cp byte.h5 kept.h5
for signal in INT TERM; do
  mkfifo fifo
  sh -c "trap - INT TERM; exec \"\$@\"" sh "$bm" data text fifo -o byte.h5 --force --tokenizer byte >out 2>err &
  pid=$!
  exec 7>fifo
  printf 'some text' >&7
  sleep 0.3
  kill -$signal $pid
  sleep 0.1
  printf 'more text' >&7
  exec 7>&-
  code=0
  wait $pid || code=$?
  rm fifo
  [[ $code == 130 || $code == 143 ]] || { cat err; fail "exit code $code after SIG$signal"; }
  [[ $signal == INT ]] || ((code == 143)) || fail "exit code $code after SIGTERM"
  cmp byte.h5 kept.h5 || fail "SIG$signal: the old file has changed"
done
rm kept.h5
ls -A >after
cmp before after || fail "left behind: $(diff before after)"
