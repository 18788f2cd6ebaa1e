"""What a run's records say beyond its newest samples.

Before a verdict on samples (see `verdict`), in this order:

- ``diverged``: a metric of the newest record is not finite.
- ``discriminator-won``: the samples are not healthy, and at step 1,000 or later, throughout the
  last tenth of the steps, 500 at least, and five records at least, the real sample has the higher
  logit in at least 99 % of pairs while the discriminator's loss is, in nine records of ten, at most
  a tenth of the way from the least there is to what it is at equilibrium. (Many a healthy run's
  discriminator is as far ahead for its first hundreds of steps.)

And where samples were judged while it trained, of the second half of those evaluations, four at
least:

- ``cycling``: none is healthy; from one to the next the Fréchet distance changes by 15 % or more on
  average (of its logarithm), and the changes cancel: from first to last it moved by less than half
  of their sum; or it rose from first to last, but not each time, and the samples are underfitting.
- ``improving``: the samples are neither healthy nor copies, and the Fréchet distance has fallen by
  a tenth or more from the first of them to the newest, which is the least.
"""

import bisect
import itertools
import math
from collections.abc import Mapping, Sequence
from typing import Any

from gan_jax.evaluation.verdict import Verdict
from gan_jax.losses import AdversarialLoss, losses_at_equilibrium

__all__ = ["diverged", "judge_run", "won"]

_TOLD = 0.99  # of pairs
_SATURATED = 0.1  # of the discriminator's loss at equilibrium, both from the least there is
_SETTLED = 1_000  # steps before which it says nothing that the discriminator is ahead
_LASTING = 500  # steps throughout which it has to be
_RECORDS = 5  # in which it has to be: one batch may be told by luck
_ENOUGH = 4  # evaluations
_RESTLESS = 0.15  # mean change of the logarithm of the Fréchet distance
_CANCELLED = 0.5  # of the sum of its changes
_IMPROVED = 0.9

Figures = Mapping[str, Any]


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


def won(history: Sequence[Figures], loss: AdversarialLoss) -> Verdict | None:
    """The verdict where the discriminator no longer errs, else None; samples may still be good.

    Args:
        history: records of metrics, oldest first, as in ``metrics.jsonl``.
        loss: what they are of; where nothing bounds the discriminator's (Wasserstein), a small one
            says nothing and there is no such verdict.
    """
    if len(history) < _RECORDS or math.isinf(loss.least):
        return None
    newest = history[-1]["step"]
    if newest < _SETTLED or not _told(history[-1]):
        return None
    since = newest - max(_LASTING, newest // 10)
    first = bisect.bisect_right(history, since, key=lambda record: record["step"])
    last = history[min(first, len(history) - _RECORDS) :]
    if not all(map(_told, last)):
        return None
    told = min(record["real_above_fake"] for record in last)
    losses = sorted(record["discriminator_loss"] for record in last)
    lost = losses[(9 * len(losses) - 1) // 10]  # while it tells all pairs, one in ten may be larger
    equilibrium, _ = losses_at_equilibrium(loss)
    if lost - loss.least > _SATURATED * (equilibrium - loss.least):
        return None
    before, now = (history[place].get("generator_gradient_norm") for place in (0, -1))
    return Verdict(
        "discriminator-won",
        (
            f"{told:.0%} of fakes are told from reals",
            f"discriminator loss at most {lost:.2g} in nine records of ten, "
            f"at equilibrium {equilibrium:.2g}",
            f"generator gradient {_shown(now, 2)}, at the start {_shown(before, 2)}",
        ),
        "lower the discriminator's learning rate, or add R1",
    )


def judge_run(
    samples: Verdict,
    history: Sequence[Figures],
    evaluations: Sequence[Figures],
    loss: AdversarialLoss,
) -> Verdict:
    """The verdict on a run that did not diverge: on its samples, unless its records explain more.

    Args:
        samples: what `judge_samples` says of the newest.
        history: records of metrics, oldest first, as in ``metrics.jsonl``.
        evaluations: ``verdict`` and ``frechet_distance`` of samples on the way, oldest first, as in
            ``evaluations.jsonl``.
        loss: what the history is of.
    """
    if samples.verdict == "healthy":
        return samples
    found = won(history, loss)
    if found is not None:
        return found._replace(advice=f"{found.advice}; samples are {samples.verdict}")
    half = evaluations[len(evaluations) // 2 :]
    distances = [record["frechet_distance"] for record in half]
    # What was not finite is null in the file.
    if len(half) < _ENOUGH or not all(d is not None and math.isfinite(d) for d in distances):
        return samples
    logs = [math.log(max(distance, 1e-30)) for distance in distances]
    steps = [after - before for before, after in itertools.pairwise(logs)]
    travel, drift = sum(map(abs, steps)), sum(steps)
    restless = travel / len(steps) >= _RESTLESS
    cancelled = abs(drift) < _CANCELLED * travel
    away = drift > 0 > min(steps) and samples.verdict == "underfitting"
    if restless and (cancelled or away) and all(record["verdict"] != "healthy" for record in half):
        first, last = half[0]["step"], half[-1]["step"]
        return Verdict(
            "cycling",
            (
                f"from step {first:,} to {last:,} the Fréchet distance lay between "
                f"{min(distances):.3g} and {max(distances):.3g}",
                f"it changed by {travel / len(steps):.0%} on average between two evaluations",
                f"from first to last it went from {distances[0]:.3g} to {distances[-1]:.3g}",
            ),
            "add R1 and R2, lower the learning rates or let them fall to zero, or average the "
            f"generator; samples are {samples.verdict}",
        )
    if (
        samples.verdict != "memorising"
        and distances[-1] == min(distances)
        and distances[-1] <= _IMPROVED * distances[0]
    ):
        return Verdict(
            "improving",
            (
                f"Fréchet distance {distances[0]:.3g} at step {half[0]['step']:,}, "
                f"{distances[-1]:.3g} at step {half[-1]['step']:,}",
                *samples.reasons[:2],
            ),
            f"train on; samples are {samples.verdict}",
        )
    return samples


def _told(record: Figures) -> bool:
    """Whether it tells nearly all pairs apart, in a record that is whole."""
    share, loss = record.get("real_above_fake"), record.get("discriminator_loss")
    return share is not None and loss is not None and share >= _TOLD


def _shown(value: float | None, digits: int = 3) -> str:
    return "not finite" if value is None or not math.isfinite(value) else f"{value:.{digits}g}"
