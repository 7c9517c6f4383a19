#!/bin/bash
# man_page_test.sh PROGRAM: the man page that PROGRAM prints renders without warnings and has every command and option.
set -euo pipefail
program=$1
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"$program" describe --as man --date 2026-01-31 >"$room/quern.1"
failures=0
tried=''

# check RENDERER ARGUMENT...: fails when it warns.
check() {
  command -v "$1" >/dev/null || return 0
  tried="$tried $1"
  local warnings
  warnings=$("$@" 2>&1 >"$room/$1.txt") || warnings="status $?: $warnings"
  [[ $1 != mandoc || -n $warnings ]] || warnings=$(grep -E 'WARNING|ERROR|UNSUPP' "$room/mandoc.txt" || true)
  [[ -z $warnings ]] && return
  echo "FAILED: $*: $warnings"
  failures=$((failures + 1))
}
check mandoc -T lint -W warning "$room/quern.1"
check groff -man -ww -T utf8 -k "$room/quern.1"
if command -v man >/dev/null && command -v groff >/dev/null; then
  export MANROFFSEQ='' MANWIDTH=80 LC_ALL=C.UTF-8
  check man --warnings -l "$room/quern.1"
fi
if [[ -z $tried ]]; then
  echo "SKIPPED: none of man, groff and mandoc is installed"
  exit 77
fi

mapfile -t commands < <("$program" --help | awk '/^Commands:/ { on = 1; next } /^[^ ]/ { on = 0 } on && /^  [a-z]/ { print $1 }')
((${#commands[@]} > 8)) || { echo "FAILED: only ${#commands[@]} commands in quern --help"; failures=1; }
plain=$(sed 's/\\f.//g; s/\\-/-/g' "$room/quern.1")
for command in "${commands[@]}"; do
  grep -qxF ".SS quern $command" <<<"$plain" || { echo "FAILED: no section for $command"; failures=1; }
  while IFS= read -r option; do
    grep -qE -- "(^|, )$option( |,|$)" <<<"$plain" || { echo "FAILED: $command: $option is missing"; failures=1; }
  done < <("$program" "$command" --help | grep -oE '^ +(-., )? *--[a-z0-9-]+' | grep -oE -- '--[a-z0-9-]+')
done
echo "rendered by:$tried"
exit $((failures > 0))
