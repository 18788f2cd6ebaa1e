"""What nearest neighbours tell: fidelity, diversity, and whether training rows were copied.

Rows are samples, ``[n, d]``. Distances are Euclidean, in float64, by blocks of rows. A ball holds
its rim: where rows are duplicates of each other every figure stays defined.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import scipy.stats

from gan_jax.errors import InputError
from gan_jax.evaluation.rows import Rows, check_rows, nearest, squared_distances

__all__ = [
    "Authenticity",
    "Copies",
    "CopyTest",
    "Manifold",
    "Remember",
    "authenticity",
    "copying_test",
    "expected_coverage",
    "made_anew",
    "manifold",
    "nearest_distances",
    "neighbour_radius",
]

_ROUNDING = 1e-9  # relative, of squared distances

# By name, shape and how it is made: an array that depends on real rows alone.
Remember = Callable[[str, tuple[int, ...], Callable[[], np.ndarray]], np.ndarray]


def made_anew(name: str, shape: tuple[int, ...], make: Callable[[], np.ndarray]) -> np.ndarray:
    """Remember nothing."""
    del name, shape
    return make()


class Manifold(NamedTuple):
    """Four shares of rows that lie in the other set's balls."""

    precision: float  # of generated rows: inside a ball of a real one
    recall: float  # of real rows: inside a ball of a generated one
    density: float  # balls of real rows that a generated one is in, over k; about 1 at best
    coverage: float  # of real rows: whose ball holds a generated one


class Authenticity(NamedTuple):
    """Rows that are no copies, and what the same figure is for held-out real rows."""

    generated: float  # share in [0, 1]
    held_out: float


class Copies(NamedTuple):
    """What tells copies of training rows."""

    copying: float  # C_T, a standard score: see `copying_test`
    authenticity: float  # share in [0, 1]: see `authenticity`
    authenticity_held_out: float
    nearest_ratio: float | None  # median distance to the nearest training row, over held-out rows'


def manifold(real: Rows, fake: Rows, k: int = 5) -> Manifold:
    """Precision and recall (arXiv:1904.06991), density and coverage (arXiv:2002.09797).

    A row's ball reaches to the k-th nearest of the other rows of its own set.

    Args:
        real: features, ``[n, d]``.
        fake: features, ``[m, d]``.
        k: which neighbour bounds a ball.

    Raises:
        InputError: not two sets of more than k rows with the same number of finite features.
    """
    if k < 1:
        raise InputError(f"k: {k} is out of range; at least 1 is allowed")
    first, second = check_rows(real=real, fake=fake, least=k + 1)
    # The rim and what rounding puts beyond it: these distances are not computed as those below.
    real_radius, fake_radius = (
        neighbour_radius(rows, k) * (1.0 + _ROUNDING) for rows in (first, second)
    )
    inside_real = np.zeros(len(second), np.int64)  # balls of real rows that a fake row is in
    covered = np.zeros(len(first), bool)
    recalled = np.zeros(len(first), bool)
    for part, squared in squared_distances(first, second):
        in_ball = squared <= real_radius[part, None]
        inside_real += in_ball.sum(0)
        covered[part] = in_ball.any(1)
        recalled[part] = (squared <= fake_radius[None]).any(1)
    return Manifold(
        precision=float((inside_real > 0).mean()),
        recall=float(recalled.mean()),
        density=float(inside_real.mean() / k),
        coverage=float(covered.mean()),
    )


def expected_coverage(real: int, fake: int, k: int = 5) -> float:
    """Coverage of two sets from one continuous distribution, on average, whatever it is.

    The ball of a real row misses all m generated ones with probability
    ``Π_{i=1..k} (n - i) / (n + m - i)``.
    """
    steps = np.arange(1, k + 1)
    return float(1.0 - np.prod((real - steps) / (real + fake - steps)))


def nearest_distances(rows: Rows, others: Rows) -> np.ndarray:
    """Distance of each row to the nearest of the others, ``[rows]``."""
    first, second = check_rows(rows=rows, others=others, least=1)
    return np.sqrt(nearest(first, second)[0][:, 0])


def authenticity(train: Rows, fake: Rows, held_out: Rows) -> Authenticity:
    """Share of rows that are farther from their nearest training row than that one is from its own.

    AuthPct of arXiv:2102.08921. It is no 50 % for honest samples and grows with the dimension, so
    held-out real rows are measured beside: far below them rows are copies, far above they lie off
    the data.

    Args:
        train: features of the rows trained on, ``[n, d]``.
        fake: features of generated rows, ``[m, d]``.
        held_out: features of real rows not trained on, ``[h, d]``.
    """
    found = CopyTest(train, held_out).measure(fake)
    return Authenticity(found.authenticity, found.authenticity_held_out)


class CopyTest:
    """`copying_test` and `authenticity` for one set of generated rows after another.

    Held-out rows are compared with the training rows once, and each set of generated rows once for
    both figures.
    """

    def __init__(self, train: Rows, held_out: Rows, remember: Remember = made_anew):
        """Takes training rows ``[n, d]`` and real rows not trained on ``[h, d]``.

        ``remember`` is asked for what takes long and depends on these alone.
        """
        self.rows, real = check_rows(train=train, held_out=held_out, least=3)
        # Squared distance of a training row to the next, once it is asked for.
        self.own = np.full(len(self.rows), np.nan)

        def compare() -> np.ndarray:
            away, which = (found[:, 0] for found in nearest(real, self.rows))
            return np.stack([away, self._own(which)])

        self.real_away, own = remember("held-out-to-nearest", (2, len(real)), compare)
        self.real_share = float((self.real_away > own).mean())

    def measure(self, fake: Rows) -> Copies:
        """Figures of generated rows ``[m, d]``."""
        _, generated = check_rows(train=self.rows[:2], fake=fake, least=2)  # two tell the features
        away, which = (found[:, 0] for found in nearest(generated, self.rows))
        return self._copies(away, self._own(which))

    def measure_fresh(self, count: int, seed: int = 0) -> Copies:
        """Figures of so many training rows, each as if it had not been trained on.

        What honest rows of the training distribution come to. That is no 0 where held-out rows are
        of another one, as MNIST's test rows are, by other writers: these get -1.2 at 2,000 rows
        and -4.4 at 10,000. Both scores share the held-out rows, so that with as many generated as
        held-out rows their difference has a standard error of 1, as each of them has.
        """
        pick = np.random.RandomState(seed).permutation(len(self.rows))[:count]
        away, which = self._nearest_but(pick, pick[:, None])
        # The nearest row's own distance, too, is to another than the row that is left out.
        own, _ = self._nearest_but(which, np.stack([which, pick], 1))
        return self._copies(away, own)

    def _copies(self, away: np.ndarray, own: np.ndarray) -> Copies:
        """Of rows, by two squared distances of each, ``[m]``.

        ``away``: to its nearest training row; ``own``: from that one to the next training row.
        """
        near, real_near = np.sqrt(away), np.sqrt(self.real_away)
        typical = np.median(real_near)
        return Copies(
            _mann_whitney_score(near, real_near),
            float((away > own).mean()),
            self.real_share,
            float(np.median(near) / typical) if typical > 0 else None,
        )

    def _own(self, which: np.ndarray) -> np.ndarray:
        """Squared distance of these training rows, by number, to the nearest other one."""
        asked = np.unique(which[np.isnan(self.own[which])])
        if len(asked):
            self.own[asked], _ = self._nearest_but(asked, asked[:, None])
        return self.own[which]

    def _nearest_but(self, which: np.ndarray, but: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """For training rows ``[k]``: squared distance to, and number of, the nearest other one.

        Those numbered in ``but``, ``[k, few]``, are passed over.
        """
        squared, found = nearest(self.rows[which], self.rows, but.shape[1] + 1)
        squared = np.where((found[:, :, None] == but[:, None]).any(2), np.inf, squared)
        first = squared.argmin(1)[:, None]
        return np.take_along_axis(squared, first, 1)[:, 0], np.take_along_axis(found, first, 1)[
            :, 0
        ]


def copying_test(train: Rows, fake: Rows, held_out: Rows, cells: int = 1, seed: int = 0) -> float:
    """Standard score of generated rows against held-out ones by distance to the training rows.

    The Mann-Whitney statistic of whether a generated row is farther from its nearest training row
    than a held-out real one is, standardised: near 0 for fresh rows of what the held-out ones are
    drawn from, far below for copies, far above for rows that lie off the data. Where training rows
    are drawn from something else, the null is no 0: see `CopyTest.measure_fresh`. C_T of
    arXiv:2004.05675, in ``cells`` regions found by k-means on the training rows and averaged by
    their share of held-out rows.

    Args:
        train: features, ``[n, d]``.
        fake: features, ``[m, d]``.
        held_out: features, ``[h, d]``.
        cells: regions.
        seed: of k-means.
    """
    rows, generated, real = check_rows(train=train, fake=fake, held_out=held_out, least=2)
    of_fake, of_real = nearest_distances(generated, rows), nearest_distances(real, rows)
    if cells == 1:
        return _mann_whitney_score(of_fake, of_real)
    from sklearn.cluster import KMeans

    regions = KMeans(cells, n_init="auto", random_state=seed).fit(rows)
    fake_cell, real_cell = regions.predict(generated), regions.predict(real)
    scores, weights = [], []
    for cell in range(cells):
        inside = of_fake[fake_cell == cell], of_real[real_cell == cell]
        if min(map(len, inside)) >= 20:  # fewer tell nothing
            scores.append(_mann_whitney_score(*inside))
            weights.append(len(inside[1]))
    return float(np.average(scores, weights=weights)) if scores else float("nan")


def _mann_whitney_score(fake: np.ndarray, real: np.ndarray) -> float:
    n, m = len(fake), len(real)
    ranks = scipy.stats.rankdata(np.concatenate([fake, real]))
    statistic = ranks[:n].sum() - n * (n + 1) / 2
    _, ties = np.unique(ranks, return_counts=True)
    total = n + m
    tied = (ties**3 - ties).sum() / (total * (total - 1))
    spread = np.sqrt(n * m / 12.0 * (total + 1 - tied))
    return float((statistic - n * m / 2.0) / spread) if spread > 0 else 0.0


def neighbour_radius(rows: np.ndarray, k: int) -> np.ndarray:
    """Squared distance of each row ``[n, d]`` to the k-th nearest other of its set, ``[n]``."""
    return nearest(rows, rows, k + 1)[0][:, k]  # a row is its own nearest
