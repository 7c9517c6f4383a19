#!/bin/bash
# doxygen_test.sh SOURCES: Doxygen reads the public headers without a warning, and knows the functions of both APIs.
set -euo pipefail
command -v doxygen >/dev/null || {
  echo "SKIPPED: doxygen is not installed"
  exit 77
}
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
cd "$1"
make() {  # INPUT
  { cat docs/Doxyfile && echo "OUTPUT_DIRECTORY=$room" && echo "INPUT=$1"; } | doxygen -
}
make include/quern >"$room/log" 2>&1 || { echo "FAILED: $(cat "$room/log")"; exit 1; }
[[ ! -s $room/log ]] || { echo "FAILED: $(cat "$room/log")"; exit 1; }
for name in quern_engine_submit quern_tokenizer_encode submit find_model_folder; do
  grep -rqE "[^a-z_]$name[^a-z_]" "$room/api" || { echo "FAILED: the reference has no $name"; exit 1; }
done

mkdir "$room/wrong"
printf '/// \\param size: bytes\nint area(int width);\n' >"$room/wrong/a.h"
! make "$room/wrong" >/dev/null 2>&1 || { echo "FAILED: a parameter that does not exist passes"; exit 1; }
