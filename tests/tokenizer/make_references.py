#!/usr/bin/env python3
"""make_references.py [--texts N] > tests/tokenizer/data/references.json

Writes small tokenizers with every normalizer, pre-tokenizer, model, decoder, post-processor and flag of added tokens, and what
Hugging Face's tokenizers makes of random texts with them; SentencePiece models with every setting of the normalizer, and what
transformers makes of them for several classes. Needs tokenizers, transformers, sentencepiece and protobuf.
"""
import argparse
import base64
import io
import json
import os
import pathlib
import random
import sys
import tempfile
import unicodedata

os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
import sentencepiece
import tokenizers
import transformers
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]
CHARSMAP_RULES = "41\t61\nFB01\t66 69\n3000\t20\nB4\t20 301\n200B\t\n65 301\tE9\n"
PARTS = ["the", "king", " ", "  ", "\n", "\t", "\u00a0", "\u3000", "a", "e\u0301", "\u00e9", "\u0130", "A", "\ufb01", "\u00b4", "\u200b", "\u2581",
         "12", "\u0663", "\u00bd", ",", "...", "$", "'s", "\u4e2d", "\u3042", "\U0001f468\u200d\U0001f469", "<s>", "<t>", "t", "aa", "Z\u0323\u0307", "\ufffd", "."]
BLOCKS = [(0x20, 0x7F), (0xA0, 0x250), (0x300, 0x600), (0x900, 0xE00), (0x1E00, 0x2100), (0x2100, 0x2C00), (0x3040, 0x3100), (0x4E00, 0x9FFF),
          (0xAC00, 0xD7A4), (0xF900, 0xFFF0), (0x1F300, 0x1F700), (0x10000, 0x20000)]


def random_texts(count, source):
    def part():
        if source.random() < 0.75:
            return source.choice(PARTS)
        while True:
            c = chr(source.randrange(*source.choice(BLOCKS)))
            if unicodedata.category(c) not in ("Cn", "Co", "Cs"):
                return c

    return ["".join(part() for _ in range(source.randint(1, 10))) for _ in range(count)]


def bytes_model(**options):
    """Every character becomes its bytes, with the suffix's behind the last of each piece: ids show all that was done before."""
    return models.BPE(vocab={f"<0x{b:02X}>": b for b in range(256)}, merges=[], byte_fallback=True, end_of_word_suffix="|", **options)


def make(model=None, normalizer=None, pre_tokenizer=None, decoder=None, post_processor=None, added=()):
    tokenizer = Tokenizer(model or bytes_model())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    if pre_tokenizer is not None:
        tokenizer.pre_tokenizer = pre_tokenizer
    if decoder is not None:
        tokenizer.decoder = decoder
    if post_processor is not None:
        tokenizer.post_processor = post_processor
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token])
    return tokenizer


def train(model_type, **options):
    source = random.Random(3)
    words = "the king queen house sea who is it said aaa aa banana bananas and in by old abab ab ba".split()
    sentences = [" ".join(source.choice(words) for _ in range(12)) + source.choice([".", "!", " <t>x", "a<t>"]) for _ in range(300)]
    model = io.BytesIO()
    size = 330 if options.get("byte_fallback") else 70
    with tempfile.TemporaryDirectory() as folder:
        rules = pathlib.Path(folder) / "rules.tsv"
        rules.write_text(CHARSMAP_RULES)
        if "normalization_rule_name" not in options:
            options["normalization_rule_tsv"] = str(rules)
        sentencepiece.SentencePieceTrainer.train(sentence_iterator=iter(sentences), model_writer=model, model_type=model_type,
                                                 vocab_size=size, hard_vocab_limit=False, minloglevel=2, **options)
    return model.getvalue()


def charsmap():
    """The charsmap of a SentencePiece model: field 2 of its field 3."""
    def fields(data):
        at = 0
        def varint():
            nonlocal at
            value = shift = 0
            while True:
                byte = data[at]
                at += 1
                value |= (byte & 127) << shift
                shift += 7
                if byte < 128:
                    return value
        while at < len(data):
            tag = varint()
            size = {0: None, 1: 8, 5: 4}.get(tag & 7, 0)
            if size is None:
                varint()
                continue
            size = size or varint()
            yield tag >> 3, data[at:at + size]
            at += size

    return dict(fields(dict(fields(train("unigram")))[3]))[2]


def normalizer_cases():
    n = normalizers
    yield from ((name, getattr(n, name)()) for name in ("NFC", "NFD", "NFKC", "NFKD", "Lowercase", "StripAccents", "Nmt", "ByteLevel"))
    for left in (True, False):
        for right in (True, False):
            yield f"Strip {left} {right}", n.Strip(left, right)
    yield "Prepend", n.Prepend("\u2581")
    yield "Replace string", n.Replace(" ", "\u2581")
    yield "Replace pattern", n.Replace(Regex(r" {2,}|\p{Lu}"), "_")
    yield "Replace by nothing", n.Replace(Regex(r"^\s+|\d"), "")
    yield "Precompiled", n.Precompiled(charsmap())
    for flags in range(16):
        yield f"BertNormalizer {flags:04b}", n.BertNormalizer(bool(flags & 1), bool(flags & 2), bool(flags & 4), bool(flags & 8))
    yield "BertNormalizer defaults", n.BertNormalizer()
    yield "Sequence", n.Sequence([n.NFKD(), n.StripAccents(), n.Lowercase(), n.Replace("a", "bb"), n.Strip(), n.Prepend("<")])


def pre_tokenizer_cases():
    p = pre_tokenizers
    for behavior in BEHAVIORS:
        for invert in (False, True):
            yield f"Split {behavior} {invert}", p.Split(Regex(r"\s+|\d"), behavior, invert)
        yield f"Split string {behavior}", p.Split("a", behavior)
        yield f"Split empty matches {behavior}", p.Split(Regex(r"(?=\p{Lu})|x*"), behavior)
        yield f"Punctuation {behavior}", p.Punctuation(behavior)
    yield from ((f"Digits {each}", p.Digits(each)) for each in (False, True))
    for scheme in ("always", "first", "never"):
        for split in (True, False):
            yield f"Metaspace {scheme} {split}", p.Metaspace("\u2581", scheme, split)
    yield from ((name, getattr(p, name)()) for name in ("BertPreTokenizer", "WhitespaceSplit", "Whitespace"))
    for prefix in (True, False):
        for regex in (True, False):
            yield f"ByteLevel {prefix} {regex}", p.ByteLevel(prefix, use_regex=regex)
    yield "Sequence", p.Sequence([p.WhitespaceSplit(), p.Punctuation("isolated"), p.Digits(True), p.Metaspace("\u2581", "first", True)])
    yield "Sequence of spaces", p.Sequence([p.Split(Regex(" "), "merged_with_next"), p.ByteLevel(True, use_regex=False)])


def model_cases():
    pieces = [("<unk>", 0.0), ("\u2581", -2.0), ("the", -2.5), ("\u2581the", -2.1), ("t", -4.0), ("h", -4.0), ("e", -4.0), ("king", -5.0), ("a", -3.0),
              ("aa", -3.1), (" ", -3.5), ("\u0301", -6.0)]
    yield "Unigram", models.Unigram(pieces, unk_id=0)
    yield "Unigram with bytes", models.Unigram(pieces + [(f"<0x{b:02X}>", -8.0) for b in range(256)], unk_id=0, byte_fallback=True)
    yield "WordLevel", models.WordLevel({"<unk>": 0, "the": 1, "king": 2, "a": 3, ",": 5, "the king": 4}, unk_token="<unk>")
    vocab = {token: i for i, token in enumerate(["<unk>", "t", "h", "e", "a", "th", "the", "aa", "aaa", " ", "k", "i", "n", "g", "in", "ing", "king"])}
    merges = [("t", "h"), ("th", "e"), ("a", "a"), ("aa", "a"), ("i", "n"), ("in", "g"), ("k", "ing")]
    yield "BPE", models.BPE(vocab=vocab, merges=merges, unk_token="<unk>")
    yield "BPE fuse_unk", models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", fuse_unk=True)
    yield "BPE without unk", models.BPE(vocab=vocab, merges=merges)
    yield "BPE ignore_merges", models.BPE(vocab=vocab, merges=merges[:2], unk_token="<unk>", ignore_merges=True)
    vocab = {token: i for i, token in enumerate(["<unk>", "t", "##h", "##e", "th", "the", "a", "##a", "aa", "##h</w>", "##e</w>", "the</w>", "a</w>"])}
    merges = [("t", "##h"), ("th", "##e"), ("a", "##a"), ("th", "##e</w>")]
    yield "BPE prefix and suffix", models.BPE(vocab=vocab, merges=merges, unk_token="<unk>", continuing_subword_prefix="##", end_of_word_suffix="</w>")


def decoder_cases():
    d = decoders
    yield "ByteFallback", d.ByteFallback()
    yield "ByteFallback, Fuse", d.Sequence([d.ByteFallback(), d.Fuse()])
    yield "LLaMA", d.Sequence([d.Replace("\u2581", " "), d.ByteFallback(), d.Fuse(), d.Strip(" ", 1, 0)])
    yield "Strip", d.Sequence([d.ByteFallback(), d.Fuse(), d.Strip("a", 2, 0)])
    yield "Strip of tokens", d.Sequence([d.Strip("<", 1, 0), d.Strip(">", 0, 1)])
    yield "Replace pattern", d.Sequence([d.ByteFallback(), d.Fuse(), d.Replace(Regex(r"\s+"), "_")])
    yield "Metaspace", d.Sequence([d.ByteFallback(), d.Metaspace("\u2581", "always", True)])
    yield "Metaspace never", d.Sequence([d.ByteFallback(), d.Fuse(), d.Metaspace("\u2581", "never", True)])
    yield "BPEDecoder", d.BPEDecoder("|")
    yield "ByteLevel", d.ByteLevel()


def added_cases():
    for flags in range(16):
        options = {"single_word": bool(flags & 1), "lstrip": bool(flags & 2), "rstrip": bool(flags & 4), "normalized": bool(flags & 8)}
        yield f"{flags:04b}", [AddedToken("<s>", special=True, **options), AddedToken("king", **options), AddedToken("\u00c9", **options), AddedToken("e", **options)]


def json_cases():
    fallback = decoders.Sequence([decoders.ByteFallback(), decoders.Fuse()])
    yield from ((f"normalizer {name}", make(normalizer=part, decoder=fallback)) for name, part in normalizer_cases())
    yield from ((f"pre-tokenizer {name}", make(pre_tokenizer=part, decoder=fallback)) for name, part in pre_tokenizer_cases())
    yield from ((f"model {name}", make(model, pre_tokenizer=pre_tokenizers.WhitespaceSplit())) for name, model in model_cases())
    yield from ((f"model {name} alone", make(model)) for name, model in model_cases())
    yield from ((f"decoder {name}", make(decoder=part, added=[AddedToken("<t>"), AddedToken("<s>", special=True)])) for name, part in decoder_cases())
    for name, added in added_cases():
        yield f"added {name}", make(normalizer=normalizers.Sequence([normalizers.NFC(), normalizers.Lowercase()]), decoder=fallback, added=added)
        yield f"added {name}, Metaspace first", make(pre_tokenizer=pre_tokenizers.Metaspace("\u2581", "first", False), decoder=fallback, added=added)
    p = processors
    template = p.TemplateProcessing(single="<s> $A <t> <s>", pair="<s> $A $B", special_tokens=[("<s>", 256), ("<t>", 257)])
    for name, processor in (("TemplateProcessing", template), ("BertProcessing", p.BertProcessing(("<t>", 257), ("<s>", 256))),
                            ("RobertaProcessing", p.RobertaProcessing(("<t>", 257), ("<s>", 256))),
                            ("Sequence", p.Sequence([p.ByteLevel(trim_offsets=False), template]))):
        yield f"post-processor {name}", make(decoder=fallback, post_processor=processor,
                                             added=[AddedToken("<s>", special=True), AddedToken("<t>", special=True)])


SENTENCEPIECE = {
    "plain": {"normalization_rule_name": "identity"},
    "charsmap": {},
    "spaces": {"normalization_rule_name": "identity", "remove_extra_whitespaces": False},
    "no prefix": {"add_dummy_prefix": False},
    "suffix": {"normalization_rule_name": "identity", "treat_whitespace_as_suffix": True},
    "bytes": {"byte_fallback": True, "user_defined_symbols": ["<t>", "king"], "control_symbols": ["<c>"]},
    "user": {"normalization_rule_name": "identity", "user_defined_symbols": ["<t>", "king"]},
}
CONFIGS = {
    "llama": {"tokenizer_class": "LlamaTokenizer", "add_bos_token": True},
    "llama legacy": {"tokenizer_class": "LlamaTokenizer", "legacy": True},
    "llama no prefix": {"tokenizer_class": "LlamaTokenizer", "add_prefix_space": False},
    "other": {"tokenizer_class": "PreTrainedTokenizerFast", "clean_up_tokenization_spaces": True},
}


def encode_all(texts, encode, decode):
    ids = [encode(text) for text in texts]
    return {"texts": texts, "ids": ids, "decoded": [decode(i, False) for i in ids], "decoded_without_special": [decode(i, True) for i in ids]}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--texts", type=int, default=4, help="for each tokenizer")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    source = random.Random(options.seed)
    cases = []
    for name, tokenizer in json_cases():
        file = json.loads(tokenizer.to_str())
        if len(file["model"]["vocab"]) == 256:
            file["model"]["vocab"] = "bytes"  # the test puts them there
        case = {"name": name, "tokenizer.json": file}
        case |= encode_all(random_texts(options.texts, source), lambda text: tokenizer.encode(text).ids,
                           lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip))
        cases.append(case)
    for model_type in ("unigram", "bpe"):
        for kind, settings in SENTENCEPIECE.items():
            model = train(model_type, **settings)
            configs = {}
            for name, config in CONFIGS.items():
                with tempfile.TemporaryDirectory() as folder:
                    folder = pathlib.Path(folder)
                    (folder / "tokenizer.model").write_bytes(model)
                    (folder / "tokenizer_config.json").write_text(json.dumps(config))
                    (folder / "config.json").write_text('{"model_type": "llama"}')
                    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
                configs[name] = {"config": config} | encode_all(
                    random_texts(options.texts, source), lambda text: tokenizer(text)["input_ids"],
                    lambda ids, skip: tokenizer.decode(ids, skip_special_tokens=skip))
            cases += [{"name": f"tokenizer.model {model_type} {kind} {name}", "tokenizer.model": base64.b64encode(model).decode()} | case
                      for name, case in configs.items()]
    versions = {package.__name__: package.__version__ for package in (tokenizers, transformers, sentencepiece)}
    lines = ",\n".join(json.dumps(case, separators=(",", ":")) for case in cases)
    sys.stdout.write(f'{{"versions": {json.dumps(versions)},\n"cases": [\n{lines}\n]}}\n')


main()
