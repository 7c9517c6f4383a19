#!/bin/bash
# run.sh [SECONDS]: builds every fuzz target of tests/fuzz (preset fuzz) and runs each for SECONDS (60), from the inputs of
# corpus/NAME and with dictionaries/NAME.dict. What it finds stays in build/fuzz/corpus/TARGET; an input that fails is written
# to build/fuzz/failures. With QUERN_FUZZ_PCRE2=1 PCRE2 is built from source with instrumentation too (pcre2.sh).
seconds=${1:-60}
export QUERN_PRESET=fuzz
export QUERN_CMAKE_OPTIONS="-D QUERN_CUDA=OFF ${QUERN_CMAKE_OPTIONS-}"
source "$(dirname "$0")/../../cmake/setup.sh"
[[ $seconds =~ ^[1-9][0-9]*$ ]] || stop "expected a number of seconds, not \"$seconds\""
# Debian has the runtime libraries of the sanitizers in a package of their own; older Ubuntu has them in clang's.
command -v clang++ >/dev/null || install_packages clang
[[ -n $(find "$(clang++ -print-resource-dir)" -name 'libclang_rt.fuzzer-*.a' -o -name 'libclang_rt.fuzzer.a') ]] ||
  install_packages "libclang-rt-$(clang++ -dumpversion | cut -d . -f 1)-dev"
if [[ -n ${QUERN_FUZZ_PCRE2-} ]]; then
  tests/fuzz/pcre2.sh
  export PKG_CONFIG_PATH=$PWD/build/fuzz/pcre2/lib/pkgconfig
fi

targets=()
for file in tests/fuzz/*_fuzz.cc; do targets+=("$(basename "$file" .cc)"); done
build "${targets[@]}"
mkdir -p build/fuzz/failures
failed=()
for target in "${targets[@]}"; do
  say "fuzzing $target for $seconds s"
  name=${target%_fuzz}
  mkdir -p "build/fuzz/corpus/$target"
  options=()
  [[ ! -f tests/fuzz/dictionaries/$name.dict ]] || options+=("-dict=tests/fuzz/dictionaries/$name.dict")
  build/fuzz/tests/fuzz/"$target" -max_total_time="$seconds" -print_final_stats=1 -verbosity=0 \
    -timeout=10 -rss_limit_mb=2048 -artifact_prefix="build/fuzz/failures/$target-" "${options[@]}" \
    "build/fuzz/corpus/$target" $([[ ! -d tests/fuzz/corpus/$name ]] || echo "tests/fuzz/corpus/$name") || failed+=("$target")
done
((${#failed[@]} == 0)) || stop "found by fuzzing: ${failed[*]}; inputs in build/fuzz/failures"
