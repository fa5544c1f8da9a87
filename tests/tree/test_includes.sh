#!/usr/bin/env bash
# ctest: tree
# Includes run one way (includes.awk says which). Planted wrong ones are found, so that the check is known to look.
set -euo pipefail
here=$BM_TEST_SOURCE/tests/tree

wrong_includes() { # ROOT
  (cd "$1" && find core cl io models tools tests -name '*.[ch]' -o -name '*.cl' -o -name '*.clh' | sort |
    xargs grep -HnE '^[[:space:]]*#[[:space:]]*include' | awk -f "$here/includes.awk")
}

found=$(wrong_includes "$BM_TEST_SOURCE")
[[ -z $found ]] || { printf 'wrong includes:\n%s\n' "$found"; exit 1; }

copy=$BM_TEST_FOLDER/copy
rm -rf "$copy"
mkdir -p "$copy"/{core/{base,device,graph},cl/ops,io/store,models,tools,tests}
plant() { # FILE INCLUDE
  printf '/* planted */\n  #  include "%s"\n' "$2" >"$copy/$1"
  found=$(wrong_includes "$copy")
  rm "$copy/$1"
  [[ $found == "$1:2: "*"$2"* ]] || { echo "not found: $1 including $2: $found"; exit 1; }
}
plant core/base/a.c core/device/device.h
plant core/base/a.h core/graph/graph.h
plant core/device/a.c core/graph/graph.h
plant core/graph/a.c cl/ops/ops.h
plant core/graph/a.c io/store/store.h
plant cl/ops/a.c io/store/store.h
plant cl/ops/a.c models/bm.h
plant io/store/a.c cl/ops/ops.h
plant io/store/a.c models/bm.h
plant models/a.c tools/out.h
plant models/a.c tests/lib/test.h
plant tools/a.c tests/lib/test.h
plant core/base/a.c status.h
plant core/base/a.c ../device/device.h
plant core/graph/a.h core/graph/plan_priv.h
plant cl/ops/a.cl ../lib/math.clh
plant cl/ops/a.clh io/store/store.h
printf '#include "core/base/status.h"\n#include <stdio.h>\n#include "cl/ops/ops.h"\n' >"$copy/models/a.c"
printf '#include "core/graph/plan_priv.h"\n' >"$copy/core/graph/a.c"
printf '#include "math.clh"\n' >"$copy/cl/ops/a.cl"
printf '#include "core/graph/scalars.h"\n#include "math.clh"\n' >"$copy/cl/ops/a.clh"
found=$(wrong_includes "$copy")
[[ -z $found ]] || { echo "right includes were taken for wrong ones: $found"; exit 1; }
