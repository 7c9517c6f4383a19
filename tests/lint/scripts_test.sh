#!/bin/bash
# scripts_test.sh SOURCE_DIR: checks what story.sh, run.sh and setup.sh say and pass on, without installing or building.
set -euo pipefail
source_dir=$1
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
failures=0

# expect WHAT EXPECTED ACTUAL
expect() {
  [[ $2 == "$3" ]] && return
  printf 'FAILED: %s: expected "%s", found "%s"\n' "$1" "$2" "$3"
  failures=$((failures + 1))
}

mkdir -p "$room"/{examples,cmake,build/release/tools}
cp "$source_dir/examples/story.sh" "$room/examples"
# shellcheck disable=SC2016  # for the file
echo 'cd "$(dirname "${BASH_SOURCE[0]}")/.."; say() { echo "$*" >&2; }; build() { :; }' >"$room/cmake/setup.sh"
printf '#!/bin/bash\nprintf "<%%s>" "$@"\n' >"$room/build/release/tools/quern"
chmod +x "$room/build/release/tools/quern"
model='<-m><examples/models/tale-llama>' prompt='<-p><Once upon a time>'
story() { "$room/examples/story.sh" "$@" 2>/dev/null; }
expect "story.sh" "<run>$model$prompt" "$(story)"
expect "story.sh -n 5" "<run>$model$prompt<-n><5>" "$(story -n 5)"
expect "story.sh -m" "<run>$prompt<-m><x>" "$(story -m x)"
expect "story.sh --model=" "<run>$prompt<--model=x>" "$(story --model=x)"
expect "story.sh -p" "<run>$model<-p><two words>" "$(story -p "two words")"
expect "story.sh --input_text" "<run>$model<--input_text><x>" "$(story --input_text x)"
expect "story.sh -m -p" "<run><-p><x><-m><y>" "$(story -p x -m y)"
expect "story.sh says what it runs" "telling a story: build/release/tools/quern run -m examples/models/tale-llama -p a\ b" \
  "$("$room/examples/story.sh" -p "a b" 2>&1 >/dev/null)"

cat >"$room/results.xml" <<'END'
<testcase name="tools.A.b" classname="x" time="0" status="notrun">
	<skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
	<system-out>/x/y.cc:31: Skipped
no &quot;GPU&quot; &lt;here&gt; &amp; there

[  SKIPPED ] A.b
</system-out>
</testcase>
<testcase name="gpu.A.c" classname="x" time="0" status="notrun">
	<skipped message="SKIP_REGULAR_EXPRESSION_MATCHED"/>
	<system-out>/x/z.cc:3: Skipped
no &quot;GPU&quot; &lt;here&gt; &amp; there
</system-out>
</testcase>
<testcase name="install.package" classname="x" time="0" status="notrun">
	<skipped message="SKIP_RETURN_CODE=77"/>
	<system-out>SKIPPED: dpkg is not installed
</system-out>
</testcase>
<testcase name="base.ok" classname="x" time="0" status="run">
	<system-out>SKIPPED: only printed
</system-out>
</testcase>
END
expect "run.sh's skips" '== skipped tests: 3
      2 in tools, gpu: no "GPU" <here> & there
      1 in install: dpkg is not installed' "$("$source_dir/tests/run.sh" --print-skips "$room/results.xml" || echo failed)"
printf '%s\n' '<testcase name="bench.x" status="notrun">' '	<skipped message="SKIP_RETURN_CODE=77"/>' '</testcase>' >"$room/results.xml"
expect "a skip without a reason" '== skipped tests: 1
      1 in bench: no reason given
failed' "$("$source_dir/tests/run.sh" --print-skips "$room/results.xml" || echo failed)"

progress() { (source "$source_dir/cmake/setup.sh" && show_apt_progress); }
expect "apt's progress" "   packages downloaded: 2 of 4
   packages downloaded: 4 of 4
   packages unpacked: 1 of 4" "$(printf '%s\n' '0 upgraded, 4 newly installed, 0 to remove and 7 not upgraded.' 'Need to get 1 kB.' \
  'Get:1 a' 'Get:2 b' 'Get:3 c' 'Get:4 d' 'Get:5 d' 'Unpacking a (1) ...' | progress | sed '/downloaded: [13] /d')"
exit $((failures > 0))
