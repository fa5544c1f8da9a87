#!/usr/bin/env bash
# ctest: long
# A run that is killed at random steps and resumed ends as one that never stopped: weights, optimizer state and metrics, bit for
# bit. A run that is asked to stop saves what it has, says how to go on, and does so exactly.
. "$BM_TEST_SOURCE/tests/cli/common.sh"
need_python
RANDOM=${BM_TEST_SEED:-$$}
echo "random seed ${BM_TEST_SEED:-$$} (BM_TEST_SEED)"
make_data data.h5
config c.yaml data.h5

expect 0 "$bmtool" train c.yaml --run whole
[[ $(wc -l <whole/metrics.jsonl) == 60 ]] || fail "60 steps give $(wc -l <whole/metrics.jsonl) lines"
expect 0 "$bmtool" train c.yaml --run again
expect 0 "$python" "$here/same_run.py" whole again

# Killed before the first checkpoint, between checkpoints, twice in a row.
for round in 1 2 3; do
  run=killed$round
  "$bmtool" train c.yaml --run "$run" >out 2>err &
  pid=$!
  at=$((round == 1 ? 2 : 1 + RANDOM % 45))
  wait_for_step "$run" "$at" "$pid"
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  for again in 1 2; do
    [[ -e $run/metrics.jsonl ]] || fail "the run was killed before it had a folder"
    before=$(wc -l <"$run/metrics.jsonl")
    echo "$run: killed with $before lines of metrics, $(ls "$run/checkpoints" | wc -l) checkpoints"
    if ((again == 2)); then break; fi
    "$bmtool" resume "$run" >out 2>err &
    pid=$!
    wait_for_step "$run" $((before + 1 + RANDOM % 10)) "$pid"
    kill -9 "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  expect 0 "$bmtool" resume "$run"
  expect 0 "$python" "$here/same_run.py" whole "$run"
  cat out
  [[ -z $(find "$run" -name '.*' -o -name '*tmp*' | grep -v '^\.$' || true) ]] || fail "something was left: $(find "$run")"
  expect 0 "$bmtool" verify "$run"
done

# In bf16 too: the layers' copies of the weights are in no checkpoint.
expect 0 "$bmtool" train c.yaml --run half --set train.dtype=bf16
"$bmtool" train c.yaml --run killedhalf --set train.dtype=bf16 >out 2>err &
pid=$!
wait_for_step killedhalf $((10 + RANDOM % 40)) "$pid"
kill -9 "$pid" 2>/dev/null || true
wait "$pid" 2>/dev/null || true
expect 0 "$bmtool" resume killedhalf
expect 0 "$python" "$here/same_run.py" half killedhalf
code=0
"$python" "$here/same_run.py" whole half >out 2>err || code=$?
((code == 1)) || fail "bf16 is the same as f32"

# With an optimizer that keeps no state, and with one that keeps three.
for sets in optimizer=sgd "optimizer=rmsprop centered=true momentum=0.5"; do
  read -ra keys <<<"$sets"
  rm -rf other killedother
  expect 0 "$bmtool" train c.yaml --run other "${keys[@]/#/--set=train.}"
  "$bmtool" train c.yaml --run killedother "${keys[@]/#/--set=train.}" >out 2>err &
  pid=$!
  wait_for_step killedother $((10 + RANDOM % 40)) "$pid"
  kill -9 "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
  expect 0 "$bmtool" resume killedother
  expect 0 "$python" "$here/same_run.py" other killedother
done

# Killed, then the newest checkpoint damaged: the one before it is taken.
cp -r killed2 damaged
newest=$(ls damaged/checkpoints/*.h5 | tail -n 1)
printf 'x' | dd of="$newest" bs=1 seek=$(($(stat -c %s "$newest") / 2)) conv=notrunc status=none
expect 0 "$bmtool" resume damaged
grep -qi 'damaged\|not sound\|sound' err || fail "the damage is not told"
expect 0 "$python" "$here/same_run.py" whole damaged

for signal in INT TERM; do
  run=stopped$signal
  "$bmtool" train c.yaml --run "$run" >out 2>err &
  pid=$!
  wait_for_step "$run" 12 "$pid"
  kill -"$signal" "$pid"
  code=0
  wait "$pid" || code=$?
  [[ $signal$code == INT130 || $signal$code == TERM143 ]] || fail "SIG$signal gives $code"
  command=$(grep -oE 'bmtool resume .*' err | tail -n 1)
  [[ -n $command ]] || fail "SIG$signal: the resume command is not told"
  step=$(wc -l <"$run/metrics.jsonl")
  [[ -e $run/checkpoints/$(printf 'step-%08d.h5' "$step") ]] || fail "SIG$signal at step $step left no checkpoint of it: $(ls "$run/checkpoints")"
  ((step < 60)) || fail "SIG$signal came too late"
  read -ra words <<<"$command"
  expect 0 "$bmtool" "${words[@]:1}"
  expect 0 "$python" "$here/same_run.py" whole "$run"
  cat out
done

# A run that is over says so, and may be made longer.
expect 0 "$bmtool" resume whole
grep -q 'train.steps' err || fail "a finished run does not say how to go on"
expect 0 "$bmtool" resume whole --set train.steps=63
[[ $(wc -l <whole/metrics.jsonl) == 63 ]] || fail "not 63 steps"
