#!/usr/bin/env python3
"""make_beam_stops.py MODELS: writes beam_stops.json beside this file: transformers' beam search with stop strings.

Needs torch and transformers. MODELS: the folder of the demo models. float32 on the CPU; each case ends with the stop strings, one
of two EOS token ids or 24 tokens. Cases with near ties are left out, since rounding decides them: those whose float64 result
differs.
"""

import json
import pathlib
import sys

import torch
import transformers

# No stop string can begin in a prompt: transformers looks there, Quern in the new text alone.
PROMPTS = ["The king had three sons", "Once upon a time there was a fox", "\"Come with me,\" said the old woman"]
STOPS = [[","], [" the", "ing "], ["e", "n"], [". ", "\n"], ["and he", "they were", "said"]]
CONFIGS = [{"num_beams": 4}, {"num_beams": 3, "early_stopping": True},
           {"num_beams": 2, "length_penalty": 2.0, "early_stopping": "never"}]
NEW_TOKENS = 24
# tale-llama's tokenizer as a tokenizer.json, which needs no other packages.
TOKENIZERS = {"tale-llama": pathlib.Path(__file__).parents[1] / "cases" / "llama-tokenizer-json-only"}


def beams(model, tokenizer, ids, stop, eos, config):
    prompt = torch.tensor([ids])
    output = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=NEW_TOKENS, do_sample=False, eos_token_id=eos,
                            pad_token_id=eos[0], stop_strings=stop, tokenizer=tokenizer, num_return_sequences=config["num_beams"],
                            return_dict_in_generate=True, output_scores=True, **config)
    # A sequence is filled up behind its end; beam_indices has -1 there.
    lengths = (output.beam_indices >= 0).sum(dim=1).tolist()
    sequences = [row[len(ids):len(ids) + length].tolist() for row, length in zip(output.sequences, lengths)]
    return sequences, output.sequences_scores.tolist()


def main():
    models = pathlib.Path(sys.argv[1])
    torch.set_num_threads(1)
    cases = []
    for name, eos in (("tale-gpt2", [11, 467]), ("tale-llama", [331, 490]), ("tale-qwen2", [273, 388])):
        tokenizer = transformers.AutoTokenizer.from_pretrained(TOKENIZERS.get(name, models / name))
        single, double = (transformers.AutoModelForCausalLM.from_pretrained(models / name, dtype=dtype).eval()
                          for dtype in (torch.float32, torch.float64))
        for i, prompt in enumerate(PROMPTS):
            ids = tokenizer(prompt)["input_ids"]
            for j, stop in enumerate(STOPS):
                config = CONFIGS[(i + j) % len(CONFIGS)]
                sequences, scores = beams(single, tokenizer, ids, stop, eos, config)
                if sequences != beams(double, tokenizer, ids, stop, eos, config)[0]:
                    continue
                cases.append({"model": name, "prompt_ids": ids, "eos": eos, "stop": stop, "config": config, "sequences": sequences,
                              "scores": [round(score, 5) for score in scores]})
    result = {"reference": f"transformers {transformers.__version__}, torch {torch.__version__}, float32, CPU", "cases": cases}
    text = json.dumps(result, separators=(",", ":")).replace('{"model"', '\n{"model"')
    pathlib.Path(__file__).with_name("beam_stops.json").write_text(text + "\n")


if __name__ == "__main__":
    main()
