#!/usr/bin/env python3
"""Writes tiny random models in every variant of their configs that Hugging Face's transformers loads, with its answers.

  make_variants.py [--output DIR]

The output, which tests/runtime/variants_test.cc reads: variants.json (by variant the config as it is written, the weights
file, the prompt and the greedy ids), logits.safetensors (all logits of each prompt, float32) and weights/*.safetensors, of
which variants share those that are equal. Needs torch, transformers and safetensors.
"""
import argparse
import hashlib
import json
import pathlib
import tempfile
import warnings
import zlib

import torch
import transformers
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM

VOCAB, HIDDEN, LAYERS, HEADS, POSITIONS = 64, 32, 2, 4, 64
NEW_TOKENS = 12

GPT2 = dict(model_type="gpt2", architectures=["GPT2LMHeadModel"], vocab_size=VOCAB, n_embd=HIDDEN, n_layer=LAYERS, n_head=HEADS,
            n_positions=POSITIONS, activation_function="gelu_new", layer_norm_epsilon=1e-5, bos_token_id=None, eos_token_id=None)
LLAMA = dict(model_type="llama", architectures=["LlamaForCausalLM"], vocab_size=VOCAB, hidden_size=HIDDEN, intermediate_size=48,
             num_hidden_layers=LAYERS, num_attention_heads=HEADS, num_key_value_heads=2, max_position_embeddings=POSITIONS,
             hidden_act="silu", rms_norm_eps=1e-6, bos_token_id=None, eos_token_id=None, rope_theta=10000.0)
MISTRAL = dict(LLAMA, model_type="mistral", architectures=["MistralForCausalLM"], sliding_window=None)
QWEN2 = dict(LLAMA, model_type="qwen2", architectures=["Qwen2ForCausalLM"])
QWEN3 = dict(LLAMA, model_type="qwen3", architectures=["Qwen3ForCausalLM"], head_dim=8)
ABSENT = object()

VARIANTS = {}


def add(name, base, prompt_len=24, generation=None, max_seq_len=None, **patch):
    config = {key: value for key, value in dict(base, **patch).items() if value is not ABSENT}
    VARIANTS[name] = dict(config=config, generation=generation, prompt_len=prompt_len, max_seq_len=max_seq_len)


def add_rope(name, section, base=LLAMA, **patch):
    add(name, base, rope_scaling=section, **patch)


def list_gpt2():
    add("gpt2", GPT2)
    for name in ("gelu", "gelu_python", "gelu_fast", "gelu_accurate", "gelu_pytorch_tanh", "gelu_python_tanh", "quick_gelu",
                 "gelu_10", "relu", "relu2", "relu6", "leaky_relu", "tanh", "sigmoid", "linear", "mish", "hardswish", "laplace",
                 "sqrtsoftplus", "silu", "swish"):
        add(f"gpt2-{name}", GPT2, activation_function=name)
    add("gpt2-no-activation", GPT2, activation_function=ABSENT)
    add("gpt2-no-epsilon", GPT2, layer_norm_epsilon=ABSENT)
    add("gpt2-epsilon", GPT2, layer_norm_epsilon=0.1)
    add("gpt2-unscaled", GPT2, scale_attn_weights=False)
    add("gpt2-inverse-layer", GPT2, scale_attn_by_inverse_layer_idx=True)
    add("gpt2-unscaled-inverse-layer", GPT2, scale_attn_weights=False, scale_attn_by_inverse_layer_idx=True)
    add("gpt2-upcast", GPT2, reorder_and_upcast_attn=True)
    add("gpt2-upcast-inverse-layer", GPT2, reorder_and_upcast_attn=True, scale_attn_by_inverse_layer_idx=True)
    add("gpt2-n-inner", GPT2, n_inner=40)
    add("gpt2-untied", GPT2, tie_word_embeddings=False)
    add("gpt2-base-model", GPT2, architectures=["GPT2Model"])
    add("gpt2-double-heads", GPT2, architectures=["GPT2DoubleHeadsModel"])
    names = {"n_embd": "hidden_size", "n_layer": "num_hidden_layers", "n_head": "num_attention_heads",
             "n_positions": "max_position_embeddings"}
    add("gpt2-canonical-names", {names.get(key, key): value for key, value in GPT2.items()})


def list_llama():
    add("llama", LLAMA)
    add("llama-no-epsilon", LLAMA, rms_norm_eps=ABSENT)
    add("llama-epsilon", LLAMA, rms_norm_eps=0.1)
    add("llama-multi-head", LLAMA, num_key_value_heads=None)
    add("llama-multi-head-absent", LLAMA, num_key_value_heads=ABSENT)
    add("llama-multi-query", LLAMA, num_key_value_heads=1)
    add("llama-head-dim", LLAMA, head_dim=12)
    add("llama-head-dim-null", LLAMA, head_dim=None)
    add("llama-attention-bias", LLAMA, attention_bias=True)
    add("llama-mlp-bias", LLAMA, mlp_bias=True)
    add("llama-both-biases", LLAMA, attention_bias=True, mlp_bias=True)
    add("llama-tied", LLAMA, tie_word_embeddings=True)
    add("llama-gelu", LLAMA, hidden_act="gelu")
    add("llama-relu2", LLAMA, hidden_act="relu2")
    add("llama-quick-gelu", LLAMA, hidden_act="quick_gelu")
    add("llama-linear", LLAMA, hidden_act="linear")
    add("llama-no-activation", LLAMA, hidden_act=ABSENT)
    add("llama-base-model", LLAMA, architectures=["LlamaModel"])
    add("llama-no-architecture", LLAMA, architectures=ABSENT)
    add("llama-named-otherwise", LLAMA, architectures=["SmallLanguageForCausalLM"])
    for key in ("dtype", "torch_dtype"):
        for value in ("float32", "float16", "bfloat16", "float64", "auto", None):
            if key == "dtype" or value != "auto":
                add(f"llama-{key}-{value}", LLAMA, **{key: value})
    add("llama-both-dtypes", LLAMA, dtype="float32", torch_dtype="float16")
    add("llama-unused-keys", LLAMA, sliding_window=4, layer_types=["full_attention"] * LAYERS, pretraining_tp=2, use_cache=False)


def list_rope():
    add("rope-theta", LLAMA, rope_theta=500.0)
    add("rope-theta-absent", LLAMA, rope_theta=ABSENT)
    add("rope-theta-integer", LLAMA, rope_theta=1000000)
    add("rope-parameters", LLAMA, rope_theta=ABSENT, rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    add("rope-parameters-no-type", LLAMA, rope_theta=ABSENT, rope_parameters={"rope_theta": 500.0})
    add("rope-both-thetas", LLAMA, rope_theta=10.0, rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    add("rope-theta-outside", LLAMA, rope_theta=500.0, rope_parameters={"rope_type": "linear", "factor": 2.0})
    add_rope("rope-null", None)
    add_rope("rope-default", {"type": "default"})
    add_rope("rope-linear", {"type": "linear", "factor": 2.0})
    add_rope("rope-linear-rope-type", {"rope_type": "linear", "factor": 2})
    add_rope("rope-both-types", {"rope_type": "linear", "type": "dynamic", "factor": 2.0})
    add_rope("rope-linear-below-one", {"type": "linear", "factor": 0.5})
    add_rope("rope-linear-theta-inside", {"type": "linear", "factor": 2.0, "rope_theta": 500.0})
    add_rope("rope-linear-beyond", {"type": "linear", "factor": 4.0}, max_position_embeddings=16)
    add_rope("rope-unknown-key", {"type": "linear", "factor": 2.0, "colour": 3})
    add_rope("rope-scaling-and-parameters", {"type": "linear", "factor": 2.0},
             rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    add_rope("rope-empty-scaling-and-parameters", {}, rope_parameters={"rope_type": "default", "rope_theta": 500.0})
    add_rope("rope-dynamic", {"type": "dynamic", "factor": 2.0})
    add_rope("rope-dynamic-beyond", {"type": "dynamic", "factor": 2.0}, max_position_embeddings=16, max_seq_len=64)
    add_rope("rope-dynamic-crossing", {"type": "dynamic", "factor": 4.0}, max_position_embeddings=28)
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
              "original_max_position_embeddings": 32}
    add_rope("rope-llama3", llama3)
    add_rope("rope-llama3-equal-factors", dict(llama3, low_freq_factor=2.0, high_freq_factor=2.0))
    add_rope("rope-llama3-swapped-factors", dict(llama3, low_freq_factor=4.0, high_freq_factor=1.0))
    add_rope("rope-llama3-beyond", dict(llama3, original_max_position_embeddings=16), max_position_embeddings=16)
    add_rope("rope-llama3-original-outside", llama3, original_max_position_embeddings=8)
    yarn = {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}
    add_rope("rope-yarn", yarn)
    add_rope("rope-yarn-beyond", yarn, max_position_embeddings=16)
    add_rope("rope-yarn-no-original", {"rope_type": "yarn", "factor": 4.0})
    add_rope("rope-yarn-betas", dict(yarn, beta_fast=4, beta_slow=2))
    add_rope("rope-yarn-zero-betas", dict(yarn, beta_fast=0, beta_slow=0))
    add_rope("rope-yarn-swapped-betas", dict(yarn, beta_fast=1, beta_slow=2))
    add_rope("rope-yarn-no-truncation", dict(yarn, beta_fast=4, truncate=False))
    add_rope("rope-yarn-attention-factor", dict(yarn, attention_factor=1.5))
    add_rope("rope-yarn-mscale", dict(yarn, mscale=1.0, mscale_all_dim=0.5))
    add_rope("rope-yarn-mscale-alone", dict(yarn, mscale=0.5))
    add_rope("rope-yarn-original-outside", yarn, original_max_position_embeddings=8)
    add_rope("rope-yarn-null-factor", dict(yarn, factor=None))
    longrope = {"type": "longrope", "factor": 4.0, "short_factor": [1.0, 1.5, 2.0, 2.5], "long_factor": [2.0, 4.0, 6.0, 8.0],
                "original_max_position_embeddings": 32}
    add_rope("rope-longrope-short", longrope, prompt_len=12)
    add_rope("rope-longrope-crossing", longrope)
    add_rope("rope-longrope-long", dict(longrope, original_max_position_embeddings=16))
    add_rope("rope-longrope-beyond", dict(longrope, original_max_position_embeddings=16), max_position_embeddings=16)
    add_rope("rope-longrope-attention-factor", dict(longrope, attention_factor=1.5))
    add_rope("rope-longrope-null-factor", dict(longrope, factor=None))
    add_rope("rope-longrope-original-outside", dict(longrope), original_max_position_embeddings=16)


def list_others():
    add("mistral", MISTRAL)
    add("mistral-window", MISTRAL, sliding_window=4)
    add("mistral-no-window-key", MISTRAL, sliding_window=ABSENT)
    add("mistral-head-dim", MISTRAL, head_dim=12)
    add("mistral-tied", MISTRAL, tie_word_embeddings=True)
    add("mistral-base-model", MISTRAL, architectures=["MistralModel"])
    add_rope("mistral-yarn", {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}, MISTRAL)
    for name, base in (("qwen2", QWEN2), ("qwen3", QWEN3)):
        add(name, base)
        add(f"{name}-tied", base, tie_word_embeddings=True)
        add(f"{name}-base-model", base, architectures=[f"Qwen{name[-1]}Model"])
        add(f"{name}-window-off", base, sliding_window=4, use_sliding_window=False, max_window_layers=0)
        add(f"{name}-window", base, sliding_window=4, use_sliding_window=True, max_window_layers=1)
        add(f"{name}-window-of-all", base, sliding_window=4, use_sliding_window=True, max_window_layers=0)
        add(f"{name}-window-no-first", base, sliding_window=4, use_sliding_window=True)
        add(f"{name}-window-null", base, sliding_window=None, use_sliding_window=True, max_window_layers=0)
        add(f"{name}-layer-types", base, sliding_window=4, use_sliding_window=True,
            layer_types=["sliding_attention", "full_attention"])
        add_rope(f"{name}-yarn-beyond", {"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 16}, base,
                 max_position_embeddings=16)
    add("qwen2-head-dim", QWEN2, head_dim=12)
    add("qwen3-head-dim", QWEN3, head_dim=12)
    add("qwen3-no-head-dim", QWEN3, head_dim=ABSENT, hidden_size=16, num_attention_heads=1, num_key_value_heads=1)
    add("qwen3-attention-bias", QWEN3, attention_bias=True)


def list_generation():
    def add_generation(name, generation):
        add(f"generation-{name}", LLAMA, generation=generation)

    add_generation("empty", {})
    add_generation("max-length", {"max_length": 30})
    add_generation("max-new-tokens", {"max_new_tokens": 5})
    add_generation("both-lengths", {"max_new_tokens": 5, "max_length": 100})
    add_generation("eos", {"eos_token_id": "third"})
    add_generation("eos-list", {"eos_token_id": ["third", 1000]})
    add_generation("eos-minus-one", {"eos_token_id": -1})
    add_generation("many-eos", {"eos_token_id": list(range(1000, 1080)) + ["third"]})
    add_generation("min-new-tokens", {"eos_token_id": "third", "min_new_tokens": 6})
    add_generation("min-length", {"eos_token_id": "third", "min_length": 30})
    add_generation("min-length-reached", {"eos_token_id": "third", "min_length": 10})
    add_generation("suppress", {"suppress_tokens": ["first", "second"]})
    add_generation("begin-suppress", {"begin_suppress_tokens": ["first"]})
    add_generation("bad-word", {"bad_words_ids": [["second"]]})
    add_generation("bad-words", {"bad_words_ids": [["first", "second"], ["second", "third", "first"]]})
    add_generation("bad-words-eos", {"bad_words_ids": [["third"]], "eos_token_id": "third"})
    add_generation("repetition-penalty", {"repetition_penalty": 1.8})
    add_generation("no-repeat-ngram", {"no_repeat_ngram_size": 2})
    add_generation("all-penalties", {"repetition_penalty": 1.3, "no_repeat_ngram_size": 3, "suppress_tokens": ["first"],
                                     "eos_token_id": "third", "min_new_tokens": 3, "bad_words_ids": [["second", "third"]]})
    add_generation("unused-sampling", {"do_sample": False, "temperature": 0.5, "top_k": -1, "top_p": 0.5, "typical_p": 0.5})
    add_generation("nulls", {"top_k": None, "temperature": None, "eos_token_id": None, "max_length": None, "stop_strings": None})


def random_tensor(name, shape):
    """The same for the same name and shape in every model; float16 holds it exactly."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{name} {tuple(shape)}".encode()))
    values = torch.randn(shape, generator=generator)
    if name.endswith("norm.weight") or ".ln_" in name and name.endswith(".weight"):
        return (1 + 0.2 * values).half().float()
    return (0.2 * values).half().float()


@torch.inference_mode()
def answers(variant, folder):
    (folder / "config.json").write_text(json.dumps(variant["config"], indent=1))
    blank = AutoModelForCausalLM.from_config(AutoConfig.from_pretrained(folder), attn_implementation="eager", dtype=torch.float32)
    tied = blank.config.tie_word_embeddings
    state = {name: random_tensor(name, value.shape) for name, value in blank.state_dict().items()
             if not (tied and name == "lm_head.weight")}
    save_file({name: value.half() for name, value in state.items()}, folder / "model.safetensors", metadata={"format": "pt"})

    load = dict(attn_implementation="eager", dtype=torch.float32)
    model = AutoModelForCausalLM.from_pretrained(folder, **load).eval()
    prompt = torch.randint(VOCAB, (1, variant["prompt_len"]), generator=torch.Generator().manual_seed(7))
    # dynamic and longrope remember the longest sequence, so that one model answers one question.
    logits = model(prompt).logits[0].float()
    model = AutoModelForCausalLM.from_pretrained(folder, **load).eval()
    plain = dict(do_sample=False, eos_token_id=None, pad_token_id=0)
    greedy = model.generate(prompt, max_new_tokens=NEW_TOKENS, **plain)[0, prompt.shape[1]:].tolist()
    return state, prompt[0].tolist(), logits, greedy


def resolved(value, greedy):
    """The greedy text's ids in place of their names."""
    names = dict(first=greedy[0], second=greedy[1], third=greedy[2])
    if isinstance(value, dict):
        return {key: resolved(item, greedy) for key, item in value.items()}
    if isinstance(value, list):
        return [resolved(item, greedy) for item in value]
    return names.get(value, value) if isinstance(value, str) else value


@torch.inference_mode()
def generated(variant, prompt, folder):
    (folder / "config.json").write_text(json.dumps(variant["config"], indent=1))
    (folder / "generation_config.json").write_text(json.dumps(variant["generation"]))
    model = AutoModelForCausalLM.from_pretrained(folder, attn_implementation="eager", dtype=torch.float32).eval()
    lengths = {} if {"max_length", "max_new_tokens"} & {k for k, v in variant["generation"].items() if v} else {
        "max_new_tokens": NEW_TOKENS}
    output = model.generate(torch.tensor([prompt]), pad_token_id=0, **lengths)
    return output[0, len(prompt):].tolist(), lengths.get("max_new_tokens")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path(__file__).parent)
    output = parser.parse_args().output
    transformers.logging.set_verbosity_error()
    warnings.filterwarnings("ignore")
    for make_list in (list_gpt2, list_llama, list_rope, list_others, list_generation):
        make_list()
    (output / "weights").mkdir(parents=True, exist_ok=True)
    for old in (output / "weights").glob("*.safetensors"):
        old.unlink()

    rows, all_logits = [], {}
    for name, variant in VARIANTS.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            try:
                state, prompt, logits, greedy = answers(variant, folder)
                row = dict(name=name, config=variant["config"], prompt_ids=prompt, greedy_ids=greedy)
                if variant["max_seq_len"] is not None:
                    row["max_seq_len"] = variant["max_seq_len"]
                if variant["generation"] is not None:
                    variant["generation"] = row["generation_config"] = resolved(variant["generation"], greedy)
                    row["generated_ids"], row["max_new_tokens"] = generated(variant, prompt, folder)
            except Exception as error:  # what transformers cannot do is no variant
                print(f"{name}: {type(error).__name__}: {str(error)[:200]}")
                continue
            data = b"".join(key.encode() + value.numpy().tobytes() for key, value in sorted(state.items()))
            row["weights"] = hashlib.sha256(data).hexdigest()[:12]
            path = output / "weights" / f"{row['weights']}.safetensors"
            if not path.exists():
                path.write_bytes((folder / "model.safetensors").read_bytes())
            best = logits.topk(2, dim=-1).values
            if (best[:, 0] - best[:, 1]).min() < 1e-3:
                print(f"{name}: two logits of a row differ by less than 1e-3")
            rows.append(row)
            if variant["generation"] is None:
                all_logits[name] = logits.contiguous()
    about = f"transformers {transformers.__version__}, float32, CPU, eager attention"
    lines = ",\n".join(json.dumps(row) for row in rows)
    (output / "variants.json").write_text(f'{{"reference": {json.dumps(about)}, "variants": [\n{lines}\n]}}\n')
    save_file(all_logits, output / "logits.safetensors")
    print(f"{len(rows)} variants")


main()
