#!/usr/bin/env python3
"""Many prompts in one batch, one JSON object a line: batch.py MODEL PROMPT ..."""
import json
import sys

import quern

params = quern.SamplingParams(max_tokens=32, temperature=0.8, top_p=0.95, seed=7, logprobs=0)
with quern.Engine(sys.argv[1], max_seqs=16) as engine:
    for output in engine.generate(sys.argv[2:], params):
        answer = output.outputs[0]
        mean = sum(token.logprob for token in answer.logprobs) / len(answer.logprobs)
        print(json.dumps({"text": answer.text, "finish_reason": answer.finish_reason, "mean_logprob": round(mean, 4)}))
