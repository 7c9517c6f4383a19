"""The programs of examples/python say what the package says."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import unittest

from case import MODELS, ROOT, engine, params
import numpy as np
import quern

PROMPT = "The king had three sons."


def run(name, model, *arguments):
    """What a program prints. It sees no GPU, as the engines here."""
    command = [sys.executable, str(ROOT / "examples" / "python" / name), str(MODELS / model), *arguments]
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    ran = subprocess.run(command, capture_output=True, text=True, check=False, timeout=240, env=environment)
    if ran.returncode != 0:
        raise AssertionError(f"{name} ended with {ran.returncode}: {ran.stdout}{ran.stderr}")
    return ran.stdout


class ExamplesTest(unittest.TestCase):
    def test_stream(self):
        with engine() as one:
            output = one.generate(PROMPT, params(max_tokens=64))
        expected = f"{output.text}\n[{output.finish_reason}, {output.num_generated_tokens} tokens]\n"
        self.assertEqual(run("stream.py", "tale-llama", PROMPT), expected)

    def test_batch(self):
        prompts = [PROMPT, "A fox met a wolf."]
        answers = [json.loads(line) for line in run("batch.py", "tale-qwen", *prompts).splitlines()]
        sampled = quern.SamplingParams(max_tokens=32, temperature=0.8, top_p=0.95, seed=7)
        with engine("tale-qwen") as one:
            outputs = one.generate(prompts, sampled)
        self.assertEqual([answer["text"] for answer in answers], [output.text for output in outputs])
        self.assertTrue(all(-5 < answer["mean_logprob"] < 0 for answer in answers))

    def test_logits(self):
        first, *best = run("logits.py", "tale-gpt2", PROMPT).splitlines()
        with engine("tale-gpt2") as one:
            ids = one.tokenizer.encode(PROMPT)
            scored = one.generate(ids, params(max_tokens=1, prompt_logprobs=0))
            likeliest = one.tokenizer.decode(scored.token_ids)
        perplexity = np.exp(-np.mean([token.logprob for token in scored.prompt_logprobs]))
        found, count = re.fullmatch(r"perplexity ([0-9.]+) over ([0-9]+) tokens", first).groups()
        self.assertAlmostEqual(float(found), perplexity, delta=1e-3 * perplexity)
        self.assertEqual(int(count), len(ids) - 1)
        self.assertEqual(len(best), 5)
        self.assertIn(repr(likeliest), best[0])

    def test_chat_async(self):
        questions = ["Tell me of a fox.", "Tell me of a king."]
        with engine("tale-qwen2") as one:
            texts = [one.chat([{"role": "user", "content": each}], params(max_tokens=48)).text for each in questions]
        expected = "".join(f"> {question}\n{text}\n\n" for question, text in zip(questions, texts))
        self.assertEqual(run("chat_async.py", "tale-qwen2", *questions), expected)

    @unittest.skipUnless(
        all(importlib.util.find_spec(name) for name in ("torch", "transformers")), "torch or transformers is not installed"
    )
    def test_compare_transformers(self):
        printed = run("compare_transformers.py", "tale-qwen2")
        self.assertIn("ids of the prompt equal: True", printed)
        self.assertIn("greedy ids equal: True", printed)


if __name__ == "__main__":
    unittest.main()
