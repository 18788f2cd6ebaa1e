"""Penalties at every n-th step, n times as strong: lazy regularisation (arXiv:1912.04958)."""

import dataclasses
import functools
from collections import Counter

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from conftest import assert_close, dirac, random_batch, stack, tiny_config, tiny_gan
from jax.flatten_util import ravel_pytree
from known_losses import field_of
from test_dirac_steps import DYNAMICS, REAL, expected_matrix

from gan_jax.assembly import from_config
from gan_jax.benchmark import products
from gan_jax.data import load
from gan_jax.data.stream import make_stream
from gan_jax.errors import InputError
from gan_jax.evaluation.spectrum import game_spectrum
from gan_jax.loops import population, scan_steps
from gan_jax.recipes import recipe
from gan_jax.state import at_params

WEIGHTS = {"r1": 0.5, "r2": 0.25}
BATCHES = [random_batch(seed) for seed in range(6)]


@pytest.mark.parametrize("changes", [{}, {"discriminator_steps": 2}], ids=["1 move", "2 moves"])
def test_most_steps_are_without_and_every_third_has_three_times_as_much(changes, key):
    make = functools.partial(tiny_gan, **changes)
    gan, usual = make(penalties=WEIGHTS, penalty_interval=3), make(penalties=WEIGHTS)
    step, at_every_step = jax.jit(gan.train_step), jax.jit(usual.train_step)
    state = gan.init(key)
    for index, batch in enumerate(BATCHES):
        due = index % 3 == 2
        weights = {f"penalties.{name}": 3.0 * due * weight for name, weight in WEIGHTS.items()}
        same = dataclasses.replace(state, hyperparameters=state.hyperparameters | weights)
        expected, told = at_every_step(same, batch)
        after, metrics = step(state, batch)
        for player in ("generator", "discriminator"):
            assert_close(getattr(after, player), getattr(expected, player))
        for name, found in metrics.penalties.items():
            np.testing.assert_allclose(found, due * told.penalties[name], rtol=1e-5)
        # The loss is told with each penalty once, so that it means the same with every interval.
        once = sum(0.5 * WEIGHTS[name] * found for name, found in metrics.penalties.items())
        rest = told.discriminator_loss - 3 * once
        np.testing.assert_allclose(metrics.discriminator_loss, rest + once, rtol=1e-5)
        state = after


@pytest.mark.parametrize("name", [name for name in DYNAMICS if name != "optimistic"])
def test_three_steps_are_two_without_and_one_with_three_times_as_much(name):
    """On Dirac-GAN: the map of three steps is the product of theirs, known by algebra."""
    loss, gamma, rates = "non_saturating", 0.4, (0.3, 0.2)
    gan = dirac(loss, {"r1": gamma}, rates, penalty_interval=3, **DYNAMICS[name])
    start = gan.init(jax.random.key(0))

    def three(params: jax.Array) -> jax.Array:
        state = at_params(start, params[0], params[1])
        state, _ = scan_steps(gan.train_step, state, stack([REAL] * 3))
        return jnp.stack([state.generator.params, state.discriminator.params])

    plain, penalized = (expected_matrix(name, field_of(loss, x), rates) for x in (0.0, 3 * gamma))
    found = jax.jacfwd(three)(jnp.zeros(2))
    np.testing.assert_allclose(found, penalized @ plain @ plain, atol=1e-5)


def test_members_of_a_population_do_only_what_the_step_asks_for(key):
    gan = tiny_gan(penalties=WEIGHTS, penalty_interval=2)
    keys = jax.random.split(key, 3)
    states, metrics = scan_steps(
        population(gan).train_step, population(gan).init(keys), stack(BATCHES)
    )
    alone, told = scan_steps(gan.train_step, gan.init(keys[1]), stack(BATCHES))
    assert_close(jax.tree.map(lambda x: x[1], states), alone)
    assert_close(jax.tree.map(lambda x: x[:, 1], metrics), told)
    # Were a member's step its own, each step would do what both kinds do.
    image = tiny_config(sample_shape=(28, 28, 1), penalty_interval=2)
    digits = load("digits").train
    one, stream = from_config(image), make_stream(digits, image.batch_size, 0, 1)
    for members in (0, 3):
        penalized = products(one, stream, members)
        others = products(one, stream, members, penalized=False)
        every = from_config(dataclasses.replace(image, penalty_interval=1))
        none = from_config(dataclasses.replace(image, penalties={}))
        assert Counter(penalized) == Counter(products(every, stream, members))
        assert Counter(others) == Counter(products(none, stream, members))


def test_a_step_can_be_differentiated_through_both_kinds(key):
    gan = tiny_gan(penalties=WEIGHTS, penalty_interval=2)
    state, batches = gan.init(key), stack(BATCHES[:2])

    def later(weight: jax.Array) -> jax.Array:
        weights = state.hyperparameters | {"penalties.r1": weight}
        begun = dataclasses.replace(state, hyperparameters=weights)
        after, _ = scan_steps(gan.train_step, begun, batches)
        return jnp.sum(jnp.square(ravel_pytree(after.discriminator.params)[0]))

    weight, small = jnp.float32(0.5), 1e-2
    slope = (later(weight + small) - later(weight - small)) / (2 * small)
    np.testing.assert_allclose(jax.grad(later)(weight), slope, rtol=0.05)
    assert abs(slope) > 1e-4


def test_the_spectrum_is_of_the_mean_step(key):
    found = []
    for interval in (1, 3):
        gan = dirac("non_saturating", {"r1": 0.4}, penalty_interval=interval)
        found.append(game_spectrum(gan.game, gan.init(key), REAL))
    np.testing.assert_allclose(found[1], found[0], atol=1e-6)
    np.testing.assert_allclose(found[0].real, -0.2, atol=1e-5)  # -gamma / 2


def test_without_penalties_an_interval_changes_nothing(key):
    texts = [
        str(
            jax.make_jaxpr(tiny_gan(penalties={}, penalty_interval=n).train_step)(
                tiny_gan(penalties={}).init(key), BATCHES[0]
            )
        )
        for n in (1, 5)
    ]
    assert texts[0] == texts[1]


@pytest.mark.parametrize("interval", [0, -1, 1.5])
def test_an_interval_is_a_whole_number(interval):
    with pytest.raises(
        InputError, match=f"penalty_interval: {interval} .*a whole number, at least 1"
    ):
        dirac(penalties={"r1": 1.0}, penalty_interval=interval)


def test_lines_of_recipes_are_of_steps_that_take_penalties():
    for name in ("gan", "cgan", "gan-large"):
        config = recipe(name)
        assert config.log_interval % config.penalty_interval == 0
