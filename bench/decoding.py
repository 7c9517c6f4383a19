#!/usr/bin/env python3
"""decoding.py PROGRAM [-m MODEL | --shape SHAPE]...: what beams cost and what the prefix cache saves.

Beams: milliseconds a step of a search with 4 beams and of a batch of 4, whose ratio should be at most 1.3. Prefix: the time to the
first token of a prompt that shares its beginning with an earlier one, without and with the prefix cache. Each round runs all of
them once; the medians of all rounds and every measurement go to stdout as JSON, a table to stderr.
"""

import argparse
import json
import random
import statistics
import subprocess
import sys

BEAMS = 4
PROMPT_LEN, STEPS = 64, 64
WARM_UP = 40
FOLLOWERS = 8  # prompts that share the second one's beginning


def ids(random_ids, count):
    return [random_ids.randrange(3, 1500) for _ in range(count)]


def run(arguments, prompts):
    """The process of one `quern run`, with its prompts written."""
    process = subprocess.Popen([*arguments, "--prompts-file", "-", "--ignore-eos"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    process.stdin.write("".join(json.dumps({"prompt_ids": prompt}) + "\n" for prompt in prompts))
    process.stdin.close()
    return process


def end(process):
    error = process.stderr.read()
    if process.wait() != 0:
        sys.exit(f"error: {' '.join(process.args)} failed: {(error.strip() or 'no message').splitlines()[-1]}")


def step_ms(command, prompts, *options):
    """Milliseconds of a decode step, all sequences together."""
    process = run([*command, "-n", str(STEPS), "--max-seqs", str(BEAMS), "--greedy", "--json", *options], prompts)
    output = process.stdout.read()
    end(process)
    tokens_a_step = len(prompts)  # a search counts one a step
    return 1000 * tokens_a_step / json.loads(output)["timing"]["decode_tokens_per_s"]


def second_prompt_ms(command, prompts, *options):
    """Milliseconds for each prompt after the first two, one after the other, up to its only token."""
    totals = []
    for some in (prompts[:2], prompts):
        process = run([*command, "-n", "1", "--max-seqs", "1", "--greedy", "--json", *options], some)
        output = process.stdout.read()
        end(process)
        totals.append(json.loads(output)["timing"]["total_ms"])
    return (totals[1] - totals[0]) / (len(prompts) - 2)


def measure(command, length, shared, rounds):
    random_ids = random.Random(1)
    batch = [ids(random_ids, PROMPT_LEN) for _ in range(BEAMS)]
    begin = ids(random_ids, shared)
    prefixed = [ids(random_ids, WARM_UP)] + [begin + ids(random_ids, length - shared) for _ in range(1 + FOLLOWERS)]
    cases = {"batch_step_ms": lambda: step_ms(command, batch),
             "beam_step_ms": lambda: step_ms(command, batch[:1], "--num-beams", str(BEAMS)),
             "second_prompt_uncached_ms": lambda: second_prompt_ms(command, prefixed, "--no-prefix-cache"),
             "second_prompt_cached_ms": lambda: second_prompt_ms(command, prefixed)}
    values = {name: [] for name in cases}
    for _ in range(rounds):
        for name, case in cases.items():
            values[name].append(round(case(), 4))
    median = {name: statistics.median(all_values) for name, all_values in values.items()}
    return {"beam_ratio": round(median["beam_step_ms"] / median["batch_step_ms"], 3),
            "prefix_speedup": round(median["second_prompt_uncached_ms"] / median["second_prompt_cached_ms"], 2), "median": median,
            "all": values}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("-m", "--model", action="append", default=[])
    parser.add_argument("--shape", action="append", default=[])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--prompt-len", type=int, default=1500)
    parser.add_argument("--shared-len", type=int, default=1400)
    parser.epilog = "Options of quern run follow --: -- --dtype float16"
    own = sys.argv[1:]
    passed = []
    if "--" in own:
        passed = own[own.index("--") + 1:]
        own = own[:own.index("--")]
    options = parser.parse_args(own)
    if not options.model and not options.shape:
        parser.error("expected --model or --shape")
    results = {}
    for flag, names in (("--model", options.model), ("--shape", options.shape)):
        for name in names:
            command = [options.program, "run", flag, name, "--quiet", *passed]
            results[name] = measure(command, options.prompt_len, options.shared_len, options.rounds)
            median = results[name]["median"]
            print(f"{name}: a step of {BEAMS} beams {median['beam_step_ms']:.3f} ms, of a batch of {BEAMS} {median['batch_step_ms']:.3f} ms:"
                  f" {results[name]['beam_ratio']}; second prompt {median['second_prompt_uncached_ms']:.1f} ms, with the cache"
                  f" {median['second_prompt_cached_ms']:.1f} ms: {results[name]['prefix_speedup']} times", file=sys.stderr)
    json.dump({"rounds": options.rounds, "prompt_len": options.prompt_len, "shared_len": options.shared_len, "results": results},
              sys.stdout, indent=1)
    print()


if __name__ == "__main__":
    main()
