#!/usr/bin/env python3
"""Measures transformers on the cells of `quern bench`, on the same card, counted the same way.

    transformers_bench.py --shape gpt_350m --mode eager --batch-size "1;8" --input-output-len "64,20;128,20" > peer.json

Weights are random, prompts are random ids, nothing ends early. Prints one JSON document for each mode, one a line, in
the schema of `quern bench --json`. --mode eager is `generate` as it comes; static is `generate` with a static cache, whose
decode steps transformers compiles with torch.compile (CUDA graphs; minutes for each new size of the cache). Needs torch
and transformers.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import sweep
from schema.results_schema import CellKey, ResultError, run_script

MODES = {"eager": "transformers eager", "static": "transformers static cache, compiled"}


def shape_settings(name: str) -> dict[str, Any]:
    """The Hugging Face config of a shape. Errors: ResultError naming the known ones."""
    shapes = json.loads(sweep.SHAPES_FILE.read_text())
    if name not in shapes:
        raise ResultError(f"no shape {name!r}; known are {', '.join(shapes)}")
    if shapes[name]["model_type"] == "qwen":
        raise ResultError(f"{name}: transformers has no first-generation Qwen of its own")
    return dict(shapes[name])


def import_torch():
    """torch and transformers. Errors: ResultError where one is missing."""
    try:
        import torch
        import transformers
    except ImportError as error:
        raise ResultError(f"needs torch and transformers: {error}") from None
    return torch, transformers


class Model:
    """A model of random weights, and runs of it."""

    def __init__(self, shape: str, dtype: str, device: str, layers: int | None):
        self._torch, self._transformers = import_torch()
        torch = self._torch
        if device.startswith("cuda") and not torch.cuda.is_available():
            raise ResultError(f"--device {device}: torch sees no GPU")
        settings = shape_settings(shape)
        settings.pop("torch_dtype", None)
        config = self._transformers.AutoConfig.for_model(settings.pop("model_type"), **settings)
        if layers:
            config.num_hidden_layers = layers
        self.shape, self.dtype, self.device = shape, dtype, device
        self.vocab_size = config.vocab_size
        self.num_hidden_layers = config.num_hidden_layers
        torch.manual_seed(0)
        with torch.device(device):
            self._model = self._transformers.AutoModelForCausalLM.from_config(config, dtype=getattr(torch, dtype)).eval()
        self._model.generation_config.eos_token_id = None  # no early stops
        self._prompts: dict[tuple[int, int], Any] = {}

    def _prompt(self, key: CellKey):
        """The cell's random ids, [batch_size, input_len]."""
        size = (key.batch_size, key.input_len)
        if size not in self._prompts:
            self._prompts[size] = self._torch.randint(0, self.vocab_size, size, device=self.device)
        return self._prompts[size]

    def synchronize(self) -> None:
        if self.device.startswith("cuda"):
            self._torch.cuda.synchronize()

    def run_once(self, key: CellKey, output_len: int, mode: str) -> float:
        """Milliseconds of one generate call. Errors: RuntimeError when it generated another number of tokens."""
        torch = self._torch
        ids = self._prompt(key)
        options: dict[str, Any] = {"max_new_tokens": output_len, "min_new_tokens": output_len, "do_sample": False}
        if mode == "static":
            options["cache_implementation"] = "static"
        self.synchronize()
        begin = time.perf_counter()
        with torch.inference_mode():
            made = self._model.generate(
                ids, attention_mask=torch.ones_like(ids), eos_token_id=None, pad_token_id=0, **options
            )
        self.synchronize()
        elapsed_ms = (time.perf_counter() - begin) * 1e3
        if made.shape != (key.batch_size, key.input_len + output_len):
            raise RuntimeError(f"{key}: {tuple(made.shape)} ids came back")
        return elapsed_ms

    def measure(self, key: CellKey, mode: str, arguments: argparse.Namespace, deadline: sweep.Deadline) -> dict[str, Any]:
        torch = self._torch
        on_gpu = self.device.startswith("cuda")
        if on_gpu:
            torch.cuda.reset_peak_memory_stats()
        try:
            cell = sweep.measure(
                key, lambda cell, output_len: self.run_once(cell, output_len, mode),
                arguments.warm_up, arguments.runs, deadline,
            )
        except torch.cuda.OutOfMemoryError as error:
            torch.cuda.empty_cache()
            return sweep.skipped_cell(key, str(error).splitlines()[0])
        if on_gpu and "skipped" not in cell:
            cell["peak_memory_bytes"] = torch.cuda.max_memory_reserved()
        return cell

    def environment(self) -> dict[str, Any]:
        torch = self._torch
        version = f"transformers {self._transformers.__version__}, torch {torch.__version__}"
        gpus = [
            {"index": index, "name": torch.cuda.get_device_name(index)} for index in range(torch.cuda.device_count())
        ]
        return {"version": version, "cuda": torch.version.cuda, "gpus": gpus}

    def engine(self) -> dict[str, Any]:
        device = "cuda:0" if self.device == "cuda" else self.device
        return {
            "model": self.shape, "weights": "random", "num_hidden_layers": self.num_hidden_layers, "device": device,
            "dtype": self.dtype,
        }


def parse_arguments(values: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", required=True, help="one of src/model/shapes.json")
    parser.add_argument("--layers", type=sweep.positive, metavar="N", help="only the first N")
    parser.add_argument("--mode", choices=[*MODES, "both"], default="both")
    parser.add_argument("--dtype", choices=["float16", "bfloat16", "float32"], default="float16")
    parser.add_argument("--device", default="cuda", help="cuda, cuda:N or cpu (default: cuda)")
    parser.add_argument("--time-limit", type=float, metavar="SECONDS", help="of each mode; cells beyond are skipped")
    sweep.add_sweep_options(parser)
    return parser.parse_args(values)


def main() -> int:
    arguments = parse_arguments()
    shape_settings(arguments.shape)
    model = Model(arguments.shape, arguments.dtype, arguments.device, arguments.layers)
    cells = sweep.cells_of(arguments)
    for mode in MODES if arguments.mode == "both" else [arguments.mode]:
        deadline = sweep.Deadline(arguments.time_limit)
        measured = []
        for key in cells:
            measured.append(model.measure(key, mode, arguments, deadline))
            sweep.progress(len(measured), len(cells), f"cells, {MODES[mode]}")
        sweep.print_document(
            sweep.document(MODES[mode], model.environment(), model.engine(), arguments, measured)
        )
    return 0


if __name__ == "__main__":
    run_script(main)
