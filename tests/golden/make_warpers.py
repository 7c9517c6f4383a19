#!/usr/bin/env python3
"""make_warpers.py: writes warpers.json beside this file: what transformers' logits warpers leave of some rows.

Needs torch and transformers. The warpers run in the order of generate(), in float32; a setting whose float64 result differs is
left out, since rounding decides it.
"""

import json
import pathlib

import torch
import transformers
from transformers.generation.logits_process import (
    EpsilonLogitsWarper, EtaLogitsWarper, LogitsProcessorList, MinPLogitsWarper, TemperatureLogitsWarper, TopKLogitsWarper,
    TopPLogitsWarper, TypicalLogitsWarper)

WARPERS = [("temperature", TemperatureLogitsWarper), ("top_k", TopKLogitsWarper), ("top_p", TopPLogitsWarper),
           ("min_p", MinPLogitsWarper), ("typical_p", TypicalLogitsWarper), ("epsilon_cutoff", EpsilonLogitsWarper),
           ("eta_cutoff", EtaLogitsWarper)]
SETTINGS = [
    *({"typical_p": p} for p in (0.05, 0.2, 0.5, 0.9, 0.99)),
    *({"epsilon_cutoff": p} for p in (0.001, 0.01, 0.05, 0.3)),
    *({"eta_cutoff": p} for p in (0.0003, 0.004, 0.05, 0.4)),
    {"temperature": 0.5, "typical_p": 0.6},
    {"temperature": 2.0, "typical_p": 0.6, "epsilon_cutoff": 0.02},
    {"top_k": 12, "typical_p": 0.4},
    {"top_p": 0.8, "typical_p": 0.5, "eta_cutoff": 0.1},
    {"temperature": 1.5, "top_k": 20, "top_p": 0.95, "min_p": 0.05, "typical_p": 0.8, "epsilon_cutoff": 0.03, "eta_cutoff": 0.2},
    {"min_p": 0.2, "epsilon_cutoff": 0.1, "eta_cutoff": 0.3},
]


def kept(logits, setting, dtype):
    warpers = LogitsProcessorList([make(setting[key]) for key, make in WARPERS if key in setting])
    scores = warpers(None, torch.tensor([logits], dtype=dtype))[0]
    return [i for i, score in enumerate(scores.tolist()) if score > float("-inf")]


def main():
    torch.manual_seed(1)
    rows = []
    for size, spread in ((40, 1.0), (40, 2.5), (40, 6.0), (64, 4.0)):
        # Sixty-fourths: exact in float32, and some of them equal.
        rows.append([round(x * 64) / 64 for x in (torch.randn(size) * spread).tolist()])
    rows.append([4.0] + [2.0 + i / 64 for i in range(24)])  # the best is not typical
    rows.append([float("-inf") if i % 3 == 0 else i / 8 for i in range(30)])
    cases = []
    for setting in SETTINGS:
        for row, logits in enumerate(rows):
            ids = kept(logits, setting, torch.float32)
            if ids == kept(logits, setting, torch.float64):
                cases.append({"row": row, **setting, "kept": ids})
    result = {"transformers": transformers.__version__,
              "rows": [[None if x == float("-inf") else x for x in row] for row in rows], "cases": cases}
    text = json.dumps(result, separators=(",", ":")).replace('{"row"', '\n{"row"').replace("],[", "],\n[")
    pathlib.Path(__file__).with_name("warpers.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
