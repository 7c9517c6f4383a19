# cmake -D SOURCE_DIR=… -D FOLDER=… -P uninstall_test.cmake: with a made-up build folder and prefix in FOLDER.
cmake_minimum_required(VERSION 3.22)

# uninstall(STATUS OUTPUT [VARIABLE=VALUE]): runs uninstall.cmake on the made-up build.
function(uninstall status output)
  execute_process(COMMAND ${CMAKE_COMMAND} -E env ${ARGN} ${CMAKE_COMMAND} -D BINARY_DIR=${FOLDER}/build
                          -P ${SOURCE_DIR}/cmake/uninstall.cmake
                  RESULT_VARIABLE result OUTPUT_VARIABLE text ERROR_VARIABLE text)
  string(REGEX REPLACE "[ \n]+" " " text "${text}")  # CMake breaks the lines of a message
  set(${status} ${result} PARENT_SCOPE)
  set(${output} "${text}" PARENT_SCOPE)
endfunction()

# expect(CONDITION...): fails unless if(CONDITION...).
macro(expect)
  if(${ARGN})
  else()
    message(SEND_ERROR "expected: ${ARGN}\n${output}")
  endif()
endmacro()

function(fill prefix)
  file(WRITE ${prefix}/include/quern/engine.h "")
  file(WRITE ${prefix}/bin/quern "")
  file(WRITE ${prefix}/lib/libquern.so.0.1.0 "")
  file(CREATE_LINK libquern.so.0.1.0 ${prefix}/lib/libquern.so SYMBOLIC)
  file(WRITE ${prefix}/lib/other.so "")
  file(WRITE ${prefix}/share/doc/quern/notes "")
endfunction()

file(REMOVE_RECURSE ${FOLDER})
file(MAKE_DIRECTORY ${FOLDER}/build)
uninstall(status output)
expect(NOT status EQUAL 0)
expect(output MATCHES "has no install_manifest.txt")

set(files include/quern/engine.h bin/quern lib/libquern.so.0.1.0 lib/libquern.so share/doc/quern/README.md)
list(TRANSFORM files PREPEND ${FOLDER}/prefix/)
list(JOIN files "\n" lines)
foreach(destdir "" ${FOLDER}/staging)
  fill(${destdir}${FOLDER}/prefix)
  file(WRITE ${FOLDER}/build/install_manifest.txt "${lines}")  # as CMake writes it: no newline at the end
  uninstall(status output DESTDIR=${destdir})
  expect(status EQUAL 0)
  expect(output MATCHES "not there: [^\n]*README.md")
  expect(output MATCHES "4 files removed")
  file(GLOB_RECURSE rest LIST_DIRECTORIES false RELATIVE ${destdir}${FOLDER}/prefix ${destdir}${FOLDER}/prefix/*)
  list(JOIN rest " " rest)
  expect(rest STREQUAL "lib/other.so share/doc/quern/notes")
  expect(NOT EXISTS ${destdir}${FOLDER}/prefix/include/quern)
  expect(NOT IS_SYMLINK ${destdir}${FOLDER}/prefix/lib/libquern.so)
  expect(NOT EXISTS ${FOLDER}/build/install_manifest.txt)
endforeach()
