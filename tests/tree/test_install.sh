#!/usr/bin/env bash
# ctest: tree
# What is installed is enough: a project outside the tree finds it as a CMake package and by pkg-config, builds in C and
# runs. The library shows names that begin with bm_ only, and neither it nor bmtool is linked to OpenCL or CLBlast.
set -euo pipefail
prefix=$BM_TEST_FOLDER/prefix
rm -rf "$prefix" cmake pkg
cmake --install "$BM_TEST_BUILD" --prefix "$prefix" >/dev/null
find "$prefix" -name '*_priv.h' | grep . && { echo "a private header is installed"; exit 1; }
lib=$(dirname "$(find "$prefix" -name libbm.so)")

cp -r "$BM_TEST_SOURCE/tests/consumer" cmake
cmake -S cmake -B cmake/build -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_C_COMPILER="$BM_TEST_CC" >/dev/null
cmake --build cmake/build >/dev/null
cmake/build/consumer
readelf -d cmake/build/consumer | grep -q 'NEEDED.*libbm\.so\.0' || { echo "not linked by its SOVERSION"; exit 1; }

mkdir pkg
export PKG_CONFIG_PATH=$lib/pkgconfig
read -ra flags <<<"$(pkg-config --cflags --libs bm)"
"$BM_TEST_CC" -std=c11 -Wall -Wextra -Werror -o pkg/consumer "$BM_TEST_SOURCE/tests/consumer/main.c" "${flags[@]}"
LD_LIBRARY_PATH=$lib pkg/consumer
[[ $("$prefix/bin/bmtool" --version) == "bmtool $(pkg-config --modversion bm)" ]]

# Writing "not found" into a variable first: grep would end the pipe and hide a failing nm.
names=$(nm -D --defined-only "$lib/libbm.so")
other=$(awk '$3 !~ /^bm_/ && $2 != "A" {print $3}' <<<"$names")
[[ -z $other ]] || { printf 'names that are not of bm:\n%s\n' "$other"; exit 1; }
needed=$(readelf -d "$lib/libbm.so" "$prefix/bin/bmtool" | grep NEEDED)
! grep -iE 'opencl|clblast' <<<"$needed" || { echo "linked to what is opened at run time"; exit 1; }
