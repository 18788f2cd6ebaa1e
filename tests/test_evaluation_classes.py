"""Figures from class probabilities against their closed forms."""

import numpy as np
import pytest

from gan_jax.errors import InputError
from gan_jax.evaluation.classes import (
    class_balance,
    class_shares,
    classifier_score,
    label_consistency,
    missing_classes,
)


def test_classifier_score_at_its_ends():
    assert classifier_score(np.eye(10)) == pytest.approx(10.0)  # one sure sample of each
    assert classifier_score(np.full((50, 10), 0.1)) == pytest.approx(1.0)  # never sure
    assert classifier_score(np.tile(np.eye(10)[3], (50, 1))) == pytest.approx(1.0)  # always one


def test_classifier_score_between():
    # exp of the mutual information: two classes, each known with probability p.
    p = 0.9
    rows = np.array([[p, 1 - p], [1 - p, p]])
    information = np.log(2) + p * np.log(p) + (1 - p) * np.log(1 - p)
    assert classifier_score(rows) == pytest.approx(np.exp(information))


def test_classifier_score_is_blind_within_a_class():
    """Ten samples, again and again: its known blind spot, which coverage sees."""
    assert classifier_score(np.repeat(np.eye(10), 100, axis=0)) == pytest.approx(10.0)


def test_balance_of_a_dropped_class():
    data = np.full(25, 1 / 25)
    generated = np.append(np.full(24, 1 / 24), 0.0)
    found = class_balance(generated, data)
    assert found.reverse_kl == pytest.approx(np.log(25 / 24))
    assert found.total_variation == pytest.approx(1 / 25)
    counts = np.append(np.full(24, 100), 0)
    assert missing_classes(counts, data * 1e6) == (24,)
    assert missing_classes(counts + 11, data * 1e6) == ()  # a tenth of what was due is enough


def test_balance_of_two_to_one():
    found = class_balance(np.array([2 / 3, 1 / 3]), np.array([0.5, 0.5]))
    expected = 2 / 3 * np.log(4 / 3) + 1 / 3 * np.log(2 / 3)
    assert found == (pytest.approx(1 / 6), pytest.approx(expected))


def test_a_rare_class_is_not_missing_by_chance():
    """One row in a thousand: two are due of 2,000, and often none comes."""
    data, draw = np.append(np.full(9, 111_000), 1_000), np.random.default_rng(0)
    drawn = [draw.multinomial(2_000, data / data.sum()) for _ in range(100)]
    assert min(counts[9] for counts in drawn) == 0
    assert all(missing_classes(counts, data) == () for counts in drawn)
    assert missing_classes(np.append(np.full(9, 2_000), 0), data) == (9,)  # 18 were due


def test_reverse_kl_has_a_floor():
    """(classes - 1) / (2 n) between a sample and its own distribution."""
    rng, shares = np.random.default_rng(0), np.full(8, 1 / 8)
    found = [
        class_balance(class_shares(rng.integers(0, 8, 2_500), 8), shares).reverse_kl
        for _ in range(300)
    ]
    assert np.mean(found) == pytest.approx(7 / (2 * 2_500), rel=0.1)


def test_shares_and_consistency():
    np.testing.assert_allclose(class_shares(np.array([0, 2, 2, 1]), 4), [0.25, 0.25, 0.5, 0])
    rows = np.eye(3)[[0, 1, 2, 2]]
    assert label_consistency(rows, np.array([0, 1, 2, 0])) == 0.75
    assert label_consistency(rows, np.array([-1, 1, -1, 0])) == 0.5  # of two that were asked


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda: classifier_score(np.ones((4, 3))), "sum to 1"),
        (lambda: classifier_score(np.ones(4)), "shape"),
        (lambda: class_shares(np.array([0, 5]), 5), "0 to 4 are allowed"),
        (lambda: class_shares(np.array([[0]]), 5), "shape"),
        (lambda: class_balance(np.ones(2) / 2, np.ones(3) / 3), "shapes"),
        (lambda: label_consistency(np.eye(3), np.array([1, 2])), "one label a row"),
        (lambda: label_consistency(np.eye(3), np.array([1, 2, 3])), "3 is the greatest; 0 to 2"),
        (lambda: label_consistency(np.eye(3), np.full(3, -1)), "-1 is the greatest; 0 to 2"),
    ],
)
def test_unusable_input_is_refused(call, said):
    with pytest.raises(InputError, match=said):
        call()
