# Writes a manual page for each command from its --help, and one for bmtool itself.
# usage: cmake -DBMTOOL=PATH -DDEF=commands.def -DOUT=FOLDER -DVERSION=X.Y.Z -P man.cmake
file(MAKE_DIRECTORY ${OUT})

# TEXT as roff that keeps its lines: no escapes, no line that begins with a control character.
function(quoted out text)
  string(REPLACE "\\" "\\e" text "${text}")
  string(REPLACE "-" "\\-" text "${text}")
  string(REGEX REPLACE "(^|\n)([.'])" "\\1\\\\&\\2" text "${text}")
  set(${out} "${text}" PARENT_SCOPE)
endfunction()

function(page title name summary text file)
  quoted(summary "${summary}")
  quoted(text "${text}")
  string(TOUPPER "${title}" upper)
  file(WRITE ${OUT}/${file}.1 ".TH \"${upper}\" 1 \"\" \"bm ${VERSION}\" \"bm\"\n.SH NAME\n${name} \\- ${summary}\n"
    ".SH DESCRIPTION\n.nf\n${text}.fi\n.SH SEE ALSO\n.BR bmtool (1)\n")
endfunction()

execute_process(COMMAND ${BMTOOL} --help OUTPUT_VARIABLE text RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "${BMTOOL} --help: ${failed}")
endif()
page(bmtool bmtool "big models on any OpenCL device, from the shell" "${text}" bmtool)

file(STRINGS ${DEF} lines REGEX "^BM_CMD\\(")
foreach(line IN LISTS lines)
  string(REGEX REPLACE "^BM_CMD\\((.*)\\)$" "\\1" id "${line}")
  # "data_text" is the command "data text".
  string(REPLACE "_" ";" words "${id}")
  execute_process(COMMAND ${BMTOOL} ${words} --help OUTPUT_VARIABLE text RESULT_VARIABLE failed)
  if(failed)
    message(FATAL_ERROR "${BMTOOL} ${id} --help: ${failed}")
  endif()
  string(REPLACE "_" "-" file "bmtool-${id}")
  string(REPLACE "_" " " name "bmtool ${id}")
  string(REGEX MATCH "^[^\n]*" first "${text}")
  string(REGEX REPLACE "^${name}: " "" summary "${first}")
  page("${file}" "${name}" "${summary}" "${text}" "${file}")
endforeach()
