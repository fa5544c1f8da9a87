# Sourced by the tests of bmtool as a user meets it: a scratch folder, a small data set, and words for what is expected.
set -euo pipefail
bmtool=$BM_TEST_BMTOOL
here=$BM_TEST_SOURCE/tests/cli
rm -rf work && mkdir work && cd work

fail() {
  echo "FAILED: $1"
  [[ -e err ]] && sed 's/^/  err: /' err | tail -n 20
  exit 1
}

expect() { # CODE COMMAND...: its output lands in out and err
  local want=$1 code=0
  shift
  "$@" >out 2>err || code=$?
  ((code == want)) || fail "exit code $code, not $want: $*"
}

says() { # WORDS: the last command said so, and did so on one line that bmtool signs
  grep -qiE -- "$1" err || fail "does not say \"$1\""
  grep -qE '^bmtool( [a-z]+)*: ' err || fail "no line begins with \"bmtool: \""
}

need_python() { # h5py of the system's Python, or the test is skipped
  python=/usr/bin/python3
  "$python" -c 'import h5py' 2>/dev/null || { echo "no python3-h5py: skipped"; exit 77; }
}

make_data() { # NAME.h5: some 200 KB of text that is there anyway
  cat "$BM_TEST_SOURCE"/core/*/*.c | head -c 200000 >text.txt
  expect 0 "$bmtool" data text text.txt -o "$1" --tokenizer byte
}

# A model of 120,000 parameters with dropout, evaluation, micro-batches and several checkpoints within 60 steps.
config() { # FILE DATA [LINE...]: lines of YAML for the section train
  local file=$1 data=$2
  shift 2
  {
    echo "model: {family: gpt, layers: 2, heads: 2, width: 64, context: 64, dropout: 0.1}"
    echo "data: {path: $data}"
    echo "train:"
    echo "  {steps: 60, batch: 8, micro_batch: 4, warmup: 10, eval_every: 20, eval_tokens: 4096, checkpoint_every: 7}"
  } >"$file"
  local set
  for set in "$@"; do sed -i "s/}\$/, $set}/; " "$file"; done
}

wait_for_step() { # RUN STEP PID: until metrics.jsonl has that many lines, or the process has gone
  while kill -0 "$3" 2>/dev/null; do
    [[ -e $1/metrics.jsonl ]] && (($(wc -l <"$1/metrics.jsonl") >= $2)) && return
    sleep 0.01
  done
}

stopped_midway() { # COMMAND...: SIGINT finds it held up by a pipe that is full, where it notes a file that it leaves out; it ends with 130
  local pid code=0 waits=0
  mkfifo held
  exec 7<>held 8<held
  dd if=/dev/zero of=held bs=4096 oflag=nonblock 2>/dev/null || true
  sh -c "trap - INT; exec \"\$@\"" sh "$@" >out 2>held 7>&- 8<&- &
  pid=$!
  until grep -qs pipe /proc/$pid/wchan || ((++waits == 50)); do sleep 0.1; done # 5 s where the system does not say
  kill -INT $pid
  exec 7>&-
  tr -d '\0' <&8 >err
  exec 8<&-
  rm held
  wait $pid || code=$?
  ((code == 130)) || fail "exit code $code after SIGINT"
}
