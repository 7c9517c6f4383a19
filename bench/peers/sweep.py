"""What the peers' benchmarks share: cells from the command line, runs as `quern bench` makes them, the document."""

from __future__ import annotations

import argparse
import json
import pathlib
import sys
import time
from typing import Any, Callable, Sequence

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))

from schema.counting import measured_cell, skipped_cell  # noqa: E402
from schema.results_schema import SCHEMA_NAME, SCHEMA_VERSION, CellKey, validate  # noqa: E402

SHAPES_FILE = pathlib.Path(__file__).resolve().parents[2] / "src/model/shapes.json"

# Runs a cell once with the given number of new tokens per prompt; returns milliseconds.
RunOnce = Callable[[CellKey, int], float]


def _positive(text: str, what: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected {what}, got {text!r}")
    return int(text)


def batch_sizes(text: str) -> list[int]:
    """"1;8;16"."""
    return [_positive(part, 'integers from 1 on such as "1;8;16"') for part in text.split(";")]


def lengths(text: str) -> list[tuple[int, int]]:
    """"64,20;128,20": pairs of input and output length."""
    what = 'pairs of integers from 1 on such as "64,20;128,20"'
    pairs = []
    for part in text.split(";"):
        numbers = part.split(",")
        if len(numbers) != 2:
            raise argparse.ArgumentTypeError(f"expected {what}, got {part!r}")
        pairs.append((_positive(numbers[0], what), _positive(numbers[1], what)))
    return pairs


def positive(text: str) -> int:
    return _positive(text, "an integer from 1 on")


def not_negative(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"expected an integer from 0 on, got {text!r}")
    return int(text)


def add_sweep_options(parser: argparse.ArgumentParser) -> None:
    """The options of `quern bench` that every peer has."""
    parser.add_argument("-b", "--batch-size", type=batch_sizes, default=[1], metavar="LIST", help='"1;8;16"')
    parser.add_argument("--input-output-len", type=lengths, default=[(128, 128)], metavar="LIST", help='"64,20;128,20"')
    parser.add_argument("--warm-up", type=not_negative, default=2, metavar="N")
    parser.add_argument("--runs", type=positive, default=10, metavar="N")


def cells_of(arguments: argparse.Namespace) -> list[CellKey]:
    """Every batch size with every pair of lengths, in the order of `quern bench`."""
    return [CellKey(batch, *pair) for pair in arguments.input_output_len for batch in arguments.batch_size]


class Deadline:
    """A deadline that many seconds from now; None: no deadline."""

    def __init__(self, seconds: float | None):
        self._end = None if seconds is None else time.monotonic() + seconds

    def passed(self) -> bool:
        return self._end is not None and time.monotonic() >= self._end


def measure(key: CellKey, run_once: RunOnce, warm_up: int, runs: int, deadline: Deadline) -> dict[str, Any]:
    """A cell's figures, from runs with one new token and runs with all of them, as `quern bench` counts.

    A cell that the deadline comes upon is skipped: fewer runs would not be the same measurement.
    """

    def timed(output_len: int) -> list[float] | None:
        times = []
        for index in range(warm_up + runs):
            if deadline.passed():
                return None
            elapsed_ms = run_once(key, output_len)
            times += [elapsed_ms] if index >= warm_up else []
        return times

    first_tokens = timed(1)
    latencies = first_tokens if key.output_len == 1 else first_tokens and timed(key.output_len)
    if first_tokens is None or latencies is None:
        return skipped_cell(key, "no time left")
    return measured_cell(key, latencies, first_tokens)


def document(
    program: str,
    environment: dict[str, Any],
    engine: dict[str, Any] | None,
    arguments: argparse.Namespace,
    cells: Sequence[dict[str, Any]],
    seed: int = 0,
) -> dict[str, Any]:
    """The result in the schema of `quern bench --json`, checked."""
    result = {
        "schema": SCHEMA_NAME,
        "schema_version": SCHEMA_VERSION,
        "program": program,
        "environment": environment,
        "settings": {"warm_up": arguments.warm_up, "runs": arguments.runs, "seed": seed},
        "engine": engine,
        "ceilings": None,
        "cells": list(cells),
    }
    validate(result, program)
    return result


def print_document(result: dict[str, Any]) -> None:
    print(json.dumps(result), flush=True)


def progress(done: int, total: int, what: str) -> None:
    print(f"{done}/{total} {what}", file=sys.stderr, flush=True)
