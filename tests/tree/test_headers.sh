#!/usr/bin/env bash
# ctest: tree
# Every header that is installed compiles alone, as C11 and as C++17, without any macro of bm's own build, and its guard
# is BM_<PATH>_H; models/bm.h names them all. A planted bad one is refused.
set -euo pipefail
cd "$BM_TEST_SOURCE"
read -ra flags <<<"$(pkg-config --cflags hdf5 jansson)"
compile() { # ROOT LANGUAGE STANDARD COMPILER HEADER
  printf '#include "%s"\ntypedef int not_empty;\n' "$5" |
    "$4" -x "$2" "-std=$3" -fsyntax-only -Wall -Wextra -Wpedantic -Werror "${flags[@]}" -I"$1" -
}
check() { # ROOT HEADER
  local guard=BM_${2^^}
  guard=${guard//[\/.]/_}
  grep -q "^#ifndef $guard\$" "$1/$2" || { echo "$2: its guard is not $guard"; return 1; }
  compile "$1" c c11 "$BM_TEST_CC" "$2" && compile "$1" c++ c++17 "$BM_TEST_CXX" "$2"
}

mapfile -t headers < <(find core cl io models -name '*.h' ! -name '*_priv.h' | sort)
((${#headers[@]} > 10))
bad=0
for header in "${headers[@]}"; do
  check . "$header" || { echo "$header does not stand alone"; bad=1; }
done
for header in "${headers[@]}"; do
  [[ $header == models/bm.h ]] || grep -qxF "#include \"$header\"" models/bm.h ||
    { echo "$header is installed and models/bm.h does not name it"; bad=1; }
done
((bad == 0))

plant=$BM_TEST_FOLDER/plant
rm -rf "$plant"
mkdir -p "$plant/io"
refused() { # TEXT
  printf '#ifndef BM_IO_A_H\n#define BM_IO_A_H\n%s\n#endif\n' "$1" >"$plant/io/a.h"
  ! check "$plant" io/a.h >/dev/null 2>&1 || { echo "a bad header passed: $1"; exit 1; }
}
refused 'size_t f(void);'
refused 'int f(int class);'
printf '#ifndef A_H\n#define A_H\nint f(void);\n#endif\n' >"$plant/io/a.h"
! check "$plant" io/a.h >/dev/null 2>&1 || { echo "a bad guard passed"; exit 1; }
printf '#ifndef BM_IO_A_H\n#define BM_IO_A_H\nint f(void);\n#endif\n' >"$plant/io/a.h"
check "$plant" io/a.h
