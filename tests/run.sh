#!/bin/bash
# run.sh [OPTIONS of ctest]: installs what is missing, builds everything and runs all tests, with the preset
# QUERN_PRESET (release).
source "$(dirname "$0")/../cmake/setup.sh"
build all
say "running all tests"
preset=${QUERN_PRESET:-release}
results=$PWD/build/$preset/results.xml
status=0
ctest --preset "$preset" --parallel "$(nproc)" --progress --output-junit "$results" "$@" || status=$?
say "skipped tests: $(grep -c '<skipped' "$results" || true)"
exit $status
