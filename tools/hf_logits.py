#!/usr/bin/env python3
"""Holds the logits of `quern logits` on a GPU against transformers on the same GPU, tokens and dtype.

    hf_logits.py --quern build/release/tools/quern --model FOLDER [--golden FILE] [--dtype D]... [--tokens N]

Teacher-forced: the tokens are the golden file's prompts with their greedy answers, or N random ids. Both sides are measured
against transformers in float32 without TF32. Quern runs them in steps of 1, 32 and 512 tokens, so that every kind of
projection is met. Exits 3 when Quern's mean or 99.9th-percentile error is more than 1.1 times that of transformers, or an
argmax differs where the float32 gap of the two best is not under twice that position's error.
"""

import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import safetensors.torch
import torch
import transformers

ALLOWED_RATIO = 1.1
STEP_TOKENS = [1, 32, 512]
MAX_ELEMENTS_OF_QUANTILE = 1 << 24


def transformers_logits(model, sequences):
    with torch.inference_mode():
        return [model(torch.tensor([ids], device="cuda")).logits[0].float() for ids in sequences]


def quern_logits(arguments, sequences, dtype, step_tokens):
    results = []
    for ids in sequences:
        with tempfile.NamedTemporaryFile(suffix=".safetensors") as file:
            command = [arguments.quern, "logits", "--model", arguments.model, "--device", "cuda", "--dtype", dtype]
            command += ["--prompt-ids", ",".join(map(str, ids)), "--max-tokens-per-step", str(step_tokens)]
            subprocess.run(command + ["--output", file.name], check=True, stdout=subprocess.DEVNULL)
            results.append(safetensors.torch.load_file(file.name)["logits"].cuda())
    return results


def errors(logits, reference):
    """Mean and 99.9th percentile of the absolute error over all elements."""
    difference = torch.cat([(a - b).abs().flatten() for a, b in zip(logits, reference)])
    stride = difference.numel() // MAX_ELEMENTS_OF_QUANTILE + 1
    return difference.mean().item(), torch.quantile(difference[::stride], 0.999).item()


def differing_argmax(logits, reference):
    """(sequence, position, float32 gap of the two best, largest error there) wherever the argmax differs."""
    found = []
    for index, (ours, theirs) in enumerate(zip(logits, reference)):
        best = theirs.topk(2, dim=-1).values
        for position in (ours.argmax(-1) != theirs.argmax(-1)).nonzero().flatten().tolist():
            gap = (best[position, 0] - best[position, 1]).item()
            found.append((index, position, gap, (ours[position] - theirs[position]).abs().max().item()))
    return found


def load_model(folder, dtype):
    return transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=dtype, device_map="cuda").eval()


def check(arguments, sequences):
    model = load_model(arguments.model, torch.float32)
    reference = transformers_logits(model, sequences)
    del model
    holds = True
    for dtype in arguments.dtype:
        model = load_model(arguments.model, getattr(torch, dtype))
        mean, high = errors(transformers_logits(model, sequences), reference)
        del model
        torch.cuda.empty_cache()
        print(f"{arguments.model} {dtype}: transformers: mean error {mean:.3e}, 99.9 % {high:.3e}")
        for step_tokens in STEP_TOKENS:
            logits = quern_logits(arguments, sequences, dtype, step_tokens)
            our_mean, our_high = errors(logits, reference)
            bad = our_mean > ALLOWED_RATIO * mean or our_high > ALLOWED_RATIO * high
            print(f"  Quern, {step_tokens:3} tokens a step: mean error {our_mean:.3e} ({our_mean / mean:.2f} x), "
                  f"99.9 % {our_high:.3e} ({our_high / high:.2f} x){'  TOO LARGE' if bad else ''}")
            for index, position, gap, error in differing_argmax(logits, reference):
                tie = gap < 2 * error
                bad = bad or not tie
                print(f"    argmax differs: sequence {index}, position {position}: float32 gap {gap:.3e}, "
                      f"error {error:.3e}{'' if tie else '  NOT A TIE'}")
            holds = holds and not bad
    return holds


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quern", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--golden", type=pathlib.Path)
    parser.add_argument("--dtype", action="append", choices=["float32", "float16", "bfloat16"])
    parser.add_argument("--tokens", type=int, default=256)
    arguments = parser.parse_args()
    arguments.dtype = arguments.dtype or ["float16", "bfloat16"]
    torch.backends.cuda.matmul.allow_tf32 = False
    if arguments.golden:
        cases = json.loads(arguments.golden.read_text())["cases"]
        sequences = [case["prompt_ids"] + case["greedy_ids"] for case in cases]
    else:
        torch.manual_seed(1)
        vocab_size = transformers.AutoConfig.from_pretrained(arguments.model).vocab_size
        sequences = [torch.randint(vocab_size, (arguments.tokens,)).tolist()]
    sys.exit(0 if check(arguments, sequences) else 3)


if __name__ == "__main__":
    main()
