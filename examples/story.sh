#!/bin/bash
# story.sh [OPTIONS of quern run]: installs what is missing, builds Quern and has a small trained model tell a story. A model
# and a prompt of yours replace the defaults: story.sh -m FOLDER -p "The king had three sons."
source "$(dirname "$0")/../cmake/setup.sh"
model=(-m examples/models/tale-llama) prompt=(-p "Once upon a time")
for option in "$@"; do
  case ${option//_/-} in
    -m* | --model | --model=* | --shape*) model=() ;;
    -p* | --prompt* | --input-text* | --messages* | -h | --help) prompt=() ;;
  esac
done
build quern_program
command=(build/release/tools/quern run "${model[@]}" "${prompt[@]}" "$@")
say "telling a story:$(printf ' %q' "${command[@]}")"
exec "${command[@]}"
