"""Made-up results, for tests."""

from __future__ import annotations

import json
import pathlib
import random
import sys
from typing import Any, Callable, Iterable

BENCH = pathlib.Path(__file__).resolve().parents[2] / "bench"
sys.path[:0] = [str(BENCH), str(BENCH / "peers")]

from schema.counting import measured_cell, skipped_cell  # noqa: E402
from schema.results_schema import CellKey  # noqa: E402

LENGTHS = [(64, 20), (128, 20), (64, 120), (128, 120)]
BATCHES = [1, 8, 16, 32, 64]
TABLE = [CellKey(batch, *length) for length in LENGTHS for batch in BATCHES]
H200 = {
    "index": 0,
    "name": "NVIDIA H200",
    "compute_capability": "9.0",
    "num_multiprocessors": 132,
    "max_sm_clock_mhz": 1980,
}
READ_GBPS = 4500.0
PRODUCT_TFLOPS = 780.0
OVERHEAD_US = 400.0  # of a decode step
PREFILL_OVERHEAD_MS = 1.0
EXCESS_US = 5.0  # of a decode step for each sequence after the first
LAUNCHES = 124


def work(key: CellKey) -> dict[str, float]:
    """Bytes and operations about as gpt_350m has them."""
    weights, kv, flops = 0.709e9, 98304.0, 0.709e9
    middle = key.input_len + key.output_len // 2
    return {
        "prefill_bytes": weights + key.batch_size * key.input_len * kv,
        "prefill_flops": flops * key.batch_size * key.input_len,
        "decode_bytes": weights + key.batch_size * middle * kv,
        "decode_flops": flops * key.batch_size,
    }


def floor_ms(num_bytes: float, flops: float) -> float:
    return max(num_bytes / (READ_GBPS * 1e6), flops / (PRODUCT_TFLOPS * 1e9))


def cell(key: CellKey, noise: float = 0.0, seed: int = 0, runs: int = 10, slower: float = 1.0) -> dict[str, Any]:
    """A cell that quern might have measured, all times `slower` times as long."""
    generator = random.Random(f"{seed} {key}")
    counted = work(key)
    prefill_floor = floor_ms(counted["prefill_bytes"], counted["prefill_flops"])
    decode_floor = floor_ms(counted["decode_bytes"], counted["decode_flops"])
    first = slower * (prefill_floor + PREFILL_OVERHEAD_MS)
    step = slower * (decode_floor + (OVERHEAD_US + EXCESS_US * (key.batch_size - 1)) / 1e3)
    latency = first + (key.output_len - 1) * step

    def samples(time_ms: float) -> list[float]:
        return [time_ms * generator.gauss(1.0, noise) for _ in range(runs)]

    measured = measured_cell(key, samples(latency), samples(first))
    return {
        **measured,
        **counted,
        "prefill_floor_ms": prefill_floor,
        "decode_floor_ms": decode_floor,
        "prefill_share_of_floor": prefill_floor / first,
        "share_of_floor": decode_floor / step,
        "above_floor_us": (step - decode_floor) * 1e3,
        "launches_per_step": LAUNCHES,
        "loop": "device",
    }


def document(
    cells: Iterable[dict[str, Any]],
    *,
    program: str = "quern",
    model: str = "gpt_350m",
    dtype: str = "float16",
    gpu: dict[str, Any] | None = None,
    skipped: Iterable[CellKey] = (),
    **settings: Any,
) -> dict[str, Any]:
    return {
        "schema": "quern bench",
        "schema_version": 2,
        "program": program,
        "environment": {"version": "0.1.0", "gpus": [gpu or H200]},
        "settings": {
            "warm_up": 2, "runs": 10, "seed": 0, "skip_steps": 0, "check_interval": 1, "device_loop": "auto", **settings,
        },
        "engine": {
            "model": model, "weights": "random", "num_hidden_layers": 24, "device": "cuda:0", "dtype": dtype,
        },
        "ceilings": {"read_gbps": READ_GBPS, "product_tflops": PRODUCT_TFLOPS},
        "cells": [*cells, *(skipped_cell(key, "1000 bytes missing") for key in skipped)],
    }


def sweep(noise: float = 0.0, seed: int = 0, slower: Callable[[CellKey], float] | float = 1.0, **options: Any):
    """A document of the table's 20 cells."""
    times = slower if callable(slower) else lambda _: slower
    return document((cell(key, noise, seed, slower=times(key)) for key in TABLE), **options)


def profile(model: str = "gpt_350m") -> dict[str, Any]:
    """What quern run --profile --json might print."""
    kinds = {"embed": (1, 3, 2e3), "qkv": (24, 140, 151e6), "attention": (24, 90, 6e6), "attention_out": (24, 70, 50e6),
             "up": (24, 160, 201e6), "down": (24, 150, 201e6), "lm_head": (1, 40, 105e6), "sample": (1, 5, 2e5),
             "advance": (1, 2, 0)}
    nodes = [
        {"kind": kind, "count_per_step": count, "us_per_step": us, "bytes_per_step": num_bytes}
        for kind, (count, us, num_bytes) in kinds.items()
    ]
    slower = [{**node, "us_per_step": 3 * node["us_per_step"]} for node in nodes]
    return {
        "model": model, "device": "cuda:0", "dtype": "float16", "results": [],
        "profile": {
            "read_gbps": READ_GBPS,
            "prefill": {"num_steps": 1, "nodes": slower},
            "decode": {"num_steps": 19, "nodes": nodes},
        },
    }


def load(rate: float | None = None, concurrency: int | None = None, *, program: str = "quern", good: int = 80):
    """What quern bench serve --json might print: latencies grow with the load."""
    size = rate or concurrency or 1
    spread = {"median": 4.0 * size, "p95": 6.0 * size, "p99": 8.0 * size, "max": 9.0 * size}
    return {
        **document([], program=program),
        "engine": None,
        "ceilings": None,
        "serve": {
            "url": "http://127.0.0.1:8000", "model": "gpt_350m", "rate": rate, "concurrency": concurrency, "seconds": 10.0,
            "requests": 100, "finished": 99, "requests_per_s": 9.9, "output_tokens_per_s": 990.0, "latency_ms": spread,
            "time_to_first_token_ms": spread, "inter_token_ms": spread, "time_per_output_token_ms": spread,
            "objectives": {"time_to_first_token_ms": 40.0}, "good": good, "goodput_per_s": good / 10,
            "errors": [{"kind": "http_429", "count": 1, "example": "full"}],
        },
    }


def write(folder: pathlib.Path, name: str, *documents: dict[str, Any]) -> str:
    """The path of a file of these documents."""
    path = folder / name
    path.write_text(json.dumps(documents[0] if len(documents) == 1 else list(documents)))
    return str(path)
