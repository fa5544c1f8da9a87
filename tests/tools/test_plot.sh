#!/usr/bin/env bash
# bmtool plot: runs and checkpoints as text and as pictures, the table of confusion, what is refused. Without gnuplot the pictures are
# left out, and what is said then is tested in any case.
. "$BM_TEST_SOURCE/tests/cli/common.sh"
export LC_ALL=C

mkdir -p a/checkpoints b
awk 'BEGIN { for (n = 1; n <= 200; n++) printf "{\"step\": %d, \"loss\": %.6g, \"val_loss\": %s, \"lr\": %g, \"grad_norm\": 1, \"tokens\": %d, \
\"tokens_per_s\": 1000, \"ms\": 1, \"mfu\": null, \"mem_bytes\": 1}\n", n, 100 / n, n % 50 ? "null" : 100 / n + 1, 0.001 * n, n }' >a/metrics.jsonl
sed 's/"loss": /&2/' a/metrics.jsonl >b/metrics.jsonl
printf '{"step": 201, "lo' >>a/metrics.jsonl # a line being written

expect 0 "$bmtool" plot a --width 60
grep -q '^ *loss$' out && grep -q '^ *step$' out || fail "no labels of the axes: $(cat out)"
grep -q 'a training   B validation' out || fail "no legend: $(cat out)"
[[ $(sed -n 3p out) =~ ^[\ 0-9]*\|a$ ]] || fail "the first loss is not at the top: $(cat out)"
[[ $(wc -L <out) -le 60 ]] || fail "wider than asked for"
expect 0 "$bmtool" plot a b --what all --log
grep -q 'A a   B b   abc training   ABC validation' out || fail "no legend of two runs: $(cat out)"
(($(grep -c '^         +---' out) == 4)) || fail "not four panels"
LC_ALL=C.UTF-8 expect 0 "$bmtool" plot a
grep -q '⠤⠤ training   ● validation' out || fail "no braille in UTF-8"
LC_ALL=C.UTF-8 NO_COLOR=1 expect 0 "$bmtool" plot a
grep -q 'a training' out || fail "NO_COLOR is not heard"
expect 0 "$bmtool" plot a --line 30=goal --y-range 0:50
grep -q -- '- goal' out && ! grep -q '^     100 ' out || fail "neither line nor range: $(cat out)"

cat >eval.json <<'Y'
{"loss": 1, "confusion": [[9, 1, 0], [0, 8, 0], [2, 0, 0]], "classes": ["it's", "`touch gone`", "$(touch gone)"]}
Y
expect 0 "$bmtool" plot eval.json --confusion
grep -qF "\`touch gone\`          .             8             .  100.0 %" out || fail "the table: $(cat out)"
expect 0 "$bmtool" plot - --confusion <eval.json

expect 2 "$bmtool" plot a --what losses
says 'there is loss, lr'
expect 2 "$bmtool" plot a -o a.jpg
says 'FILE.png or FILE.svg'
expect 2 "$bmtool" plot a --filters
says '--filters needs -o FILE.png'
expect 2 "$bmtool" plot a --y-range 3:1
says 'A below B'
expect 4 "$bmtool" plot none
says 'none'
echo '{"step": "x"}' >bad.txt
mkdir bad && cp bad.txt bad/metrics.jsonl
expect 1 "$bmtool" plot bad
says 'bad/metrics.jsonl:1:'
expect 3 "$bmtool" plot bad.txt --confusion
says 'has no "confusion"'
expect 3 "$bmtool" plot a/metrics.jsonl --confusion
says 'not JSON'

# The remedy where there is no gnuplot, and nothing is left behind.
PATH=$PWD/none expect 4 "$bmtool" plot a -o a.png
says 'apt install gnuplot-nox'
[[ ! -e a.png ]] || fail "a picture without gnuplot"

if ! command -v gnuplot >/dev/null; then echo "no gnuplot: pictures are not tested"; exit 0; fi
expect 0 "$bmtool" plot a b --what all -o two.png --width 700 --height 500
[[ $(od -An -tx1 -j1 -N3 two.png | tr -d ' ') == 504e47 && $(od -An -tu1 -j16 -N8 two.png | tr -s ' ') == ' 0 0 2 188 0 0 1 244' ]] ||
  fail "two.png is no PNG of 700 x 500"
expect 3 "$bmtool" plot a b -o two.png
says 'force'
expect 0 "$bmtool" plot a -o a.svg --line "30=it's a \`goal\`"
for word in step loss training validation 'goal'; do grep -q "$word" a.svg || fail "$word is not in a.svg"; done
cp a.svg same.svg
expect 0 "$bmtool" plot a -o a.svg --force --line "30=it's a \`goal\`"
cmp -s a.svg same.svg || fail "the same run, another picture"
expect 0 "$bmtool" plot eval.json --confusion -o c.svg
grep -q 'it.*s' c.svg && grep -q 'taken for' c.svg || fail "no names in the confusion"
[[ ! -e gone ]] || fail "a name was run as a command"
[[ -z $(find . -name '*.tmp*') ]] || fail "something was left: $(find . -name '*.tmp*')"
