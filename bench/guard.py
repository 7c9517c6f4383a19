#!/usr/bin/env python3
"""Fails when a new sweep is slower than an old one by more than the noise that the files show.

    guard.py OLD.json NEW.json [--sigmas 3] [--least-percent 1]

Compares the median latency and the median time to the first token of each cell. The noise of a cell is the standard
error of these medians, from the spread of the runs; where files hold several sweeps of a subject, also how far sweeps
lie apart: over all cells, and with three sweeps or more over its own where that is more, since what the host limits (the
first token of a small model) differs from process to process far more than the rest. A cell is slower when it is so by
more than --sigmas times the noise of both files together, and by more than --least-percent. Exit codes: 0 nothing is
slower, 1 the files cannot be compared, 2 usage, 3 something is slower.
"""

from __future__ import annotations

import argparse
import math
import statistics
from dataclasses import dataclass

from schema.results_schema import CellKey, ResultError, Series, Subject, load_series, run_script

SAMPLES = {"latency": "latencies_ms", "first token": "first_tokens_ms"}
FEWEST_RUNS = 3
FEWEST_SWEEPS = 3  # that tell of the noise of a single cell


@dataclass
class Change:
    """Change of one figure of one cell; times in ms, the others relative to the old time."""

    subject: Subject
    key: CellKey
    figure: str
    old_ms: float
    new_ms: float
    noise: float  # one sigma
    allowed: float

    @property
    def slower(self) -> float:
        return self.new_ms / self.old_ms - 1

    @property
    def failed(self) -> bool:
        return self.slower > self.allowed


def error_of_median(samples: list[float]) -> float:
    """The standard error of the median of normally distributed samples, from their own spread.

    The spread is the median distance from the median, which one run that was disturbed does not move; where more than
    half of the runs are equal that is 0, and the standard deviation stands in.
    """
    centre = statistics.median(samples)
    sigma = 1.4826 * statistics.median(abs(sample - centre) for sample in samples)
    return 1.2533 * (sigma or statistics.stdev(samples)) / math.sqrt(len(samples))


def _spread(medians: list[float]) -> float:
    return statistics.stdev(medians) / statistics.mean(medians)


def noise_between_sweeps(series: Series, samples: str) -> float:
    """The relative standard deviation of a cell's median from sweep to sweep, over all cells; 0 with one sweep."""
    squares = []
    for cells in series.cells.values():
        medians = [statistics.median(cell[samples]) for cell in cells if cell.get(samples)]
        if len(medians) > 1:
            squares.append(_spread(medians) ** 2)
    return math.sqrt(statistics.mean(squares)) if squares else 0.0


def _figure(series: Series, key: CellKey, samples: str) -> tuple[float, float]:
    """The median of a cell's sweeps, and its relative noise. Errors: ResultError."""
    sweeps = [cell.get(samples) or [] for cell in series.cells[key]]
    if min(map(len, sweeps)) < FEWEST_RUNS:
        fewest = min(map(len, sweeps))
        raise ResultError(f"{series.subject.model}, {key}: {fewest} runs, noise needs at least {FEWEST_RUNS}")
    medians = [statistics.median(sweep) for sweep in sweeps]
    centre = statistics.median(medians)
    within = statistics.mean(error_of_median(sweep) for sweep in sweeps) / centre
    own = _spread(medians) if len(sweeps) >= FEWEST_SWEEPS else 0.0
    between = max(own, noise_between_sweeps(series, samples))
    return centre, math.hypot(within, between) / math.sqrt(len(sweeps))


def _partner(old: Series, candidates: list[Series]) -> Series:
    """The new series of the old one's subject. Errors: ResultError that names what differs."""
    for candidate in candidates:
        if candidate.subject == old.subject:
            return candidate
    same_model = [c for c in candidates if (c.subject.program, c.subject.model) == old.subject[:2]]
    if not same_model:
        raise ResultError(f"{old.subject.program}, {old.subject.model}: missing in the new file")
    closest = min(same_model, key=lambda c: len(_differences(old.subject, c.subject)))
    raise ResultError(
        f"{old.subject.program}, {old.subject.model}: the new file has other "
        + "; ".join(_differences(old.subject, closest.subject))
    )


def _differences(old: Subject, new: Subject) -> list[str]:
    return [
        f"{name}: {before} before, {after} now"
        for name, before, after in zip(Subject._fields, old, new)
        if before != after
    ]


def compare(old: list[Series], new: list[Series], sigmas: float, least: float) -> list[Change]:
    """Every figure of every cell. Errors: ResultError for what cannot be compared."""
    changes = []
    for before in old:
        after = _partner(before, new)
        missing = [key for key in before.cells if key not in after.cells]
        if missing:
            why = after.skipped.get(missing[0])
            shown = "; ".join(map(str, missing)) + (f" (skipped: {why})" if why else "")
            raise ResultError(f"{before.subject.model}: cells missing in the new file: {shown}")
        for key in before.cells:
            for figure, samples in SAMPLES.items():
                if not any(samples in cell for cell in before.cells[key] + after.cells[key]):
                    continue  # not reported by a peer
                old_ms, old_noise = _figure(before, key, samples)
                new_ms, new_noise = _figure(after, key, samples)
                noise = math.hypot(old_noise, new_noise)
                allowed = max(sigmas * noise, least)
                changes.append(Change(before.subject, key, figure, old_ms, new_ms, noise, allowed))
    return changes


def _line(change: Change) -> str:
    return (
        f"{change.subject.model}, {change.key}: {change.figure} {change.old_ms:.3f} -> {change.new_ms:.3f} ms, "
        f"{100 * change.slower:+.1f} % (noise {100 * change.noise:.1f} %, allowed {100 * change.allowed:+.1f} %)"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD.json")
    parser.add_argument("new", metavar="NEW.json")
    parser.add_argument("--sigmas", type=float, default=3.0, help="how many times the noise is a change (default: 3)")
    parser.add_argument("--least-percent", type=float, default=1.0, help="less than that never fails (default: 1)")
    parser.add_argument("--all", action="store_true", help="print every cell, not only those that are slower")
    arguments = parser.parse_args()
    if arguments.sigmas <= 0 or arguments.least_percent < 0:
        parser.error("--sigmas must be above 0 and --least-percent not below it")
    changes = compare(
        load_series([arguments.old]), load_series([arguments.new]), arguments.sigmas, arguments.least_percent / 100
    )
    failed = [change for change in changes if change.failed]
    for change in changes if arguments.all else failed:
        print(("SLOWER  " if change.failed else "        ") + _line(change))
    median = statistics.median(abs(change.slower) for change in changes if change.figure == "latency")
    print(f"{len(changes)} figures, {len(failed)} slower beyond noise; latencies differ by {100 * median:.2f} % (median)")
    return 3 if failed else 0


if __name__ == "__main__":
    run_script(main)
