"""From figures to a word: does this GAN work, which figures say so, and what to try.

Of samples alone, in this order, where a *ratio* is a figure over the same figure of real training
rows (the anchor ``train``); `history` has what a run's records add:

- ``memorising``: generated rows lie nearer to training rows than fresh rows do: C_T is more than 3
  below theirs (the anchor ``real``, or 0 without it), which is three standard errors of either and
  of their difference; and the share of them that are no copies is less than three quarters of
  held-out rows'.
- ``collapsed``: rows look real (precision ratio at least 0.5 and, where half of real rows are
  recognised as of a class, half as many are; half of them at most 1.5 times as far from the
  nearest training row as half of held-out rows), and their total variance is less than a quarter of
  the data's, or a class has less than a tenth of its share, or the coverage ratio is below 0.5 and
  at least 0.3 below the precision ratio.
- ``underfitting``: precision ratio or coverage ratio below 0.75, recall ratio or (again where half
  of real rows are) the ratio of recognised rows below 0.5, or a Fréchet distance greater than twice
  that of real rows under noise, or blurred, whichever is less.
- ``healthy``: none of these. To train on is advised beyond 6 times the Fréchet distance of training
  rows, or beyond that of real rows under noise, or blurred.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from gan_jax.errors import lookup

__all__ = [
    "BETTER",
    "LEAST_ROWS",
    "SAMPLE_VERDICTS",
    "VERDICTS",
    "Verdict",
    "judge_samples",
    "verdicts_in",
]

SAMPLE_VERDICTS = ("healthy", "collapsed", "memorising", "underfitting")
VERDICTS = (*SAMPLE_VERDICTS, "improving", "cycling", "discriminator-won", "diverged")

LEAST_ROWS = 100  # of test rows, and of samples
_COPYING = -3.0  # from fresh rows' C_T
_AUTHENTIC = 0.75  # of held-out rows' share
_SPREAD = 0.25  # of the data's variance
_NEAR = 1.5  # times as far from training rows as held-out rows
_HALF = 0.5
_GOOD = 0.75
_APART = 0.3  # between the ratios of precision and coverage
_SPOILT = 2.0  # times the Fréchet distance of spoilt real rows
# Times training rows' Fréchet distance: the default recipe comes to it within minutes.
_FINE = 6.0

# By metric: 1 where more is better, -1 where less is.
BETTER = {
    "frechet_distance": -1,
    "kernel_distance": -1,
    "sliced_wasserstein": -1,
    "precision": 1,
    "recall": 1,
    "density": 1,
    "coverage": 1,
    "classifier_score": 1,
    "class_total_variation": -1,
    "class_reverse_kl": -1,
    "label_consistency": 1,
}

Figures = Mapping[str, Any]


class Verdict(NamedTuple):
    """A word, the figures that led to it, and what to try."""

    verdict: str  # one of VERDICTS
    reasons: tuple[str, ...]
    advice: str

    @property
    def failed(self) -> bool:
        """Whether the word is neither healthy nor improving."""
        return self.verdict not in ("healthy", "improving")


def verdicts_in(field: str, text: str) -> list[str]:
    """The verdicts of a text that has commas between them.

    Raises:
        InputError: a word that is none.
    """
    words = [word.strip() for word in text.split(",") if word.strip()]
    return [lookup(field, word, {verdict: verdict for verdict in VERDICTS}) for word in words]


def judge_samples(metrics: Figures, anchors: Mapping[str, Figures]) -> Verdict:
    """The verdict on samples alone.

    Args:
        metrics: ``frechet_distance``, ``precision``, ``coverage``, ``spread``, and where there are
            any ``recognised``, ``missing_classes``, ``copying``, ``authenticity``,
            ``authenticity_held_out``, ``nearest_ratio``, ``recall``, ``over_concentrated`` with
            ``high_quality``.
        anchors: the same of real rows: ``train``, ``noisy`` and, of images, ``blurred``; where
            there is a training set, ``real`` with ``copying``.
    """
    train = anchors["train"]
    precision = metrics["precision"] / max(train["precision"], 1e-12)
    coverage = metrics["coverage"] / max(train["coverage"], 1e-12)
    recognised = recall = 1.0
    if metrics.get("recognised") is not None and train["recognised"] >= _HALF:
        recognised = metrics["recognised"] / train["recognised"]
    if metrics.get("recall") is not None:
        recall = metrics["recall"] / max(train["recall"], 1e-12)
    missing = tuple(metrics.get("missing_classes") or ())
    spoilt = {n: anchors[n]["frechet_distance"] for n in ("blurred", "noisy") if n in anchors}
    wrong = min(spoilt, key=spoilt.__getitem__)
    frechet, bound = metrics["frechet_distance"], spoilt[wrong]
    figures = (
        f"precision {metrics['precision']:.2f}, of training rows {train['precision']:.2f}",
        f"coverage {metrics['coverage']:.2f}, of training rows {train['coverage']:.2f}",
        f"Fréchet distance {frechet:.3g}, of training rows {train['frechet_distance']:.3g}, "
        f"of {wrong} ones {bound:.3g}",
    )
    notes = ()
    if metrics.get("over_concentrated"):
        notes = (
            f"modes have shrunk: {metrics['high_quality']:.2%} of samples within three deviations "
            "of a centre, where 98.89% are due",
        )
    copying, authentic = metrics.get("copying"), metrics.get("authenticity")
    if copying is not None and authentic is not None:
        held_out = metrics["authenticity_held_out"]
        honest = anchors.get("real", {}).get("copying") or 0.0
        if copying < honest + _COPYING and authentic < _AUTHENTIC * held_out:
            return Verdict(
                "memorising",
                (
                    f"C_T {copying:.1f}: nearer to training rows than fresh rows, {honest:.1f}",
                    f"{authentic:.0%} of rows are no copies, of held-out rows {held_out:.0%}",
                    figures[1],
                ),
                "train on more rows, for fewer steps, or with a smaller generator; move what the "
                "discriminator sees, if it is images (discriminator.shift)",
            )
    thin = metrics["spread"] < _SPREAD
    narrow = coverage < _HALF and precision - coverage >= _APART
    # A classifier may be sure of what is nothing like its classes: grey, say.
    ratio = metrics.get("nearest_ratio")
    near = ratio is None or ratio <= _NEAR
    shrunk = min(precision, recognised) >= _HALF and (thin or missing or narrow)
    if shrunk and near:
        return Verdict(
            "collapsed",
            (
                f"classes missing: {', '.join(map(str, missing)) or 'none'}",
                f"variance {metrics['spread']:.2f} of the data's; {figures[0]}",
                figures[1],
                *notes,
            ),
            "add R1 and R2 or raise their weights, use a relativistic loss, lower the learning "
            "rates, or give the discriminator several samples at once",
        )
    poor = min(precision, coverage) < _GOOD or min(recognised, recall) < _HALF
    if poor or frechet > _SPOILT * bound:
        if shrunk:  # it would be a collapse, were they not far from the data
            far = f"half lie {ratio:.2g} times as far from training rows as held-out rows do"
            figures = (far, *figures[1:])
            notes += (f"classes missing: {', '.join(map(str, missing))}",) if missing else ()
        if recognised < _HALF:
            share, real = metrics["recognised"], train["recognised"]
            figures = (
                f"{share:.0%} are recognised as of a class, of training rows {real:.0%}",
                *figures[1:],
            )
        if recall < _HALF:  # of the samples' variety, as coverage is
            varied = f"recall {metrics['recall']:.2f}, of training rows {train['recall']:.2f}"
            figures = (figures[0], varied, figures[2])
        return Verdict(
            "underfitting",
            (*figures, *notes),
            "train for longer, widen the networks, or use smaller batches",
        )
    times = frechet / max(train["frechet_distance"], 1e-12)
    advice = "nothing: train on for finer detail, if at all"
    if times > _FINE or frechet > bound:
        far = f"{times:.0f}" if times >= 10 else f"{times:.2g}"
        advice = f"train on: the Fréchet distance is still {far} times that of training rows"
    return Verdict("healthy", (*figures, *notes), advice)
