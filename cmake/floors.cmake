# quern_sources(RESULT ROOM ...): all .cc files of this folder and of the rooms, folders in it.
function(quern_sources result)
  set(patterns ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  foreach(room ${ARGN})
    list(APPEND patterns ${CMAKE_CURRENT_SOURCE_DIR}/${room}/*.cc)
  endforeach()
  file(GLOB sources CONFIGURE_DEPENDS ${patterns})
  set(${result} ${sources} PARENT_SCOPE)
endfunction()

# quern_unity(TARGET): the unity build of QUERN_UNITY, for sources whose names, also those of anonymous namespaces, differ. A
# source with compile options of its own is left out by CMake.
function(quern_unity target)
  set_target_properties(${target} PROPERTIES UNITY_BUILD ${QUERN_UNITY} UNITY_BUILD_BATCH_SIZE 16)
  if(QUERN_UNITY AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    # g++ takes the .cc files of a batch for headers, which several sources might include.
    target_compile_options(${target} PRIVATE $<$<COMPILE_LANGUAGE:CXX>:-Wno-subobject-linkage>)
  endif()
endfunction()

# quern_floor(NAME [APART] [SOURCES ...] [ROOMS ...] [FLOORS ...] [PACKAGES ...]): the static library quern_NAME from these
# files, without SOURCES from all .cc files of this folder and its ROOMS.
# FLOORS are the floors below that it may include and link; the linker holds its tests to them. One that stands APART is
# not part of libquern.
function(quern_floor name)
  cmake_parse_arguments(ARG "APART" "" "SOURCES;ROOMS;FLOORS;PACKAGES" ${ARGN})
  if(NOT ARG_SOURCES)
    quern_sources(ARG_SOURCES ${ARG_ROOMS})
  endif()
  add_library(quern_${name} STATIC ${ARG_SOURCES})
  quern_unity(quern_${name})
  target_include_directories(quern_${name} PUBLIC ${PROJECT_SOURCE_DIR}/include ${PROJECT_SOURCE_DIR}/src
                                                  ${PROJECT_BINARY_DIR}/generated)
  list(TRANSFORM ARG_FLOORS PREPEND quern_)
  target_link_libraries(quern_${name} PUBLIC ${ARG_FLOORS} ${ARG_PACKAGES})
  if(NOT ARG_APART)
    set_property(GLOBAL APPEND PROPERTY QUERN_FLOORS quern_${name})  # library.cmake makes libquern of them
  endif()
endfunction()

# quern_test(NAME [COMPUTES] [ROOMS ...] [FLOORS ...] [PACKAGES ...]): the test program NAME_test from the .cc files of this folder and
# its ROOMS, linked with those floors and what they may use, no others. Its tests are called NAME.Suite.Test and labelled NAME.
# COMPUTES: tests that compute much themselves; the others are compiled with -O1, in a third less time.
function(quern_test name)
  cmake_parse_arguments(ARG "COMPUTES" "" "ROOMS;FLOORS;PACKAGES" ${ARGN})
  quern_sources(sources ${ARG_ROOMS})
  add_executable(${name}_test ${sources})
  quern_unity(${name}_test)
  list(TRANSFORM ARG_FLOORS PREPEND quern_)
  target_include_directories(${name}_test PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_definitions(${name}_test PRIVATE QUERN_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  # g++ 12 warns falsely about "literal" + std::string (GCC bug 105651), which tests do at every turn.
  target_compile_options(${name}_test PRIVATE
    $<$<AND:$<CXX_COMPILER_ID:GNU>,$<VERSION_LESS:$<CXX_COMPILER_VERSION>,13>>:-Wno-restrict>)
  if(NOT ARG_COMPUTES)
    target_compile_options(${name}_test PRIVATE "$<$<AND:$<COMPILE_LANGUAGE:CXX>,$<CONFIG:Release>>:-O1>")
  endif()
  target_link_libraries(${name}_test PRIVATE ${ARG_FLOORS} ${ARG_PACKAGES} GTest::gtest_main)
  gtest_discover_tests(${name}_test TEST_PREFIX ${name}. NO_PRETTY_VALUES
                       PROPERTIES LABELS ${name} TIMEOUT 600 DISCOVERY_TIMEOUT 120)
endfunction()
