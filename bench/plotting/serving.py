"""Plots of loads of servers, as `quern bench serve --json` writes them."""

from __future__ import annotations

from typing import Any

from plotting import style

_SPREADS = (
    ("time_to_first_token_ms", "time to first token, ms"),
    ("inter_token_ms", "between tokens, ms"),
    ("latency_ms", "latency, ms"),
)


def by_model(documents: list[dict[str, Any]]) -> dict[str, list[dict[str, Any]]]:
    """The documents of each model, in the order of their first."""
    found: dict[str, list[dict[str, Any]]] = {}
    for document in documents:
        found.setdefault(document["serve"]["model"] or "unknown", []).append(document)
    return found


def _load_of(serve: dict[str, Any]) -> float:
    return serve["rate"] or serve["concurrency"]


def _points(documents: list[dict[str, Any]], value) -> tuple[list[float], list[float]]:
    points = sorted((_load_of(document["serve"]), value(document["serve"])) for document in documents)
    return [load for load, _ in points], [height for _, height in points]


def latencies_by_load(model: str, documents: list[dict[str, Any]]):
    """Median and p99 of the latencies, and requests/s with their goodput, against the load: a row for open loops
    (requests a second wanted), one for closed loops (requests at a time), as far as there are some."""
    rows = [
        (name, [document for document in documents if document["serve"][key]])
        for key, name in (("rate", "requests/s wanted"), ("concurrency", "requests at a time"))
    ]
    rows = [(name, group) for name, group in rows if group]
    figure, axes = style.panels(len(rows), len(_SPREADS) + 1, f"{model}, served")
    for panels, (load_name, group) in zip(axes, rows):
        programs = list(dict.fromkeys(document["program"] for document in group))
        for panel, (key, title) in zip(panels, _SPREADS):
            panel.set_ylabel(title)
            index = 0
            for program in programs:
                own = [document for document in group if document["program"] == program]
                for part in ("median", "p99"):
                    values = _points(own, lambda serve: serve[key][part])
                    panel.plot(*values, label=f"{program}, {part}", **style.line_style(index))
                    index += 1
        rates = panels[-1]
        rates.set_ylabel("requests/s answered")
        for index, program in enumerate(programs):
            own = [document for document in group if document["program"] == program]
            rates.plot(*_points(own, lambda serve: serve["requests_per_s"]), label=program, **style.line_style(2 * index))
            good = [document for document in own if "goodput_per_s" in document["serve"]]
            if good:
                label = f"{program}, goodput"
                values = _points(good, lambda serve: serve["goodput_per_s"])
                rates.plot(*values, label=label, **style.line_style(2 * index + 1))
        rates.set_ylim(0, 1.1 * max(max(line.get_ydata()) for line in rates.lines))
        for panel in panels:
            panel.set_xlabel(load_name)
    style.legend_below(figure, axes[0][0])
    axes[0][-1].legend(fontsize=7)
    return figure
