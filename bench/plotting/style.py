"""Style of all plots: colours for the colour-blind, and markers that print without colour."""

from __future__ import annotations

import pathlib
from typing import Any

import matplotlib

matplotlib.use("Agg")  # no display
import matplotlib.pyplot as plt  # noqa: E402
from matplotlib import ticker  # noqa: E402

# Okabe and Ito's palette, in an order whose neighbours also differ in lightness.
COLOURS = ["#0072B2", "#E69F00", "#000000", "#56B4E9", "#D55E00", "#009E73", "#CC79A7"]
MARKERS = ["o", "s", "^", "D", "v", "P", "X"]
LINES = ["-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)), (0, (1, 1))]
PANEL_INCHES = (2.7, 2.4)

plt.rcParams.update(
    {
        "font.size": 9,
        "axes.titlesize": 9,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#dddddd",
        "grid.linewidth": 0.6,
        "legend.frameon": False,
        "legend.handlelength": 3.2,
        "lines.linewidth": 1.5,
        "lines.markersize": 5,
        "svg.hashsalt": "quern",  # reproducible files
        "figure.constrained_layout.use": True,
    }
)


def line_style(index: int) -> dict[str, Any]:
    """Colour, marker and line of the index-th series."""
    return {
        "color": COLOURS[index % len(COLOURS)],
        "marker": MARKERS[index % len(MARKERS)],
        "linestyle": LINES[index % len(LINES)],
    }


def panels(rows: int, columns: int, title: str, inches: tuple[float, float] = PANEL_INCHES, **options: Any):
    """A figure with that many panels, always as rows of columns."""
    size = (max(columns * inches[0], 4.5), rows * inches[1] + 0.7)
    figure, axes = plt.subplots(rows, columns, squeeze=False, figsize=size, **options)
    figure.suptitle(title, fontsize=10)
    return figure, axes


def legend_below(figure, axes) -> None:
    """One legend for all panels, if there are several series."""
    handles, labels = axes.get_legend_handles_labels()
    if len(handles) > 1:
        figure.legend(handles, labels, loc="upper center", bbox_to_anchor=(0.5, 0), ncol=min(len(handles), 4))


def log_axis(axes) -> None:
    """A vertical axis by powers, with plain numbers."""
    axes.set_yscale("log")
    axes.yaxis.set_major_locator(ticker.LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter(ticker.FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_locator(ticker.NullLocator())


def save(figure, folder: pathlib.Path, name: str) -> list[pathlib.Path]:
    """Writes name.png and name.svg."""
    paths = [folder / f"{name}.{kind}" for kind in ("png", "svg")]
    for path in paths:
        metadata = {"Date": None} if path.suffix == ".svg" else None
        figure.savefig(path, dpi=160, bbox_inches="tight", metadata=metadata)
    plt.close(figure)
    return paths
