#!/bin/bash
# run.sh [OPTIONS of ctest]: installs what is missing, builds everything and runs all tests.
source "$(dirname "$0")/../cmake/setup.sh"
build all
say "running all tests"
results=$PWD/build/release/results.xml
status=0
ctest --preset release --parallel "$(nproc)" --progress --output-junit "$results" "$@" || status=$?
say "skipped tests: $(grep -c '<skipped' "$results" || true)"
exit $status
