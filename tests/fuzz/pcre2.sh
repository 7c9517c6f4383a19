#!/bin/bash
# pcre2.sh [FOLDER]: builds the distribution's own PCRE2 source with clang, AddressSanitizer and libFuzzer's coverage, as a static
# library under FOLDER (build/fuzz/pcre2). run.sh links it when QUERN_FUZZ_PCRE2=1, so that a pattern of a checkpoint is
# followed into the library that runs it. Its just-in-time compiler is off: the code that it makes has no instrumentation.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(realpath -m "${1:-build/fuzz/pcre2}")
[[ ! -f $folder/lib/libpcre2-8.a ]] || exit 0
mkdir -p "$folder/source" "$folder/lists/partial"
cd "$folder/source"
# The machine's own list of packages is left alone: its sources are looked up through a list of this folder.
if [[ -f /etc/apt/sources.list.d/debian.sources || -f /etc/apt/sources.list.d/ubuntu.sources ]]; then
  sed 's/^Types:.*/Types: deb-src/' /etc/apt/sources.list.d/{debian,ubuntu}.sources 2>/dev/null >"$folder/src.sources" || true
else
  sed -n 's/^deb /deb-src /p' /etc/apt/sources.list >"$folder/src.list"
fi
list=$(ls "$folder"/src.*)
options=(-qq -o "Dir::Etc::sourcelist=$list" -o Dir::Etc::sourceparts=- -o "Dir::State::lists=$folder/lists" -o APT::Sandbox::User=)
apt-get "${options[@]}" update
apt-get "${options[@]}" source --download-only --tar-only pcre2 ||
  apt-get "${options[@]}" source --download-only --tar-only "pcre2/$(source /etc/os-release && echo "$VERSION_CODENAME")"
tar -xf pcre2_*.orig.tar.* --strip-components=1
cmake -S . -B "$folder/build" -G Ninja -D CMAKE_BUILD_TYPE=Debug -D CMAKE_C_COMPILER=clang \
  -D "CMAKE_C_FLAGS_DEBUG=-O1 -g -fsanitize=address,fuzzer-no-link" -D CMAKE_INSTALL_PREFIX="$folder" -D CMAKE_INSTALL_LIBDIR=lib \
  -D BUILD_SHARED_LIBS=OFF -D PCRE2_BUILD_PCRE2GREP=OFF -D PCRE2_BUILD_TESTS=OFF -D PCRE2_SUPPORT_JIT=OFF >"$folder/log"
cmake --build "$folder/build" >>"$folder/log"
cmake --install "$folder/build" >>"$folder/log"
