"""Figures in, a word out: each definition, from both sides of its threshold."""

import dataclasses
from typing import Any

import pytest

from gan_jax.evaluation.history import diverged, judge_run, won
from gan_jax.evaluation.verdict import VERDICTS, Verdict, judge_samples
from gan_jax.losses import LOSSES

TRAIN = {"frechet_distance": 5.0, "precision": 0.9, "coverage": 0.95, "recognised": 0.98}
ANCHORS = {
    "train": TRAIN,
    "blurred": {"frechet_distance": 150.0},
    "noisy": {"frechet_distance": 80.0},
}
GOOD: dict[str, Any] = {
    "frechet_distance": 30.0,
    "precision": 0.9,
    "coverage": 0.88,
    "spread": 1.0,
    "recognised": 0.8,
    "missing_classes": [],
    "copying": 1.0,
    "authenticity": 0.6,
    "authenticity_held_out": 0.6,
}


@pytest.mark.parametrize(
    ("changes", "word"),
    [
        ({}, "healthy"),
        ({"copying": -50.0, "authenticity": 0.3}, "memorising"),
        ({"copying": -2.9, "authenticity": 0.3}, "healthy"),  # few, perhaps by chance
        ({"copying": -50.0, "authenticity": 0.5}, "healthy"),  # near the data, yet no copies
        ({"copying": None, "authenticity": None}, "healthy"),  # endless data have no copies
        ({"spread": 0.2, "coverage": 0.01}, "collapsed"),  # to one good sample
        ({"spread": 0.2, "coverage": 0.01, "recognised": 0.4}, "underfitting"),  # to a blur
        ({"spread": 0.2, "coverage": 0.01, "precision": 0.1}, "underfitting"),  # to a scribble
        ({"spread": 0.2, "coverage": 0.01, "recognised": None}, "collapsed"),  # without classes
        ({"spread": 0.2, "coverage": 0.01, "nearest_ratio": 1.49}, "collapsed"),
        ({"spread": 0.2, "coverage": 0.01, "nearest_ratio": 1.51}, "underfitting"),  # to grey
        ({"spread": 0.2, "coverage": 0.01, "nearest_ratio": None}, "collapsed"),
        ({"missing_classes": [3], "recognised": 0.4}, "underfitting"),
        ({"recognised": 0.48}, "underfitting"),
        ({"missing_classes": [3]}, "collapsed"),
        ({"missing_classes": None}, "healthy"),
        ({"coverage": 0.4}, "collapsed"),  # few real rows are near one, yet they look real
        ({"missing_classes": [3], "precision": 0.3, "coverage": 0.3}, "underfitting"),
        ({"precision": 0.6}, "underfitting"),
        ({"precision": 0.7}, "healthy"),
        ({"coverage": 0.7}, "underfitting"),
        ({"frechet_distance": 159.0}, "healthy"),
        ({"frechet_distance": 161.0}, "underfitting"),
    ],
)
def test_samples(changes, word):
    found = judge_samples(GOOD | changes, ANCHORS)
    assert found.verdict == word
    assert word in VERDICTS and len(found.reasons) == 3 and found.advice


def test_a_classifier_that_is_sure_of_no_real_row_judges_none():
    """As of labels that say nothing about the rows: these samples are as good as real ones."""
    unsure = ANCHORS | {"train": TRAIN | {"recognised": 0.0}}
    assert judge_samples(GOOD | {"recognised": 0.0}, unsure).verdict == "healthy"
    collapsed = {"recognised": 0.0, "spread": 0.2, "coverage": 0.01}
    assert judge_samples(GOOD | collapsed, unsure).verdict == "collapsed"


@pytest.mark.parametrize(
    ("copying", "real", "word"),
    [
        (-7.8, {"copying": -4.7}, "memorising"),
        (-7.6, {"copying": -4.7}, "healthy"),  # as near as rows of the same writers are
        (-0.5, {"copying": 2.6}, "memorising"),  # though held-out rows are nearer still
        (-3.1, {"copying": None}, "memorising"),
    ],
)
def test_copies_are_told_from_rows_left_out(copying, real, word):
    found = judge_samples(
        GOOD | {"copying": copying, "authenticity": 0.3}, ANCHORS | {"real": real}
    )
    assert found.verdict == word


def test_a_healthy_run_that_could_be_better_is_told_so():
    advice = [
        judge_samples(
            GOOD | {"frechet_distance": distance},
            ANCHORS | {"train": TRAIN | {"frechet_distance": train}},
        ).advice
        for distance, train in (
            *((30.0, 5.0), (85.0, 5.0)),
            *((79.0, 50.0), (81.0, 50.0)),
            *((0.0, 0.5), (60.0, 0.5)),
        )
    ]
    better = "train on: the Fréchet distance is still {} times that of training rows"
    assert advice[1::2] == [better.format(times) for times in (17, 1.6, 120)]
    assert all(text.startswith("nothing:") for text in advice[::2])


@pytest.mark.parametrize(
    ("recall", "word"), [(0.44, "underfitting"), (0.46, "healthy"), (None, "healthy")]
)
def test_samples_that_look_real_but_vary_little(recall, word):
    anchors = ANCHORS | {"train": TRAIN | {"recall": 0.9}}
    found = judge_samples(GOOD | {"recall": recall}, anchors)
    assert found.verdict == word
    assert ("recall 0.44, of training rows 0.90" in found.reasons) == (word == "underfitting")


def test_what_is_too_far_off_for_a_collapse_says_so():
    changes = {"spread": 0.2, "coverage": 0.01, "nearest_ratio": 1.51, "missing_classes": [1, 3]}
    reasons = judge_samples(GOOD | changes, ANCHORS).reasons
    assert reasons[0] == "half lie 1.5 times as far from training rows as held-out rows do"
    assert reasons[-1] == "classes missing: 1, 3"


def test_missing_classes_are_named():
    assert "3, 7" in judge_samples(GOOD | {"missing_classes": [3, 7]}, ANCHORS).reasons[0]


def test_points_have_no_blurred_anchor():
    anchors = {"train": TRAIN, "noisy": {"frechet_distance": 14.0}}
    assert judge_samples(GOOD, anchors).verdict == "underfitting"


@dataclasses.dataclass
class History:
    told: float = 0.6
    loss: float = 1.2
    finite: bool = True
    step: int = 1_000

    def records(self) -> list[dict[str, Any]]:
        start = {"step": 0, "real_above_fake": 0.5, "discriminator_loss": 1.4, "finite": True}
        newest = {
            "real_above_fake": self.told,
            "discriminator_loss": self.loss if self.finite else None,
            "finite": self.finite,
        }
        steps = range(self.step - 400, self.step + 1, 100)
        records = [start, *({"step": step} | newest for step in steps)]
        return [{"generator_gradient_norm": 1.0, "generator_loss": 1.0, **r} for r in records]


BAD = Verdict("underfitting", ("a", "b", "c"), "…")
GONE = BAD._replace(verdict="collapsed")
FINE = Verdict("healthy", ("a", "b", "c"), "…")


@pytest.mark.parametrize(
    ("samples", "history", "word"),
    [
        (BAD, History(), "underfitting"),
        (BAD, History(told=1.0, loss=0.1), "discriminator-won"),
        (BAD, History(told=0.98, loss=0.1), "underfitting"),
        (BAD, History(told=1.0, loss=0.2), "underfitting"),
        (FINE, History(told=1.0, loss=0.1), "healthy"),  # what it makes decides
    ],
)
def test_runs(samples, history, word):
    found = judge_run(samples, history.records(), [], LOSSES["non_saturating"])
    assert found.verdict == word and len(found.reasons) == 3


def test_divergence():
    assert diverged([]) is None and diverged(History().records()) is None
    found = diverged(History(finite=False).records())
    assert found is not None and found.verdict == "diverged" and len(found.reasons) == 3


def test_a_run_without_records_is_judged_by_its_samples():
    assert judge_run(BAD, [], [], LOSSES["hinge"]) is BAD


def evaluated(*distances, word="underfitting"):
    return [
        {"step": 100 * (i + 1), "verdict": word, "frechet_distance": d}
        for i, d in enumerate(distances)
    ]


UP_AND_DOWN = (50.0, 90.0, 55.0, 100.0)


@pytest.mark.parametrize(
    ("samples", "evaluations", "word"),
    [
        (BAD, evaluated(*UP_AND_DOWN, *UP_AND_DOWN), "cycling"),
        (BAD, evaluated(*UP_AND_DOWN, 50.0, 100.0, 80.0, 200.0), "cycling"),  # and away
        (BAD, evaluated(*UP_AND_DOWN, 50.0, 100.0, 150.0, 200.0), "underfitting"),  # away alone
        (GONE, evaluated(*UP_AND_DOWN, 50.0, 100.0, 80.0, 200.0), "collapsed"),
        (FINE, evaluated(*UP_AND_DOWN, *UP_AND_DOWN), "healthy"),
        (BAD, evaluated(*UP_AND_DOWN), "underfitting"),  # too few to tell
        (BAD, evaluated(*UP_AND_DOWN, *UP_AND_DOWN, word="healthy"), "underfitting"),
        (BAD, evaluated(*UP_AND_DOWN, 50.0, 55.0, 50.0, 55.0), "underfitting"),  # within 15 %
        (BAD, evaluated(*UP_AND_DOWN, 400.0, 200.0, 220.0, 50.0), "improving"),  # it goes somewhere
        (BAD, evaluated(*UP_AND_DOWN, 100.0, 99.0, 95.0, 89.0), "improving"),
        (BAD, evaluated(*UP_AND_DOWN, 100.0, 99.0, 95.0, 91.0), "underfitting"),
        (BAD, evaluated(*UP_AND_DOWN, 100.0, None, 95.0, 89.0), "underfitting"),  # not finite
        (BAD, evaluated(*UP_AND_DOWN, 100.0, 70.0, 72.0, 75.0), "underfitting"),  # it was better
        (BAD._replace(verdict="memorising"), evaluated(*range(80, 0, -10)), "memorising"),
    ],
)
def test_evaluations_on_the_way(samples, evaluations, word):
    found = judge_run(samples, History().records(), evaluations, LOSSES["minimax"])
    assert found.verdict == word and len(found.reasons) == 3
    assert word in VERDICTS


def test_a_discriminator_that_wins_is_seen_without_samples():
    loss = LOSSES["minimax"]
    assert won([], loss) is None and won(History().records(), loss) is None
    records = History(told=1.0, loss=0.1).records()
    found = won(records, loss)
    assert found is not None and found.verdict == "discriminator-won" and found.failed
    assert won(History(told=1.0, loss=0.1, step=900).records(), loss) is None
    assert won(History(told=1.0, loss=-100.0).records(), LOSSES["wasserstein"]) is None  # a critic
    assert won([*records[:-1], {"step": 1_000}], loss) is None  # as a hand may have left it


@pytest.mark.parametrize(("loss", "wins"), [(-0.65, True), (-0.6, False)])
def test_a_loss_is_small_beside_its_least(loss, wins):
    """Of softmax that is -log 2, at equilibrium 0: a tenth of the way up are -0.624."""
    assert bool(won(History(told=1.0, loss=loss).records(), LOSSES["softmax"])) == wins


@pytest.mark.parametrize(("told", "wins"), [(4, False), (5, True)])
def test_a_few_records_far_apart_are_not_enough(told, wins):
    ahead = {"real_above_fake": 1.0, "discriminator_loss": 0.05, "generator_gradient_norm": 1.0}
    level = ahead | {"real_above_fake": 0.7}
    records = [level | {"step": step} for step in range(1_000, 9_000, 1_000)]
    records += [ahead | {"step": 9_000 + 1_000 * n} for n in range(told)]
    assert bool(won(records, LOSSES["minimax"])) == wins


@pytest.mark.parametrize(
    ("interval", "large", "wins"),
    [(20, 0, True), (20, 2, True), (20, 3, False), (10, 5, True), (10, 6, False)],
)
def test_a_loss_that_is_seldom_large(interval, large, wins):
    """Of the 25 or 50 records in the last 500 steps one in ten may be."""
    record = {"real_above_fake": 1.0, "discriminator_loss": 0.01, "generator_gradient_norm": 1.0}
    records = [record | {"step": step} for step in range(interval, 1_510, interval)]
    for one in records[-large - 3 : -3]:
        one["discriminator_loss"] = 0.2
    assert (won(records, LOSSES["minimax"]) is not None) == wins


@pytest.mark.parametrize(
    ("since", "until", "wins"),
    [(0, 400, False), (0, 700, False), (900, 1_300, False), (0, 1_400, True)],
)
def test_a_discriminator_ahead_for_a_while_has_not_won(since, until, wins):
    """As in healthy runs of `gan` on MNIST, whose first hundreds of records say so."""
    ahead = {"real_above_fake": 1.0, "discriminator_loss": 0.05, "generator_gradient_norm": 1.0}
    level = {"real_above_fake": 1.0, "discriminator_loss": 0.9, "generator_gradient_norm": 1.0}
    records = [
        {"step": s, **(ahead if since < s <= until else level)} for s in range(20, 1_420, 20)
    ]
    found = [won(records[: i + 1], LOSSES["minimax"]) for i in range(len(records))]
    assert any(found) == wins
    assert not any(found[: 1_000 // 20 - 1])
