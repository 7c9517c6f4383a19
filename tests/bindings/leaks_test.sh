#!/bin/bash
# leaks_test.sh LIBRARY: the C examples under valgrind: no leak, no access to memory that is not theirs.
# Environment: SOURCE_DIR CC
set -euo pipefail
command -v valgrind >/dev/null || {
  echo "SKIPPED: valgrind is not installed"
  exit 77
}
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
# check EXAMPLE LIBRARY MODEL PROMPT STATUS
check() {
  "${CC:-cc}" -std=c99 -Wall -Wextra -Wpedantic -Werror -I"$SOURCE_DIR/include" "$SOURCE_DIR/examples/c/$1.c" -o "$room/$1" "$2" -Wl,-rpath,"${2%/*}"
  local status=0
  valgrind --quiet --leak-check=full --show-leak-kinds=all --errors-for-leak-kinds=all --error-exitcode=9 \
    "$room/$1" "$SOURCE_DIR/examples/models/$3" "$4" >"$room/out" 2>"$room/log" || status=$?
  if [[ $status != "$5" || ($status == 0 && ! -s $room/out) || -n $(grep '^==' "$room/log") ]]; then
    echo "FAILED: $1 ended with $status, expected $5: $(cat "$room/log")"
    exit 1
  fi
}
check chat "$1" tale-qwen2 "Tell me of a fox." 0
check stream "$1" no-such-model "Once" 1  # a load that fails
check chat "$1" tale-gpt2 "Once" 1        # a model without a chat template
