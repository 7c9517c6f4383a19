#!/bin/bash
# serve_load.sh QUERN [FOLDER]: what HTTP costs, and what clients of a server see, on one GPU.
#
# The mixed load (500 requests at once, prompts of 1 to 512 and answers of 1 to 256 tokens, 64 at a time) by the engine
# alone and through HTTP, the same requests after the same warm-up; 10 requests a second for 30 s, for p99 of the first
# token and between tokens; and the time from the process's start to the end of its first answer. Random weights of SHAPE
# (llama_7b), float16; with MODEL=FOLDER that checkpoint, from a page cache that the first start has filled. JSON goes to
# FOLDER (default: ./serve_load), a table to stdout; the exit code is 1 where something failed. Takes about 3 minutes.
set -uo pipefail
quern=$1
out=${2:-serve_load}
dtype=${DTYPE:-float16}
device=${DEVICE:-cuda}
subject=(--shape "${SHAPE:-llama_7b}")
[[ -z ${MODEL:-} ]] || subject=(-m "$MODEL")
requests=${REQUESTS:-500}
seconds=${SECONDS_OF_RATE:-30}
rate=${RATE:-10}
mkdir -p "$out"
failed=0
server=
trap '[[ -z $server ]] || kill "$server" 2>/dev/null' EXIT
"$quern" --version | head -1
"$quern" env --json >"$out/env.json"

# show FILE: the line of a result.
show() {
  python3 - "$1" <<'PYTHON'
import json, pathlib, sys
path = pathlib.Path(sys.argv[1])
try:
    document = json.loads(path.read_text())
except ValueError:
    sys.exit(f"{path.stem}: failed: {(path.with_suffix('.err').read_text().splitlines() or ['no output'])[-1]}")
load = document.get("serve") or document["stress"]
line = f"{path.stem:24} {load['requests_per_s']:8.2f} requests/s of {load['finished']}/{load['requests']}, "
line += f"{load['output_tokens_per_s']:8.0f} new tokens/s"
for key, name in (("time_to_first_token_ms", "first token"), ("inter_token_ms", "between tokens")):
    line += f", {name} {load[key]['median']:.2f}, p99 {load[key]['p99']:.2f} ms"
print(line)
PYTHON
  (($? == 0)) || failed=1
}

# start OPTION…: a server on a Unix socket, ready; sets $server and $ready_ms.
start() {
  rm -f "$out/socket" "$out/ready.json"
  "$quern" serve "${subject[@]}" --device "$device" --dtype "$dtype" --max-seqs 64 --max-seq-len 768 --quiet --json \
    --uds "$out/socket" "$@" >"$out/ready.json" 2>"$out/server.err" &
  server=$!
  until [[ -s $out/ready.json ]]; do
    kill -0 "$server" 2>/dev/null || { echo "server: failed: $(tail -1 "$out/server.err")"; exit 1; }
    sleep 0.01
  done
}
stop() {
  kill -TERM "$server"
  wait "$server" || failed=1
  server=
}

lengths=(--input-len 1-512 --output-len 1-256 --vocab-size "${VOCAB_SIZE:-32000}" --seed 1)
# load NAME OPTION…: a load of the server into FOLDER/NAME.json, and its line.
load() {
  "$quern" bench serve --url "unix:$out/socket" --warm-up 128 "${lengths[@]}" --json "${@:2}" >"$out/$1.json" 2>"$out/$1.err" ||
    failed=1
  show "$out/$1.json"
}

for round in 1 2; do
  for reservation in full grow; do
    name=engine-$reservation-$round
    "$quern" bench "${subject[@]}" --device "$device" --dtype "$dtype" --batch-size 64 --input-output-len 512,256 \
      --requests "$requests" --seed 1 --kv-reservation $reservation --json >"$out/$name.json" 2>"$out/$name.err"
    show "$out/$name.json"
    start --kv-reservation $reservation
    load "http-$reservation-$round" --concurrency "$requests" --requests "$requests"
    [[ $reservation == full ]] || load "http-rate_$rate-$round" --rate "$rate" --requests $((rate * seconds)) \
      --slo-first-token 40 --slo-per-token 12
    stop
  done
done

for round in 1 2 3; do
  begin=$(date +%s%N)
  start
  ready=$(date +%s%N)
  curl -sS --unix-socket "$out/socket" http://localhost/v1/completions -H 'Content-Type: application/json' \
    -d '{"prompt": [1, 2, 3], "max_tokens": 1}' -o "$out/first.json" --fail || failed=1
  end=$(date +%s%N)
  echo "start $round: ready after $(((ready - begin) / 1000000)) ms, first answer after $(((end - begin) / 1000000)) ms"
  stop
done
exit $failed
