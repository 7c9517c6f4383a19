"""Plots of sweeps: throughput and latency, share of the floor, stop checks compared."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Iterable

from plotting import style
from schema.results_schema import CellKey, Series

Length = tuple[int, int]


def lengths_of(series: Iterable[Series]) -> list[Length]:
    return list(dict.fromkeys((key.input_len, key.output_len) for one in series for key in one.cells))


def batches_of(series: Iterable[Series]) -> list[int]:
    return sorted({key.batch_size for one in series for key in one.cells})


@dataclass
class Axis:
    """A horizontal axis and the positions of its values."""

    title: str
    names: list[str]
    places: list[float]

    def points(self, series: Series, keys: list[CellKey], metric: str) -> tuple[list[float], list[float]]:
        """Positions and values of the cells that have the figure."""
        values = [(place, series.value(key, metric)) for place, key in zip(self.places, keys)]
        found = [(place, value) for place, value in values if value is not None]
        return [place for place, _ in found], [value for _, value in found]

    def draw(self, panel) -> None:
        margin = 0.08 * max(self.places[-1] - self.places[0], 1.0)
        panel.set_xticks(self.places, self.names)
        panel.set_xlim(self.places[0] - margin, self.places[-1] + margin)


def batch_axis(batches: list[int]) -> Axis:
    """Batch sizes, logarithmic."""
    return Axis("batch size", [str(batch) for batch in batches], [math.log2(batch) for batch in batches])


def length_axis(lengths: list[Length]) -> Axis:
    """Pairs of lengths, evenly spaced."""
    names = [f"{input_len}\n{output_len}" for input_len, output_len in lengths]
    return Axis("tokens in, tokens out", names, [float(place) for place in range(len(lengths))])


def _where(series: list[Series]) -> str:
    """The devices, in the order of the series."""
    return " and ".join(dict.fromkeys(one.subject.device for one in series))


def _labels(series: list[Series]) -> list[str]:
    """A series' name in the legend, with the device where there are several."""
    several = len({one.subject.device for one in series}) > 1
    return [one.subject.label() + (f" ({one.subject.device})" if several else "") for one in series]


def throughput(model: str, series: list[Series]):
    """Tokens/s and latency against the batch size; a column for each pair of lengths."""
    batches = batches_of(series)
    columns = {
        f"{input_len} in, {output_len} out": [CellKey(batch, input_len, output_len) for batch in batches]
        for input_len, output_len in lengths_of(series)
    }
    return _throughput(model, series, columns, batch_axis(batches))


def throughput_by_length(model: str, series: list[Series]):
    """Tokens/s and latency against the lengths; a column for each batch size."""
    lengths = sorted(lengths_of(series), key=lambda length: (length[1], length[0]))
    columns = {
        f"batch size {batch}": [CellKey(batch, *length) for length in lengths] for batch in batches_of(series)
    }
    return _throughput(model, series, columns, length_axis(lengths))


def _throughput(model: str, series: list[Series], columns: dict[str, list[CellKey]], axis: Axis):
    figure, axes = style.panels(2, len(columns), f"{model}, {_where(series)}", sharex=True, sharey="row")
    rows = (("tokens_per_s", "new tokens/s, prefill included"), ("latency_ms", "latency, ms"))
    for row, (metric, name) in zip(axes, rows):
        row[0].set_ylabel(name)
        for panel, (title, keys) in zip(row, columns.items()):
            for index, (one, label) in enumerate(zip(series, _labels(series))):
                panel.plot(*axis.points(one, keys, metric), label=label, **style.line_style(index))
            if metric == rows[0][0]:
                panel.set_title(title)
            style.log_axis(panel)
            axis.draw(panel)
    for panel in axes[1]:
        panel.set_xlabel(axis.title)
    style.legend_below(figure, axes[0][0])
    return figure


def share_of_floor(model: str, series: Series):
    """Share of the floor: a decode step's and a prefill's floor over their times."""
    batches = batches_of([series])
    axis = batch_axis(batches)
    title = f"{model}, {series.subject.device}: floor by {series.ceiling('read_gbps'):.0f} GB/s"
    title += f" and {series.ceiling('product_tflops'):.3g} TFLOP/s"
    figure, axes = style.panels(1, 2, title, sharey=True, inches=(3.2, 2.8))
    decode, prefill = axes[0]
    shown: set[int] = set()  # a prefill does not depend on the new tokens
    for index, (input_len, output_len) in enumerate(lengths_of([series])):
        keys = [CellKey(batch, input_len, output_len) for batch in batches]
        label = f"{input_len} in, {output_len} out"
        for panel, metric in ((decode, "share_of_floor"), (prefill, "prefill_share_of_floor")):
            if panel is prefill and input_len in shown:
                continue
            places, shares = axis.points(series, keys, metric)
            panel.plot(places, [100 * share for share in shares], label=label, **style.line_style(index))
        shown.add(input_len)
    for panel, name in ((decode, "decode step"), (prefill, "prefill")):
        panel.set_title(name)
        panel.set_xlabel(axis.title)
        axis.draw(panel)
        panel.set_ylim(0, max(100.0, panel.get_ylim()[1]))
    decode.set_ylabel("share of the floor, %")
    style.legend_below(figure, decode)
    return figure


def stop_checks(model: str, series: list[Series]):
    """Tokens/s by stop-check schedule, relative to stop checks after every step."""
    base = next((one for one in series if one.subject.loop_name() == "stop check every step"), series[0])
    cells: list[CellKey] = [key for key in base.cells if all(key in one.cells for one in series)]
    others = [one for one in series if one is not base]
    figure, axes = style.panels(1, 1, f"{model}, {base.subject.device}", inches=(max(4.5, 0.5 * len(cells)), 2.8))
    panel = axes[0][0]
    for index, one in enumerate(others):
        gains = [
            100 * (one.value(key, "tokens_per_s") / base.value(key, "tokens_per_s") - 1)  # type: ignore[operator]
            for key in cells
        ]
        points = {**style.line_style(index), "linestyle": "none"}
        places = [place + 0.16 * (index - (len(others) - 1) / 2) for place in range(len(cells))]
        panel.plot(places, gains, label=_name(one), markersize=6, **points)
    panel.axhline(0, color="black", linewidth=0.8)
    panel.grid(axis="x", visible=False)
    panel.set_xticks(range(len(cells)), [f"{key.batch_size}\n{key.input_len},\n{key.output_len}" for key in cells])
    panel.set_xlabel("batch size, tokens in, tokens out")
    panel.set_ylabel(f"tokens/s over\n{_name(base)}, %")
    style.legend_below(figure, panel)
    return figure


def _name(series: Series) -> str:
    return series.subject.loop_name() or "default"
