#!/usr/bin/env python3
"""Prints, as Markdown, how many tokens of KV cache fit beside a model on a card of a given memory.

Bytes are those of `quern inspect`'s memory plan; of what the weights and the other arenas leave the cache gets nine tenths, as
Engine::load plans it on a GPU. What a CUDA context takes comes off first (--context-gib). Usage: bench/memory_table.py [--quern build/release/tools/quern] [--shape llama_7b] [--gib 22]
"""
import argparse
import json
import subprocess

WEIGHTS = ("none", "int8", "int4")
KV_CACHES = ("auto", "k16v8", "int8", "fp8")


def plan(quern: str, shape: str, weights: str, kv_cache: str) -> dict:
    command = [quern, "inspect", "--shape", shape, "--device", "cpu", "--dtype", "float16", "--max-seqs", "8", "--max-seq-len", "2048"]
    command += ["--quantize", weights, "--kv-cache-dtype", kv_cache, "--json"]
    return json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["memory_plan"]


def tokens(memory: dict, card_bytes: int) -> int:
    block_bytes = memory["kv_cache_bytes"] // memory["num_kv_blocks"]
    rest = card_bytes - (memory["total_bytes"] - memory["kv_cache_bytes"])
    return max(0, rest * 9 // 10) // block_bytes * memory["kv_block_tokens"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quern", default="build/release/tools/quern")
    parser.add_argument("--shape", default="llama_7b")
    parser.add_argument("--gib", type=float, default=22)
    parser.add_argument("--context-gib", type=float, default=0.6)
    options = parser.parse_args()
    print("| weights | bytes of weights | " + " | ".join(KV_CACHES) + " |")
    print("|---|" + "---|" * (len(KV_CACHES) + 1))
    for weights in WEIGHTS:
        plans = [plan(options.quern, options.shape, weights, kv_cache) for kv_cache in KV_CACHES]
        cells = [f"{tokens(memory, int((options.gib - options.context_gib) * 2**30)):,}".replace(",", " ") for memory in plans]
        name = "float16" if weights == "none" else weights
        print(f"| {name} | {plans[0]['weight_bytes'] / 2**30:.1f} GiB | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
