"""From figures to a word: does this GAN work, which figures say so, and what to try.

The definitions came before any threshold. Of samples alone, in this order, where a *ratio* is a
figure over the same figure of real training rows (the anchor ``train``):

- ``memorising``: generated rows lie nearer to training rows than held-out ones do (C_T < -3), and
  the share of them that are no copies is less than three quarters of held-out rows'.
- ``collapsed``: the total variance of generated rows is less than a quarter of the data's; or rows
  look real (precision ratio at least 0.5) and a class has less than a tenth of its share, or the
  coverage ratio is below 0.5 and at least 0.3 below the precision ratio.
- ``underfitting``: precision ratio or coverage ratio below 0.75, or a Fréchet distance greater than
  that of real rows under noise, or blurred, whichever is less.
- ``healthy``: none of these.

What a run's history adds, before these:

- ``diverged``: a metric of its newest record is not finite.
- ``discriminator-won``: the samples are not healthy, and throughout the last tenth of the records
  the real sample has the higher logit in at least 99 % of pairs while the discriminator's loss is
  at most a tenth of what it is at equilibrium.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

__all__ = ["SAMPLE_VERDICTS", "VERDICTS", "Verdict", "diverged", "judge_run", "judge_samples"]

SAMPLE_VERDICTS = ("healthy", "collapsed", "memorising", "underfitting")
VERDICTS = (*SAMPLE_VERDICTS, "discriminator-won", "diverged")

_COPYING = -3.0
_AUTHENTIC = 0.75  # of held-out rows' share
_SPREAD = 0.25  # of the data's variance
_HALF = 0.5
_GOOD = 0.75
_APART = 0.3  # between the ratios of precision and coverage
_TOLD = 0.99  # of pairs
_SATURATED = 0.1  # of the discriminator's loss at equilibrium

Figures = Mapping[str, Any]


class Verdict(NamedTuple):
    """A word, the figures that led to it, and what to try."""

    verdict: str  # one of VERDICTS
    reasons: tuple[str, ...]
    advice: str


def judge_samples(metrics: Figures, anchors: Mapping[str, Figures]) -> Verdict:
    """The verdict on samples alone.

    Args:
        metrics: ``frechet_distance``, ``precision``, ``coverage``, ``spread``, and where there are
            any ``missing_classes``, ``copying``, ``authenticity``, ``authenticity_held_out``.
        anchors: the same of real rows: ``train``, ``noisy`` and, of images, ``blurred``.
    """
    train = anchors["train"]
    precision = metrics["precision"] / max(train["precision"], 1e-12)
    coverage = metrics["coverage"] / max(train["coverage"], 1e-12)
    missing = tuple(metrics.get("missing_classes") or ())
    spoilt = {n: anchors[n]["frechet_distance"] for n in ("blurred", "noisy") if n in anchors}
    wrong = min(spoilt, key=spoilt.__getitem__)
    frechet, bound = metrics["frechet_distance"], spoilt[wrong]
    figures = (
        f"precision {metrics['precision']:.2f}, of real rows {train['precision']:.2f}",
        f"coverage {metrics['coverage']:.2f}, of real rows {train['coverage']:.2f}",
        f"Fréchet distance {frechet:.3g}, of real rows {train['frechet_distance']:.3g}, "
        f"of {wrong} ones {bound:.3g}",
    )
    copying, authentic = metrics.get("copying"), metrics.get("authenticity")
    if copying is not None and authentic is not None:
        held_out = metrics["authenticity_held_out"]
        if copying < _COPYING and authentic < _AUTHENTIC * held_out:
            return Verdict(
                "memorising",
                (
                    f"C_T {copying:.1f}: nearer to training rows than held-out rows are",
                    f"{authentic:.0%} of rows are no copies, of held-out rows {held_out:.0%}",
                    figures[1],
                ),
                "train on more rows, for fewer steps, or with a smaller generator",
            )
    thin = metrics["spread"] < _SPREAD
    dropped = precision >= _HALF and bool(missing)
    narrow = coverage < _HALF and precision - coverage >= _APART
    if thin or dropped or narrow:
        return Verdict(
            "collapsed",
            (
                f"classes missing: {', '.join(map(str, missing)) or 'none'}",
                f"variance {metrics['spread']:.2f} of the data's; {figures[0]}",
                figures[1],
            ),
            "add R1 and R2 or raise their weights, use a relativistic loss, lower the learning "
            "rates, or give the discriminator several samples at once",
        )
    if min(precision, coverage) < _GOOD or frechet > bound:
        return Verdict(
            "underfitting", figures, "train for longer, widen the networks, or use smaller batches"
        )
    return Verdict("healthy", figures, "nothing: train on for finer detail, if at all")


def diverged(history: Sequence[Figures]) -> Verdict | None:
    """The verdict where a run's newest record (they come oldest first) is not finite, else None."""
    if not history or history[-1].get("finite", True):
        return None
    newest = history[-1]
    return Verdict(
        "diverged",
        (
            f"the metrics of step {newest['step']:,} are not finite",
            f"discriminator loss {_shown(newest.get('discriminator_loss'))}",
            f"generator loss {_shown(newest.get('generator_loss'))}",
        ),
        "lower the learning rates, or add a penalty",
    )


def judge_run(
    samples: Verdict, history: Sequence[Figures], discriminator_equilibrium: float
) -> Verdict:
    """The verdict on a run that did not diverge: on its samples, unless its history explains more.

    Args:
        samples: what `judge_samples` says.
        history: records of metrics, oldest first, as in ``metrics.jsonl``.
        discriminator_equilibrium: the discriminator's loss where it cannot tell the two apart.
    """
    if not history:
        return samples
    newest, oldest = history[-1], history[0]
    last = history[-max(1, len(history) // 10) :]
    told = min(record["real_above_fake"] for record in last)
    loss = max(record["discriminator_loss"] for record in last)
    won = told >= _TOLD and loss <= _SATURATED * discriminator_equilibrium
    if won and samples.verdict != "healthy":
        before, now = (record["generator_gradient_norm"] for record in (oldest, newest))
        return Verdict(
            "discriminator-won",
            (
                f"{told:.0%} of fakes are told from reals",
                f"discriminator loss {loss:.2g}, at equilibrium {discriminator_equilibrium:.2g}",
                f"generator gradient {now:.2g}, at the start {before:.2g}",
            ),
            f"lower the discriminator's learning rate, or add R1; samples are {samples.verdict}",
        )
    return samples


def _shown(value: float | None) -> str:
    return "not finite" if value is None or not math.isfinite(value) else f"{value:.3g}"
