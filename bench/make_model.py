#!/usr/bin/env python3
"""Writes a Hugging Face folder with random weights of a known shape, for timing how a folder loads.

    make_model.py SHAPE FOLDER [--tokenizer FOLDER] [--seed N]

SHAPE is a name in src/model/shapes.json. Needs torch and transformers; uses a GPU where there is one. The tokenizer's
files are copied: its vocabulary may be smaller than the model's. The weights are transformers' own initialisation.
"""

import argparse
import json
import pathlib
import shutil

import torch
import transformers

SHAPES = pathlib.Path(__file__).resolve().parent.parent / "src/model/shapes.json"
TOKENIZER_FILES = ["tokenizer.json", "tokenizer.model", "tokenizer_config.json", "vocab.json", "merges.txt"]


def make_model(shape, folder, tokenizer=None, seed=0):
    """Returns the config of the model written to `folder`."""
    shapes = json.loads(SHAPES.read_text())
    if shape not in shapes:
        raise SystemExit(f"error: no shape {shape!r}: expected one of {', '.join(shapes)}")
    settings = dict(shapes[shape])
    dtype = getattr(torch, settings.pop("torch_dtype", "float16"))
    config = transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
    torch.manual_seed(seed)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = transformers.AutoModelForCausalLM.from_config(config, dtype=dtype)
    model.save_pretrained(folder, max_shard_size="100GB")
    for name in TOKENIZER_FILES if tokenizer else []:
        if (pathlib.Path(tokenizer) / name).exists():
            shutil.copy(pathlib.Path(tokenizer) / name, folder)
    return config


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("shape")
    parser.add_argument("folder")
    parser.add_argument("--tokenizer", help="folder to copy the tokenizer from")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    make_model(arguments.shape, arguments.folder, arguments.tokenizer, arguments.seed)


if __name__ == "__main__":
    main()
