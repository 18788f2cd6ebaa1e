"""What each loss is known by, a row for each: a new loss needs no more than a row here."""

from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np

# The vectors and constants that TF-GAN's own tests use (its discriminator without smoothing).
REAL = jnp.array([-5.0, 1.4, 12.5, 2.7])
FAKE = jnp.array([10.0, 4.4, -5.5, 3.6])
LOG2 = np.log(2.0)

Pair = tuple[float, float]  # of the discriminator and of the generator


class Known(NamedTuple):
    """Figures of one loss, by hand."""

    means: Pair  # over the vectors
    at_zero: Pair  # where both logits are 0
    slopes: Pair  # of each player's field on Dirac-GAN at its equilibrium; see test_dirac.py
    curvatures: Pair  # there, of both losses in psi, on instance noise of deviation 1
    curvature: float  # there, of the generator's loss in the logit that all its samples have
    at_equilibrium: Pair | None = None  # where the discriminator is at a loss, if not at 0


KNOWN = {
    # log(1 - sigmoid(f)) = -softplus(f): mean of -(10.0000454, 4.4122, 0.0040785, 3.6269567)
    "minimax": Known((5.83386589, -4.51082088), (2 * LOG2, -LOG2), (0.5, 0.5), (0.5, -0.25), -0.25),
    "non_saturating": Known(
        (5.83386589, 1.38582088),
        (2 * LOG2, LOG2),
        (0.5, 0.5),
        (0.5, 0.25),
        0.25,
    ),
    # With targets 1 and 0 it is at a loss where it says 1/2: (1/2)(1/4 + 1/4), (1/2)(1/4).
    "least_squares": Known(
        (41.73375, 17.69625),
        (0.5, 0.5),
        (0.5, 0.5),
        (2.0, 1.0),
        1.0,
        (0.25, 0.125),
    ),
    "hinge": Known((6.75, -3.125), (2.0, 0.0), (1.0, 1.0), (0.0, 0.0), 0.0),
    "wasserstein": Known((0.225, -3.125), (0.0, 0.0), (1.0, 1.0), (0.0, 0.0), 0.0),
    # mean of softplus(15, 3, -18, 0.9) = (15.0000003, 3.0485874, 1.5e-8, 1.2411539); of -(...)
    "relativistic": Known((4.82243539, 4.59743539), (LOG2, LOG2), (0.5, 0.5), (0.5, 0.5), 0.25),
    # Means: real 2.9, fake 3.125. Half of the means of softplus(3.125 - r) = (8.1252960, 1.8889650,
    # 8.4815e-5, 0.9280574) and of softplus(f - 2.9) = (7.1008248, 1.7014133, 2.2484e-4, 1.1031860).
    "relativistic_average": Known(
        (2.60600652, 2.38100652),
        (LOG2, LOG2),
        (0.5, 0.5),
        (0.25, 0.25),
        0.25,
    ),
    # log of the mean of e^-5, e^1.4, e^12.5, e^2.7, e^10, e^4.4, e^-5.5, e^3.6: 10.4999199. Its
    # generator rests at the boundary, as the next one's: wherever D = 1/2 on its samples.
    "softmax": Known((7.59991989, 7.48741989), (0.0, 0.0), (0.5, 0.0), (1.0, 1.0), 0.25),
    "boundary_seeking": Known((5.83386589, 20.32125), (2 * LOG2, 0.0), (0.5, 0.0), (0.5, 1.0), 1.0),
}


def field_of(loss: str, gamma: float = 0.0) -> Any:
    """The matrix of the field of (theta, psi), by a penalty of gamma; see test_dirac.py."""
    discriminator, generator = KNOWN[loss].slopes
    return np.array([[0.0, generator], [-discriminator, -gamma]])


def ordered(values) -> Any:
    """The largest real part first, then the largest imaginary one; real parts to a millionth."""
    return values[np.lexsort((-np.imag(values), -np.round(np.real(values), 6)))]


def eigenvalues(matrix) -> Any:
    return ordered(np.linalg.eigvals(np.asarray(matrix, np.float64)))
