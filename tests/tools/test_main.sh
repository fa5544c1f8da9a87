#!/usr/bin/env bash
# What holds for bmtool as a whole and for each of its commands.
set -euo pipefail
fail() { echo "$1"; exit 1; }
expect() { # CODE COMMAND...: its output lands in out and err
  local want=$1 code=0
  shift
  "$@" >out 2>err || code=$?
  ((code == want)) || { cat out err; fail "exit code $code, not $want: $*"; }
}

expect 0 "$BM_TEST_BMTOOL" --version
grep -qxE 'bmtool [0-9]+\.[0-9]+\.[0-9]+' out || fail "--version says: $(cat out)"
expect 0 "$BM_TEST_BMTOOL" --help
grep -q '^usage: bmtool COMMAND' out || fail "--help says no usage"
mapfile -t commands < <(sed -nE 's/^  ([a-z]+( [a-z0-9]+)?)  +.*/\1/p' out)
((${#commands[@]} == $(grep -c '^BM_CMD(' "$BM_TEST_SOURCE/tools/commands.def"))) || fail "--help does not list every command"
expect 2 "$BM_TEST_BMTOOL"
expect 2 "$BM_TEST_BMTOOL" --nothing
expect 2 "$BM_TEST_BMTOOL" nothing
grep -q '^bmtool: no command "nothing"' err || fail "an unknown command is not named"
[[ ! -s out ]] || fail "messages are on stdout"

# Every command: help with an example first, nearest option, no OpenCL library loaded for either.
for command in ${commands[@]+"${commands[@]}"}; do
  read -ra words <<<"$command"
  expect 0 "$BM_TEST_BMTOOL" "${words[@]}" --help
  [[ ! -s err ]] || fail "$command --help writes to stderr"
  sed -n 1p out | grep -qF "bmtool $command: " || fail "$command --help does not begin with its name"
  sed -n 2,4p out | grep -qF "bmtool $command" || fail "$command --help does not show an example first"
  ! grep -qE '.{121}' out || fail "$command --help is wider than 120 columns"
  expect 2 "$BM_TEST_BMTOOL" "${words[@]}" --hlep
  grep -qF 'did you mean --help?' err || fail "$command does not know the nearest option"
done

if [[ -e /dev/full ]]; then
  code=0
  "$BM_TEST_BMTOOL" --help >/dev/full 2>err || code=$?
  ((code == 4)) || fail "a full disk under stdout: exit code $code"
  grep -q 'standard output' err || fail "a full disk under stdout is not named"
fi
