"""Plot of a step by kind of node, from `quern run --profile --json`."""

from __future__ import annotations

import pathlib
from typing import Any

from plotting import style
from schema.results_schema import ResultError

PHASES = (("decode", "decode step"), ("prefill", "prefill step"))


def is_profile(document: Any) -> bool:
    return isinstance(document, dict) and "profile" in document


def name_of(document: dict[str, Any]) -> str:
    return pathlib.PurePath(str(document.get("model", "model"))).name


def breakdown(document: dict[str, Any]):
    """Time by kind of node, compared with the time of its bytes at the measured bandwidth. Errors: ResultError."""
    try:
        profile = document["profile"]
        gbps = profile["read_gbps"]
        phases = [(title, profile[name]["nodes"]) for name, title in PHASES if profile[name]["nodes"]]
        rows = max(len(nodes) for _, nodes in phases)
    except (KeyError, TypeError, ValueError) as error:
        raise ResultError(f"profile of {name_of(document)}: expected that of quern run --profile --json, {error!r}")
    title = f"{name_of(document)}, {document.get('dtype', '')} on {document.get('device', '')}, nodes run one by one"
    figure, axes = style.panels(1, len(phases), title, inches=(3.6, 0.28 * rows + 0.8))
    for panel, (name, nodes) in zip(axes[0], phases):
        places = range(len(nodes))
        times = [node["us_per_step"] for node in nodes]
        reading = [node["bytes_per_step"] / gbps / 1e3 for node in nodes]
        panel.barh(places, times, color=style.COLOURS[3], edgecolor="black", linewidth=0.6, label="measured")
        panel.barh(
            places, reading, height=0.4, color="white", edgecolor="black", linewidth=0.6, hatch="/////",
            label=f"its bytes at {gbps:.0f} GB/s",
        )
        labels = [f"{node['kind']} × {node['count_per_step']:.0f}" for node in nodes]
        panel.set_yticks(places, labels)
        panel.invert_yaxis()
        panel.grid(axis="y", visible=False)
        panel.set_xlabel("µs a step")
        panel.set_title(f"{name}, {sum(times):.0f} µs")
    style.legend_below(figure, axes[0][0])
    return figure
