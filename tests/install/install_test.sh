#!/bin/bash
# install_test.sh shared|static: installs that kind of libquern from the build into a fresh prefix and, with sources and
# build out of reach, runs use_installed.sh on it.
# Environment: SOURCE_DIR BUILD_DIR CONFIG CMAKE CXX CMAKE_GENERATOR
set -euo pipefail
kind=$1
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT

for component in "$kind" headers program c; do
  "$CMAKE" --install "$BUILD_DIR" --config "$CONFIG" --prefix "$room/prefix" --component "$component" >/dev/null
done
if named=$(grep -rlF -e "$SOURCE_DIR" -e "$BUILD_DIR" "$room/prefix"); then
  echo "FAILED: installed files name $SOURCE_DIR or $BUILD_DIR:" $named
  exit 1
fi

mkdir "$room/examples"
cp -r "$SOURCE_DIR"/examples/{minimal.cc,c,downstream,models/tale-llama} "$SOURCE_DIR"/tests/install/{use_installed.sh,public_api.cc} \
  "$room/examples"
cd "$room"
hide='mount -t tmpfs none "$BUILD_DIR" && mount -t tmpfs none "$SOURCE_DIR"'
export SOURCE_DIR BUILD_DIR
if unshare --user --map-root-user --mount bash -c "$hide" 2>/dev/null; then
  unshare --user --map-root-user --mount bash -c "$hide && bash examples/use_installed.sh $kind"
else
  echo "note: no mount namespaces here: the sources stay in sight"
  bash examples/use_installed.sh "$kind"
fi
