#!/usr/bin/env python3
"""Answers of the original model by Hugging Face's transformers, to hold Quern's against.

  hf_reference.py summaries  --model DIR --dataset F.jsonl --output reference.jsonl
      what `quern summarize --reference-file reference.jsonl` reads
  hf_reference.py perplexity --model DIR --file F.txt [--save-logits reference.safetensors]
      what `quern perplexity` should print; the file is what `quern perplexity --against` reads

Needs torch and transformers. Options and defaults are those of the commands. docs/accuracy.md says more.
"""
import argparse
import csv
import json
import math
import sys

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

CHAT_SYSTEM = ("You are a helpful assistant, please summarize the article entered by the user with one or two "
               "sentences.")
CHAT_HEAD = f"<|im_start|>system\n{CHAT_SYSTEM}<|im_end|>\n<|im_start|>user\n"
CHAT_TAIL = "<|im_end|>\n<|im_start|>assistant\n"


def load(args):
    tokenizer = AutoTokenizer.from_pretrained(args.model, trust_remote_code=args.trust_remote_code)
    model = AutoModelForCausalLM.from_pretrained(
        args.model, dtype=getattr(torch, args.dtype), attn_implementation="eager",
        trust_remote_code=args.trust_remote_code)
    return tokenizer, model.to(args.device).eval()


def progress(done, total, what):
    print(f"\r{done}/{total} {what}", end="\n" if done == total else "", file=sys.stderr, flush=True)


def articles(args):
    """The articles as Quern reads them, in order."""
    with open(args.dataset, encoding="utf-8", newline="") as stream:
        if args.dataset.endswith(".csv"):
            rows = csv.DictReader(stream)
        else:
            rows = (json.loads(line) for line in stream if line.strip())
        for number, row in enumerate(rows):
            if number == args.max_articles:
                return
            yield row[args.article_field]


def prompt_ids(tokenizer, article, style, max_input_length):
    if style == "tldr":
        text = (article + " TL;DR: ").strip().replace(" n't", "n't")
        return tokenizer.encode(text)[-max_input_length:]
    head = tokenizer.encode(CHAT_HEAD, add_special_tokens=False)
    tail = tokenizer.encode(CHAT_TAIL, add_special_tokens=False)
    text = article.strip().replace(" n't", "n't")
    # An article may not end its own turn: special tokens written in it are text.
    ids = tokenizer.encode(text, add_special_tokens=False, split_special_tokens=True)
    room = max_input_length - len(head) - len(tail)
    return head + ids[-room:] + tail


def end_ids(tokenizer, model, style):
    """Everything that ends a text by any of the model's files, as Quern has it."""
    ids = {tokenizer.eos_token_id}
    for config in (model.config, model.generation_config):
        ids.update(config.eos_token_id if isinstance(config.eos_token_id, list) else [config.eos_token_id])
    if style == "chat":
        ids.add(tokenizer.convert_tokens_to_ids("<|im_end|>"))
    return sorted(ids - {None})


@torch.inference_mode()
def summaries(args):
    tokenizer, model = load(args)
    style = args.prompt_style
    if style == "auto":
        style = "chat" if "<|im_start|>" in tokenizer.get_vocab() else "tldr"
    ends = end_ids(tokenizer, model, style)
    # In place of the model's own config, whose sampling and penalties are not to apply.
    model.generation_config = GenerationConfig(do_sample=False, max_new_tokens=args.max_new_tokens,
                                               eos_token_id=ends, pad_token_id=ends[0])
    texts = list(articles(args))
    with open(args.output, "w", encoding="utf-8") as output:
        for number, article in enumerate(texts):
            ids = prompt_ids(tokenizer, article, style, args.max_input_length)
            tensor = torch.tensor([ids], device=args.device)
            out = model.generate(tensor, attention_mask=torch.ones_like(tensor))
            output_ids = out[0, len(ids):].tolist()
            text = tokenizer.decode(output_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)
            output.write(json.dumps({"prompt_ids": ids, "output_ids": output_ids, "text": text}) + "\n")
            progress(number + 1, len(texts), "articles")


@torch.inference_mode()
def perplexity(args):
    """The sliding window of https://huggingface.co/docs/transformers/perplexity; each token counts once."""
    tokenizer, model = load(args)
    with open(args.file, encoding="utf-8", newline="") as stream:
        ids = tokenizer.encode(stream.read())[: args.max_tokens]
    window = args.window or min(model.config.max_position_embeddings, 2048)
    stride = args.stride or min(512, window)
    total, count, kept, previous_end = 0.0, 0, [], 0
    for begin in range(0, len(ids), stride):
        end = min(begin + window, len(ids))
        logits = model(torch.tensor([ids[begin:end]], device=args.device)).logits[0].float()
        first = max(previous_end, begin + 1)  # the first token that this window scores
        rows = logits[first - 1 - begin : end - 1 - begin]
        targets = torch.tensor(ids[first:end], device=args.device)
        logprobs = torch.log_softmax(rows.double(), dim=-1)
        total -= logprobs.gather(1, targets[:, None]).sum().item()
        count += len(targets)
        if args.save_logits:
            kept.append(rows.cpu())
        previous_end = end
        progress(end, len(ids), "tokens")
        if end == len(ids):
            break
    if args.save_logits:
        from safetensors.torch import save_file
        save_file({"logits": torch.cat(kept), "token_ids": torch.tensor(ids, dtype=torch.int32),
                   "window_and_stride": torch.tensor([window, stride], dtype=torch.int32)}, args.save_logits)
    print(json.dumps({"num_tokens": len(ids), "num_scored": count, "window": window, "stride": stride,
                      "mean_nll": total / count, "perplexity": math.exp(total / count)}))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--model", required=True)
    common.add_argument("--dtype", default="float32", choices=["float32", "float16", "bfloat16"])
    common.add_argument("--device", default="cpu")
    common.add_argument("--trust-remote-code", action="store_true")

    command = commands.add_parser("summaries", parents=[common])
    command.set_defaults(run=summaries)
    command.add_argument("--dataset", required=True)
    command.add_argument("--output", required=True)
    command.add_argument("--article-field", default="article")
    command.add_argument("--max-articles", type=int, default=20)
    command.add_argument("--max-input-length", type=int, default=923)
    command.add_argument("--max-new-tokens", type=int, default=100)
    command.add_argument("--prompt-style", default="auto", choices=["auto", "tldr", "chat"])

    command = commands.add_parser("perplexity", parents=[common])
    command.set_defaults(run=perplexity)
    command.add_argument("--file", required=True)
    command.add_argument("--window", type=int)
    command.add_argument("--stride", type=int)
    command.add_argument("--max-tokens", type=int)
    command.add_argument("--save-logits")
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
