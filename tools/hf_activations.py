#!/usr/bin/env python3
"""Writes what a Hugging Face model computes for a prompt, under Quern's names, for `quern compare --reference`.

    tools/hf_activations.py --model FOLDER --prompt-ids 1,2,3 --output activations.safetensors
    quern compare -m FOLDER --reference activations.safetensors

Needs torch, transformers and safetensors; Quern itself does not. Knows GPT-2, LLaMA, Mistral, Qwen2 and Qwen3 (Qwen's first
generation has no code in transformers: convert it to Qwen2's layout). What the names mean is in src/graph/op.h; in short

    embed                       the residual stream at its start
    layers.N.qkv                q, k, v before norms and rope, side by side
    layers.N.attention          the heads before the output projection
    layers.N.attention_out      after it, without the residual
    layers.N.gate_up, .up       the MLP's inner activation: the gated product, or the activation
    layers.N.down               the MLP's output, without the residual
    layers.N.*.residual         the residual stream before that node's norm
    logits
"""
import argparse

import torch
import transformers
from safetensors.torch import save_file

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


class Recorder:
    """Collects inputs and outputs of modules as [tokens, columns]."""

    def __init__(self):
        self.values = {}

    def put(self, name, tensor):
        self.values[name] = tensor.detach().float().reshape(-1, tensor.shape[-1]).cpu().contiguous()

    def output(self, name, module):
        module.register_forward_hook(lambda _, args, result: self.put(name, result))

    def input(self, name, module):
        module.register_forward_pre_hook(lambda _, args: self.put(name, args[0]))


def watch_gpt2(model, recorder):
    for i, block in enumerate(model.transformer.h):
        prefix = f"layers.{i}."
        recorder.input("embed" if i == 0 else prefix + "qkv.residual", block.ln_1)
        recorder.output(prefix + "qkv", block.attn.c_attn)
        recorder.input(prefix + "attention", block.attn.c_proj)
        recorder.output(prefix + "attention_out", block.attn.c_proj)
        recorder.input(prefix + "up.residual", block.ln_2)
        recorder.input(prefix + "up", block.mlp.c_proj)
        recorder.output(prefix + "down", block.mlp.c_proj)


def watch_llama(model, recorder):
    """LLaMA, Qwen2 and Qwen3."""
    for i, block in enumerate(model.model.layers):
        prefix = f"layers.{i}."
        attention = block.self_attn
        recorder.input("embed" if i == 0 else prefix + "qkv.residual", block.input_layernorm)
        for part in "qkv":
            recorder.output(prefix + part, getattr(attention, part + "_proj"))
        recorder.input(prefix + "attention", attention.o_proj)
        recorder.output(prefix + "attention_out", attention.o_proj)
        recorder.input(prefix + "gate_up.residual", block.post_attention_layernorm)
        recorder.input(prefix + "gate_up", block.mlp.down_proj)
        recorder.output(prefix + "down", block.mlp.down_proj)


def join_qkv(values):
    """Puts q, k and v side by side where a model has them apart."""
    for name in [name for name in values if name.endswith(".q")]:
        prefix = name[: -len("q")]
        parts = [values.pop(prefix + part) for part in "qkv"]
        values[prefix + "qkv"] = torch.cat(parts, dim=1).contiguous()


WATCHERS = {"gpt2": watch_gpt2, "llama": watch_llama, "mistral": watch_llama, "qwen2": watch_llama, "qwen3": watch_llama}


def record(model, prompt_ids):
    watcher = WATCHERS.get(model.config.model_type)
    if watcher is None:
        raise SystemExit(f"model_type {model.config.model_type}: expected one of {', '.join(WATCHERS)}")
    recorder = Recorder()
    watcher(model, recorder)
    with torch.no_grad():
        logits = model(torch.tensor([prompt_ids], device=model.device), use_cache=False).logits
    recorder.put("logits", logits)
    join_qkv(recorder.values)
    return recorder.values


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, help="a Hugging Face folder")
    prompt = parser.add_mutually_exclusive_group(required=True)
    prompt.add_argument("--prompt", help="text, for the folder's tokenizer")
    prompt.add_argument("--prompt-ids", help="token ids, such as 1,2,3")
    parser.add_argument("--output", required=True, help="the safetensors file to write")
    parser.add_argument("--dtype", choices=DTYPES, default="float32")
    parser.add_argument("--device", default="cpu", help="torch's name of it (default: cpu)")
    options = parser.parse_args()
    if options.prompt_ids is not None:
        prompt_ids = [int(word) for word in options.prompt_ids.split(",")]
    else:
        prompt_ids = transformers.AutoTokenizer.from_pretrained(options.model)(options.prompt).input_ids
    model = transformers.AutoModelForCausalLM.from_pretrained(
        options.model, dtype=DTYPES[options.dtype], attn_implementation="eager"
    ).to(options.device)
    values = record(model.eval(), prompt_ids)
    values["prompt_ids"] = torch.tensor(prompt_ids, dtype=torch.int64)
    save_file(values, options.output)
    print(f"{len(values) - 1} values of {len(prompt_ids)} tokens written to {options.output}")


if __name__ == "__main__":
    main()
