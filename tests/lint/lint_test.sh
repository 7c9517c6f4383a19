#!/bin/bash
# lint_test.sh SOURCE_DIR: plants good and bad files in a fresh tree and checks what .ci's lints say of each, then runs
# doc_commands_test.sh and tidy_test.sh.
set -euo pipefail
lints=$1/.ci
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mkdir -p "$room"/{include/quern,cmake,.ci,kernels/common,bench,bindings,examples,tools} "$room"/src/{base,io,tokenizer,weights,graph,model,runtime,serve} \
  "$room"/src/backend/{cpu,cuda} "$room"/tests/{io,kernels,tools,backend/cuda}
failures=0

# expect good|bad LINT FILE LINE...: plants FILE with these lines in the otherwise clean tree.
expect() {
  local verdict=$1 lint=$2 file=$3 found=good output
  printf '%s\n' "${@:4}" >"$room/$file"
  output=$("$lints/$lint" "$room" 2>&1) || found=bad
  rm "$room/$file"
  if [[ $found != "$verdict" || ($verdict == bad && $output != *"$file"*) ]]; then
    echo "FAILED: $lint finds $file $found, expected $verdict: ${*:4:1}: $output"
    failures=$((failures + 1))
  fi
}

echo '#include "base/memory/tensor.h"' >"$room/src/base/tensor.cc"
good() { expect good lint_includes "$1" "#include $2"; }
bad() { expect bad lint_includes "$1" "#include $2"; }

good src/io/a.cc '"base/check.h"'
good src/io/a.cc '"quern/error.h"'
good src/io/a.cc '<fmt/format.h>'
bad src/io/a.cc '"weights/load.h"'
bad src/base/a.h '"io/json/json.h"'
bad src/tokenizer/a.cc '"weights/load.h"'
bad src/weights/a.cc '"tokenizer/bpe/bpe.h"'
good src/graph/a.cc '"weights/weight.h"'
bad src/graph/a.cc '"model/config/config.h"'
good src/model/a.cc '"graph/op.h"'
bad src/model/a.cc '"backend/backend.h"'
bad src/backend/a.cc '"model/config/config.h"'
bad src/backend/a.cc '"runtime/schedule/scheduler.h"'
good src/runtime/a.cc '"backend/cpu/cpu_backend.h"'
bad src/runtime/a.cc '"tools/quern/program.h"'
bad src/runtime/a.cc '"kernels/attention/attention.h"'
good src/serve/a.cc '"runtime/engine_serving.h"'
bad src/serve/a.cc '"tools/quern/program.h"'
bad src/runtime/a.cc '"serve/inbox.h"'
good tools/a.cc '"quern/engine.h"'
bad tools/a.cc '"runtime/schedule/scheduler.h"'
bad tools/a.cc '"base/error.h"'
mkdir -p "$room/bindings/c" "$room/include/quern/c"
good bindings/c/a.cc '"quern/engine.h"'
good bindings/c/a.cc '"bindings/c/failure.h"'
bad bindings/c/a.cc '"runtime/engine_access.h"'
good include/quern/c/a.h '<stddef.h>'
bad include/quern/c/a.h '<stdio.h>'
bad include/quern/a.h '<stddef.h>'
good tools/a.cc '"tools/quality/rouge/rouge.h"'
good tests/tools/a.cc '"tests/support/expect_error.h"'
bad tests/tools/a.cc '"io/json/json.h"'
bad examples/a.cc '"base/error.h"'
bad src/runtime/a.cc '"tools/quality/rouge/rouge.h"'
bad src/backend/cpu/a.cc '"backend/cuda/driver/device_query.h"'
bad src/backend/cpu/a.cc '"kernels/attention/attention.h"'
bad src/backend/cpu/a.cc '<cuda_runtime.h>'
good src/backend/cuda/a.cc '"kernels/attention/attention.h"'
good src/backend/cuda/a.cc '<cuda.h>'
good tests/kernels/a.cc '"kernels/attention/attention.h"'
bad tests/backend/a.cc '"kernels/attention/attention.h"'
good kernels/attention.cu '"kernels/attention/attention.h"'
good kernels/attention.cu '"kernels/common/launch.h"'
good kernels/attention.cu '"base/dtype.h"'
good kernels/attention.cu '<cuda_fp16.h>'
good kernels/decode.cu '"kernels/attention/attention.h"'  # the parameters that kernels share
bad kernels/attention.cu '"base/memory/tensor.h"'
bad include/quern/a.h '"base/memory/tensor.h"'
bad include/quern/a.h '<nlohmann/json.hpp>'
bad include/quern/a.h '<cuda.h>'
good include/quern/a.h '"quern/dtype.h"'
good include/quern/a.h '<string>'
good examples/a.cc '"quern/engine.h"'
bad examples/a.cc '"runtime/schedule/scheduler.h"'
good tests/io/a.cc '"tests/support/test_files.h"'
bad tests/io/a.cc '"graph/op.h"'
bad src/io/a.cc '"../graph/op.h"'
bad src/io/a.cc ' "graph/op.h"  // indented'

mapfile -t six_hundred < <(seq -f '// %g' 600)
expect good lint_length src/io/a.cc "${six_hundred[@]}"
expect bad lint_length src/io/a.cc "${six_hundred[@]}" "// one more"

if command -v python3 >/dev/null; then
  paragraph="A paragraph that is long enough to count as a block of documentation, because it says what holds in 12 of 40 cases, and why it does so."
  long=$(printf 'word %.0s' {1..33})
  expect good lint_docs a.md "# A" "" "$paragraph" "" "Another one."
  expect bad lint_docs a.md "$paragraph" "" "Between." "" "$paragraph"
  expect bad lint_docs a.md "$paragraph" "" "${paragraph/12/13}"  # numbers do not tell copies apart
  expect bad lint_docs a.md "# A" "" "## B" "" "text" "" "## B"
  expect good lint_docs CHANGELOG.md "### Added" "" "one" "" "### Added"
  expect bad lint_docs a.md "$long"
  expect good lint_docs a.md "| $long |"
  expect good lint_docs a.md '```' "$long" '```'
  expect good lint_docs a.md "[a link](https://example.com/$(printf 'x%.0s' {1..160}))"
  expect bad lint_docs a.md '```' code '```' "$long"
  echo '#!/bin/sh' >"$room/bench/a.sh"
  expect bad lint_docs a.md "Call \`bench/a.sh FILE\`."
  expect bad lint_docs a.md '```' "bench/a.sh" '```'
  chmod +x "$room/bench/a.sh"
  expect good lint_docs a.md "Call \`bench/a.sh FILE\`."
  rm "$room/bench/a.sh"
  bash "$1/tests/lint/doc_commands_test.sh" "$1" || failures=$((failures + 1))
else
  echo "note: no python3 here: the lints of documents are not tried"
fi

bash "$1/tests/lint/tidy_test.sh" "$1" || failures=$((failures + 1))
exit $((failures > 0))
