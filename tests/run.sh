#!/bin/bash
# run.sh [OPTIONS of ctest]: installs what is missing, builds everything and runs all tests, with the preset
# QUERN_PRESET (release). Says at the end how many tests were skipped, and why.
source "$(dirname "$0")/../cmake/setup.sh"

# print_skips RESULTS: the reasons of the skipped tests in ctest's JUnit file, each with the number of tests and the groups
# that they belong to. A reason is what follows "Skipped" in the output of Google Test, or "SKIPPED:" in that of a script.
# Fails when a test gives none.
print_skips() {
  awk '
    function finish() {
      if (!skipped) return
      if (reason == "") reason = "no reason given"
      if (!(reason in count)) order[++reasons] = reason
      if (index(groups[reason] ", ", ", " group ", ") == 0) groups[reason] = groups[reason] ", " group
      ++count[reason]
      ++total
    }
    /<testcase / {
      group = $0
      sub(/.*<testcase name="/, "", group)
      sub(/[".].*/, "", group)
      skipped = 0
      reason = ""
      next_line = 0
    }
    /<skipped/ { skipped = 1 }
    next_line && reason == "" { reason = $0; next_line = 0 }
    /: Skipped$/ { next_line = 1 }
    /SKIPPED: / && reason == "" { reason = $0; sub(/.*SKIPPED: /, "", reason) }
    /<\/testcase>/ { finish() }
    END {
      printf "== skipped tests: %d\n", total
      for (i = 1; i <= reasons; ++i) {
        reason = order[i]
        text = reason
        gsub(/&quot;/, "\"", text)
        gsub(/&apos;/, "\047", text)
        gsub(/&lt;/, "<", text)
        gsub(/&gt;/, ">", text)
        gsub(/&amp;/, "\\&", text)
        printf "   %4d in %s: %s\n", count[reason], substr(groups[reason], 3), text
      }
      exit ("no reason given" in count)
    }' "$1"
}

if [[ ${1-} == --print-skips ]]; then  # for its test
  print_skips "$2"
  exit
fi
build all
say "running all tests"
preset=${QUERN_PRESET:-release}
results=$PWD/build/$preset/results.xml
status=0
ctest --preset "$preset" --parallel "$(nproc)" --progress --output-junit "$results" --test-output-size-passed 100000 "$@" || status=$?
if ! print_skips "$results"; then
  echo "error: a test is skipped without a reason" >&2
  ((status != 0)) || status=1
fi
exit $status
