#!/usr/bin/env python3
"""The greedy text and the logits of Quern and of transformers in float32: compare_transformers.py MODEL [PROMPT]

Needs torch and transformers, which a process may have beside quern. MODEL is a folder that both read. Ends with 1 where the
greedy texts differ.
"""
import sys

import numpy as np
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

import quern

model_name = sys.argv[1]
prompt = sys.argv[2] if len(sys.argv) > 2 else "The king had three sons."
ids = AutoTokenizer.from_pretrained(model_name)(prompt).input_ids
reference = AutoModelForCausalLM.from_pretrained(model_name, dtype=torch.float32).eval()
with torch.no_grad():
    expected_logits = reference(torch.tensor([ids])).logits[0].numpy()
    # Quern's greedy is the argmax of the logits; transformers applies the model's repetition penalty to it.
    greedy = dict(max_new_tokens=32, do_sample=False, repetition_penalty=1.0)
    expected_ids = reference.generate(torch.tensor([ids]), **greedy)[0, len(ids):].tolist()

with quern.Engine(model_name, device="cpu", dtype="float32") as engine:
    logits = engine.logits(ids)
    output = engine.generate(ids, quern.SamplingParams(max_tokens=32, greedy=True))

print(f"ids of the prompt equal: {quern.Tokenizer(model_name).encode(prompt) == ids}")
print(f"largest difference of logits: {np.abs(logits - expected_logits).max():.2e} of {np.abs(expected_logits).max():.1f}")
print(f"greedy ids equal: {output.token_ids == expected_ids}")
print(output.text)
sys.exit(0 if output.token_ids == expected_ids else 1)
