"""The curves of a run, from its metrics."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

__all__ = ["draw_curves"]


def draw_curves(
    records: Sequence[Mapping[str, Any]],
    path: Path,
    *,
    title: str,
    equilibrium: tuple[float, float],
) -> None:
    """Four panels: losses, logits, who tells real from fake, gradients.

    Args:
        records: lines of metrics.jsonl, oldest first.
        path: of the PNG.
        title: above the panels.
        equilibrium: what the discriminator and the generator lose where neither can do better.
    """
    # No pyplot: a figure of its own touches neither the user's backend nor a global state.
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator, StrMethodFormatter

    # Places that are told take half the time of those that matplotlib looks for.
    figure = Figure(figsize=(10, 6.5), dpi=110)
    figure.suptitle(title)
    axes = figure.subplots(2, 2, sharex=True).ravel()
    figure.subplots_adjust(0.075, 0.08, 0.985, 0.905, wspace=0.19, hspace=0.16)
    steps = [record["step"] for record in records]

    def line(panel: int, field: str, label: str, color: str) -> None:
        values = [_number(record.get(field)) for record in records]
        if not all(math.isnan(value) for value in values):
            axes[panel].plot(steps, values, label=label, color=color, linewidth=1.2)

    line(0, "discriminator_loss", "discriminator", "tab:blue")
    line(0, "generator_loss", "generator", "tab:orange")
    for value, color in zip(equilibrium, ("tab:blue", "tab:orange"), strict=True):
        axes[0].axhline(value, color=color, linestyle=":", linewidth=1)
    axes[0].set_title("losses (dotted: at equilibrium)")

    line(1, "real_logits", "real", "tab:green")
    line(1, "fake_logits", "fake", "tab:red")
    axes[1].set_title("mean logits")

    line(2, "real_above_fake", "real above fake", "tab:purple")
    line(2, "real_probability", "D(x)", "tab:green")
    line(2, "fake_probability", "D(G(z))", "tab:red")
    axes[2].axhline(0.5, color="black", linestyle=":", linewidth=1)
    axes[2].set_ylim(-0.02, 1.02)
    axes[2].set_title("how well the discriminator tells (dotted: not at all)")

    line(3, "discriminator_gradient_norm", "discriminator", "tab:blue")
    line(3, "generator_gradient_norm", "generator", "tab:orange")
    if any(norm > 0 for shown in axes[3].get_lines() for norm in shown.get_ydata()):
        axes[3].set_yscale("log")
    axes[3].set_title("gradient norms")

    for axis in axes:
        axis.grid(alpha=0.3)
        if axis.get_legend_handles_labels()[0]:
            axis.legend(fontsize="small")
    for axis in axes[2:]:
        axis.set_xlabel("step")
        axis.xaxis.set_major_locator(MaxNLocator(5))  # of more, long numbers meet
        axis.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    figure.savefig(path, format="png")


def _number(value: Any) -> float:
    return math.nan if value is None else float(value)
