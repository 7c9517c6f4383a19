#!/bin/bash
# doc_commands_test.sh SOURCE_DIR: checks which commands of made-up documents .ci/doc_commands runs, and what it finds wrong.
# A script that prints its arguments stands in for quern.
set -euo pipefail
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
mkdir -p "$room"/{.ci,build/release/tools,tools/quality/accuracy}
cp "$1/.ci/doc_commands" "$room/.ci"
echo '{}' >"$room/tools/quality/accuracy/default_bounds.json"
cat >"$room/build/release/tools/quern" <<'END'
#!/bin/bash
[[ $1 != fail ]] || { echo "error: no luck" >&2; exit 1; }
[[ $1 != accuracy ]] || exit 3
echo "quern $*"
END
chmod +x "$room/build/release/tools/quern"
failures=0

# expect STATUS LAST_LINE TEXT LINE...: a document of these lines ends with that status and last line, and TEXT is printed.
expect() {
  local status=0 output
  printf '%s\n' "${@:4}" >"$room/a.md"
  output=$("$room/.ci/doc_commands" a.md 2>&1) || status=$?
  [[ $status == "$1" && ${output##*$'\n'} == "doc_commands: $2" && $output == *"$3"* ]] && return
  printf 'FAILED: %s: expected %s "%s" and "%s", found %s:\n%s\n' "${*:4}" "$1" "$2" "$3" "$status" "$output"
  failures=$((failures + 1))
}

expect 0 "1 run, 0 left out, 0 failed" "quern run -m examples/models/tale-gpt2" '```' 'quern run -m MODEL  # a comment' '```'
expect 0 "1 run, 0 left out, 0 failed" "quern run -m examples/models/tale-gpt2" '```' 'quern run -m FOLDER' '```'
expect 0 "0 run, 0 left out, 0 failed" "" '```json' '{"prompt": "a"}' '```'
expect 1 "1 run, 0 left out, 1 failed" "error: no luck" '```' 'quern fail' '```'
expect 1 "1 run, 0 left out, 1 failed" "not-there" '```sh' 'not-there' 'quern run' '```'
expect 0 "1 run, 0 left out, 0 failed" "" '```' 'quern accuracy -m MODEL' '```'
expect 0 "0 run, 0 left out, 0 failed" "" '```text' 'quern fail' '```' '```cpp' 'quern fail' '```'
expect 0 "0 run, 1 left out, 0 failed" "not run, needs a GPU" '```' 'quern run --device cuda' '```'
expect 0 "0 run, 1 left out, 0 failed" "not run, needs a download" '```' 'hf download a/b' '```'
expect 0 "0 run, 2 left out, 0 failed" "needs x.json, which was not made" '```' 'quern run --device cuda > x.json' 'cat x.json' '```'
expect 0 "0 run, 1 left out, 0 failed" "not run, takes a day" '<!-- not run: takes a day -->' '```' 'quern fail' '```'
expect 1 "1 run, 0 left out, 1 failed" "" '<!-- not run: another block -->' '' 'text' '' '```' 'quern fail' '```'
expect 0 "1 run, 0 left out, 0 failed" "" '```' 'for i in 1 2; do' '  quern run \' '    --x' 'done' '```'
expect 0 "2 run, 0 left out, 0 failed" "" '```' 'quern run > y.txt' 'grep -q "quern run" y.txt' '```'
expect 0 "1 run, 0 left out, 0 failed" "" '```' '$ quern run x' 'quern run   x' '```'
expect 1 "1 run, 0 left out, 1 failed" "the document shows" '```' '$ quern run x' 'quern run y' '```'
exit $((failures > 0))
