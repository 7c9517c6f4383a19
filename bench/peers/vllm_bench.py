#!/usr/bin/env python3
"""Runs `vllm bench latency` on the cells of `quern bench`, and prints its results in its schema.

    vllm_bench.py --model FOLDER --name llama_7b --batch-size "1;8" --input-output-len "128,128" > peer.json

FOLDER is a Hugging Face model; with --random its config alone is enough. vLLM starts anew for each cell, which takes a
minute or so; times are those of its runs. A cell that fails is skipped, with the last line of what it said.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import tempfile
from typing import Any

import sweep
from llama_cpp_bench import find_program, output_of
from schema.results_schema import CellKey, ResultError, run_script


def cell_of_latencies(key: CellKey, text: str) -> dict[str, Any]:
    """From the file that --output-json names, whose times are seconds. Errors: ResultError."""
    try:
        latencies = json.loads(text)["latencies"]
        return sweep.measured_cell(key, [seconds * 1e3 for seconds in latencies])
    except (ValueError, KeyError, TypeError) as error:
        raise ResultError(f"vllm: unexpected output: {error!r}") from None


def measure(key: CellKey, program: str, arguments: argparse.Namespace) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        output = pathlib.Path(folder) / "latency.json"
        command = [program, "bench", "latency", "--model", arguments.model, "--dtype", arguments.dtype]
        command += ["--batch-size", str(key.batch_size), "--input-len", str(key.input_len)]
        command += ["--output-len", str(key.output_len), "--max-model-len", str(key.input_len + key.output_len)]
        command += ["--num-iters-warmup", str(arguments.warm_up), "--num-iters", str(arguments.runs)]
        command += ["--output-json", str(output)]
        command += ["--load-format", "dummy", "--skip-tokenizer-init"] if arguments.random else []
        try:
            output_of(command)
            return cell_of_latencies(key, output.read_text())
        except (ResultError, OSError) as error:
            return sweep.skipped_cell(key, str(error))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, metavar="FOLDER")
    parser.add_argument("--name", required=True, help="the model's name in the results, such as llama_7b")
    parser.add_argument("--gpu", default="unknown GPU", help="the GPU's name in the results")
    parser.add_argument("--dtype", choices=["float16", "bfloat16", "float32"], default="float16")
    parser.add_argument("--random", action="store_true", help="random weights, no tokenizer")
    parser.add_argument("--programs", metavar="FOLDER", help="where vllm is (default: on PATH)")
    sweep.add_sweep_options(parser)
    arguments = parser.parse_args()
    program = find_program("vllm", arguments.programs)
    keys = sweep.cells_of(arguments)
    cells = []
    for key in keys:
        cells.append(measure(key, program, arguments))
        sweep.progress(len(cells), len(keys), "cells, vLLM")
    weights = "random" if arguments.random else "checkpoint"
    engine = {"model": arguments.name, "weights": weights, "device": "cuda:0", "dtype": arguments.dtype}
    environment = {"version": "vLLM", "gpus": [{"index": 0, "name": arguments.gpu}]}
    sweep.print_document(sweep.document("vLLM", environment, engine, arguments, cells))
    return 0


if __name__ == "__main__":
    run_script(main)
