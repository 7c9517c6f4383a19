#!/usr/bin/env python3
"""Writes unicode_data.inc from the Unicode Character Database: generate_tables.py > unicode_data.inc

Needs `unicodedata2` of the version below (pip install unicodedata2==16.0.0) and DerivedAge.txt (Debian's package unicode-data).

The versions are those of Hugging Face's tokenizers 0.22 and 0.23: its regular expressions know Unicode 16.0, its normal forms and
its marks 9.0, its punctuation and the categories that BertNormalizer removes 8.0. With others, text that holds newer characters
would get other ids than the models were trained with. First-generation Qwen's tokenizer has the normal forms of Python, which
follow the current version: the tables have those of 16.0, and say which characters 9.0 has not.
"""
import unicodedata

import unicodedata2 as ucd

VERSION = "16.0.0"
NORMAL_FORMS_VERSION = (9, 0)
OLD_VERSION = (8, 0)
AGES = "/usr/share/unicode/DerivedAge.txt"
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]
ASCII_PUNCTUATION = set("!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~")


def read_ages():
    ages = {}
    for line in open(AGES, encoding="utf-8"):
        fields = [field.strip() for field in line.split("#")[0].split(";")]
        if len(fields) == 2:
            first, _, last = fields[0].partition("..")
            version = tuple(int(part) for part in fields[1].split("."))
            ages.update(dict.fromkeys(range(int(first, 16), int(last or first, 16) + 1), version))
    return ages


def table(comment, name, kind, items, per_row):
    print(f"/// {comment}\ninline constexpr {kind} {name}[] = {{")
    for i in range(0, len(items), per_row):
        print("    " + " ".join(items[i:i + per_row]))
    print("};\n")


def runs(value_of):
    """(first code point, value) wherever the value changes."""
    found = []
    for c in range(0x110000):
        value = value_of(c)
        if not found or found[-1][1] != value:
            found.append((c, value))
    return found


def lowercase(c):
    """The simple mapping. What is newer than this interpreter's own tables goes by name."""
    text = chr(c)
    if text.lower() != text:
        return text.lower()[0]
    name = ucd.name(text, "")
    if unicodedata.category(text) != "Cn" or ucd.category(text) != "Lu" or "CAPITAL" not in name:
        return text
    try:
        return ucd.lookup(name.replace("CAPITAL", "SMALL"))
    except KeyError:
        return text


def main():
    assert ucd.unidata_version == VERSION, ucd.unidata_version
    ages = read_ages()

    def is_in(c, version):
        return ages.get(c, (99, 0)) <= version

    def is_punctuation(c):  # two characters were classed anew since
        return chr(c) in ASCII_PUNCTUATION or c in (0x166D, 0x111C9) or (
            ucd.category(chr(c))[0] == "P" and is_in(c, OLD_VERSION))

    def is_newer(c):
        has_form = ucd.combining(chr(c)) != 0 or ucd.normalize("NFKD", chr(c)) != chr(c)
        return int(has_form and not is_in(c, NORMAL_FORMS_VERSION))

    def is_mark(c):
        return c in (0x1CF2, 0x1CF3) or (
            ucd.category(chr(c))[0] == "M" and is_in(c, NORMAL_FORMS_VERSION) and c != 0x111C9)

    print(f"// Written by generate_tables.py from the Unicode Character Database, version {VERSION}.\n")
    table("First code points of runs of one General_Category.", "kCategoryRuns", "CategoryRun",
          [f"{{0x{c:X},{v}}}," for c, v in runs(lambda c: ucd.category(chr(c)).lower())], 11)
    table("First code points of runs of one Canonical_Combining_Class.", "kCombiningRuns", "ValueRun",
          [f"{{0x{c:X},{v}}}," for c, v in runs(lambda c: ucd.combining(chr(c)))], 12)
    table("First code points of runs of characters that Unicode 9.0 has not and that normal forms change (1), and of the rest (0).",
          "kNewerRuns", "ValueRun", [f"{{0x{c:X},{v}}}," for c, v in runs(is_newer)], 14)
    table("First code points of runs of punctuation (1) and of the rest (0).", "kPunctuationRuns", "ValueRun",
          [f"{{0x{c:X},{v}}}," for c, v in runs(lambda c: int(is_punctuation(c)))], 14)
    table("First code points of runs of characters that Unicode 8.0 has (1) and of the rest (0).", "kOldRuns", "ValueRun",
          [f"{{0x{c:X},{v}}}," for c, v in runs(lambda c: int(is_in(c, OLD_VERSION)))], 14)
    table("First code points of runs of marks (1) and of the rest (0).", "kMarkRuns", "ValueRun",
          [f"{{0x{c:X},{v}}}," for c, v in runs(lambda c: int(is_mark(c)))], 14)
    lower = [(c, ord(lowercase(c)) - c) for c in CODE_POINTS]
    table("First code points of runs that lie equally far from their lowercase.", "kLowercaseRuns", "OffsetRun",
          [f"{{0x{c:X},{v}}}," for c, v in runs(dict(lower + [(c, 0) for c in range(0xD800, 0xE000)]).get)], 11)
    decompositions, pool, compositions = [], [], []
    for c in CODE_POINTS:
        text = chr(c)
        if 0xAC00 <= c < 0xD7A4:
            continue  # Hangul is computed
        canonical, compatible = ucd.normalize("NFD", text), ucd.normalize("NFKD", text)
        if canonical != text:
            decompositions.append((c, canonical, 0))
            parts = [int(part, 16) for part in ucd.decomposition(text).split()]
            if len(parts) == 2 and ucd.normalize("NFC", canonical) == text:
                compositions.append((parts[0], parts[1], c))
        if compatible != canonical:
            decompositions.append((c, compatible, 1))
    items = []
    for c, text, compatible in decompositions:
        items.append(f"{{0x{c:X},{len(pool)},{len(text)},{compatible}}},")
        pool += [f"0x{ord(x):X}," for x in text]
    table("Full decompositions, canonical (0) and compatible (1): begin in kDecomposed, and length.", "kDecompositions",
          "Decomposition", items, 7)
    table("The code points of all decompositions.", "kDecomposed", "char32_t", pool, 17)
    table("Primary composites, by first and second part.", "kCompositions", "Composition",
          [f"{{0x{a:X},0x{b:X},0x{c:X}}}," for a, b, c in sorted(compositions)], 6)


main()
