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
says_once 'model.family: gtp: expected gpt'
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
