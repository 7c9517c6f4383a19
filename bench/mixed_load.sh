#!/bin/bash
# mixed_load.sh OLD NEW [FOLDER]: compares two quern programs under mixed load, on one GPU in one call.
#
# 500 requests at once, prompts of 1 to 512 and answers of 1 to 256 tokens (uniform), 64 at a time; then
# arrivals at a steady rate, decode and prefill alone, and the time from a process's start to its first
# token. Random weights. Runs of OLD and NEW alternate. JSON goes to FOLDER (default: ./mixed_load), a
# table to stdout. Takes 5 to 8 minutes; SHAPES="gpt_350m" makes it one.
set -uo pipefail
old=$1
new=$2
out=${3:-mixed_load}
shapes=${SHAPES:-llama_7b gpt_350m}
mkdir -p "$out"
echo "old: $("$old" --version | head -1); new: $("$new" --version | head -1)"
"$new" env --json >"$out/env.json" 2>/dev/null

# run NAME PROGRAM ARGUMENT…: one bench run into FOLDER/NAME.json, and its line of the table.
run() {
  local name=$1 program=$2
  shift 2
  if ! timeout 150 "$program" bench --dtype float16 --json "$@" >"$out/$name.json" 2>"$out/$name.err"; then
    echo "$name: failed: $(tail -1 "$out/$name.err")"
    return
  fi
  python3 - "$name" "$out/$name.json" <<'EOF'
import json, sys
name, path = sys.argv[1:]
document = json.load(open(path))
line = f"{name:34}"
stress = document.get("stress")
if stress:
    line += f" {stress['requests_per_s']:8.2f} requests/s of {stress['requests']}, {stress['output_tokens_per_s']:8.0f} new tokens/s"
    for key in ("time_to_first_token_ms", "inter_token_ms"):
        line += f", {key} {stress[key]['median']:.2f}/{stress[key]['p99']:.2f}"
for cell in document["cells"]:
    key = f"{cell['batch_size']} x {cell['input_len']},{cell['output_len']}"
    first = cell["time_to_first_token_ms"] if "time_to_first_token_ms" in cell else cell.get("first_token_ms")
    line += f"  [{key}: {cell.get('tokens_per_s', 0):.0f} tokens/s, first token {first} ms]"
print(line)
for kind, times in (stress or {}).get("steps", {}).items():
    print(f"{'':36}{kind:8} {times['launches']:6} launches {times['tokens']:8} tokens "
          f"busy {times['busy_ms']:9.1f} ms idle {times['idle_ms']:8.1f} ms ({100 * times['idle_share']:.1f} %)")
EOF
}

load=(--batch-size 64 --input-output-len 512,256 --seed 1)
for shape in $shapes; do
  for round in 1 2; do
    # Both programs know this way to have all come at once: about 500, the same for both.
    run "$shape-at_once-old-$round" "$old" --shape "$shape" "${load[@]}" --stress 0.001 --rate 500000
    run "$shape-at_once-new-$round" "$new" --shape "$shape" "${load[@]}" --stress 0.001 --rate 500000
  done
  run "$shape-500-new" "$new" --shape "$shape" "${load[@]}" --requests 500
  run "$shape-500-new-step_times" "$new" --shape "$shape" "${load[@]}" --requests 500 --step-times
  # Where most time is idle in the old program, the device loop's restarts and waits are what it is.
  run "$shape-500-new-host_waits" "$new" --shape "$shape" "${load[@]}" --requests 500 --step-times \
    --device-loop off
  for tokens in 192 320 8192; do
    run "$shape-500-new-mixed_$tokens" "$new" --shape "$shape" "${load[@]}" --requests 500 \
      --max-mixed-tokens "$tokens"
  done
  rate=20
  [ "$shape" = gpt_350m ] && rate=100
  for name in old new; do
    run "$shape-rate_$rate-$name" "${!name}" --shape "$shape" "${load[@]}" --stress 4 --rate "$rate"
  done
  for name in old new; do
    run "$shape-cells-$name" "${!name}" --shape "$shape" --batch-size "1;32" --runs 5 \
      --input-output-len "128,2;128,64"
  done
  for name in old new old new old new; do
    begin=$(date +%s%N)
    "${!name}" run --shape "$shape" --dtype float16 --prompt-ids 1,2,3 -n 1 --greedy -v \
      >/dev/null 2>"$out/$shape-start-$name.err"
    echo "$shape start to end of one token, $name: $((($(date +%s%N) - begin) / 1000000)) ms"
  done
  echo "phases of the last start, $name:"
  grep -E " ms|took" "$out/$shape-start-new.err" | head -40
done
