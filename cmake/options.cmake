# What a build may choose, and the compiler settings that every floor shares.
option(BUILD_SHARED_LIBS "Install libquern as a shared library instead of a static one" ON)
option(QUERN_BUILD_TOOLS "Build the quern program" ${PROJECT_IS_TOP_LEVEL})
option(QUERN_BUILD_TESTS "Build the tests" ${PROJECT_IS_TOP_LEVEL})
option(QUERN_BUILD_BENCH "Build the benchmarks; needs Google Benchmark" OFF)
option(QUERN_LIBEDIT "Edit lines in quern chat with libedit, if it is found" ON)
option(QUERN_SERVER "Build quern serve, if Boost is found" ON)
option(QUERN_WERROR "Treat warnings as errors" OFF)
option(QUERN_FUZZ "Build the fuzz targets; needs clang" OFF)
set(QUERN_SANITIZE "" CACHE STRING "Sanitizers to build with, as for -fsanitize= (address,undefined or thread)")

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "Build type" FORCE)
endif()
if(QUERN_FUZZ AND NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "QUERN_FUZZ needs clang's libFuzzer: set CMAKE_CXX_COMPILER=clang++ (now ${CMAKE_CXX_COMPILER})")
endif()

# A unity build compiles several sources as one, which reads and instantiates the headers that they share once: over 40 %
# less CPU time for a first build. Not where single sources are compiled again and again: for a debugger, or through a compiler cache.
set(quern_unity_default OFF)
if(CMAKE_BUILD_TYPE STREQUAL "Release" AND NOT CMAKE_CXX_COMPILER_LAUNCHER AND NOT QUERN_SANITIZE)
  set(quern_unity_default ON)
endif()
option(QUERN_UNITY "Compile the sources of the library, the program and the tests in batches" ${quern_unity_default})

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_CXX_VISIBILITY_PRESET hidden)
set(CMAKE_VISIBILITY_INLINES_HIDDEN ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)

set(quern_compile_options -Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wno-sign-conversion
    # Errors and debuggers name files from the root of the project: no build leaks where it was made.
    -ffile-prefix-map=${PROJECT_SOURCE_DIR}/=)
if(QUERN_WERROR)
  list(APPEND quern_compile_options -Werror)
endif()
if(QUERN_SANITIZE)
  list(APPEND quern_compile_options -fsanitize=${QUERN_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=all)
  add_link_options(-fsanitize=${QUERN_SANITIZE})
  if(QUERN_SANITIZE MATCHES "thread" AND CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    list(APPEND quern_compile_options -Wno-tsan) # fences in Boost.Asio, which ThreadSanitizer does not model
  endif()
endif()
add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${quern_compile_options}>")
