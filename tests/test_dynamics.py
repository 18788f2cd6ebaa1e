"""Dynamics against theory: Dirac-GAN, the plain two-pass definition, isolation of the players."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import assert_close, assert_same_bits, dirac, random_batch, tiny_config, tiny_gan

from gan_jax.assembly import from_config
from gan_jax.config import DynamicsConfig, OptimizerConfig
from gan_jax.dynamics import alternating, consensus, simultaneous, unrolled
from gan_jax.errors import InputError
from gan_jax.game import Round
from gan_jax.gan import build
from gan_jax.losses import LOSSES
from gan_jax.moves import draw_round
from gan_jax.networks import Network
from gan_jax.optimizers import make_optimizer
from gan_jax.penalties import PENALTIES
from gan_jax.state import GANState
from gan_jax.types import Batch


def dirac_gan(*, rate: float, gamma: float, loss="wasserstein", discriminator_steps: int = 1):
    return dirac(loss, {"r1": gamma}, rate, 1.0, dynamics=alternating(discriminator_steps))


def players(state: GANState) -> np.ndarray:
    return np.array([state.discriminator.params, state.generator.params])


def dirac_matrix(rate: float, gamma: float, discriminator_steps: int) -> np.ndarray:
    """(psi, theta) -> (psi, theta) of one step.

    The discriminator ascends psi * (0 - theta) - gamma/2 * psi^2, then the generator ascends
    psi * theta on the new psi.
    """
    discriminator = np.array([[1 - rate * gamma, -rate], [0, 1]])
    generator = np.array([[1, 0], [rate, 1]])
    return generator @ np.linalg.matrix_power(discriminator, discriminator_steps)


@pytest.mark.parametrize("gamma", [0.0, 0.7])
@pytest.mark.parametrize("discriminator_steps", [1, 3])
def test_dirac_gan_is_a_matrix_power(gamma, discriminator_steps, key):
    rate, steps = 0.1, 200
    gan = dirac_gan(rate=rate, gamma=gamma, discriminator_steps=discriminator_steps)
    batch = Batch(jnp.zeros((6, 1)))
    state, _ = jax.lax.scan(
        lambda state, _: gan.train_step(state, batch), gan.init(key), length=steps
    )
    matrix = dirac_matrix(rate, gamma, discriminator_steps)
    expected = np.linalg.matrix_power(matrix, steps) @ [1.0, 1.0]
    np.testing.assert_allclose(players(state), expected, atol=2e-5)


def test_dirac_gan_converges_only_with_a_penalty():
    # |eigenvalues| = 1 without R1, < 1 with it: the theorem that the penalties exist for.
    without, with_r1 = (
        np.abs(np.linalg.eigvals(dirac_matrix(0.1, gamma, 1))) for gamma in (0.0, 0.7)
    )
    np.testing.assert_allclose(without, 1.0, atol=1e-12)
    assert with_r1.max() < 1.0
    state = dirac_gan(rate=0.1, gamma=0.0).init(jax.random.key(0))
    step = jax.jit(dirac_gan(rate=0.1, gamma=0.0).train_step)
    radii = []
    for _ in range(500):
        state, _ = step(state, Batch(jnp.zeros((4, 1))))
        radii.append(np.linalg.norm(players(state)))
    assert min(radii[-100:]) > 0.9  # it circles for ever


def plain_step(gan, steps: tuple[int, int], optimizers, state: GANState, batch: Batch):
    """The definition, without sharing anything: every loss from latents and parameters anew."""
    game, (mine, further) = gan.game, steps
    keys = jax.random.split(jax.random.fold_in(state.key, state.step), (mine + further - 1, 3))
    parts = jax.tree.map(lambda x: x.reshape(mine, -1, *x.shape[1:]), batch)
    discriminator, d_state = state.discriminator.params, state.discriminator.opt_state
    loss = None

    def round_of(generator_params, index):
        latent_key, generator_key, round_key = keys[index]
        real = jax.tree.map(lambda x: x[min(index, mine - 1)], parts)
        latents = game.draw_latents(latent_key, len(real.samples))
        fake = game.generate(generator_params, latents, real.labels, generator_key)
        return Round(
            real, Batch(fake, real.labels), latents, round_key, state.step, state.hyperparameters
        )

    for index in range(mine):
        round = round_of(state.generator.params, index)
        loss, gradient = jax.value_and_grad(lambda p, r=round: game.discriminator_loss(p, r)[0])(
            discriminator
        )
        updates, d_state = optimizers[1].update(gradient, d_state, discriminator)
        discriminator = optax.apply_updates(discriminator, updates)

    params, g_state, g_losses = state.generator.params, state.generator.opt_state, []
    for index in range(mine - 1, mine + further - 1):

        def generator_objective(params, index=index):
            return game.generator_loss(discriminator, round_of(params, index))[0]

        g_loss, gradient = jax.value_and_grad(generator_objective)(params)
        updates, g_state = optimizers[0].update(gradient, g_state, params)
        params = optax.apply_updates(params, updates)
        g_losses.append(g_loss)
    return discriminator, params, loss, g_losses[0]


@pytest.mark.parametrize(
    ("loss", "steps"),
    [("non_saturating", (1, 1)), ("softmax", (1, 1)), ("relativistic", (3, 1)), ("hinge", (2, 3))],
)
def test_sharing_work_changes_nothing(loss, steps, key):
    # By gradient descent a move is the gradient itself; Adam's first is little but its sign.
    descent = OptimizerConfig(name="sgd", learning_rate=0.1)
    config = tiny_config(
        loss=loss,
        discriminator_steps=steps[0],
        generator_steps=steps[1],
        generator_optimizer=descent,
        discriminator_optimizer=descent,
    )
    gan = from_config(config)
    optimizers = (
        make_optimizer("generator", config.generator_optimizer, config.decay),
        make_optimizer("discriminator", config.discriminator_optimizer, config.decay),
    )
    state, batch = gan.init(key), random_batch(0, 8 * steps[0])
    shared, metrics = jax.jit(gan.train_step)(state, batch)
    by_definition = jax.jit(lambda *given: plain_step(gan, steps, optimizers, *given))
    discriminator, generator, d_loss, g_loss = by_definition(state, batch)
    assert_close(shared.discriminator.params, discriminator)
    assert_close(shared.generator.params, generator)
    assert_close((metrics.discriminator_loss, metrics.generator_loss), (d_loss, g_loss))


@pytest.mark.parametrize("frozen", ["generator", "discriminator"])
def test_each_player_moves_only_its_own_parameters(frozen, key):
    optimizers: dict[str, optax.GradientTransformation] = {
        "generator": optax.sgd(0.1),
        "discriminator": optax.sgd(0.1),
    }
    optimizers[frozen] = optax.set_to_zero()
    gan = build(
        generator=Network(lambda key: jnp.ones(2), lambda p, z, labels, key: z + p[None]),
        discriminator=Network(lambda key: jnp.ones(2), lambda p, x, labels, key: jnp.tanh(x) @ p),
        loss=LOSSES["relativistic"],
        penalties={name: (penalty, 1.0) for name, penalty in PENALTIES.items()},
        generator_optimizer=optimizers["generator"],
        discriminator_optimizer=optimizers["discriminator"],
        draw_latents=2,
    )
    before = gan.init(key)
    after, _ = gan.train_step(before, random_batch(0))
    moving = {"generator": "discriminator", "discriminator": "generator"}[frozen]
    assert_same_bits(getattr(after, frozen).params, getattr(before, frozen).params)
    assert (getattr(after, moving).params != getattr(before, moving).params).all()


def test_every_round_sees_its_own_rows(key):
    """Three discriminator steps see the three thirds of the batch in turn, pair by pair."""
    gan = tiny_gan(discriminator_steps=3, loss="relativistic")
    step, state = jax.jit(gan.train_step), gan.init(key)
    thirds = random_batch(0, 24).samples.reshape(3, 8, 2)

    def moved(thirds):
        after, _ = step(state, Batch(thirds.reshape(24, 2)))
        return after.discriminator.params["body"]["Dense_0"]["kernel"]

    reference = moved(thirds)
    for other in (thirds[jnp.array([1, 0, 2])], thirds[:, ::-1]):
        assert np.abs(moved(other) - reference).max() > 1e-6


def test_a_round_has_three_keys(key):
    """Latents, the generator's own draws and those of the discriminator have nothing in common."""
    seen = []

    def draw_latents(key, count):
        seen.append(key)
        return jnp.zeros((count, 2))

    def generate(params, latents, labels, key):
        seen.append(key)
        return latents

    gan = tiny_gan()
    state, game = gan.init(key), gan.game._replace(draw_latents=draw_latents, generate=generate)
    keys = jax.random.split(key, 3)
    round, _ = draw_round(game, state, state.generator.params, keys, random_batch(0))
    found = {tuple(jax.random.key_data(key).tolist()) for key in (*seen, round.key)}
    assert len(found) == 3


def test_what_extragradient_remembers_is_of_one_look(key):
    gan = tiny_gan(dynamics=DynamicsConfig(name="extragradient"))
    state, _ = gan.train_step(gan.init(key), random_batch(0))
    counts = optax.tree.get_all_with_path(
        (state.generator.opt_state, state.discriminator.opt_state), "count"
    )
    assert counts and {int(count) for _, count in counts} == {1}


def test_steps_are_one_at_least():
    for steps in ((0, 1), (1, 0)):
        with pytest.raises(InputError, match="_steps: 0 is out of range; at least 1 is allowed"):
            alternating(*steps)


def test_rows_must_divide(key):
    gan = tiny_gan(discriminator_steps=3)
    with pytest.raises(InputError, match="batch: 8 rows; 3 discriminator steps need a multiple"):
        gan.train_step(gan.init(key), random_batch(0, 8))


@pytest.mark.parametrize("optimizer", [optax.sgd, lambda rate: optax.adam(rate, b1=0.0)])
def test_gradient_through_discriminator_steps(optimizer):
    # d(final discriminator loss)/d(learning rate), through 3 moves, against central differences.
    with jax.enable_x64(True):

        def outcome(log_rate):
            rate = jnp.exp(log_rate)
            gan = build(
                generator=Network(
                    lambda key: jnp.full((2,), 0.5, jnp.float64),
                    lambda p, z, labels, key: z * p[None],
                ),
                discriminator=Network(
                    lambda key: jnp.full((2,), 0.3, jnp.float64),
                    lambda p, x, labels, key: jnp.tanh(x) @ p,
                ),
                loss=LOSSES["non_saturating"],
                penalties={"r1": (PENALTIES["r1"], 1.0)},
                generator_optimizer=optimizer(rate),
                discriminator_optimizer=optimizer(rate),
                draw_latents=lambda key, n: jax.random.normal(key, (n, 2), jnp.float64),
                dynamics=alternating(3),
            )
            batch = Batch(jnp.linspace(-1, 2, 24, dtype=jnp.float64).reshape(12, 2))
            _, metrics = gan.train_step(gan.init(jax.random.key(0)), batch)
            return metrics.generator_loss

        at, step = jnp.log(0.3), 1e-5
        slope = jax.jit(jax.grad(outcome))(at)
        low, high = jax.jit(jax.vmap(outcome))(at + step * jnp.array([-1.0, 1.0]))
        np.testing.assert_allclose(slope, (high - low) / (2 * step), rtol=1e-6)
        assert abs(slope) > 1e-4


@pytest.mark.parametrize(
    ("changes", "plain_changes"),
    [
        *(
            pytest.param(
                {"penalties": {name: 0.0}},
                {"penalties": {}},
                marks=[pytest.mark.long] * (name not in ("r1", "wgan_gp")),
            )
            for name in PENALTIES
        ),
        (
            {"dynamics": DynamicsConfig(name="consensus", consensus=0.0)},
            {"dynamics": DynamicsConfig(name="simultaneous")},
        ),
        (
            {"dynamics": DynamicsConfig(name="unrolled", unroll=0)},
            {"dynamics": DynamicsConfig(name="alternating")},
        ),
    ],
)
def test_nothing_of_it_is_the_plain_step(changes, plain_changes, key):
    """A weight of 0, or no moves ahead: the same step to float32 rounding."""
    found = []
    for each in (changes, plain_changes):
        gan = tiny_gan(loss="non_saturating", **{"penalties": {}, "terms": {}} | each)
        state = gan.init(key)
        for seed in range(3):
            state, _ = jax.jit(gan.train_step)(state, random_batch(seed))
        found.append((state.generator.params, state.discriminator.params))
    assert_close(*found)


def test_weights_of_consensus_are_an_array(key):
    """None of it, and some, as one program; none of it is the simultaneous step."""

    def after(dynamics):
        gan = dirac("non_saturating", {"r1": 0.5}, start=0.7, dynamics=dynamics)
        return gan.train_step(gan.init(key), Batch(jnp.zeros((4, 1))))[0]

    found = jax.jit(jax.vmap(lambda weight: after(consensus(weight))))(jnp.array([0.0, 0.3]))
    for index, dynamics in enumerate((simultaneous(), consensus(0.3))):
        member = jax.tree.map(
            lambda x, index=index: x[index], (found.generator, found.discriminator)
        )
        alone = after(dynamics)
        assert_close(member, (alone.generator, alone.discriminator))
    assert abs(found.generator.params[0] - found.generator.params[1]) > 1e-3


def test_more_moves_ahead_than_there_are():
    with pytest.raises(InputError, match="steps: 5 is out of range; 0 to 3 is allowed"):
        unrolled(np.int64(5), most=3)
    for below in (-1, np.int64(-1), jnp.int32(-1)):
        with pytest.raises(InputError, match="steps: -1 is out of range; at least 0 is allowed"):
            unrolled(below)
