#!/bin/bash
# completion_test.sh bash|zsh|fish PROGRAM: loads the completion that PROGRAM prints into that shell and asks it to complete.
set -euo pipefail
shell=$1 program=$2
command -v "$shell" >/dev/null || {
  echo "SKIPPED: $shell is not installed"
  exit 77
}
room=$(mktemp -d)
trap 'rm -rf "$room"' EXIT
"$program" describe --as "$shell" >"$room/completion"
mkdir "$room/a folder"
touch "$room/a file"
cd "$room"
failures=0

# complete WORD...: prints what the shell offers for the last word of the command line `quern WORD...`, a line each.
complete_bash() {
  bash --norc -c 'set -eu; source ./completion
    compopt() { :; }  # works only within a completion that readline asks for
    COMP_WORDS=(quern "$@") COMP_CWORD=$#
    _quern
    printf "%s\n" "${COMPREPLY[@]}"' complete "$@"
}
complete_fish() {
  local words
  printf -v words '%s ' quern "${@:1:$#-1}"
  fish --no-config -c "source ./completion; complete --do-complete '$words${!#}'" | cut -f 1
}
# A zsh of its own behind a pseudo-terminal completes; its matches are noted by a compadd of ours.
complete_zsh() {
  local words
  printf -v words '%s ' quern "${@:1:$#-1}"
  WORDS="$words${!#}" zsh --no-rcs -c '
    zmodload zsh/zpty
    zpty z zsh --no-rcs -i
    zpty -w z "PS1=; autoload -Uz compinit; compinit -u -D; source ./completion; bindkey \"^I\" complete-word
      zle -C note complete-word _note; bindkey \"^X\" note
      _note() { compadd() { local -a found; builtin compadd -O found \"\$@\"; print -rl -- \$found >>matches; builtin compadd \"\$@\" }; _main_complete }
      print ready >started"
    repeat 100 { [[ -e started ]] && break; sleep 0.1 }
    zpty -w -n z "$WORDS"$(print -n "\C-x")
    repeat 100 { [[ -s matches ]] && break; sleep 0.1 }
    sleep 0.3'
  cat matches 2>/dev/null || true
  rm -f matches started
}

# expect MATCH WORD...: MATCH is among what is offered.
expect() {
  local offered
  offered=$("complete_$shell" "${@:2}" 2>&1) || true
  grep -qxF -e "$1" -e "$1/" <<<"$offered" && return
  printf 'FAILED: quern %s: "%s" is not offered, but: %s\n' "${*:2}" "$1" "$(head -c 400 <<<"$offered")"
  failures=$((failures + 1))
}
# expect_not MATCH WORD...
expect_not() {
  local offered
  offered=$("complete_$shell" "${@:2}" 2>&1) || true
  grep -qxF -e "$1" -e "$1/" <<<"$offered" || return 0
  printf 'FAILED: quern %s offers "%s"\n' "${*:2}" "$1"
  failures=$((failures + 1))
}

if [[ $shell == bash ]]; then bash -n completion; elif [[ $shell == zsh ]]; then zsh -n completion; else fish --no-execute completion; fi
expect run r
expect perplexity per
expect_not describe d
expect --max-new-tokens run --max-n
expect --graph inspect --g
expect_not --graph run --g
expect bfloat16 run --dtype b
expect int4 run --quantize int
expect w8a8 run --quantize w
expect serve bench s
expect_not --batch-size bench serve --ba
if "$program" serve --help | grep -q -e --max-queue; then  # not in a build without Boost
  expect --rate bench serve --ra
  expect --max-queue serve --max-q
fi
if [[ $shell != zsh ]]; then  # which completes paths by another way than compadd's plain words
  expect "a folder" run -m a
  expect_not "a file" run -m a
  expect "a file" run --prompt-file a
fi
exit $((failures > 0))
