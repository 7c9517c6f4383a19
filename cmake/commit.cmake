# cmake -D SOURCE_DIR=… -D OUTPUT=… -P commit.cmake: writes the header that names the commit of SOURCE_DIR, with
# "-dirty" when tracked files differ from it, or "unknown" where SOURCE_DIR is not the top of a git checkout.
set(ENV{GIT_OPTIONAL_LOCKS} 0)  # a build must not hold the index lock

# ask_git(RESULT ARGUMENT ...): what git answers, or an empty string when it cannot.
function(ask_git result)
  execute_process(COMMAND git -C ${SOURCE_DIR} ${ARGN} RESULT_VARIABLE status OUTPUT_VARIABLE answer
                  OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(NOT status EQUAL 0)
    set(answer "")
  endif()
  set(${result} "${answer}" PARENT_SCOPE)
endfunction()

set(commit unknown)
ask_git(top rev-parse --show-toplevel)
file(REAL_PATH ${SOURCE_DIR} source)
if(top STREQUAL source)
  ask_git(head rev-parse --short=12 HEAD)
  if(head)
    set(commit ${head})
    ask_git(changes status --porcelain --untracked-files=no)
    if(changes)
      string(APPEND commit -dirty)
    endif()
  endif()
endif()

set(header "#pragma once\n\nnamespace quern {\n\ninline constexpr char kCommit[] = \"${commit}\";\n\n}  // namespace quern\n")
file(CONFIGURE OUTPUT ${OUTPUT} CONTENT "${header}" @ONLY)
