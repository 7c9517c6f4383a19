#!/bin/bash
# tidy_test.sh SOURCE_DIR: checks which files .ci/changed_files and .ci/lint_tidy choose in a made-up git repository. A
# program that notes the file it was given stands in for clang-tidy.
set -euo pipefail
source_dir=$1
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
repository=$room/repository
mkdir -p "$repository"/{.ci,src/io,tests,build/release} "$room/bin"
cp "$source_dir"/.ci/{changed_files,lint_tidy,single_commands} "$repository/.ci"
cd "$repository"
export HOME=$room GIT_CONFIG_NOSYSTEM=1  # no settings of the user
unset "${!GIT_DIR@}" "${!GIT_WORK_TREE@}" "${!GIT_INDEX_FILE@}"
git init -q .
git config user.name tester
git config user.email tester@example.com
failures=0

# commit HOURS: commits everything as if that many hours ago.
commit() {
  local date
  date="$(($(date +%s) - $1 * 3600)) +0000"
  git add -A
  GIT_COMMITTER_DATE=$date GIT_AUTHOR_DATE=$date git commit -q --allow-empty -m "$1 hours ago"
}

# expect WHAT EXPECTED ACTUAL
expect() {
  [[ $2 == "$3" ]] && return
  printf 'FAILED: %s: expected "%s", found "%s"\n' "$1" "$2" "$3"
  failures=$((failures + 1))
}
changed() { .ci/changed_files "$@" 2>"$room/stderr" | paste -sd ' '; }

# source_file FILE LINE...: writes FILE with these lines and enough others for git to recognise a rename.
source_file() { { printf '%s\n' "${@:2}"; seq -f "// %g of $1" 20; } >"$1"; }

echo build/ >.gitignore
source_file src/io/json.h '#pragma once'
source_file src/io/json.cc '#include "io/json.h"'
source_file src/io/inner.h '#pragma once'
source_file src/io/outer.h '#include "io/inner.h"'
source_file src/io/user.cc '#include "io/outer.h"'
source_file src/io/lonely.h '#pragma once'
source_file src/io/gone.cc
source_file src/io/old_name.cc
source_file src/io/old_edited.cc
source_file src/io/gpu.cc
source_file tests/json_test.cc '#include "io/json.h"'
commit 60
echo '// edited' >>src/io/user.cc
commit 30
expect "nothing newer than a day" "" "$(changed)"
git mv src/io/old_name.cc src/io/new_name.cc
git mv src/io/old_edited.cc src/io/new_edited.cc
echo '// edited' >>src/io/new_edited.cc
git rm -q src/io/gone.cc
commit 20
expect "a rename, a rename with an edit, a deletion" "src/io/new_edited.cc" "$(changed)"
echo '// edited' >>src/io/json.h
echo 'text' >notes.md
commit 10
echo '// edited' >>tests/json_test.cc
expect "newest first, uncommitted included" "tests/json_test.cc src/io/json.h src/io/new_edited.cc" "$(changed)"
expect "from another folder" "tests/json_test.cc src/io/json.h src/io/new_edited.cc" \
  "$(cd / && "$repository/.ci/changed_files" "$repository" | paste -sd ' ')"
git checkout -q tests/json_test.cc

git clone -q --depth 1 "file://$repository" "$room/shallow"
expect "a shallow clone: every file" "$(git ls-files '*.cc' '*.h' | sort | paste -sd ' ')" \
  "$(changed "$room/shallow" | tr ' ' '\n' | sort | paste -sd ' ')"
expect "a shallow clone: says so" "changed_files: no commit over a day old here: every file counts" "$(<"$room/stderr")"

# The stand-in for clang-tidy: notes its last argument, fails where that file has the word "finding".
cat >"$room/bin/clang-tidy-14" <<'END'
#!/bin/bash
echo "${!#}" >>"$TIDY_LOG"
echo "1234 warnings generated." >&2
! grep -H finding "${!#}"
END
chmod +x "$room/bin/clang-tidy-14"
export PATH=$room/bin:$PATH TIDY_LOG=$room/tidied
for file in src/io/{json,user,new_edited,new_name}.cc tests/json_test.cc; do
  printf '  "file": "%s",\n' "$PWD/$file"
done >build/release/compile_commands.json

# tidy ARGUMENT...: runs lint_tidy; sets output, status and checked, the files that it gave to clang-tidy.
tidy() {
  rm -f "$TIDY_LOG"
  touch "$TIDY_LOG"
  status=0
  output=$(.ci/lint_tidy "$@" 2>&1) || status=$?
  checked=$(sort "$TIDY_LOG" | paste -sd ' ')
}

tidy --changed build/release
expect "a changed header through its source" "src/io/json.cc src/io/new_edited.cc" "$checked"
expect "clean files" "0 lint_tidy: 2 files, through 2 sources" "$status $output"
tidy build/release src/io/inner.h
expect "a header through one that includes it" "src/io/user.cc" "$checked"
tidy build/release src/io/json.h tests/json_test.cc
expect "a header through a source that is checked anyway" "tests/json_test.cc" "$checked"
tidy build/release src/io/gpu.cc src/io/lonely.h
expect "files outside the build are not checked" "" "$checked"
expect "files outside the build are named" \
  "0 lint_tidy: not compiled in build/release, skipped: src/io/gpu.cc src/io/lonely.h" "$status ${output%%$'\n'*}"
echo '// finding' >>src/io/user.cc
tidy
expect "all sources by default" "src/io/json.cc src/io/new_edited.cc src/io/new_name.cc src/io/user.cc" "$checked"
expect "a finding fails" "1 src/io/user.cc:// finding" "$status ${output##*$'\n'}"
tidy --seconds 0 build/release src/io/json.cc
expect "no time, no file" "" "$checked"
expect "what was left out is named" "0 lint_tidy: left out after 0 s, 1 of 1: src/io/json.cc" "$status ${output##*$'\n'}"
tidy --seconds 60 build/release src/io/json.cc src/io/json.cc src/io/new_name.cc
expect "enough time, and a file given twice" "src/io/json.cc src/io/new_name.cc" "$checked"
tidy --seconds soon
expect "a bad number" '2 lint_tidy: --seconds needs a whole number, not "soon"' "$status $output"
tidy --sometimes
expect "an unknown option" "2 lint_tidy: unknown option --sometimes" "$status $output"
tidy build/debug
expect "no build" 2 "$status"

if command -v python3 >/dev/null; then
  mkdir -p build/unity/src/CMakeFiles/io.dir/Unity
  printf '#include "%s"\n' "$PWD"/src/io/{json,user}.cc >build/unity/src/CMakeFiles/io.dir/Unity/unity_0_cxx.cxx
  cat >build/unity/compile_commands.json <<END
[{"directory": "$PWD/build/unity", "command": "c++ -I$PWD -c src/CMakeFiles/io.dir/Unity/unity_0_cxx.cxx",
  "file": "src/CMakeFiles/io.dir/Unity/unity_0_cxx.cxx"},
 {"directory": "$PWD/build/unity", "command": "c++ -c $PWD/src/io/gpu.cc", "file": "$PWD/src/io/gpu.cc"}]
END
  tidy build/unity src/io/{gpu,json,new_name}.cc
  expect "a source in a unity batch" "src/io/gpu.cc src/io/json.cc" "$checked"
  expect "the command of a source in a batch" "\"command\": \"c++ -I$PWD -c $PWD/src/io/json.cc\"," \
    "$(grep -o '"command": .*json.cc",' build/unity/single/compile_commands.json)"
else
  echo "note: no python3 here: unity builds are not tried"
fi
exit $((failures > 0))
