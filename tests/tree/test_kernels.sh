#!/usr/bin/env bash
# ctest: tree
# Every kernel source, expanded, is valid OpenCL C 1.2 by itself, without doubles or `channel`, a word that FPGA compilers keep to
# themselves. A planted bad one is refused.
set -euo pipefail
check() { # FILE
  clang -x cl -cl-std=CL1.2 -target spir64 -fsyntax-only -Wall -Werror -Dchannel=0 -Xclang -cl-ext=-cl_khr_fp64 "$1"
}
export -f check
expanded() { find "$BM_TEST_BUILD" -path '*/cl_expanded/*.cl' "$@"; }
(($(expanded | wc -l) == $(find "$BM_TEST_SOURCE/cl" -name '*.cl' | wc -l))) || { echo "the build's kernels are old"; exit 1; }
expanded -print0 | xargs -0 -r -n1 -P2 bash -c "check \"\$0\" || { echo \"\$0 is not valid\"; exit 1; }"

refused() { # TEXT
  printf '%s\n' "$1" >plant.cl
  ! check plant.cl >/dev/null 2>&1 || { echo "a bad kernel passed: $1"; exit 1; }
}
refused 'kernel void f(global float *x) { x[0] = y; }'
refused 'kernel void f(global double *x) { x[0] = 1.0; }'
refused 'kernel void f(global float *x) { int unused; x[0] = 1.0f; }'
refused 'kernel void f(global int *x) { const int channel = 1; x[0] = channel; }'
printf 'kernel void f(global float *x, global half *h) { x[0] = vload_half(0, h); }\n' >plant.cl
check plant.cl
