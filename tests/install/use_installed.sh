#!/bin/bash
# use_installed.sh shared|static: in a folder with prefix/ and examples/, makes examples/minimal.cc by CMake's
# find_package and by pkg-config, and so examples/c/stream.c. All must tell the story that the installed `quern run` tells.
# public_api.cc must work, and each header stand alone.
# Environment: CMAKE CXX CMAKE_GENERATOR
set -euo pipefail
kind=$1
prefix=$PWD/prefix
library=$(find "$prefix" -name 'libquern.*' -printf '%h\n' -quit)
model=examples/tale-llama
prompt="Once upon a time"

fail() {
  echo "FAILED: $*"
  exit 1
}

"$CMAKE" -S examples/downstream -B downstream -D CMAKE_PREFIX_PATH="$prefix" -D CMAKE_CXX_COMPILER="$CXX" \
  -D CMAKE_BUILD_TYPE=Release >cmake.log 2>&1 || fail "find_package: $(cat cmake.log)"
"$CMAKE" --build downstream >cmake.log 2>&1 || fail "downstream build: $(cat cmake.log)"

export PKG_CONFIG_LIBDIR=$library/pkgconfig  # and nothing else: users of the shared library have no other .pc files
static=$([[ $kind == static ]] && echo --static || true)
flags="$(pkg-config --variable=cxxflags quern) $(pkg-config --variable=rpath quern)"
"$CXX" examples/minimal.cc -o minimal $(pkg-config $static --cflags --libs quern) $flags \
  || fail "pkg-config $static --cflags --libs quern"

"$CXX" examples/public_api.cc -o public_api $(pkg-config $static --cflags --libs quern) $flags \
  || fail "public_api.cc does not compile and link"
./public_api $model || fail "public_api"

[[ ! -e $prefix/include/quern/compare.h ]] || fail "compare.h is installed without its library"
for header in "$prefix"/include/quern/*.h; do  # each stands alone, on the standard library
  printf '#include "quern/%s"\n' "${header##*/}" >alone.cc
  "$CXX" -std=c++20 -Wall -Werror -fsyntax-only -I"$prefix/include" alone.cc || fail "${header##*/} does not stand alone"
done

c_programs=()
if command -v cc >/dev/null; then
  c_programs=(c_downstream/stream ./stream)
  "$CMAKE" -S examples/c -B c_downstream -D CMAKE_PREFIX_PATH="$prefix" -D CMAKE_BUILD_TYPE=Release >cmake.log 2>&1 ||
    fail "find_package(COMPONENTS c): $(cat cmake.log)"
  "$CMAKE" --build c_downstream >cmake.log 2>&1 || fail "examples/c: $(cat cmake.log)"
  cc -std=c99 -Wall -Wextra -Wpedantic -Werror examples/c/stream.c -o stream $(pkg-config --cflags --libs quern_c) \
    $(pkg-config --variable=rpath quern_c) || fail "pkg-config --cflags --libs quern_c"
fi

expected=$("$prefix/bin/quern" run -m $model -p "$prompt" --greedy -n 64 --quiet)
[[ ${#expected} -gt 40 ]] || fail "the installed program printed only \"$expected\""
for program in "${c_programs[@]}"; do
  story=$($program $model "$prompt")
  [[ $story == "$expected" ]] || fail "$program printed \"$story\", quern run \"$expected\""
  linked=$(readelf --dynamic $program | grep 'NEEDED.*quern')
  [[ $linked == *'[libquern_c.so.'* && $linked != *'[libquern.so'* ]] || fail "$program is linked with $linked"
done
for program in downstream/minimal ./minimal; do
  story=$($program $model "$prompt")
  [[ $story == "$expected" ]] || fail "$program printed \"$story\", quern run \"$expected\""
  linked=$(readelf --dynamic $program | grep -c 'NEEDED.*\[libquern\.so' || true)
  [[ $linked == $([[ $kind == shared ]] && echo 1 || echo 0) ]] || fail "$program is not linked with the $kind library"
done

if [[ $kind == shared ]]; then
  names=$(readelf --dyn-syms --wide "$library/libquern.so" | awk 'NR > 4 && $7 != "UND" { print $8 }')
  foreign=$(grep -vE '^(_ZNK?5quern|_ZT[ISV]N5quern)' <<<"$names" || true)
  [[ -z $foreign ]] || fail "libquern.so exports names that are not quern's: $foreign"
  inner=$(grep -E '5quern6Engine4Impl|5quern9Scheduler' <<<"$names" || true)
  [[ -z $inner ]] || fail "libquern.so exports what is not public: $inner"
  [[ $(pkg-config --libs quern) != *fmt* ]] || fail "users of the shared library should not link fmt"
fi
echo "$kind: find_package, pkg-config and quern run tell the same story"
