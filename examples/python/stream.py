#!/usr/bin/env python3
"""Streams one completion: stream.py MODEL [PROMPT]"""
import sys

import quern

prompt = sys.argv[2] if len(sys.argv) > 2 else "Once upon a time"
with quern.Engine(sys.argv[1]) as engine:
    stream = engine.stream(prompt, quern.SamplingParams(max_tokens=64, greedy=True))
    for update in stream:  # Ctrl-C ends it
        print(update.text, end="", flush=True)
    print(f"\n[{stream.output.finish_reason}, {stream.output.num_generated_tokens} tokens]")
