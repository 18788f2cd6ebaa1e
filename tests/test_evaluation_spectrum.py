"""Eigenvalues of games and of the maps of their dynamics, against algebra: Dirac-GAN and others.

Dirac-GAN (arXiv:1801.04406 section 2): data at 0, G = theta, D(x) = psi * x. About theta = psi = 0
a loss is known by one slope f': the generator descends -f' psi, the discriminator f' theta, so that
the field (theta, psi)' = (f' psi, -f' theta - gamma psi) has the matrix [[0, f'], [-f', -gamma]].
"""

import dataclasses
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import dirac, tiny_config, tiny_gan
from jax.flatten_util import ravel_pytree

from gan_jax.config import DynamicsConfig
from gan_jax.dynamics import (
    alternating,
    consensus,
    extragradient,
    gradients,
    simultaneous,
    unrolled,
)
from gan_jax.errors import InputError
from gan_jax.evaluation.spectrum import game_jacobian, game_spectrum
from gan_jax.game import Round
from gan_jax.gan import build
from gan_jax.losses import LOSSES
from gan_jax.networks import Network
from gan_jax.penalties import PENALTIES
from gan_jax.state import at_params
from gan_jax.types import Batch

# (slope of the generator's field, slope of the discriminator's) at the equilibrium. Least squares
# asks a discriminator without bias for 1/2 at 0, which it cannot say; softmax and boundary-seeking
# generators come to rest at the boundary, to first order wherever the discriminator moves it.
SLOPES = {
    "minimax": (0.5, 0.5),
    "non_saturating": (0.5, 0.5),
    "relativistic": (0.5, 0.5),
    "relativistic_average": (0.5, 0.5),
    "wasserstein": (1.0, 1.0),
    "hinge": (1.0, 1.0),
    "least_squares": (1.0, 0.0),
    "softmax": (0.0, 0.5),
    "boundary_seeking": (0.0, 0.5),
}
REAL = Batch(jnp.zeros((4, 1)))


def spectrum(gan, batch=REAL) -> Any:
    return game_spectrum(gan.game, gan.init(jax.random.key(0)), batch)


def ordered(values) -> Any:
    """The largest real part first, then the largest imaginary one."""
    return values[np.lexsort((-np.imag(values), -np.real(values)))]


def sorted_roots(*coefficients: float) -> Any:
    return ordered(np.roots(coefficients))


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_without_penalty_circles_or_stands(loss):
    generator, discriminator = SLOPES[loss]
    gan = dirac(loss)
    field = [[0.0, generator], [-discriminator, 0.0]]
    matrix = game_jacobian(gan.game, gan.init(jax.random.key(0)), REAL)
    np.testing.assert_allclose(matrix, field, atol=1e-3)
    found = spectrum(gan)
    expected = 1j * np.sqrt(generator * discriminator)
    np.testing.assert_allclose(found, [expected, -expected], atol=1e-3)


@pytest.mark.parametrize(("penalty", "gamma"), [("r1", 0.3), ("r1", 3.0), ("r2", 1.0)])
@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_penalties_damp(loss, gamma, penalty):
    # -gamma/2 +- sqrt(gamma^2/4 - f'^2): the printed equation of arXiv:2501.05441 lacks the square.
    generator, discriminator = SLOPES[loss]
    found = spectrum(dirac(loss, {penalty: gamma}))
    expected = sorted_roots(1.0, gamma, generator * discriminator)
    np.testing.assert_allclose(found, expected, atol=1e-3)
    if generator * discriminator:
        assert found.real.max() < -0.05


@pytest.mark.parametrize("loss", LOSSES)
def test_a_one_sided_penalty_on_slopes_is_nothing_where_the_slope_is_none(loss):
    """So it does not damp, which arXiv:1801.04406 has of WGAN-GP: it circles as without."""
    found = spectrum(dirac(loss, {"wgan_gp_one_sided": 10.0}))
    np.testing.assert_allclose(found, spectrum(dirac(loss)), atol=1e-3)


@pytest.mark.parametrize("deviation", [0.5, 1.0, 2.0])
def test_instance_noise_damps(deviation):
    # f'' s^2 +- sqrt(f''^2 s^4 - f'^2) with f' = 1/2, f'' = -1/4: critical at s = sqrt(2).
    gan = dirac("non_saturating", noise=(deviation, 10**9))
    found = spectrum(gan, Batch(jnp.zeros((1_000_000, 1))))
    root = np.emath.sqrt(deviation**4 / 16 - 0.25)
    expected = [-(deviation**2) / 4 + root, -(deviation**2) / 4 - root]
    np.testing.assert_allclose(found, expected, atol=5e-3)


def step_eigenvalues(gan) -> Any:
    """Of one step's map of both players' parameters, whose optimisers remember nothing."""
    state = gan.init(jax.random.key(0))

    def move(params):
        after, _ = gan.train_step(at_params(state, params[0], params[1]), REAL)
        return jnp.stack([after.generator.params, after.discriminator.params])

    found = np.linalg.eigvals(np.asarray(jax.jacfwd(move)(jnp.zeros(2)), np.float64))
    return ordered(found)


def unrolled_matrix(slope: float, rate: float, gamma: float, ahead: int) -> Any:
    """Of (theta, psi): the generator descends -f' theta psi_k, psi_k being k moves later than psi.

    Each move is psi <- a psi - h f' theta with a = 1 - h gamma, so the gradient has -f' psi_k and,
    through psi_k, f'^2 h theta (1 + a + ... + a^(k-1)). The discriminator makes one of the moves.
    """
    keep = 1.0 - rate * gamma
    sums = sum(keep**i for i in range(ahead))
    moved = np.array([-rate * slope, keep])  # psi after its own move
    later = keep**ahead * moved + np.array([-rate * slope * sums, 0.0])
    theta = np.array([1.0 - rate * slope**2 * rate * sums, 0.0]) + rate * slope * later
    return np.stack([theta, moved])


@pytest.mark.parametrize(
    ("rate", "gamma", "penalty"), [(0.1, 0.0, "r1"), (1.5, 0.4, "r1"), (0.3, 1.0, "r2")]
)
@pytest.mark.parametrize(
    ("name", "loss"),
    [
        (name, loss)
        for name in ("simultaneous", "alternating", "extragradient", "consensus", "unrolled")
        for loss, (slope, other) in SLOPES.items()
        if name != "unrolled" or slope == other  # its matrix is written down for one slope
    ],
)
def test_eigenvalues_of_a_step(name, loss, rate, gamma, penalty):
    slope, discriminator = SLOPES[loss]
    field = np.array([[0.0, slope], [-discriminator, -gamma]])
    one = np.eye(2)
    dynamics, matrix = {
        "simultaneous": (simultaneous(), one + rate * field),
        # The generator answers on the discriminator's new parameter.
        "alternating": (
            alternating(),
            (one + rate * np.diag([1.0, 0.0]) @ field) @ (one + rate * np.diag([0.0, 1.0]) @ field),
        ),
        "extragradient": (extragradient(), one + rate * field @ (one + rate * field)),
        "consensus": (consensus(0.3), one + rate * (field - 0.3 * field.T @ field)),
        "unrolled": (unrolled(3), unrolled_matrix(slope, rate, gamma, 3)),
    }[name]
    gan = dirac(loss, {penalty: gamma}, rate, dynamics=dynamics)
    expected = ordered(np.linalg.eigvals(matrix))
    np.testing.assert_allclose(step_eigenvalues(gan), expected, atol=1e-3)


def test_bilinear_game_by_its_spectral_radii():
    # Wasserstein on Dirac is the game min max of psi * theta; u is the rate.
    for u in (0.1, 0.5, 0.9):
        radius = {
            dynamics: np.abs(step_eigenvalues(dirac(rates=u, dynamics=make()))).max()
            for dynamics, make in {
                "simultaneous": simultaneous,
                "alternating": alternating,
                "extragradient": extragradient,
                "consensus": lambda: consensus(1.0),
            }.items()
        }
        assert radius["simultaneous"] == pytest.approx(np.sqrt(1 + u**2), abs=1e-3)
        assert radius["alternating"] == pytest.approx(1.0, abs=1e-3)
        assert radius["extragradient"] == pytest.approx(np.sqrt(1 - u**2 + u**4), abs=1e-3)
        assert radius["consensus"] == pytest.approx(np.hypot(1 - u, u), abs=1e-3)


@pytest.mark.parametrize("u", [0.3, 0.45, 0.57, 0.58])
def test_optimistic_steps_converge_below_one_over_root_three(u):
    # x' = x + 2 u J x - u J x_before: roots of l^2 - (1 + 2iu) l + iu, the largest in size counts.
    gan = dirac(rates=u, optimizer=optax.optimistic_gradient_descent, dynamics=simultaneous())
    state = at_params(gan.init(jax.random.key(0)), jnp.float32(1.0), jnp.float32(0.5))

    def step(state, _):
        after, _ = gan.train_step(state, REAL)
        return after, jnp.hypot(after.generator.params, after.discriminator.params)

    _, sizes = jax.jit(lambda state: jax.lax.scan(step, state, length=121))(state)
    measured = float(sizes[-1] / sizes[60]) ** (1 / 60)
    expected = np.abs(np.roots([1.0, -(1 + 2j * u), 1j * u])).max()
    assert measured == pytest.approx(expected, abs=1e-3)
    assert (measured < 1) == (u < 1 / np.sqrt(3))


def test_two_learning_rates_are_two_rates():
    # Simultaneous steps of rates a and b: [[1, a f'], [-b f', 1 - b gamma]].
    gan = dirac("wasserstein", {"r1": 0.5}, (0.05, 0.4), dynamics=simultaneous())
    expected = np.linalg.eigvals([[1.0, 0.05], [-0.4, 1.0 - 0.4 * 0.5]])
    np.testing.assert_allclose(
        sorted(step_eigenvalues(gan), key=lambda x: x.imag),
        sorted(expected, key=lambda x: x.imag),
        atol=1e-3,
    )


@pytest.mark.parametrize("normalization", ["none", "spectral"])
def test_jacobian_of_networks_against_differences(normalization, key):
    config = tiny_config(penalties={"r1": 1.0})
    smooth = {"generator": config.generator, "discriminator": config.discriminator}
    changes = {"activation": "tanh", "normalization": normalization}
    smooth = {name: dataclasses.replace(x, **changes) for name, x in smooth.items()}
    gan = tiny_gan(penalties={"r1": 1.0}, **smooth)
    state, batch = gan.init(key), Batch(jax.random.normal(key, (8, 2)))
    matrix = game_jacobian(gan.game, state, batch)
    flat, unravel = ravel_pytree((state.generator.params, state.discriminator.params))

    def field(params):
        found, _ = gradients(gan.game, at_params(state, *unravel(params)), batch)
        return -ravel_pytree(tuple(found))[0]

    direction = jax.random.normal(jax.random.key(1), flat.shape)
    step = 2e-3
    difference = (field(flat + step * direction) - field(flat - step * direction)) / (2 * step)
    np.testing.assert_allclose(matrix @ direction, difference, rtol=2e-2, atol=2e-3)
    # The two players descend different losses: no Hessian, so not symmetric.
    assert np.abs(matrix - matrix.T).max() > 1e-2


def test_leading_eigenvalues_are_those_of_the_whole_matrix(key, monkeypatch):
    gan = tiny_gan(sample_shape=(2,), penalties={"r1": 1.0, "r2": 1.0})
    state, batch = gan.init(key), Batch(jax.random.normal(key, (8, 2)))
    whole: Any = game_spectrum(gan.game, state, batch)
    assert (np.diff(whole.real) <= 0).all()
    monkeypatch.setattr("gan_jax.evaluation.spectrum.DENSE", 10)
    leading: Any = game_spectrum(gan.game, state, batch, 4)
    np.testing.assert_allclose(leading.real, whole[:4].real, atol=1e-3)
    np.testing.assert_allclose(np.abs(leading.imag), np.abs(whole[:4].imag), atol=1e-3)
    with pytest.raises(InputError, match="count: 0 is out of range"):
        game_spectrum(gan.game, state, batch, 0)
    with pytest.raises(InputError, match="parameters; a dense Jacobian takes up to 10"):
        game_jacobian(gan.game, state, batch)


@pytest.mark.parametrize("steps", [0, 3])
def test_unrolled_gradient_against_differences(steps):
    with jax.enable_x64(True):
        start = jnp.array([0.5, -0.3], jnp.float64)

        def gan_at(generator):
            return build(
                generator=Network(
                    lambda key: generator, lambda p, z, labels, key: jnp.tanh(z) * p[None]
                ),
                discriminator=Network(
                    lambda key: jnp.array([0.4, 0.2], jnp.float64),
                    lambda p, x, labels, key: jnp.tanh(x) @ p,
                ),
                loss=LOSSES["non_saturating"],
                penalties={"r1": (PENALTIES["r1"], 1.0)},
                generator_optimizer=optax.sgd(1.0),
                discriminator_optimizer=optax.sgd(0.7),
                draw_latents=lambda key, n: jax.random.normal(key, (n, 2), jnp.float64),
                dynamics=unrolled(steps),
            )

        batch = Batch(jnp.linspace(-1, 2, 12, dtype=jnp.float64).reshape(6, 2))
        gan = gan_at(start)
        state = gan.init(jax.random.key(0))
        after, metrics = gan.train_step(state, batch)
        gradient = start - after.generator.params  # the rate is 1

        def outcome(generator):
            """The discriminator's move stays where it is; what it would do next does not."""
            game = gan.game
            keys = jax.random.split(jax.random.fold_in(state.key, 0), (1, 3))[0]
            latents = game.draw_latents(keys[0], 6)
            fake = Batch(game.generate(generator, latents, None, keys[1]))
            round = Round(batch, fake, latents, keys[2], state.step, state.hyperparameters)
            later = after.discriminator.params
            for _ in range(steps):
                later -= 0.7 * jax.grad(lambda p: game.discriminator_loss(p, round)[0])(later)
            return game.generator_loss(later, round)[0]

        np.testing.assert_allclose(metrics.generator_loss, outcome(start), rtol=1e-9)
        for index in range(2):
            nudge = 1e-5 * jnp.eye(2)[index]
            difference = (outcome(start + nudge) - outcome(start - nudge)) / 2e-5
            np.testing.assert_allclose(gradient[index], difference, rtol=1e-5)


def test_unrolled_by_nothing_is_alternating_and_adam_survives_dead_units(key):
    batch = Batch(jax.random.normal(key, (8, 2)))
    plain = tiny_gan()
    same = tiny_gan(dynamics=DynamicsConfig(name="unrolled", unroll=0))
    moved = [jax.jit(gan.train_step)(gan.init(key), batch)[0] for gan in (plain, same)]
    for a, b in zip(*(jax.tree.leaves(s.generator.params) for s in moved), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    ahead = tiny_gan(dynamics=DynamicsConfig(name="unrolled", unroll=3))
    state = ahead.init(key)
    dead = jax.tree.map(jnp.zeros_like, state.discriminator.params)  # most gradients are 0 here
    _, metrics = jax.jit(ahead.train_step)(at_params(state, state.generator.params, dead), batch)
    assert metrics.finite


def test_further_moves_of_the_generator(key):
    # Wasserstein on Dirac: the generator moves by rate * psi each time.
    gan = dirac(rates=0.1, dynamics=alternating(1, 3))
    state = at_params(gan.init(key), jnp.float32(0.0), jnp.float32(2.0))
    after, _ = gan.train_step(state, REAL)
    np.testing.assert_allclose(after.generator.params, 3 * 0.1 * 2.0, rtol=1e-6)


def test_linear_quadratic_gan_finds_mean_and_variance(key):
    # G = a z + b, D(x) = w1 x + w2 x^2 on N(1.5, 0.5^2) (Nagarajan & Kolter, arXiv:1706.04156).
    gan = build(
        generator=Network(
            lambda key: jnp.array([1.0, 0.0]), lambda p, z, labels, key: p[0] * z + p[1]
        ),
        discriminator=Network(
            lambda key: jnp.zeros(2),
            lambda p, x, labels, key: p[0] * x[:, 0] + p[1] * jnp.square(x[:, 0]),
        ),
        loss=LOSSES["wasserstein"],
        penalties={"r1": (PENALTIES["r1"], 0.3)},
        generator_optimizer=optax.sgd(0.1),
        discriminator_optimizer=optax.sgd(0.1),
        draw_latents=1,
        average_decay=0.99,
    )

    def step(state, key):
        return gan.train_step(state, Batch(1.5 + 0.5 * jax.random.normal(key, (2_048, 1))))[0], None

    state, _ = jax.jit(lambda s: jax.lax.scan(step, s, jax.random.split(key, 3_000)))(gan.init(key))
    np.testing.assert_allclose(np.abs(state.average), [0.5, 1.5], atol=0.03)


def test_best_discriminator_between_two_normals(key):
    # N(0, 1) against N(m, 1): log p/q = -m x + m^2/2 exactly, and V(D*) = 2 JSD - log 4. Rows are
    # the quantiles, not draws: sums over them are integrals, to a few thousandths.
    m, rows = 1.5, 20_000
    quantiles = jax.scipy.special.ndtri((jnp.arange(rows) + 0.5) / rows)[:, None]
    gan = build(
        generator=Network(lambda key: jnp.float32(m), lambda p, z, labels, key: z + p),
        discriminator=Network(
            lambda key: jnp.zeros(2), lambda p, x, labels, key: p[0] * x[:, 0] + p[1]
        ),
        loss=LOSSES["minimax"],
        generator_optimizer=optax.set_to_zero(),
        discriminator_optimizer=optax.adam(optax.linear_schedule(0.1, 0.0, 300)),
        draw_latents=lambda key, count: quantiles,
    )
    state, metrics = jax.jit(
        lambda s: jax.lax.scan(lambda s, _: gan.train_step(s, Batch(quantiles)), s, length=300)
    )(gan.init(key))
    np.testing.assert_allclose(state.discriminator.params, [-m, m**2 / 2], atol=0.005)
    x = np.linspace(-12, 12 + m, 200_001)
    p, q = (np.exp(-((x - mean) ** 2) / 2) / np.sqrt(2 * np.pi) for mean in (0.0, m))
    inside = 0.5 * (p * np.log(2 * p / (p + q)) + q * np.log(2 * q / (p + q)))
    divergence = np.trapezoid(inside, x)
    assert float(metrics.value[-1]) == pytest.approx(2 * divergence - np.log(4), abs=0.001)
