#!/usr/bin/env python3
"""Plots results as PNG and SVG.

    plot.py FILE.json [FILE.json ...] [--output FOLDER]

Files are what `quern bench --json`, `quern bench serve --json`, bench/peers/ and `quern run --profile --json` write, one
or several documents each. Makes, if the files contain the data: MODEL-throughput, MODEL-lengths, MODEL-floor,
MODEL-stop-checks, MODEL-breakdown, MODEL-serving.
"""

from __future__ import annotations

import argparse
import itertools
import pathlib
import re
from typing import Any

from schema.results_schema import ResultError, Series, read_json, run_script, series_of, validate

try:
    from plotting import breakdown, serving, style, sweeps
except ImportError as error:
    raise SystemExit(f"error: plot.py needs matplotlib: {error}")


def file_name(model: str) -> str:
    return re.sub(r"[^A-Za-z0-9._-]+", "-", model)


def _read(paths: list[str]) -> tuple[list[Series], list[dict[str, Any]], list[dict[str, Any]]]:
    """All sweeps, profiles, and loads of servers. Errors: ResultError."""
    documents, profiles, loads = [], [], []
    for path in paths:
        for document in read_json(path):
            if breakdown.is_profile(document):
                profiles.append(document)
            else:
                validate(document, path)
                (loads if "serve" in document else documents).append(document)
    return [series for series in series_of(documents) if series.cells], profiles, loads


def _by_model(series: list[Series]) -> dict[str, list[Series]]:
    by_model: dict[str, list[Series]] = {}
    for one in series:
        by_model.setdefault(one.subject.model, []).append(one)
    return by_model


def figures(
    series: list[Series], profiles: list[dict[str, Any]], loads: list[dict[str, Any]] | None = None
) -> dict[str, Any]:
    """Every figure that the results have data for, by its file name. Errors: ResultError."""
    found = {}
    for model, group in _by_model(series).items():
        name = file_name(model)
        # Further loop modes of the same program only appear in the comparison of stop checks.
        plain = [min(same, key=lambda one: one.subject.loop_name() != "") for _, same in _by_program(group)]
        found[f"{name}-throughput"] = sweeps.throughput(model, plain)
        if len(sweeps.lengths_of(plain)) > 1:
            found[f"{name}-lengths"] = sweeps.throughput_by_length(model, plain)
        floors = [one for one in plain if one.ceiling("read_gbps")]
        if floors:
            found[f"{name}-floor"] = sweeps.share_of_floor(model, floors[0])
        for _, same in _by_program(group):
            if len(same) > 1:
                found[f"{name}-stop-checks"] = sweeps.stop_checks(model, same)
    for profile in profiles:
        found[f"{file_name(breakdown.name_of(profile))}-breakdown"] = breakdown.breakdown(profile)
    for model, group in serving.by_model(loads or []).items():
        found[f"{file_name(model)}-serving"] = serving.latencies_by_load(model, group)
    return found


def _by_program(series: list[Series]) -> list[tuple[str, list[Series]]]:
    def where(one: Series) -> str:
        return f"{one.subject.program} {one.subject.dtype} {one.subject.device}"

    ordered = sorted(enumerate(series), key=lambda pair: (where(pair[1]), pair[0]))
    groups = [[one for _, one in group] for _, group in itertools.groupby(ordered, key=lambda pair: where(pair[1]))]
    groups.sort(key=lambda group: series.index(group[0]))
    return [(where(group[0]), group) for group in groups]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", metavar="FILE.json", nargs="+")
    parser.add_argument("--output", type=pathlib.Path, default=pathlib.Path("."), help="a folder (default: this one)")
    arguments = parser.parse_args()
    results = _read(arguments.files)
    try:
        arguments.output.mkdir(parents=True, exist_ok=True)
        found = figures(*results)
        if not found:
            raise ResultError(f"{', '.join(arguments.files)}: nothing to plot")
        for name, figure in found.items():
            for path in style.save(figure, arguments.output, name):
                print(path)
    except OSError as error:
        raise ResultError(f"{arguments.output}: {error.strerror}") from None
    return 0


if __name__ == "__main__":
    run_script(main)
