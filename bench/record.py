#!/usr/bin/env python3
"""Records on a GPU all that docs/benchmarking.md and docs/performance.md show, in some minutes.

    record.py --output FOLDER [--quern build/release/tools/quern] [--only PART,...] [--rehearse]

Writes to FOLDER, each file a list of documents for plot.py, report.py and guard.py:

    gpt_350m.json      the 20 cells of TensorRT-LLM's published table, swept twice
    stop_checks.json   these cells with stop checks every step, never, 8/4, and in the device loop
    models.json        llama_7b, llama3_8b, qwen2.5_0.5b
    transformers.json  transformers on the same card: eager, and with static cache and compiled
    profiles.json      a step by kind of node: gpt_350m, llama_7b
    checks.json        difference of two sweeps, wall clock against reported latency, a stress run, failed steps

A step that fails or takes too long is named in checks.json, and the rest goes on; the exit code is then 1. --rehearse runs
the same steps with a demo model and tiny cells on the CPU, without the peer.
"""

from __future__ import annotations

import argparse
import json
import pathlib
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Callable

from schema.results_schema import NO_STOP_CHECKS, ResultError, read_json, run_script, series_of, validate

ROOT = pathlib.Path(__file__).resolve().parent.parent
TABLE = ["--batch-size", "1;8;16;32;64", "--input-output-len", "64,20;128,20;64,120;128,120"]
LOOPS = {
    "every step": ["--device-loop", "off"],
    "never": ["--device-loop", "off", "--check-interval", str(NO_STOP_CHECKS)],
    "8/4": ["--device-loop", "off", "--skip-steps", "8", "--check-interval", "4"],
    "device loop": ["--device-loop", "require"],
}
WALL_CLOCK_RUNS = (20, 40)


@dataclass
class Recorder:
    """Runs programs and records failures."""

    quern: str
    rehearse: bool
    failed: list[str] = field(default_factory=list)

    def run(self, name: str, command: list[str], seconds: float) -> list[Any]:
        """The JSON documents that a command prints; those up to a timeout, none when it fails."""
        print(f"{name} ...", file=sys.stderr, flush=True)
        begin = time.monotonic()
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            self.failed.append(f"{name}: not done after {seconds:g} s")
            process.send_signal(signal.SIGINT)  # quern then prints the cells so far
            try:
                out, err = process.communicate(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
        if process.returncode not in (0, 130):
            last = (err.strip().splitlines() or ["no word"])[-1]
            self.failed.append(f"{name}: exit code {process.returncode}: {last}")
        print(f"{name}: {time.monotonic() - begin:.1f} s", file=sys.stderr, flush=True)
        documents = []
        for line in out.splitlines():
            try:
                documents.append(json.loads(line))
            except json.JSONDecodeError:
                self.failed.append(f"{name}: printed no JSON: {line[:80]!r}")
        return documents

    def accepts(self, document: Any, part: str) -> bool:
        """Whether a document is valid; an invalid one is recorded as failed."""
        try:
            if "profile" not in document:
                validate(document, part)
            return True
        except ResultError as error:
            self.failed.append(str(error))
            return False

    def source(self, shape: str, dtype: str) -> list[str]:
        """The options that choose a model and where it runs."""
        if self.rehearse:
            return ["--model", str(ROOT / "examples/models/tale-llama"), "--device", "cpu"]
        return ["--shape", shape, "--dtype", dtype, "--device", "cuda"]

    def cells(self, options: list[str], rehearsed: str = "1;2") -> list[str]:
        """The cells of a sweep, and how often they run."""
        if self.rehearse:
            return ["--batch-size", rehearsed, "--input-output-len", "4,2;8,3", "--runs", "3", "--warm-up", "0"]
        return options

    def bench(self, name: str, shape: str, dtype: str, options: list[str], seconds: float) -> list[Any]:
        return self.run(name, [self.quern, "bench", *self.source(shape, dtype), *options, "--json"], seconds)


def record_gpt_350m(recorder: Recorder) -> list[Any]:
    return [
        document
        for number in (1, 2)
        for document in recorder.bench(
            f"gpt_350m, sweep {number}", "gpt_350m", "float16", recorder.cells([*TABLE, "--runs", "10"]), 180
        )
    ]


def record_stop_checks(recorder: Recorder) -> list[Any]:
    loops = {name: options for name, options in LOOPS.items() if not (recorder.rehearse and name == "device loop")}
    return [
        document
        for name, options in loops.items()
        for document in recorder.bench(
            f"stop checks, {name}", "gpt_350m", "float16", recorder.cells([*TABLE, "--runs", "10"]) + options, 60
        )
    ]


def record_models(recorder: Recorder) -> list[Any]:
    batches = ["--batch-size", "1;2;4;8;32;64", "--input-output-len", "128,128", "--runs", "5", "--warm-up", "1"]
    long = ["--batch-size", "1", "--input-output-len", "2048,16", "--runs", "5", "--warm-up", "1"]
    documents = []
    for shape, dtype in (("llama_7b", "float16"), ("llama3_8b", "bfloat16"), ("qwen2.5_0.5b", "bfloat16")):
        documents += recorder.bench(f"{shape}, 128,128", shape, dtype, recorder.cells(batches), 90)
        documents += recorder.bench(f"{shape}, 2048,16", shape, dtype, recorder.cells(long, "1"), 45)
    return documents


def record_transformers(recorder: Recorder) -> list[Any]:
    if recorder.rehearse:
        return []
    few = ["--runs", "3", "--warm-up", "1"]
    long = ["--batch-size", "1", "--input-output-len", "64,120;128,120"]
    llama = ["--batch-size", "1;8;32", "--input-output-len", "128,128"]
    steps = [
        ("transformers eager, gpt_350m", ["--shape", "gpt_350m", "--mode", "eager", *TABLE], 80),
        ("transformers static, gpt_350m", ["--shape", "gpt_350m", "--mode", "static", *long], 80),
        ("transformers eager, llama_7b", ["--shape", "llama_7b", "--mode", "eager", *llama], 40),
    ]
    script = str(pathlib.Path(__file__).resolve().parent / "peers/transformers_bench.py")
    return [
        document
        for name, options, limit in steps
        for document in recorder.run(
            name, [sys.executable, script, *options, *few, "--time-limit", str(limit)], limit + 60
        )
    ]


def record_profiles(recorder: Recorder) -> list[Any]:
    ids = ",".join(str(number) for number in range(1, 129))
    documents = []
    for shape in ("gpt_350m", "llama_7b"):
        command = [recorder.quern, "run", *recorder.source(shape, "float16"), "--prompt-ids", ids, "-n", "32"]
        documents += recorder.run(f"profile of {shape}", [*command, "--greedy", "--profile", "--json"], 45)
    for document in documents:
        document.pop("results", None)
    return documents


def wall_clock(recorder: Recorder) -> dict[str, Any] | None:
    """Wall-clock time of another 20 runs of a long cell, compared with the reported latency."""
    cell = ["--batch-size", "1", "--input-output-len", "64,640"]
    if recorder.rehearse:
        cell = ["--batch-size", "1", "--input-output-len", "8,200"]
    seconds, latency_ms = [], 0.0
    for runs in WALL_CLOCK_RUNS:
        begin = time.monotonic()
        options = [*cell, "--runs", str(runs), "--warm-up", "2"]
        documents = recorder.bench(f"wall clock, {runs} runs", "gpt_350m", "float16", options, 90)
        seconds.append(time.monotonic() - begin)
        if not documents or "latency_ms" not in documents[0]["cells"][0]:
            return None
        latency_ms = documents[0]["cells"][0]["latency_ms"]
    by_clock_ms = 1e3 * (seconds[1] - seconds[0]) / (WALL_CLOCK_RUNS[1] - WALL_CLOCK_RUNS[0])
    return {
        "runs": list(WALL_CLOCK_RUNS),
        "seconds": [round(value, 3) for value in seconds],
        "latency_by_wall_clock_ms": round(by_clock_ms, 3),
        "reported_latency_ms": latency_ms,
        "difference_percent": round(100 * (by_clock_ms / latency_ms - 1), 2),
    }


def between_sweeps(documents: list[Any]) -> dict[str, Any] | None:
    """Differences between the latencies of two sweeps."""
    series = series_of(documents)
    differences = [
        100 * abs(cells[1]["latency_ms"] / cells[0]["latency_ms"] - 1)
        for one in series[:1]
        for cells in one.cells.values()
        if len(cells) > 1
    ]
    if not differences:
        return None
    return {
        "cells": len(differences),
        "median_percent": round(statistics.median(differences), 3),
        "max_percent": round(max(differences), 3),
    }


def record_checks(recorder: Recorder, folder: pathlib.Path) -> dict[str, Any]:
    sweeps = folder / "gpt_350m.json"
    limits = ["--batch-size", "16", "--input-output-len", "128,128"]
    if recorder.rehearse:
        limits = ["--batch-size", "2", "--input-output-len", "8,4"]
    seconds, rate = ("0.5", "8") if recorder.rehearse else ("10", "20")
    stress = recorder.bench("stress", "gpt_350m", "float16", [*limits, "--stress", seconds, "--rate", rate], 60)
    environment = recorder.run("environment", [recorder.quern, "env", "--json"], 30)
    return {
        "environment": environment[0] if environment else None,
        "between_sweeps": between_sweeps(read_json(str(sweeps))) if sweeps.exists() else None,
        "wall_clock": wall_clock(recorder),
        "stress": stress[0] if stress else None,
    }


PARTS: dict[str, Callable[[Recorder], list[Any]]] = {
    "gpt_350m": record_gpt_350m,
    "stop_checks": record_stop_checks,
    "models": record_models,
    "transformers": record_transformers,
    "profiles": record_profiles,
}


def _parts(text: str) -> list[str]:
    known = [*PARTS, "checks"]
    parts = text.split(",")
    unknown = [part for part in parts if part not in known]
    if unknown:
        raise argparse.ArgumentTypeError(f"unknown part {unknown[0]!r}; known are {', '.join(known)}")
    return parts


def _write(path: pathlib.Path, value: Any) -> None:
    """Writes one document per line, for readable diffs."""
    if isinstance(value, list):
        text = "[\n" + ",\n".join(json.dumps(document) for document in value) + "\n]\n"
    else:
        text = json.dumps(value, indent=1) + "\n"
    path.write_text(text)
    print(path)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", required=True, type=pathlib.Path, metavar="FOLDER")
    parser.add_argument("--quern", default=str(ROOT / "build/release/tools/quern"), metavar="PROGRAM")
    parser.add_argument("--only", type=_parts, default=[*PARTS, "checks"], metavar="PART,...")
    parser.add_argument("--rehearse", action="store_true", help="tiny cells of a demo model on the CPU")
    arguments = parser.parse_args()
    if not pathlib.Path(arguments.quern).is_file():
        raise ResultError(f"{arguments.quern}: no such program; give --quern")
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ResultError(f"{arguments.output}: {error.strerror}") from None

    recorder = Recorder(arguments.quern, arguments.rehearse)
    for part in arguments.only:
        if part == "checks":
            continue
        documents = PARTS[part](recorder)
        documents = [document for document in documents if recorder.accepts(document, part)]
        if documents:
            _write(arguments.output / f"{part}.json", documents)
    checks = record_checks(recorder, arguments.output) if "checks" in arguments.only else {}
    _write(arguments.output / "checks.json", {**checks, "failed": recorder.failed})
    for line in recorder.failed:
        print(f"failed: {line}", file=sys.stderr)
    return 1 if recorder.failed else 0


if __name__ == "__main__":
    run_script(main)
