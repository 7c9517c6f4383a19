#!/bin/bash
# story.sh [OPTIONS of quern run]: installs what is missing, builds Quern and has a small trained model tell a story.
source "$(dirname "$0")/../cmake/setup.sh"
build quern_program
say "telling a story: build/release/tools/quern run -m examples/models/tale-llama -p \"Once upon a time\""
exec build/release/tools/quern run -m examples/models/tale-llama -p "Once upon a time" "$@"
