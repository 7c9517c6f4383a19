#!/usr/bin/env python3
"""Projects TensorRT-LLM's published table for an A10 from a sweep that was recorded on another GPU.

    project.py SWEEP.json [--gbps 600,530] [--tflops 100] [--json]

SWEEP.json is what this gave, on a GPU, with the 20 cells of the table:

    quern bench --shape gpt_350m --dtype float16 --batch-size "1;8;16;32;64" \\
        --input-output-len "64,20;128,20;64,120;128,120" --json > SWEEP.json

The same command measures on an A10, where report.py compares. docs/benchmarking.md has the model and its assumptions.
"""

from __future__ import annotations

import argparse
import json
import pathlib
from dataclasses import dataclass

from report import table
from schema.results_schema import CellKey, ResultError, Series, load_series, run_script

PUBLISHED = pathlib.Path(__file__).resolve().parent / "results/tensorrt-llm-a10-published.json"
MODEL = "gpt_350m"
A10_MULTIPROCESSORS = 72
A10_CLOCK_MHZ = 1695
# The reads of gpt_350m's 121 kernels (family skeleton) on an H200: 341 us without and 208 us with dependent launch.
DEPENDENT_LAUNCH_US = (341 - 208) / 121
FIRST_WITH_DEPENDENT_LAUNCH = (9, 0)


@dataclass
class Card:
    """The target card of the projection."""

    gbps: float
    tflops: float
    slower: float  # factor of instruction time relative to the recorded card
    launch_us: float = DEPENDENT_LAUNCH_US  # what a launch costs that was a dependent one

    def floor_ms(self, num_bytes: float, flops: float) -> float:
        return max(num_bytes / (self.gbps * 1e6), flops / (self.tflops * 1e9))


@dataclass
class Phase:
    """A recorded prefill or decode step."""

    num_bytes: float
    flops: float
    launches: float
    dependent_launches: float
    overhead_ms: float  # above the floor at the smallest batch: launches, latencies
    excess_ms: float  # above floor and overhead: instructions

    def on(self, card: Card) -> float:
        """Projected milliseconds on the card."""
        return (
            card.floor_ms(self.num_bytes, self.flops)
            + self.overhead_ms
            + self.dependent_launches * card.launch_us / 1e3
            + self.excess_ms * card.slower
        )


@dataclass
class Cell:
    key: CellKey
    prefill: Phase
    decode: Phase

    def tokens_per_s(self, card: Card) -> float:
        latency_ms = self.prefill.on(card) + (self.key.output_len - 1) * self.decode.on(card)
        return 1e3 * self.key.batch_size * self.key.output_len / latency_ms


def _need(series: Series, key: CellKey, name: str) -> float:
    value = series.value(key, name)
    if value is None:
        why = series.skipped.get(key)
        reason = f" (skipped: {why})" if why else ""
        for cell in series.cells.get(key, []):
            for phase, withheld in cell.get("withheld", {}).items():
                reason += f" (withheld, {phase}: {withheld})"
        raise ResultError(f"{key}: no {name} in the sweep{reason}")
    return value


def _above_floor_ms(series: Series, key: CellKey, phase: str) -> float:
    measured = "time_to_first_token_ms" if phase == "prefill" else "decode_step_ms"
    return max(0.0, _need(series, key, measured) - _need(series, key, f"{phase}_floor_ms"))


def _least_batch_alike(series: Series, key: CellKey) -> CellKey:
    """The cell of the smallest batch that runs the same kernels: one sequence's step can be a single launch, where others' are one an op."""
    launches = _need(series, key, "launches_per_step")
    alike = [other for other in series.cells if other._replace(batch_size=key.batch_size) == key]
    alike = [other for other in alike if 2 * (series.value(other, "launches_per_step") or 0) >= launches]
    return min(alike, key=lambda other: other.batch_size)


def recorded_phase(series: Series, key: CellKey, phase: str) -> Phase:
    """Splits a phase's time above its floor into overhead and excess by a cell of few sequences: batch 1, in decoding the least batch with as many
    launches. Errors: ResultError for a missing figure."""
    above = _above_floor_ms(series, key, phase)
    launches = _need(series, key, "launches_per_step")
    dependent = series.value(key, "dependent_launches_per_step")
    if dependent is None:  # sweeps of earlier versions do not tell: the GPU does
        dependent = launches if _has_dependent_launch(_recorded_gpu(series)) else 0.0
    least = _least_batch_alike(series, key) if phase == "decode" else key._replace(batch_size=1)
    overhead = min(above, _above_floor_ms(series, least, phase))
    return Phase(
        _need(series, key, f"{phase}_bytes"),
        _need(series, key, f"{phase}_flops"),
        launches,
        dependent,
        overhead,
        above - overhead,
    )


def _recorded_gpu(series: Series) -> dict:
    for gpu in series.documents[0]["environment"].get("gpus") or []:
        if gpu["name"] != series.subject.device:
            continue
        for name in ("num_multiprocessors", "max_sm_clock_mhz", "compute_capability"):
            if not gpu.get(name):
                raise ResultError(f"the sweep's environment does not know the GPU's {name}")
        return gpu
    raise ResultError(f"the sweep ran on {series.subject.device}: expected a GPU")


def _has_dependent_launch(gpu: dict) -> bool:
    capability = tuple(int(part) for part in gpu["compute_capability"].split("."))
    return capability >= FIRST_WITH_DEPENDENT_LAUNCH


def card_relative_to(gpu: dict, gbps: float, tflops: float) -> Card:
    """An A10 with that bandwidth and GEMM rate, relative to the recorded GPU."""
    recorded = gpu["num_multiprocessors"] * gpu["max_sm_clock_mhz"]
    return Card(gbps, tflops, recorded / (A10_MULTIPROCESSORS * A10_CLOCK_MHZ))


def _assumptions(series: Series, cells: list[Cell], card: Card) -> list[str]:
    first = cells[0].decode
    per_launch = first.overhead_ms * 1e3 / first.launches
    return [
        f"bytes and operations as counted; products at {card.tflops:g} TFLOP/s (an A10's nominal rate is 125)",
        f"the {first.overhead_ms * 1e3:.0f} us that a step of batch 1 takes above its floor on {series.subject.device} "
        f"({per_launch:.1f} us for each of {first.launches:.0f} launches) stay the same",
        f"each of {first.dependent_launches:.0f} dependent launches takes {card.launch_us:.1f} us more without dependent launch",
        f"what larger batches take beyond that are instructions, {card.slower:.2f} times as slow by multiprocessors "
        "and clock",
    ]


def _sweep_to_project(path: str) -> Series:
    for series in load_series([path]):
        subject = series.subject
        if (subject.program, subject.model, subject.dtype) == ("quern", MODEL, "float16"):
            return series
    raise ResultError(f"{path}: expected a sweep of quern's, {MODEL} in float16")


def _rates(text: str) -> list[float]:
    try:
        rates = [float(part) for part in text.split(",")]
    except ValueError:
        rates = []
    if not rates or not all(0 < rate < 1e6 for rate in rates):
        raise argparse.ArgumentTypeError(f"expected numbers above 0 such as 600,530, got {text!r}")
    return rates


def _rate(text: str) -> float:
    rates = _rates(text)
    if len(rates) != 1:
        raise argparse.ArgumentTypeError(f"expected a number above 0, got {text!r}")
    return rates[0]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sweep", metavar="SWEEP.json")
    parser.add_argument("--gbps", type=_rates, default=[600.0, 530.0], help="read bandwidths (default: 600,530)")
    parser.add_argument("--tflops", type=_rate, default=100.0, help="GEMM rate (default: 100)")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()

    series = _sweep_to_project(arguments.sweep)
    gpu = _recorded_gpu(series)
    published = load_series([str(PUBLISHED)])[0]
    if series.subject.device == published.subject.device:
        raise ResultError(f"{arguments.sweep} was measured on an A10: report.py compares, nothing is to be projected")
    cells = [
        Cell(key, recorded_phase(series, key, "prefill"), recorded_phase(series, key, "decode"))
        for key in published.cells
    ]
    cards = [card_relative_to(gpu, gbps, arguments.tflops) for gbps in arguments.gbps]
    assumptions = _assumptions(series, cells, cards[0])
    if arguments.json:
        print(json.dumps(_json(cells, cards, published, assumptions)))
    else:
        print("PROJECTION to an A10, not a measurement: tokens/s, prefill included. Assumed:")
        print("".join(f"- {line}\n" for line in assumptions))
        print(_table(cells, cards, published))
    return 0


def _table(cells: list[Cell], cards: list[Card], published: Series) -> str:
    rows = [["batch", "in,out", "TensorRT-LLM, published"]]
    for card in cards:
        rows[0] += [f"projected, {card.gbps:g} GB/s", "ratio"]
    for cell in cells:
        theirs = _need(published, cell.key, "tokens_per_s")
        row = [str(cell.key.batch_size), f"{cell.key.input_len},{cell.key.output_len}", f"{theirs:.0f}"]
        for card in cards:
            ours = cell.tokens_per_s(card)
            row += [f"{ours:.0f}", f"{ours / theirs:.2f}"]
        rows.append(row)
    return table(rows)


def _json(cells: list[Cell], cards: list[Card], published: Series, assumptions: list[str]) -> dict:
    return {
        "what": "projection to an A10, not a measurement",
        "assumptions": assumptions,
        "cells": [
            {
                **cell.key._asdict(),
                "published_tokens_per_s": _need(published, cell.key, "tokens_per_s"),
                "projected_tokens_per_s": {
                    f"{card.gbps:g}": round(cell.tokens_per_s(card), 1) for card in cards
                },
            }
            for cell in cells
        ],
    }


if __name__ == "__main__":
    run_script(main)
