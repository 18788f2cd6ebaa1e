"""Penalties in closed form, for critics whose gradients are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gan_jax.penalties import PENALTIES
from gan_jax.types import Batch, Judgement

WEIGHTS = jnp.array([3.0, -4.0])  # norm 5
MATRIX = jnp.array([[2.0, 1.0], [1.0, -3.0]])
REAL = Batch(jnp.array([[1.0, 2.0], [0.5, -1.0], [3.0, 0.0]]))
FAKE = Batch(jnp.array([[-1.0, 1.0], [2.0, 2.0], [0.0, 0.0]]))


def linear(samples, labels):
    return Judgement(samples @ WEIGHTS, {})


def quantity(name, key, critic, real, fake):
    penalty = PENALTIES[name]
    return penalty.value(critic, penalty.at(key, real, fake))[0]


def quadratic(samples, labels):
    return Judgement(0.5 * jnp.sum(samples * (samples @ MATRIX), axis=1), {})


def flat(samples, labels):
    return Judgement(jnp.zeros(samples.shape[0]) * samples[:, 0], {})


def together(samples, labels):
    """Sees the batch as a whole: every logit is the mean of the first coordinate."""
    return Judgement(jnp.full(samples.shape[0], jnp.mean(samples[:, 0])), {})


@pytest.mark.parametrize(
    ("name", "expected"),
    [("r1", 25.0), ("r2", 25.0), ("wgan_gp", 16.0), ("wgan_gp_one_sided", 16.0), ("dragan", 16.0)],
)
def test_linear_critic(name, expected, key):
    # The gradient is w everywhere: ||w||^2 = 25, and (||w|| - 1)^2 = 16.
    found = quantity(name, key, linear, REAL, FAKE)
    np.testing.assert_allclose(found, np.full(3, expected), rtol=1e-6)


@pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)
def test_the_judgement_is_of_the_place(penalty, key):
    place = penalty.at(key, REAL, FAKE)
    _, judgement = penalty.value(quadratic, place)
    if judgement is not None:
        np.testing.assert_array_equal(judgement.logits, quadratic(*place).logits)
    assert judgement is not None or not any(place is batch for batch in (REAL, FAKE))


def test_a_place_has_the_labels_of_its_rows(key):
    """Of a critic whose slope is 5, 1 and the root of 8, by the label."""
    weights = jnp.array([[3.0, -4.0], [0.0, 1.0], [2.0, 2.0]])

    def by_label(samples, labels):
        return Judgement(jnp.sum(samples * weights[labels], axis=1), {})

    labels = jnp.array([0, 1, 2])
    real, fake = (batch._replace(labels=labels) for batch in (REAL, FAKE))
    for name in PENALTIES:
        expected = [25.0, 1.0, 8.0] if name in ("r1", "r2") else [16.0, 0.0, (8**0.5 - 1.0) ** 2]
        found = quantity(name, key, by_label, real, fake)
        np.testing.assert_allclose(found, expected, rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(("name", "batch"), [("r1", REAL), ("r2", FAKE)])
def test_quadratic_critic(name, batch, key):
    # The gradient of x.Ax/2 is Ax: R1 looks at the real samples, R2 at the generated ones.
    expected = np.sum(np.square(batch.samples @ MATRIX), axis=1)
    np.testing.assert_allclose(quantity(name, key, quadratic, REAL, FAKE), expected, rtol=1e-6)


@pytest.mark.parametrize("name", ["wgan_gp", "wgan_gp_one_sided", "dragan"])
@pytest.mark.parametrize("slope", [0.5, 1.0, 3.0])
def test_critic_of_known_lipschitz_constant(name, slope, key):
    def critic(samples, labels):
        return Judgement(samples @ WEIGHTS * (slope / 5.0), {})

    expected = 0.0 if name == "wgan_gp_one_sided" and slope < 1 else (slope - 1.0) ** 2
    np.testing.assert_allclose(
        quantity(name, key, critic, REAL, FAKE), expected, rtol=1e-5, atol=1e-12
    )


@pytest.mark.parametrize("name", ["wgan_gp", "wgan_gp_one_sided"])
def test_slope_penalties_on_a_quadratic_critic(name, key):
    # Of a x^2/2 the slope at a point u of the line from 0 to 1 is a u: (a u - 1)^2 has the mean
    # a^2/3 - a + 1; the part of it where a u > 1 is (a - 1)^3 / 3a.
    a, rows = 3.0, 2**20

    def critic(samples, labels):
        return Judgement(0.5 * a * jnp.square(samples[:, 0]), {})

    real, fake = Batch(jnp.ones((rows, 1))), Batch(jnp.zeros((rows, 1)))
    expected = {"wgan_gp": a**2 / 3 - a + 1, "wgan_gp_one_sided": (a - 1) ** 3 / (3 * a)}[name]
    found = quantity(name, key, critic, real, fake)
    assert np.mean(found) == pytest.approx(expected, abs=0.005)  # four standard errors
    # Where real and generated rows are one there is nothing between: |Ax| of each, exactly.
    lengths = np.linalg.norm(REAL.samples @ MATRIX, axis=1)
    exact = quantity(name, key, quadratic, REAL, REAL)
    np.testing.assert_allclose(exact, np.square(lengths - 1), rtol=1e-5)


def test_dragan_on_a_quadratic_critic(key):
    # Rows 0 and 2 have a deviation of 1; the noise is uv/2 of two uniforms, of mean 1/8 and mean
    # square 1/36. Of x^2/2 the slope is x: (x - 1)^2 at 0 and at 2 comes to 1 -+ 1/4 + 1/36.
    real = Batch(jnp.tile(jnp.array([[0.0], [2.0]]), (2**19, 1)))
    found = np.asarray(
        quantity(
            "dragan", key, lambda x, labels: Judgement(0.5 * jnp.square(x[:, 0]), {}), real, real
        )
    )
    assert found[::2].mean() == pytest.approx(1 - 1 / 4 + 1 / 36, abs=0.002)
    assert found[1::2].mean() == pytest.approx(1 + 1 / 4 + 1 / 36, abs=0.002)


def test_dragan_looks_about_the_real_rows(key):
    # With the gradient x the norm is that of the point looked at: real rows (2, 0) and (0, 2)
    # deviate by 1 over the batch, so each coordinate gains between 0 and 1/2, times a share.
    def identity(samples, labels):
        return Judgement(0.5 * jnp.sum(jnp.square(samples), axis=1), {})

    real = Batch(jnp.tile(jnp.array([[2.0, 0.0], [0.0, 2.0]]), (200, 1)))
    point = 1.0 + jnp.sqrt(quantity("dragan", key, identity, real, FAKE))
    assert point.min() >= 2.0 and point.max() <= np.hypot(2.5, 0.5) + 1e-6
    # Half of the gains of the larger coordinate, a product of two shares, are below 0.1.
    assert point.min() < 2.001 and 2.05 < np.median(point) < 2.15 and point.max() > 2.4
    assert len(np.unique(point)) > 200


def test_gradient_penalty_looks_between_the_pair(key):
    # With the gradient Ax and A = 1 the norm is that of the point looked at; on the line from
    # (1, 0) to (3, 0) it lies in [1, 3], and no two rows of the batch get the same point.
    def identity(samples, labels):
        return Judgement(0.5 * jnp.sum(jnp.square(samples), axis=1), {})

    rows = 200
    real = Batch(jnp.tile(jnp.array([1.0, 0.0]), (rows, 1)))
    fake = Batch(jnp.tile(jnp.array([3.0, 0.0]), (rows, 1)))
    point = 1.0 + jnp.sqrt(quantity("wgan_gp", key, identity, real, fake))
    assert point.min() >= 1.0 and point.max() <= 3.0
    assert point.min() < 1.1 and point.max() > 2.9
    assert len(np.unique(point)) > rows / 2


@pytest.mark.parametrize("name", PENALTIES)
def test_gradient_is_finite_where_the_norm_is_zero(name, key):
    def value(scale):
        def critic(samples, labels):
            return Judgement(scale * flat(samples, labels).logits, {})

        return jnp.sum(quantity(name, key, critic, REAL, FAKE))

    value_at, gradient = jax.value_and_grad(value)(1.0)
    assert np.isfinite([value_at, gradient]).all()
    assert value_at == (3.0 if name in ("wgan_gp", "dragan") else 0.0)


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_a_critic_may_look_at_several_rows(name, key):
    # d(sum of logits)/dx = 1 for every row's first coordinate; a critic differentiated row by
    # row would give 1/9.
    np.testing.assert_allclose(quantity(name, key, together, REAL, FAKE), 1.0, rtol=1e-6)


def test_factors_are_the_papers():
    # gamma/2 for R1 and R2 (arXiv:1801.04406), lambda for WGAN-GP (arXiv:1704.00028).
    assert {name: p.factor for name, p in PENALTIES.items()} == {
        "r1": 0.5,
        "r2": 0.5,
        "wgan_gp": 1.0,
        "wgan_gp_one_sided": 1.0,
        "dragan": 1.0,
    }
