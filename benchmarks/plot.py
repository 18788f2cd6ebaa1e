"""Draw the figures of `train_throughput.py`: `python benchmarks/plot.py`.

    python benchmarks/plot.py [--results DIR] [--output DIR]

Reads `results/train_throughput*.json` and writes `pictures/throughput.svg` and `throughput.png`, a
panel a file: medians, from the slowest turn to the fastest, beside the step's bare matrix products.
Of each kind of PyTorch the best number of threads is drawn; populations are left out.
"""

import argparse
import json
import statistics
import sys
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.text import Annotation

HERE = Path(__file__).parent
SIZES = ("concept", "gan", "wide")
# From the top of a panel: what is measured, without the number of threads, and how it is called.
LABELS = {
    "gan-jax train": "gan-jax train",
    "in a loop": "its steps in a loop",
    "step by step": "one call a step",
    "PyTorch eager": "PyTorch eager",
    "PyTorch fused Adam": "PyTorch fused Adam",
    "PyTorch compiled": "PyTorch compiled",
    "PyTorch CUDA graph": "PyTorch CUDA graph",
}
BARE = "bare products"
# Apart for every eye, and without colour: a dark blue and a light grey.
BLUE, GREY, INK, FAINT = "#0072b2", "#b4b4b4", "#1f2328", "#59636e"
STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",  # comes with matplotlib: the same everywhere
    "font.size": 7.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "xtick.color": FAINT,
    "svg.fonttype": "path",
    "svg.hashsalt": "gan_jax",  # the same figures give the same bytes
}


class Bar(NamedTuple):
    """Steps a second of one kind."""

    label: str
    median: float
    low: float
    high: float


def rates(figures: Mapping[str, Any]) -> dict[str, list[float]]:
    """Of turns as long as a training, where there were such: shorter ones are another measure."""
    return figures.get("long_rates", figures["rates"])


def bars(rates: Mapping[str, Sequence[float]]) -> list[Bar]:
    """What is drawn of a file, from the top: of each kind that is there, the best by its median."""
    found = []
    for kind, label in LABELS.items():
        turns = [values for name, values in rates.items() if name.partition(",")[0] == kind]
        if turns:
            best = max(turns, key=statistics.median)
            found.append(Bar(label, statistics.median(best), min(best), max(best)))
    return found


def device(figures: Mapping[str, Any]) -> str:
    """What did the steps, if it was no CPU."""
    name = figures.get("device", "cpu")
    return "" if name == "cpu" else name


def title(figures: Mapping[str, Any]) -> str:
    name, precision = figures["size"], figures.get("precision", "float32")
    if precision != "float32":
        name += f" in {precision}"
    if device(figures):
        name += " on a TPU" if "TPU" in device(figures) else " on a GPU"
    return name


def read(folder: Path) -> list[dict[str, Any]]:
    """The files that are there, CPU first, from the smallest networks to the widest."""

    def place(figures: Mapping[str, Any]) -> tuple[bool, int, str]:
        size = figures["size"]
        order = SIZES.index(size) if size in SIZES else len(SIZES)
        return bool(device(figures)), order, title(figures)  # `wide` before `wide in bfloat16`

    files = sorted(folder.glob("train_throughput*.json"))
    return sorted((json.loads(file.read_text()) for file in files), key=place)


def caption(files: Sequence[Mapping[str, Any]]) -> str:
    """Machine, versions and commit: a line for all panels, or one for each that differs."""
    panels: dict[str, list[str]] = {}
    for figures in files:
        versions = figures["versions"]
        facts = [fact for fact in (device(figures), figures["machine"]) if fact]
        facts += [f"{name} {versions[name]}" for name in ("jax", "torch") if name in versions]
        line = ", ".join([*facts, f"commit {figures['commit']}"])
        panels.setdefault(line, []).append(title(figures))
    if len(panels) == 1:
        return next(iter(panels))
    return "\n".join(f"{' and '.join(names)}: {line}" for line, names in panels.items())


def number(rate: float) -> str:
    return f"{rate:,.0f}" if rate >= 99.95 else f"{rate:#.3g}"


def draw_panel(axes: Axes, figures: Mapping[str, Any], labels: Sequence[str]) -> list[Annotation]:
    """Bars and the line of the bare products; returns the values at the bars' ends."""
    values = []
    found, bare = bars(rates(figures)), rates(figures).get(BARE)
    for bar in found:
        place = labels.index(bar.label)
        color = GREY if bar.label.startswith("PyTorch") else BLUE
        axes.barh(place, bar.median, height=0.7, color=color)
        for width, line in ((2.4, "white"), (0.9, INK)):  # seen on the bar and beside it
            axes.hlines(place, bar.low, bar.high, color=line, linewidth=width)
        values.append(
            axes.annotate(
                number(bar.median),
                (bar.high, place),
                (3, 0),
                textcoords="offset points",
                va="center_baseline",
                fontsize=7,
            )
        )
    furthest = max([bar.high for bar in found], default=0.0)
    if bare:
        rate = statistics.median(bare)
        furthest = max(furthest, rate)
        axes.axvline(rate, color=INK, linewidth=1, linestyle=(0, (4, 2.5)), zorder=0.5)
        right = rate > 0.6 * furthest
        axes.annotate(
            f"bare matrix products (XLA): {number(rate)}",
            (rate, 1),
            (10 if right else -2, 3),
            xycoords=("data", "axes fraction"),
            textcoords="offset points",
            ha="right" if right else "left",
            fontsize=6.5,
            color=FAINT,
        )
    axes.set_xlim(0, 1.2 * furthest)
    axes.set_ylim(len(labels) - 0.4, -0.6)
    axes.set_yticks(range(len(labels)), labels)
    axes.tick_params(axis="y", length=0)
    axes.tick_params(axis="x", labelsize=6.5, length=2.5)
    axes.locator_params(axis="x", nbins=4)
    axes.xaxis.set_major_formatter("{x:,g}")
    axes.spines[["top", "right", "bottom"]].set_visible(False)
    axes.spines["left"].set_color(FAINT)
    axes.set_title(title(figures), loc="left", fontweight="bold", fontsize=8.5, pad=15)
    return values


def draw(files: Sequence[Mapping[str, Any]]) -> Figure:
    """A panel a file, up to three in a row."""
    columns = len(files) if len(files) <= 3 else 2
    rows = -(-len(files) // columns)
    there = {bar.label for figures in files for bar in bars(rates(figures))}
    labels = [label for label in LABELS.values() if label in there]
    notes = "\n".join(textwrap.fill(line, 140) for line in caption(files).splitlines())
    height = 0.45 + rows * (0.62 + 0.21 * len(labels)) + 0.13 * (1 + notes.count("\n"))
    layout = ConstrainedLayoutEngine(hspace=0.06)  # a gap between rows, as a share of a panel
    figure = Figure(figsize=(20 / 3, height), dpi=150, facecolor="white", layout=layout)
    figure.suptitle(
        "Training steps a second: the median, and a line from the slowest turn to the fastest",
        x=0.008,
        ha="left",
        fontsize=8.5,
    )
    figure.supxlabel(notes, x=0.008, ha="left", fontsize=6, color=FAINT)
    panels = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for axes in panels[len(files) :]:
        axes.remove()
    values = [draw_panel(*panel, labels) for panel in zip(panels, files, strict=False)]
    figure.draw_without_rendering()  # from here it is known where a text begins and ends
    for axes, figures, texts in zip(panels, files, values, strict=False):
        if bare := rates(figures).get(BARE):
            for text in texts:
                step_aside(axes, text, statistics.median(bare))
    return figure


def step_aside(axes: Axes, text: Annotation, rate: float) -> None:
    """Move a value that the line of the bare products would cross behind that line."""
    box, line = text.get_window_extent(), axes.transData.transform((rate, 0))[0]
    if box.x0 - 5 < line < box.x1 + 5:
        text.xy = (rate, text.xy[1])


def main() -> None:
    parser = argparse.ArgumentParser(description="draw the figures of train_throughput.py")
    parser.add_argument("--results", type=Path, default=HERE / "results", metavar="DIR")
    parser.add_argument("--output", type=Path, default=HERE / "pictures", metavar="DIR")
    arguments = parser.parse_args()
    files = read(arguments.results)
    if not files:
        print(f"plot.py: no train_throughput*.json in {arguments.results}", file=sys.stderr)
        raise SystemExit(2)
    arguments.output.mkdir(parents=True, exist_ok=True)
    with matplotlib.rc_context(STYLE):
        figure = draw(files)
        for kind in ("svg", "png"):
            path = arguments.output / f"throughput.{kind}"
            figure.savefig(path, metadata={"Date": None} if kind == "svg" else None)
            print(path)


if __name__ == "__main__":
    main()
