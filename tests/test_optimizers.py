"""Optimisers by name: their first steps by hand, rates in the state, clipped weights."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from gan_jax.config import DecayConfig, OptimizerConfig
from gan_jax.errors import InputError
from gan_jax.optimizers import DECAYS, OPTIMIZERS, clip_weights, make_optimizer

CONSTANT = DecayConfig()


def moved(name: str, gradients, decay=CONSTANT, **changes) -> np.ndarray:
    """Where one weight, from 0, is after each gradient."""
    config = OptimizerConfig(name=name, **{"learning_rate": 0.1, **changes})
    optimizer = make_optimizer("generator", config, decay)
    weight = jnp.zeros(())
    state, found = optimizer.init(weight), []
    for gradient in gradients:
        update, state = optimizer.update(jnp.float32(gradient), state, weight)
        weight = optax.apply_updates(weight, update)
        found.append(float(weight))  # pyright: ignore[reportArgumentType]
    return np.array(found)


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("decay", DECAYS)
def test_rate_lives_in_the_state_and_decays_to_zero(name, decay):
    optimizer = make_optimizer(
        "generator", OptimizerConfig(name=name, learning_rate=0.25), CONSTANT
    )
    assert optimizer.init(jnp.zeros(())).hyperparams["learning_rate"] == 0.25  # pyright: ignore
    path = moved(name, np.ones(8), DecayConfig(shape=decay, horizon=5))
    assert path[0] < 0
    assert (path[5:] == path[5]).all() == (decay != "constant")


def test_by_hand():
    g = np.array([1.0, -2.0])
    np.testing.assert_allclose(moved("sgd", g), [-0.1, 0.1], rtol=1e-6)
    # x' = x - h (2 g - g before), the first without a before.
    np.testing.assert_allclose(moved("optimistic_sgd", g), [-0.1, 0.4], rtol=1e-6)
    # Adam with b1 = 0: h g / sqrt(v / (1 - b2^t)), v = 0.9 v + 0.1 g^2: 0.1, then 0.49 / 0.19.
    np.testing.assert_allclose(
        moved("adam", g, b1=0.0, b2=0.9), [-0.1, -0.1 + 0.2 / np.sqrt(0.49 / 0.19)], rtol=1e-5
    )
    np.testing.assert_allclose(
        moved("rmsprop", g, b2=0.8),
        [-0.1 / np.sqrt(0.2), -0.1 / np.sqrt(0.2) + 0.2 / np.sqrt(0.96)],
        rtol=1e-4,
    )


def test_adam_has_a_slope_where_a_gradient_is_zero():
    optimizer = make_optimizer("generator", OptimizerConfig(), CONSTANT)

    def outcome(scale):
        weights = jnp.ones(2)
        gradient = scale * jnp.array([0.0, 1.0])  # the first unit is dead
        update, _ = optimizer.update(gradient, optimizer.init(weights), weights)
        return jnp.sum(weights + update)  # pyright: ignore[reportOperatorIssue]

    assert np.isfinite(jax.grad(outcome)(0.5))


def test_clipped_weights_stay_inside():
    path = moved("sgd", [1.0, 1.0, 1.0, -9.0], clip=0.15)
    np.testing.assert_allclose(path, [-0.1, -0.15, -0.15, 0.15], rtol=1e-6)
    np.testing.assert_allclose(moved("sgd", [9.0], clip=0.0), [-0.9], rtol=1e-6)
    params = {"a": jnp.array([0.5, -3.0])}
    update, _ = clip_weights(1.0).update({"a": jnp.array([1.0, 0.0])}, optax.EmptyState(), params)
    np.testing.assert_allclose(update["a"], [0.5, 2.0])  # pyright: ignore


def test_unknown_names():
    with pytest.raises(InputError, match="generator_optimizer.name: 'adamm' is not one of adam"):
        make_optimizer("generator", OptimizerConfig(name="adamm"), CONSTANT)
    with pytest.raises(InputError, match="decay.shape: 'step' is not one of constant"):
        make_optimizer("generator", OptimizerConfig(), DecayConfig(shape="step"))
