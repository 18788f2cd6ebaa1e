"""Loops: however the steps are run, and however many GANs at once, they are the same steps."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from conftest import assert_close, assert_same_bits, plain, random_batch, stack, tiny_gan

from gan_jax.config import DiscriminatorConfig, GeneratorConfig, OptimizerConfig
from gan_jax.loops import advance, one_by_one, population, scan_steps

STEPS = 7
BATCHES = [random_batch(seed) for seed in range(STEPS)]


def by_hand(gan, state):
    step = jax.jit(gan.train_step)
    metrics = None
    for batch in BATCHES:
        state, metrics = step(state, batch)
    return state, metrics


def take(source, pick):
    return jax.tree.map(lambda x: x[pick], source)


def test_scan_is_the_loop(key):
    gan = tiny_gan()
    state, metrics = by_hand(gan, gan.init(key))
    scanned, all_metrics = jax.jit(scan_steps, static_argnums=0)(
        gan.train_step, gan.init(key), stack(BATCHES)
    )
    assert_close(scanned, state)
    assert all_metrics.generator_loss.shape == (STEPS,)
    assert_close(jax.tree.map(lambda x: x[-1], all_metrics), metrics)


def test_advance_is_the_loop(key):
    gan = tiny_gan()
    state, metrics = by_hand(gan, gan.init(key))
    program = jax.jit(advance(gan.train_step, take))
    found, last = program(gan.init(key), stack(BATCHES), jnp.arange(STEPS), STEPS)
    assert_close(found, state)
    assert_close(last, metrics)


def test_advance_gives_the_same_bits_wherever_it_stops(key):
    gan = tiny_gan()
    program = jax.jit(advance(gan.train_step, take))
    source = stack(BATCHES)
    whole, whole_metrics = program(gan.init(key), source, jnp.arange(STEPS), STEPS)
    for stop in range(1, STEPS):
        state, _ = program(gan.init(key), source, jnp.arange(STEPS), stop)
        picks = (jnp.arange(STEPS) + stop) % STEPS
        state, metrics = program(state, source, picks, STEPS - stop)
        assert_same_bits(state, whole)
        assert_same_bits(metrics, whole_metrics)
    assert program._cache_size() == 1  # type: ignore


def test_member_of_a_population_is_a_gan_alone(key):
    clustered = GeneratorConfig(latent_size=3, categories=4, widths=(8,))
    gan = tiny_gan(generator=clustered)
    many = population(gan)
    keys = jax.random.split(key, 3)
    states, metrics = many.init(keys), None
    step = jax.jit(many.train_step)
    for batch in BATCHES:
        states, metrics = step(states, batch)
    samples, asked = many.sample(states, key, 4), {"chosen": jnp.eye(4)}
    assert samples.shape == (3, 4, 2)
    for member in range(3):
        alone, alone_metrics = by_hand(gan, gan.init(keys[member]))
        assert_close(jax.tree.map(lambda x, m=member: x[m], states), alone)
        assert_close(jax.tree.map(lambda x, m=member: x[m], metrics), alone_metrics)
        np.testing.assert_allclose(samples[member], gan.sample(alone, key, 4), rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(
            many.sample(states, key, 4, **asked)[member],
            gan.sample(alone, key, 4, **asked),
            rtol=1e-5,
            atol=1e-6,
        )
    assert not np.allclose(samples[0], samples[1])


def test_members_one_by_one_are_gans_alone(key):
    gan = tiny_gan()
    keys = jax.random.split(key, 3)
    program = jax.jit(one_by_one(advance(gan.train_step, take)), donate_argnums=0)
    states, metrics = program(population(gan).init(keys), stack(BATCHES), jnp.arange(STEPS), STEPS)
    for member in range(3):
        alone, alone_metrics = by_hand(gan, gan.init(keys[member]))
        assert_close(jax.tree.map(lambda x, m=member: x[m], states), alone)
        assert_close(jax.tree.map(lambda x, m=member: x[m], metrics), alone_metrics)


def test_one_by_one_needs_the_memory_of_one(key):
    # Besides the states, which it updates in place: nothing that grows with the members.
    gan = tiny_gan(
        generator=GeneratorConfig(latent_size=8, widths=(64,)),
        discriminator=DiscriminatorConfig(widths=(64,)),
    )
    program = jax.jit(one_by_one(advance(gan.train_step, take)), donate_argnums=0)

    def scratch(members: int) -> tuple[int, int]:
        states = jax.eval_shape(population(gan).init, jax.random.split(key, members))
        compiled = program.lower(states, stack(BATCHES), jnp.arange(STEPS), STEPS).compile()
        memory = compiled.memory_analysis()
        assert memory is not None
        return memory.temp_size_in_bytes, memory.alias_size_in_bytes

    (few, aliased), (many, many_aliased) = scratch(2), scratch(32)
    state_bytes = (many_aliased - aliased) / 30
    assert state_bytes > 10_000
    assert many - few < 0.1 * 30 * state_bytes


def test_a_sweep_over_rates_is_a_population(key):
    gan = tiny_gan()
    states = population(gan).init(jnp.stack([key, key]))
    rates = jnp.array([1e-3, 1e-2])
    states = optax.tree.set(states, learning_rate=rates)
    states, _ = jax.jit(population(gan).train_step)(states, BATCHES[0])
    for member, rate in enumerate([1e-3, 1e-2]):
        adam = OptimizerConfig(learning_rate=rate)
        alone = tiny_gan(generator_optimizer=adam, discriminator_optimizer=adam)
        state, _ = jax.jit(alone.train_step)(alone.init(key), BATCHES[0])
        found = jax.tree.map(lambda x, m=member: x[m], states.generator.params)
        assert_close(found, state.generator.params)


@pytest.mark.parametrize("loss", ["relativistic", "wasserstein"])
def test_scan_inside_a_population(loss, key):
    gan = tiny_gan(loss=loss)
    many = population(gan)
    states, _ = scan_steps(many.train_step, many.init(jax.random.split(key, 2)), stack(BATCHES))
    assert states.step.tolist() == [STEPS, STEPS]
    assert all(np.isfinite(leaf).all() for leaf in plain(states.generator))
