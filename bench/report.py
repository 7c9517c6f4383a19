#!/usr/bin/env python3
"""Prints our figures over each peer's, cell by cell, as a Markdown table.

    report.py OURS.json PEER.json [PEER.json ...] [--metric NAME]

Files are what `quern bench --json` and bench/peers/ write. The first file is ours; of several runs of a cell the median
counts. A ratio above 1 is in our favour, whether more or less of the metric is better.
"""

from __future__ import annotations

import argparse
import math

from schema.results_schema import CellKey, ResultError, Series, load_series, run_script

MORE_IS_BETTER = {
    "tokens_per_s": True,
    "decode_tokens_per_s": True,
    "prefill_tokens_per_s": True,
    "latency_ms": False,
    "time_to_first_token_ms": False,
    "decode_step_ms": False,
    "peak_memory_bytes": False,
}


def ratio(ours: float | None, theirs: float | None, more_is_better: bool) -> float | None:
    """Ratio of ours to the peer's; None where one of them is missing or not above 0."""
    if not ours or not theirs or ours < 0 or theirs < 0:
        return None
    return ours / theirs if more_is_better else theirs / ours


def geometric_mean(ratios: list[float]) -> float:
    return math.exp(sum(map(math.log, ratios)) / len(ratios))


def table(rows: list[list[str]]) -> str:
    """Rows as a Markdown table, the first one as header."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["| " + " | ".join(f"{text:>{width}}" for text, width in zip(row, widths)) + " |" for row in rows]
    lines.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return "\n".join(lines)


def _number(value: float | None) -> str:
    if value is None:
        return ""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _comparison(ours: Series, peers: list[Series], metric: str) -> str:
    rows = [["batch", "in,out", ours.subject.label()]]
    for peer in peers:
        rows[0] += [peer.subject.label(), "ratio"]
    ratios: list[list[float]] = [[] for _ in peers]
    for key in ours.cells:
        row = [str(key.batch_size), f"{key.input_len},{key.output_len}", _number(ours.value(key, metric))]
        for found, peer in zip(ratios, peers):
            one = ratio(ours.value(key, metric), peer.value(key, metric), MORE_IS_BETTER[metric])
            found += [] if one is None else [one]
            row += [_number(peer.value(key, metric)), "" if one is None else f"{one:.2f}"]
        rows.append(row)
    means = ["", "", "geometric mean"]
    for found in ratios:
        means += ["", f"{geometric_mean(found):.2f}" if found else ""]
    return table([*rows, means])


def _heading(ours: Series, peers: list[Series]) -> list[str]:
    subject = ours.subject
    lines = [f"{subject.model}, {subject.dtype}, {subject.weights} weights, on {subject.device}"]
    for peer in peers:
        for name in ("device", "dtype"):
            theirs, own = getattr(peer.subject, name), getattr(subject, name)
            if theirs != own:
                lines.append(f"NOT THE SAME {name.upper()}: {peer.subject.label()} has {theirs}, ours {own}")
    return lines


def report(ours: list[Series], peers: list[Series], metric: str) -> str:
    """One section for each of our series that a peer has a cell of. Errors: ResultError when there is none."""
    sections = []
    for own in ours:
        same_cells = [
            peer for peer in peers if peer.subject.model == own.subject.model and peer.cells.keys() & own.cells.keys()
        ]
        if same_cells:
            sections.append("\n".join([*_heading(own, same_cells), "", _comparison(own, same_cells, metric)]))
    if not sections:
        raise ResultError(f"no cell in common: ours has {_contents(ours)}; the peers have {_contents(peers)}")
    return f"{metric}, and ours over each peer's\n\n" + "\n\n".join(sections)


def _contents(series: list[Series]) -> str:
    def cells(one: Series) -> str:
        keys: list[CellKey] = list(one.cells)
        return f"{one.subject.model}: {len(keys)} cells such as {keys[0]}" if keys else f"{one.subject.model}: none"

    return "; ".join(cells(one) for one in series)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("ours", metavar="OURS.json")
    parser.add_argument("peers", metavar="PEER.json", nargs="+")
    parser.add_argument("--metric", choices=list(MORE_IS_BETTER), default="tokens_per_s")
    arguments = parser.parse_args()
    ours = load_series([arguments.ours])
    peers = [series for path in arguments.peers for series in load_series([path])]
    print(report(ours, peers, arguments.metric))
    return 0


if __name__ == "__main__":
    run_script(main)
