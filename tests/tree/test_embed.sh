#!/usr/bin/env bash
# ctest: tree
# Embedding keeps every byte of a kernel, expands each header once, and compilers name the file and line that a person
# edits, before and after an include.
set -euo pipefail
fail() { echo "$1"; exit 1; }
root=$BM_TEST_FOLDER/root
rm -rf "$root" out.c expanded
mkdir -p "$root"/cl/{ops,lib} "$root"/core/graph
embed() { # FILES
  cmake -DROOT="$root/cl" -DOUT=out.c -DEXPANDED=expanded -DFILES="$1" -P "$BM_TEST_SOURCE/tools/embed_cl.cmake"
}

printf '#define ONE 1 // [ ; ] "quoted" \\ slash\n' >"$root/cl/lib/one.clh"
printf '#include "one.clh"\n#include "core/graph/shared.h"\nint two(void);\n' >"$root/cl/lib/two.clh"
printf '#define SHARED 7\n' >"$root/core/graph/shared.h"
cat >"$root/cl/ops/a.cl" <<'CL'
/* top; [x] ${y} @z@ */
#include "one.clh"
  #  include "two.clh" // twice
#define LONG(a) \
    a;
int three = ONE;
int four = unknown_a;
CL
printf 'kernel void b(global int *x) { x[0] = 1; }\n' >"$root/cl/ops/b.cl"
embed 'ops/a.cl;ops/b.cl'

count=$(grep -c 'define ONE' expanded/ops/a.cl)
((count == 1)) || fail "a header is expanded $count times"
grep -q 'define SHARED 7' expanded/ops/a.cl || fail "a header shared with C is not expanded"
! grep -q '#.*include' expanded/ops/a.cl || fail "an include is left"
cmp -s <(head -n 1 "$root/cl/ops/a.cl") <(sed -n 2p expanded/ops/a.cl) || fail "bytes are changed"
message=$(clang -x cl -cl-std=CL1.2 -target spir64 -fsyntax-only expanded/ops/a.cl 2>&1 || true)
grep -q '^ops/a.cl:7:.*unknown_a' <<<"$message" || fail "the place of an error is wrong: $message"

# The table in C holds exactly the expanded files, under their names.
cat >print.c <<'C'
#include <stdio.h>
#include <string.h>

#include "cl/sources.h"

int main(int argc, char **argv)
{
    for (size_t i = 0; i < bm_cl_sources.count && argc > 1; i++)
        if (strcmp(bm_cl_sources.entries[i].name, argv[1]) == 0) fputs(bm_cl_sources.entries[i].text, stdout);
    return bm_cl_sources.count != 2 || bm_cl_sources.entries[2].name != NULL;
}
C
"$BM_TEST_CC" -std=c11 -Wall -Wextra -Wpedantic -Werror -I"$BM_TEST_SOURCE" -o print print.c out.c
for name in ops/a ops/b; do
  ./print $name | cmp - expanded/$name.cl || fail "$name is not what it was"
done

embed 'ops/b.cl'
[[ ! -e expanded/ops/a.cl ]] || fail "a kernel that is gone is still expanded"
embed ''
grep -q '{entries, 0}' out.c || fail "no kernels at all are an error"
printf '#include "none.clh"\n' >"$root/cl/ops/c.cl"
! embed 'ops/c.cl' >said 2>&1 || fail "a missing header passes"
said=$(tr -s ' \n' ' ' <said) # CMake breaks its messages by their width
grep -qF 'ops/c.cl: "lib/none.clh" is not there' <<<"$said" || fail "a missing header is not named: $said"
printf 'int caf\xc3\xa9;\n' >"$root/cl/ops/c.cl"
! embed 'ops/c.cl' >said 2>&1 || fail "letters beyond ASCII pass"
