#!/usr/bin/env python3
"""Runs llama.cpp's own benchmarks on the cells of `quern bench`, and prints their results in its schema.

    llama_cpp_bench.py --model MODEL.gguf --name llama_7b --batch-size "1;8" --input-output-len "128,128" > peer.json

Batch size 1 is llama-bench's, which repeats; larger ones are llama-batched-bench's, which runs once. Both are searched
on PATH, or in --programs FOLDER. A cell whose program fails is skipped, with its last line.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import shutil
import subprocess
from typing import Any

import sweep
from schema.results_schema import CellKey, ResultError, run_script

BENCH, BATCHED = "llama-bench", "llama-batched-bench"


def find_program(name: str, folder: str | None) -> str:
    """Errors: ResultError where it is not."""
    found = shutil.which(name, path=folder)
    if found is None:
        raise ResultError(f"{name}: not found {'in ' + folder if folder else 'on PATH'}")
    return found


def output_of(command: list[str]) -> str:
    """What a program prints. Errors: ResultError with its last line."""
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        raise ResultError(f"{pathlib.Path(command[0]).name} ended with {done.returncode}: {last}")
    return done.stdout


def cell_of_bench(key: CellKey, text: str) -> dict[str, Any]:
    """From llama-bench's JSON: its tests of prompt processing, and of prompt and generation. Errors: ResultError."""
    try:
        tests = {(test["n_prompt"], test["n_gen"]): test["samples_ns"] for test in json.loads(text)}
        whole, prompt = tests[key.input_len, key.output_len], tests[key.input_len, 0]
        return sweep.measured_cell(key, [ns / 1e6 for ns in whole], [ns / 1e6 for ns in prompt])
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(f"{BENCH}: unexpected output: {error!r}") from None


def cell_of_batched(key: CellKey, text: str) -> dict[str, Any]:
    """From llama-batched-bench's JSON lines, whose times are seconds. Errors: ResultError."""
    try:
        rows = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
        row = next(row for row in rows if (row["pl"], row["pp"], row["tg"]) == key)
        return sweep.measured_cell(key, [row["t"] * 1e3], [row["t_pp"] * 1e3])
    except (ValueError, KeyError, TypeError, StopIteration) as error:
        raise ResultError(f"{BATCHED}: unexpected output: {error!r}") from None


def measure(key: CellKey, arguments: argparse.Namespace) -> dict[str, Any]:
    common = ["-m", arguments.model, "-ngl", "999", "-fa", "1"]
    try:
        if key.batch_size == 1:
            program = find_program(BENCH, arguments.programs)
            lengths = ["-p", str(key.input_len), "-n", "0", "-pg", f"{key.input_len},{key.output_len}"]
            return cell_of_bench(key, output_of([program, *common, *lengths, "-r", str(arguments.runs), "-o", "json"]))
        program = find_program(BATCHED, arguments.programs)
        context = key.batch_size * (key.input_len + key.output_len)
        lengths = ["-npp", str(key.input_len), "-ntg", str(key.output_len), "-npl", str(key.batch_size)]
        size = ["-c", str(context), "-b", "2048", "-ub", "2048"]
        return cell_of_batched(key, output_of([program, *common, *lengths, *size, "--output-format", "jsonl"]))
    except ResultError as error:
        return sweep.skipped_cell(key, str(error))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, metavar="MODEL.gguf")
    parser.add_argument("--name", required=True, help="the model's name in the results, such as llama_7b")
    parser.add_argument("--gpu", default="unknown GPU", help="the GPU's name in the results")
    parser.add_argument("--programs", metavar="FOLDER", help="where the programs are (default: on PATH)")
    sweep.add_sweep_options(parser)
    arguments = parser.parse_args()
    keys = sweep.cells_of(arguments)
    for name in {BENCH if key.batch_size == 1 else BATCHED for key in keys}:
        find_program(name, arguments.programs)
    if not pathlib.Path(arguments.model).is_file():
        raise ResultError(f"{arguments.model}: no such file")
    cells = []
    for key in keys:
        cells.append(measure(key, arguments))
        sweep.progress(len(cells), len(keys), "cells, llama.cpp")
    engine = {"model": arguments.name, "weights": "checkpoint", "device": "cuda:0", "dtype": "float16"}
    environment = {"version": "llama.cpp", "gpus": [{"index": 0, "name": arguments.gpu}]}
    sweep.print_document(sweep.document("llama.cpp", environment, engine, arguments, cells))
    return 0


if __name__ == "__main__":
    run_script(main)
