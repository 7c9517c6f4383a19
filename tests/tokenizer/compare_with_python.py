#!/usr/bin/env python3
"""compare_with_python.py PROGRAM FOLDER... [--texts FILE]... [--random N] [--seed S]

Compares `PROGRAM tokenize` with transformers' AutoTokenizer for each model folder, with sentencepiece for a folder that holds
a tokenizer.model alone, and with tiktoken for one that holds a qwen.tiktoken alone: the paragraphs of the text files and N random strings. Prints what differs and ends with status 1 if
anything does, with 77 (skipped) where the packages are not installed.
"""
import argparse
import base64
import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unicodedata

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
COMMON = list("   \n\n\t\r',.!?-0123456789aetoinshrdluESTRM") + [
    "  ", "\r\n", "'s", "'LL", "\u2581", "<s>", "</s>", "<unk>", "<|endoftext|>", "<|im_end|>"]
BLOCKS = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x370), (0x370, 0x600), (0x900, 0x1000), (0x1100, 0x1200), (0x2000, 0x2100),
          (0x3040, 0x3100), (0x4E00, 0x9FFF), (0xAC00, 0xD7A4), (0x1F300, 0x1F700), (0x01, 0x20), (0x10000, 0x30000)]


def random_texts(count, seed):
    source = random.Random(seed)

    def character():
        while True:
            c = chr(source.randrange(*source.choice(BLOCKS)))
            if unicodedata.category(c) not in ("Cn", "Co", "Cs"):
                return c

    return ["".join(source.choice(COMMON) if source.random() < 0.5 else character() for _ in range(source.randint(1, 30)))
            for _ in range(count)]


def qwen(path):
    """First-generation Qwen's tokenization_qwen.py."""
    import tiktoken
    try:
        import unicodedata2 as normal_forms  # newer than Python's own
    except ImportError:
        normal_forms = unicodedata
    ranks = {base64.b64decode(word): int(rank) for word, rank in map(str.split, path.read_text().splitlines())}
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"] + [f"<|extra_{i}|>" for i in range(205)]
    model = tiktoken.Encoding(
        "Qwen", mergeable_ranks=ranks, special_tokens={name: len(ranks) + i for i, name in enumerate(names)},
        pat_str=r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
    return lambda text: model.encode(normal_forms.normalize("NFC", text), allowed_special="all")


def reference(folder):
    """Functions from a text to ids and from ids to a text."""
    if {path.name for path in folder.iterdir()} == {"tokenizer.model"}:
        import sentencepiece
        model = sentencepiece.SentencePieceProcessor(model_file=str(folder / "tokenizer.model"))
        return model.encode, None
    if {path.name for path in folder.iterdir()} == {"qwen.tiktoken"}:
        return qwen(folder / "qwen.tiktoken"), None
    import transformers
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return lambda text: tokenizer(text)["input_ids"], tokenizer.decode


def ours(program, folder, texts):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as prompts:
        for text in texts:
            prompts.write(json.dumps({"prompt": text}) + "\n")
        prompts.flush()
        run = subprocess.run([program, "tokenize", "-m", folder, "--prompts-file", prompts.name, "--json"],
                             capture_output=True, check=True)
    answer = json.loads(run.stdout)
    return [result["ids"] for result in answer.get("results", [answer])]


def compare(program, folder, texts):
    encode, _ = reference(folder)
    if {path.name for path in folder.iterdir()} == {"tokenizer.model"}:
        # sentencepiece takes special tokens in a text for text.
        texts = [text for text in texts if "<" not in text]
    differences = 0
    for text, found in zip(texts, ours(program, folder, texts), strict=True):
        expected = encode(text)
        if expected != found:
            differences += 1
            if differences <= 3:
                print(f"{folder}: {text[:100]!r}: expected {expected[:20]}, got {found[:20]}")
    print(f"{folder}: {differences} of {len(texts)} texts differ")
    return differences


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("program")
    parser.add_argument("folders", nargs="+", type=pathlib.Path)
    parser.add_argument("--texts", action="append", default=[], type=pathlib.Path)
    parser.add_argument("--random", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    try:
        import sentencepiece  # noqa: F401
        import transformers  # noqa: F401
    except ImportError as error:
        print(f"skipped: {error}")
        return 77
    texts = random_texts(options.random, options.seed)
    for path in options.texts:
        texts += [part for part in path.read_text(encoding="utf-8").split("\n\n") if part]
    return 1 if sum(compare(options.program, folder, texts) for folder in options.folders) else 0


sys.exit(main())
