#!/usr/bin/env bash
# bmtool plan: GPT-2's four models as published, counted by hand, without OpenCL; and what is refused.
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

cat >gpt2.yaml <<'Y'
model: {family: gpt, layers: 12, heads: 12, width: 768, context: 1024, vocab: 50257}
data: {path: none.h5}
train: {steps: 10, batch: 4, micro_batch: 4, eval_every: 0}
Y
plan() { # NAME OPTIONS...: the plan of gpt2.yaml into NAME.json
  local name=$1
  shift
  expect 0 "$bm" plan gpt2.yaml --no-data --memory 1T --json "$@"
  mv out "$name.json"
}
plan small --gflops 250
plan medium --set model.layers=24 --set model.heads=16 --set model.width=1024
plan large --set model.layers=36 --set model.heads=20 --set model.width=1280
plan xl --set model.layers=48 --set model.heads=25 --set model.width=1600
plan micro --set train.micro_batch=1
plan recompute --set train.recompute=true
plan clblast --gemm clblast
plan tiled --gemm tiled
plan gpu --device any-gpu
expect 0 "$bm" plan gpt2.yaml --no-data --memory 4G --json
mv out tight.json

/usr/bin/python3 - <<'PY'
import json
def plan(name):
    return json.load(open(name + ".json"))
# Parameters of the four models, the tied head counted once (the transformers library says the same of its own).
published = {"small": (12, 768, 124439808), "medium": (24, 1024, 354823168), "large": (36, 1280, 774030080),
             "xl": (48, 1600, 1557611200)}
for name, (layers, width, parameters) in published.items():
    p = plan(name)
    m = p["memory"]
    assert p["parameters"] == parameters, (name, p["parameters"])
    # Weights and gradients of 4 bytes, padding between them below a thousandth; AdamW keeps two numbers for each.
    assert 4 * parameters <= m["weights"] <= 4.004 * parameters, m
    assert m["gradients"] == m["weights"] and m["optimizer"] == 2 * m["weights"], m
    assert m["total"] == sum(m[k] for k in ("weights", "gradients", "optimizer", "temporaries", "inputs")), m
    assert p["snapshot_bytes"] == 3 * m["weights"] and p["tokens_per_step"] == 4096
    # Six operations for each weight and token but the positions, which are looked up (the head's weight is the embedding's),
    # and for attention 6 C for each pair of positions that the mask leaves, (T + 1) / 2 for each token, two products of it.
    pure = 4096 * (6 * (parameters - 1024 * width) + 6 * layers * width * 1025)
    assert pure <= p["flops_per_step"] <= 1.03 * pure, (name, p["flops_per_step"] / pure)
    # At least every weight is read twice forward and backward, and the update reads four numbers and writes three.
    assert p["bytes_per_step"] >= (2 + 7) * 4 * parameters
    assert p["fits"] and p["device_bytes"] == 1 << 40
small = plan("small")
# The logits of 4096 tokens and their gradient in one place are alive at once with the activations.
assert small["memory"]["temporaries"] > 4 * 4096 * 50257 and small["peak"]["bytes"] <= small["memory"]["temporaries"]
assert abs(small["least_s_per_step"] - small["flops_per_step"] / 250e9) < 1e-6 * small["least_s_per_step"]
assert plan("medium")["least_s_per_step"] is None
# A quarter of the windows at a time needs a quarter of the temporaries and a half at most, and the same arithmetic.
micro = plan("micro")
assert micro["memory"]["temporaries"] < 0.5 * small["memory"]["temporaries"]
assert abs(micro["flops_per_step"] / small["flops_per_step"] - 1) < 1e-3
assert plan("recompute")["memory"]["temporaries"] < 0.6 * small["memory"]["temporaries"]
for name in ("clblast", "tiled", "gpu"):
    p = plan(name)
    assert p["parameters"] == small["parameters"] and 0.9 < p["memory"]["total"] / small["memory"]["total"] < 1.2, (name, p)
assert not plan("tight")["fits"] and plan("tight")["memory"]["total"] > 4 << 30
PY

# The table says the same, and that it does not fit; no OpenCL library is loaded for it.
export LD_DEBUG=files LD_DEBUG_OUTPUT=$PWD/loaded
expect 0 "$bm" plan gpt2.yaml --no-data --memory 4G
unset LD_DEBUG LD_DEBUG_OUTPUT
grep -q '^124.4 M parameters, 4,096 tokens a step' out && grep -q 'DOES NOT FIT' out || { cat out; fail "the table"; }
grep -qF bmtool loaded.* || fail "the loader reports nothing"
if grep -qE 'libOpenCL|libclblast' loaded.*; then fail "OpenCL was loaded"; fi

expect 2 "$bm" plan gpt2.yaml --no-data --memory 12Q
says '--memory 12Q'
expect 2 "$bm" plan gpt2.yaml --no-data --gemm fast
says 'packed'
expect 2 "$bm" plan gpt2.yaml --no-data --set model.vocab=null
says 'model.vocab'
expect 4 "$bm" plan gpt2.yaml
says 'none.h5'
# A tensor that no buffer of the device can hold is named: what and where to change.
expect 5 "$bm" plan gpt2.yaml --no-data --memory 100M
says 'token/weight needs 147.2 MiB of memory in one piece'
