# Writes a C file with every kernel source, its `#include "x.clh"` lines expanded from ROOT/lib, and #line kept, so that
# compilers name the file and line that a person edits. A .clh that was expanded already in a source is left out. A name that
# begins with "core/" is a header that C shares: it is taken from beside ROOT.
#   cmake -DROOT=cl -DOUT=cl_sources.c -DEXPANDED=FOLDER -DFILES="ops/a.cl;gemm/b.cl" -P embed_cl.cmake
# Each expanded source is also left at EXPANDED/NAME.cl, for the syntax check.
cmake_policy(VERSION 3.22)

function(expand out_text name seen_name)
  set(seen ${${seen_name}})
  file(READ "${ROOT}/${name}" text)
  set(done "#line 1 \"${name}\"\n")
  set(line 1)
  while(text MATCHES "(^|\n)[ \t]*#[ \t]*include[ \t]+\"([^\"\n]+)\"[^\n]*\n")
    set(whole "${CMAKE_MATCH_0}")
    set(head "${CMAKE_MATCH_1}")
    set(header "lib/${CMAKE_MATCH_2}")
    string(REGEX REPLACE "^lib/core/" "../core/" header "${header}")
    string(FIND "${text}" "${whole}" at)
    string(LENGTH "${whole}" length)
    string(SUBSTRING "${text}" 0 ${at} before)
    math(EXPR at "${at} + ${length}")
    string(SUBSTRING "${text}" ${at} -1 text)
    string(APPEND before "${head}")
    string(REGEX REPLACE "[^\n]" "" newlines "${before}")
    string(LENGTH "${newlines}" newlines)
    math(EXPR line "${line} + ${newlines} + 1")
    string(APPEND done "${before}")
    if(NOT EXISTS "${ROOT}/${header}")
      message(FATAL_ERROR "${ROOT}/${name}: \"${header}\" is not there")
    endif()
    if(NOT header IN_LIST seen)
      list(APPEND seen "${header}")
      expand(inner "${header}" seen)
      string(APPEND done "${inner}")
    endif()
    string(APPEND done "#line ${line} \"${name}\"\n")
  endwhile()
  set(${out_text} "${done}${text}" PARENT_SCOPE)
  set(${seen_name} "${seen}" PARENT_SCOPE)
endfunction()

file(REMOVE_RECURSE "${EXPANDED}")
set(arrays "")
set(entries "")
set(n 0)
foreach(file IN LISTS FILES)
  set(headers "")
  expand(text "${file}" headers)
  if(text MATCHES "[^\t\n -~]")
    message(FATAL_ERROR "${ROOT}/${file}: kernels are plain ASCII")
  endif()
  file(WRITE "${EXPANDED}/${file}" "${text}")
  file(READ "${EXPANDED}/${file}" hex HEX)
  string(REGEX REPLACE "(................................................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  string(REGEX REPLACE "\\.cl$" "" name "${file}")
  string(APPEND arrays "static const char text_${n}[] = {\n${hex}0x00};\n")
  string(APPEND entries "    {\"${name}\", text_${n}},\n")
  math(EXPR n "${n} + 1")
endforeach()
file(WRITE "${OUT}" "/* Made from cl/ by tools/embed_cl.cmake. */
#include \"cl/sources.h\"

${arrays}
static const bm_source entries[] = {
${entries}    {NULL, NULL},
};

const bm_source_table bm_cl_sources = {entries, ${n}};
")
