#!/bin/bash
# package_test.sh: makes the .deb and the .tar.gz of the build and runs the program from both, unpacked. The .deb depends on
# the packages of the libraries that the program links, and nothing in it names the sources or the build.
# Environment: SOURCE_DIR BUILD_DIR CPACK CONFIG
set -euo pipefail
for program in dpkg-deb dpkg-shlibdeps file; do
  command -v $program >/dev/null || {
    echo "SKIPPED: $program is not installed (Debian's dpkg-dev and file)"
    exit 77
  }
done
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
fail() {
  echo "FAILED: $*"
  exit 1
}

"$CPACK" --config "$BUILD_DIR/CPackConfig.cmake" -C "$CONFIG" -B "$room" >"$room/cpack.log" 2>&1 || fail "$(cat "$room/cpack.log")"
debs=("$room"/quern_*.deb) archives=("$room"/quern-*.tar.gz)
[[ ${#debs[@]} == 1 && -f ${debs[0]} && ${#archives[@]} == 1 && -f ${archives[0]} ]] || fail "not one .deb and one .tar.gz: $(ls "$room")"

depends=$(dpkg-deb -f "${debs[0]}" Depends)
for library in libc6 libstdc++6 libfmt libpcre2-8; do
  [[ $depends == *$library* ]] || fail "the .deb does not depend on $library: $depends"
done
dpkg-deb -x "${debs[0]}" "$room/deb"
mkdir "$room/tar"
tar -xzf "${archives[0]}" -C "$room/tar" --strip-components=1
expected=$("$BUILD_DIR/tools/quern" run -m "$SOURCE_DIR/examples/models/tale-gpt2" -p "The king" --greedy -n 20 --quiet)
for root in "$room/deb/usr" "$room/tar"; do
  for file in bin/quern include/quern/engine.h share/man/man1/quern.1 share/bash-completion/completions/quern \
    share/zsh/vendor-completions/_quern share/fish/vendor_completions.d/quern.fish share/doc/quern/LICENSE; do
    [[ -s $root/$file ]] || fail "$file is missing in ${root##"$room"/}"
  done
  [[ -n $(find "$root" -name libquern.so -o -name libquern.a) ]] || fail "no library in ${root##"$room"/}"
  text=$("$root/bin/quern" run -m "$SOURCE_DIR/examples/models/tale-gpt2" -p "The king" --greedy -n 20 --quiet)
  [[ $text == "$expected" ]] || fail "${root##"$room"/}/bin/quern printed \"$text\", expected \"$expected\""
  if named=$(grep -rlF -e "$SOURCE_DIR" -e "$BUILD_DIR" "$root"); then fail "files name the sources or the build: $named"; fi
done
[[ -n $(dpkg-deb --ctrl-tarfile "${debs[0]}" | tar -tf - | grep -E 'triggers|shlibs') || ! -e $room/deb/usr/lib/libquern.so ]] ||
  fail "a shared library, but no trigger for ldconfig"
echo "depends: $depends"
