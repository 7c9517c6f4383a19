# shellcheck shell=bash
# Sourced by examples/story.sh and tests/run.sh: brings what a build needs and builds. Asks no questions.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf '== %s\n' "$*"; }
stop() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# find_root WHAT: sets as_root to what lets a command run as root; WHAT is for root to run where nothing does.
find_root() {
  as_root=()
  if [[ $(id -u) == 0 ]]; then
    return
  elif ! command -v sudo >/dev/null; then
    stop "not root, and there is no sudo; as root run: $*"
  elif sudo -n true 2>/dev/null; then
    as_root=(sudo -n)
  elif [[ -t 0 ]]; then
    as_root=(sudo)
  else
    stop "sudo wants a password, and there is no terminal to ask on; as root run: $*"
  fi
}

# show_apt_progress: passes on what apt-get prints as a line that counts: one that changes on a terminal, elsewhere a line
# for each quarter of a step.
show_apt_progress() {
  local line total=0 step before='' count shown
  local -A counts=()
  while IFS= read -r line; do
    case $line in
      *' newly installed, '*) total=${line#*, } total=${total%% *} && continue ;;
      Get:*) step=downloaded ;;
      'Unpacking '*) step=unpacked ;;
      'Setting up '*) step='set up' ;;
      *) continue ;;
    esac
    count=$((${counts[$step]:-0} + 1))
    counts[$step]=$count
    ((total == 0 || count <= total)) || continue  # a file that came in parts
    shown="   packages $step: $count of $total"
    if [[ -t 1 ]]; then
      [[ $step == "$before" || -z $before ]] || echo
      printf '\r%s' "$shown"
    elif ((total == 0 || count == total || count % ((total + 3) / 4) == 0)); then
      echo "$shown"
    fi
    before=$step
  done
  [[ ! -t 1 || -z $before ]] || echo
}

# install_packages PACKAGE...: those that are missing, on Debian and Ubuntu. Elsewhere CMake names what it cannot find.
install_packages() {
  local package missing=()
  if ! command -v apt-get >/dev/null; then
    say "no apt-get here: install the like of these yourself if CMake misses them: $*"
    return
  fi
  for package in "$@"; do
    [[ $(dpkg-query -W -f '${db:Status-Status}' "$package" 2>/dev/null) == installed ]] || missing+=("$package")
  done
  ((${#missing[@]})) || return 0
  say "installing ${#missing[@]} packages: ${missing[*]}"
  find_root apt-get install "${missing[@]}"
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive NEEDRESTART_MODE=a apt-get -q -o DPkg::Lock::Timeout=300) log
  log=$(mktemp)
  "${apt[@]}" update </dev/null >"$log" 2>&1 || say "apt-get update failed: going on with the lists that are here"
  "${apt[@]}" install -y --no-install-recommends "${missing[@]}" </dev/null 2>&1 | tee "$log" | show_apt_progress || {
    tail -n 20 "$log" >&2
    stop "apt-get could not install these; the log is $log"
  }
  rm "$log"
}

# One compiler for each processor, and no more than memory has room for at 1.5 GB each.
num_jobs() {
  local processors memory_mb limit
  processors=$(nproc)
  memory_mb=$(awk '/^MemAvailable/ { print int($2 / 1024) }' /proc/meminfo)
  limit=$(cat /sys/fs/cgroup/memory.max 2>/dev/null || echo max)
  if [[ $limit != max ]] && ((limit / 1048576 < memory_mb)); then memory_mb=$((limit / 1048576)); fi
  local jobs=$((memory_mb / 1500 < processors ? memory_mb / 1500 : processors))
  echo $((jobs > 0 ? jobs : 1))
}

# build TARGET...: the preset QUERN_PRESET (release), in build/PRESET, with the cmake options of QUERN_CMAKE_OPTIONS.
build() {
  install_packages g++ cmake ninja-build pkg-config git ca-certificates libfmt-dev libspdlog-dev nlohmann-json3-dev \
    libcli11-dev libedit-dev libboost-dev libpcre2-dev libgtest-dev
  local jobs preset=${QUERN_PRESET:-release} log
  log=build/$preset/configure.log
  jobs=$(num_jobs)
  mkdir -p "build/$preset"
  say "configuring build/$preset"
  # shellcheck disable=SC2086  # several options
  cmake --preset "$preset" ${QUERN_CMAKE_OPTIONS:-} >"$log" 2>&1 || {
    cat "$log" >&2
    stop "cmake could not configure; the log is $log"
  }
  grep -- '-- CUDA:' "$log" || true
  say "building $*, $jobs at a time"
  cmake --build --preset "$preset" --parallel "$jobs" --target "$@"
}
