#!/bin/bash
# symbols_test.sh LIBRARY: libquern_c exports exactly the functions that include/quern/c declares, no C++ name and no symbol
# of a library that it contains; its soname has the ABI version of the header.
# Environment: SOURCE_DIR
set -euo pipefail
library=$1
declared=$(grep -hoE '\bquern_[a-z0-9_]+\(' <(sed -E ':a; s#/\*([^*]|\*[^/])*\*/##; ta; N; ba' "$SOURCE_DIR"/include/quern/c/*.h) |
  tr -d '(' | grep -v '^quern_updates_at$' | sort -u)
exported=$(nm --dynamic --defined-only "$library" | awk '{ print $3 }' | sort -u)
[[ $(wc -l <<<"$declared") -gt 40 ]] || { echo "FAILED: only these functions were found in the headers: $declared"; exit 1; }
if ! difference=$(diff <(echo "$declared") <(echo "$exported")); then
  echo "FAILED: < declared, > exported: $difference"
  exit 1
fi
abi=$(sed -nE 's/^#define QUERN_ABI_VERSION ([0-9]+)$/\1/p' "$SOURCE_DIR/include/quern/c/base.h")
soname=$(readelf --dynamic "$library" | sed -nE 's/.*SONAME.*\[(.*)\]/\1/p')
[[ $soname == "libquern_c.so.$abi" ]] || { echo "FAILED: soname $soname, expected libquern_c.so.$abi"; exit 1; }
echo "$(wc -l <<<"$exported") functions, $soname"
