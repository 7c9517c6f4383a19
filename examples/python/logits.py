#!/usr/bin/env python3
"""Logits as a NumPy array: the perplexity of a text, and the best next tokens: logits.py MODEL TEXT"""
import sys

import numpy as np

import quern

with quern.Engine(sys.argv[1]) as engine:
    ids = engine.tokenizer.encode(sys.argv[2])
    logits = engine.logits(ids)  # [len(ids), vocab_size], float32
    logprobs = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    nll = -logprobs[np.arange(len(ids) - 1), ids[1:]]
    if len(nll) > 0:
        print(f"perplexity {np.exp(nll.mean()):.3f} over {len(nll)} tokens")
    for token_id in np.argsort(-logits[-1])[:5]:
        print(f"{np.exp(logprobs[-1, token_id]):7.2%}  {engine.tokenizer.decode([token_id])!r}")
