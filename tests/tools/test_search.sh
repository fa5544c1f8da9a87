#!/usr/bin/env bash
# bmtool search: a random search that is killed ends as one that was not, bit for bit; successive halving trains the best to the very
# weights that they have without it; trials that fail are told and do no harm; what is refused.
. "$BM_TEST_SOURCE/tests/cli/common.sh"

awk 'BEGIN { srand(3); print "a,b,y"; for (i = 0; i < 120; i++) { a = rand(); b = rand(); print a "," b "," (a + b > 1 ? "high" : "low") } }' >t.csv
expect 0 "$bmtool" data csv t.csv -o t.h5 --target y --val-fraction 0.25
cat >c.yaml <<'Y'
model: {family: mlp, widths: [8]}
data: {path: t.h5}
train: {steps: 240, batch: 16, checkpoint_every: 30, eval_every: 0, log_every: 10}
search:
  train.lr: [1e-4, 1e-1, log]
  model.activation: [relu, tanh]
  model.widths: [[4], [8, 8]]
Y
ids() { # STUDY TRIAL: what the trial's weights and state are
  "$bmtool" inspect "$1/$(printf 'trial-%04d' "$2")" --json | grep '"content_id"' | head -n 1
}
best_of() { sed -n 's/.*"best": \([0-9]*\),/\1/p' "$1"; }

# A whole study; its table, its JSON, its best.yaml.
expect 0 "$bmtool" search c.yaml --study whole --trials 3 --gemm tiled
cp out whole.txt
says 'best: trial'
says 'bmtool train whole/best.yaml'
[[ $(wc -l <out) == 4 ]] || fail "not a row for each trial: $(cat out)"
awk 'NR > 2 && $2 < last { exit 1 } NR > 1 { last = $2 }' out || fail "the table is not sorted: $(cat out)"
[[ $(wc -l <whole/trials.jsonl) == 3 ]] || fail "not three lines of trials.jsonl"
expect 0 "$bmtool" search --study whole --json
best=$(best_of out)
grep -q "^ *$best " <(sed -n 2p whole.txt) || fail "the best of JSON, $best, is not the first of the table"
grep -q '"accuracy": [0-9]' out || fail "no scores of the task in JSON"
grep -q "^  lr: $(sed -n "2s/ *$best *[0-9.e-]* *[0-9]* *\([0-9.]*\) .*/\1/p" whole.txt)$" whole/best.yaml ||
  fail "best.yaml has another lr: $(grep lr: whole/best.yaml), $(sed -n 2p whole.txt)"
! grep -q content_id whole/best.yaml || fail "best.yaml is pinned to its data"

# Killed in the middle of trials, at several times, and gone on with.
"$bmtool" search c.yaml --study killed --trials 3 --gemm tiled >out 2>err &
pid=$!
wait_for_step killed/trial-0001 4 $pid
kill -9 $pid
wait $pid 2>/dev/null || true
cp killed/study.json study.json
"$bmtool" search --study killed >out 2>err &
pid=$!
wait_for_step killed/trial-0002 7 $pid
kill -9 $pid
wait $pid 2>/dev/null || true
expect 0 "$bmtool" search c.yaml --study killed
cmp -s out whole.txt || fail "the killed study has another table: $(cat out)"
cmp -s killed/study.json study.json || fail "study.json has changed"
for trial in 1 2 3; do [[ $(ids killed $trial) == "$(ids whole $trial)" ]] || fail "trial $trial has other weights after a kill"; done

# Asked to stop: says how to go on.
"$bmtool" search c.yaml --study stopped --trials 1 --gemm tiled --set train.steps=100000 >out 2>err &
pid=$!
wait_for_step stopped/trial-0001 5 $pid
kill -TERM $pid
code=0
wait $pid || code=$?
((code == 143)) || fail "SIGTERM gives $code"
says 'go on with: bmtool search --study stopped'
[[ -n $(ls stopped/trial-0001/checkpoints) && ! -e stopped/trials.jsonl ]] || fail "no checkpoint of the trial, or it counts as ended"

# By thirds: 3 trials of 80 steps, 1 of all 240. What is trained to the end is what it is without halving.
expect 0 "$bmtool" search c.yaml --study thirds --trials 3 --gemm tiled --method halving
[[ $(grep -c '"rung": 0,.*"step": 80,' thirds/trials.jsonl) == 3 && $(grep -c '"rung": 1,.*"step": 240,' thirds/trials.jsonl) == 1 ]] ||
  fail "other steps: $(cat thirds/trials.jsonl)"
expect 0 "$bmtool" search --study thirds --json
best=$(best_of out)
[[ $(ids thirds "$best") == "$(ids whole "$best")" ]] || fail "trial $best has other weights by halving"
expect 1 "$bmtool" search --study thirds --trials 9
says 'its trials is 3, not 9'

# Trials that fail, beside one that does not.
sed '/activation/d; /train.lr/s/\[.*/[1e30, 1e-2, 1e30]/; /model.widths/s/\[.*/[[8], [16777216, 16777216]]/; s/steps: 240/steps: 20, optimizer: sgd/' c.yaml >f.yaml
expect 0 "$bmtool" search f.yaml --study f --trials 4 --gemm tiled --metric accuracy
grep -q 'failed .*the loss is' out && grep -q 'failed .*memory' out || fail "no reasons in the table: $(cat out)"
says 'trial [0-9]* failed: .*f/logs/trial-'
sed 's/1e30, 1e-2, 1e30/1e30/' f.yaml >g.yaml
expect 6 "$bmtool" search g.yaml --study g --trials 1 --gemm tiled
says 'no trial succeeded'

# A trial whose process is ended from outside, as where memory runs out, is one that failed.
"$bmtool" search c.yaml --study crashed --trials 1 --gemm tiled --set train.steps=1000000 >out 2>err &
pid=$!
wait_for_step crashed/trial-0001 2 $pid
kill -KILL $(cat /proc/$pid/task/$pid/children)
code=0
wait $pid || code=$?
((code == 6)) || fail "a crash gives $code"
says 'trial 1 failed: ended by signal 9'

# Another metric of what has been measured; it cannot be changed by looking.
expect 0 "$bmtool" search --study whole --metric accuracy --json
grep -q '"metric": "accuracy"' out && grep -q '"score": [01]\.\?[0-9]*,' out || fail "no accuracy: $(cat out)"
cp whole/study.json study.json
expect 0 "$bmtool" plot whole --trials
cmp -s whole/study.json study.json || fail "a look changed the study"
mkdir moved && cp -r whole moved/
sed -i 's|"folder": "[^"]*"|"folder": "/nowhere"|' moved/whole/study.json
expect 0 "$bmtool" plot moved/whole --trials
expect 4 "$bmtool" search --study moved/whole
says 'moved/whole/study.json: its "folder", .* is /nowhere, which is gone: move it back, or write'
sed -i "s|/nowhere|$PWD|" moved/whole/study.json
expect 0 "$bmtool" search --study moved/whole --trials 4
[[ $(wc -l <moved/whole/trials.jsonl) == 4 ]] || fail "a study whose folder is told again does not go on"

# Its picture.
LC_ALL=C expect 0 "$bmtool" plot whole --trials
(($(grep -c '+------' out) == 4)) || fail "not a panel for the trials and each key: $(cat out)"
grep -q 'relu' out && grep -q '\[8, 8\]' out || fail "no choices on the axes: $(cat out)"

expect 2 "$bmtool" plot whole
says 'is a study: --trials draws it'

# What is refused.
sed 's/1e-1, log/1e-1/' c.yaml >bad.yaml
expect 2 "$bmtool" search bad.yaml
says 'bad.yaml:5: search.train.lr: .1e-4, 1e-1.: say what they are'
grep -v '^  *[a-z]*\.' c.yaml | grep -v search >none.yaml
expect 2 "$bmtool" search none.yaml
says 'no section search'
sed 's/1e-1, log/2e-1, log/' c.yaml >other.yaml
expect 1 "$bmtool" search other.yaml --study whole
says 'another configuration than other.yaml'
expect 1 "$bmtool" search c.yaml --study whole --seed 2
says 'its seed is 1, not 2'
expect 2 "$bmtool" search c.yaml --metric acuracy
says 'did you mean accuracy?'
expect 2 "$bmtool" search
says 'CONFIG.yaml or --study is needed'
expect 4 "$bmtool" search --study nowhere
says 'there is no such study'
expect 3 "$bmtool" search c.yaml --study whole/trial-0001
says 'is no study'
[[ ! -e studies ]] || fail "a refused search left a folder"
expect 0 "$bmtool" train c.yaml --run run --gemm tiled --set train.steps=1
says 'section search is for'
